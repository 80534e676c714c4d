/*
 * A burst that goes straight through, in AssemblyScript over the arena: plain frames of one port, all of known stations for known stations
 * behind one frame underlay or one other port. Parse, learn, lookup and encap in two passes over the lanes, with what one step hands to the
 * next in locals in place of columns: half of the loads and stores. It looks first and decides nothing: where a lane is any other, the steps
 * take the burst.
 *
 * Columns, entries and templates are those of walk.as.ts and egress.as.ts.
 */

import {
  EXT_LEN,
  MSG_BYTES,
  MSG_PEER_ROW,
  ROW_FLAGS,
  ROW_PLAIN,
  ROW_UDP_CHECKSUM,
  bind as bindOut,
  extents,
  fillMessages,
  frameMax,
  messages,
  peerRowBase,
  templates,
  writePlain,
  writeUdpChecksum,
} from './egress.as';
import {
  AT,
  DROP,
  DST_ENTRY,
  FLAGS,
  FLOW,
  ID_MASK,
  LEN,
  NEVER,
  PLAIN_BYTES_MIN,
  SRC_ENTRY,
  SUMMARY,
  TCP_SYN,
  TO_PEER,
  ageing,
  bindForward,
  entries,
  entryMask,
  flowHash,
  lanes,
  peerUnderlay,
  probe,
  swap16,
} from './walk.as';

const MAC_MASK: i64 = 0xffff_ffff_ffff;
/** In place of an entry: the MACs are those of the lane before. */
const AS_BEFORE: i32 = -1;
/** Headers of the plain form. */
const PLAIN_HEADERS: i32 = 50;

export function bind(
  first: usize,
  templatesAt: usize,
  frameMaxAt: usize,
  msgFirstAt: usize,
  extAt: usize,
  peerRow: i32,
  ageingAt: usize,
  entriesAt: usize,
  mask: i32,
  underlaysAt: usize,
): void {
  bindOut(first, templatesAt, frameMaxAt, msgFirstAt, extAt, peerRow);
  bindForward(ageingAt, entriesAt, mask, underlaysAt, 0);
}

@inline
function entryOf(key: i64, mask: i32): i32 {
  const x = (<i32>key ^ (<i32>(key >>> 32) * 0x9e3779b1)) * 0x85ebca6b;
  return ((x ^ (x >>> 15)) << 2) & mask;
}

/**
 * First pass: plain IPv4 with UDP or TCP (as parse has it, no SYN) to stations, no offloads; flow hash for who spreads flows, and where probes
 * begin, whose entries are touched; for others AS_BEFORE where both MACs are those of the lane before. Returns the bytes of all frames, or -1.
 */
@inline
function look(n: i32, net: i64, spreads: bool): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  const table = entries;
  const mask = entryMask;
  let odd = 0;
  let bytes = 0;
  let touched = 0;
  // No frame begins so: it would be for a group.
  let lastDst: i64 = -1;
  let lastSrc: i64 = -1;
  for (let p = first; p < end; p += 4) {
    const length = load<i32>(p, LEN);
    const o: usize = load<i32>(p, AT);
    if (length < PLAIN_BYTES_MIN) return -1;
    const total = swap16(load<u16>(o, 16));
    const proto = <i32>load<u8>(o, 23);
    const tcp = <i32>load<u16>(o, 46);
    const tcpLen = (tcp & 0xf0) >> 2;
    const isUdp = proto == 17 && total >= 28;
    const isTcp = proto == 6 && tcpLen >= 20 && total >= 20 + tcpLen && (tcp & TCP_SYN) == 0;
    if (!(isUdp || isTcp) || total > length - 14) return -1;
    const dst = load<i64>(o);
    odd |= load<i32>(p, FLAGS) | load<i32>(p, DROP) | (<i32>dst & 1);
    odd |= ((load<i32>(o, 12) & 0x00ffffff) ^ 0x00450008) | (load<i32>(o, 20) & 0xff3f);
    const src = load<i64>(o, 6);
    if (!spreads) {
      // Frames of one conversation come in runs.
      const isSame = ((dst ^ lastDst) | (src ^ lastSrc)) << 16 == 0;
      lastDst = dst;
      lastSrc = src;
      if (isSame) {
        store<i32>(p, AS_BEFORE, SRC_ENTRY);
        bytes += length;
        continue;
      }
    }
    const from = entryOf((src & MAC_MASK) | net, mask);
    const to = entryOf((dst & MAC_MASK) | net, mask);
    touched ^= load<i32>(table + (<usize>from << 2)) ^ load<i32>(table + (<usize>to << 2));
    store<i32>(p, from, SRC_ENTRY);
    store<i32>(p, to, DST_ENTRY);
    if (spreads) store<i32>(p, flowHash(load<i32>(o, 26), load<i32>(o, 30), load<i32>(o, 34), proto), FLOW);
    bytes += length;
  }
  store<i32>(first, touched, SUMMARY + 12);
  return odd == 0 ? bytes : -1;
}

/** Whether a lane's source is known to be at `origin`, with a stamp that needs no renewal. */
@inline
function isKnown(p: usize, o: usize, table: usize, mask: i32, net: i64, origin: i32, fresh: i32): bool {
  const s = probe(table, load<i32>(p, SRC_ENTRY), mask, (load<i64>(o, 6) & MAC_MASK) | net);
  const expires = load<i32>(s, 12);
  return load<i32>(s, 8) == origin && (expires == fresh || expires == NEVER);
}

/**
 * Lanes 0..n, of `network` and from `origin`, become messages 0..n of one extent to peers behind `underlay`, when all of them can. Returns the
 * bytes of their frames; -1: nothing happened but that headrooms were written to.
 */
export function straight(n: i32, now: i32, network: i32, origin: i32, underlay: i32, tosMask: i32): i32 {
  const net = <i64>network << 48;
  const bytes = look(n, net, true);
  if (bytes < 0) return -1;
  const first = lanes;
  const end = first + (<usize>n << 2);
  const table = entries;
  const mask = entryMask;
  const rows = templates;
  const max = frameMax;
  const base = peerRowBase;
  const underlays = peerUnderlay;
  const fresh = now + load<i32>(ageing + (<usize>network << 2));
  let m = messages;
  let x = extents;
  for (let p = first; p < end; p += 4) {
    const o: usize = load<i32>(p, AT);
    if (!isKnown(p, o, table, mask, net, origin, fresh)) return -1;
    const d = probe(table, load<i32>(p, DST_ENTRY), mask, (load<i64>(o) & MAC_MASK) | net);
    const value = atomic.load<i32>(d, 8);
    const peer = value & ID_MASK;
    if ((value ^ peer) != TO_PEER || load<i32>(d, 12) <= now) return -1;
    const length = load<i32>(p, LEN);
    if (load<i32>(underlays + (<usize>peer << 2)) != underlay || length > load<i32>(max + (<usize>peer << 2))) return -1;
    const t = rows + (<usize>peer << 9);
    const rowFlags = load<i32>(t, ROW_FLAGS);
    if ((rowFlags & ROW_PLAIN) == 0) return -1;
    writePlain(o, t + 152, length, load<i32>(p, FLOW), <i32>load<u8>(o, 15) & tosMask);
    if ((rowFlags & ROW_UDP_CHECKSUM) != 0) writeUdpChecksum(o, t, length);
    store<i32>(x, <i32>o - PLAIN_HEADERS);
    store<i32>(x, length + PLAIN_HEADERS, EXT_LEN);
    store<i32>(m, length, MSG_BYTES);
    store<i32>(m, base + peer, MSG_PEER_ROW);
    m += 4;
    x += 4;
  }
  fillMessages(0, n, 0, 1);
  return bytes;
}

/**
 * Lanes 0..n, of `network` and from `origin`, become messages 0..n to the port of `target`, when all of them go there: as they are, behind
 * `vnetLen` bytes of virtio-net header at `vnetAt` where the port wants one. Returns the same.
 */
export function across(n: i32, now: i32, network: i32, origin: i32, target: i32, vnetAt: i32, vnetLen: i32): i32 {
  const net = <i64>network << 48;
  if (target == origin) return -1;
  const bytes = look(n, net, false);
  if (bytes < 0) return -1;
  const first = lanes;
  const end = first + (<usize>n << 2);
  const table = entries;
  const mask = entryMask;
  const fresh = now + load<i32>(ageing + (<usize>network << 2));
  let m = messages;
  let x = extents;
  for (let p = first; p < end; p += 4) {
    const o: usize = load<i32>(p, AT);
    if (load<i32>(p, SRC_ENTRY) != AS_BEFORE) {
      if (!isKnown(p, o, table, mask, net, origin, fresh)) return -1;
      const d = probe(table, load<i32>(p, DST_ENTRY), mask, (load<i64>(o) & MAC_MASK) | net);
      if (atomic.load<i32>(d, 8) != target || load<i32>(d, 12) <= now) return -1;
    }
    const length = load<i32>(p, LEN);
    if (vnetLen != 0) {
      // Two extents in one store.
      store<i64>(x, <i64>(<u32>vnetAt) | (<i64>o << 32));
      store<i64>(x, <i64>(<u32>vnetLen) | (<i64>length << 32), EXT_LEN);
      x += 8;
    } else {
      store<i32>(x, <i32>o);
      store<i32>(x, length, EXT_LEN);
      x += 4;
    }
    store<i32>(m, length, MSG_BYTES);
    store<i32>(m, 0, MSG_PEER_ROW);
    m += 4;
  }
  fillMessages(0, n, 0, vnetLen != 0 ? 2 : 1);
  return bytes;
}
