/*
 * A burst that goes straight through, in AssemblyScript over the arena: plain frames of one port, all of known stations for known stations
 * behind one frame underlay or one other port; or plain packets of one peer through a frame underlay, for stations behind one port. Parse,
 * learn, lookup and encap or decap in two passes over the lanes, with what one step hands to the next in locals in place of columns: half of
 * the loads and stores. It looks first and decides nothing: where a lane is any other, the steps take the burst.
 *
 * Columns, entries, templates and rules are those of walk.as.ts, egress.as.ts and inbound.as.ts.
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
  GENEVE,
  VXLAN,
  bind as bindIn,
  headerSum,
  ipEnd,
  kindOf,
  key,
  openHeader,
  openV4,
  sources,
  udpChecksumIsRight,
} from './inbound.as';
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

/** Last step of the kernel: less than all in those that a benchmark builds to time the steps (bench/dpdk/steps.ts). */
const LAST_STEP: i32 = isDefined(STEPS_END) ? STEPS_END : 0;
const PARSE: i32 = 1;
const FORWARD: i32 = 2;

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
  sourcesAt: usize,
  rulesAt: usize,
): void {
  bindIn(first, sourcesAt, rulesAt);
  bindOut(first, templatesAt, frameMaxAt, msgFirstAt, extAt, peerRow);
  bindForward(ageingAt, entriesAt, mask, underlaysAt, 0);
}

@inline
function entryOf(key: i64, mask: i32): i32 {
  const x = (<i32>key ^ (<i32>(key >>> 32) * 0x9e3779b1)) * 0x85ebca6b;
  return ((x ^ (x >>> 15)) << 2) & mask;
}

/** Notes where the probes of a lane's MACs begin, and touches those entries. */
@inline
function touchEntries(p: usize, src: i64, dst: i64, net: i64, table: usize, mask: i32): i32 {
  const from = entryOf((src & MAC_MASK) | net, mask);
  const to = entryOf((dst & MAC_MASK) | net, mask);
  store<i32>(p, from, SRC_ENTRY);
  store<i32>(p, to, DST_ENTRY);
  return load<i32>(table + (<usize>from << 2)) ^ load<i32>(table + (<usize>to << 2));
}

/** What a frame has that is not plain: anything but IPv4 with UDP or TCP (as parse has it, no SYN), to a station. 0: nothing. It has PLAIN_BYTES_MIN bytes. */
@inline
function oddities(o: usize, length: i32, dst: i64, refusesTcp: i32): i32 {
  const total = swap16(load<u16>(o, 16));
  const proto = <i32>load<u8>(o, 23);
  const tcp = <i32>load<u16>(o, 46);
  const tcpLen = (tcp & 0xf0) >> 2;
  const isUdp = proto == 17 && total >= 28;
  const isTcp = proto == 6 && tcpLen >= 20 && total >= 20 + tcpLen && (tcp & TCP_SYN) == 0;
  if (!(isUdp || (isTcp && refusesTcp == 0)) || total > length - 14) return 1;
  return ((load<i32>(o, 12) & 0x00ffffff) ^ 0x00450008) | (load<i32>(o, 20) & 0xff3f) | (<i32>dst & 1);
}

/**
 * First pass over frames as they are: all plain and without offloads; flow hash, and where probes begin, whose entries are touched. Returns
 * the bytes of all frames, or -1.
 */
@inline
function look(n: i32, net: i64): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  const table = entries;
  const mask = entryMask;
  let odd = 0;
  let bytes = 0;
  let touched = 0;
  for (let p = first; p < end; p += 4) {
    const length = load<i32>(p, LEN);
    const o: usize = load<i32>(p, AT);
    if (length < PLAIN_BYTES_MIN) return -1;
    const dst = load<i64>(o);
    const src = load<i64>(o, 6);
    odd |= oddities(o, length, dst, 0) | load<i32>(p, FLAGS) | load<i32>(p, DROP);
    touched ^= touchEntries(p, src, dst, net, table, mask);
    store<i32>(p, flowHash(load<i32>(o, 26), load<i32>(o, 30), load<i32>(o, 34), <i32>load<u8>(o, 23)), FLOW);
    bytes += length;
  }
  store<i32>(first, touched, SUMMARY + 12);
  return odd == 0 ? bytes : -1;
}

/** Outer headers in front of a frame in VXLAN or Geneve over IPv4, and the UDP length of a packet with the shortest frame. */
const OUTER: i32 = 50;
const UDP_MIN: i32 = 16 + PLAIN_BYTES_MIN;

/** What an outer packet has that is not plain, or not as the first of its burst has it (addresses, port, tunnel header). 0: nothing. */
@inline
function outerOddities(o: usize, length: i32, udpLen: i32, addresses: i64, port: i32, tunnel: i64): i32 {
  const total = swap16(load<u16>(o, 16));
  if (total != udpLen + 20 || total > length - 14) return 1;
  if (load<u16>(o, 40) != 0 && !udpChecksumIsRight(o + 34, udpLen, 8)) return 1;
  const ends = (load<i64>(o, 26) ^ addresses) | (load<i64>(o, 42) ^ tunnel);
  const ecn = <i32>load<u8>(o, 15);
  // RFC 6040: where the outer codepoint says nothing that the inner one does not, it stays.
  const marked = ecn & (ecn ^ <i32>load<u8>(o, 65)) & 3;
  const head = ((load<i32>(o, 12) & 0x00ffffff) ^ 0x00450008) | (load<u16>(o, 20) & 0xff3f) | (load<u8>(o, 23) ^ 17);
  return head | marked | (load<u16>(o, 36) ^ port) | (headerSum(o + 14) ^ 0xffff) | <i32>(ends != 0);
}

/**
 * First pass where nobody asks for a flow hash: frames as they are, or (`isTunnel`) behind outer headers that are all as those of lane 0. The
 * same but for the hash; and AS_BEFORE where both MACs are those of the lane before.
 */
@inline
function lookForPort(n: i32, net: i64, isTunnel: bool, refusesTcp: i32): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  const table = entries;
  const mask = entryMask;
  const head: usize = load<i32>(first, AT);
  const addresses = isTunnel ? load<i64>(head, 26) : 0;
  const port = isTunnel ? <i32>load<u16>(head, 36) : 0;
  const tunnel = isTunnel ? load<i64>(head, 42) : 0;
  let odd = 0;
  let bytes = 0;
  let touched = 0;
  // No frame begins so: it would be for a group.
  let lastDst: i64 = -1;
  let lastSrc: i64 = -1;
  for (let p = first; p < end; p += 4) {
    let length = load<i32>(p, LEN);
    let o: usize = load<i32>(p, AT);
    if (isTunnel) {
      const udpLen = length < OUTER + PLAIN_BYTES_MIN ? 0 : swap16(load<u16>(o, 38));
      if (udpLen < UDP_MIN) return -1;
      odd |= outerOddities(o, length, udpLen, addresses, port, tunnel);
      o += OUTER;
      length = udpLen - 16;
    } else if (length < PLAIN_BYTES_MIN) return -1;
    const dst = load<i64>(o);
    const src = load<i64>(o, 6);
    odd |= oddities(o, length, dst, refusesTcp) | load<i32>(p, FLAGS) | load<i32>(p, DROP);
    bytes += length;
    // Frames of one conversation come in runs.
    const isSame = ((dst ^ lastDst) | (src ^ lastSrc)) << 16 == 0;
    lastDst = dst;
    lastSrc = src;
    if (isSame) {
      store<i32>(p, AS_BEFORE, SRC_ENTRY);
      continue;
    }
    touched ^= touchEntries(p, src, dst, net, table, mask);
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
  const bytes = look(n, net);
  if (bytes < 0 || LAST_STEP == PARSE) return bytes;
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
    if (LAST_STEP == FORWARD) continue;
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
  if (LAST_STEP != FORWARD) fillMessages(0, n, 0, 1);
  return bytes;
}

/** Second pass: every lane is from a known source and for `target`; it becomes a message of its frame, behind `vnetLen` bytes of virtio-net header. */
@inline
function hand(
  n: i32,
  now: i32,
  network: i32,
  origin: i32,
  target: i32,
  vnetAt: i32,
  vnetLen: i32,
  isTunnel: bool,
): bool {
  const net = <i64>network << 48;
  const first = lanes;
  const end = first + (<usize>n << 2);
  const table = entries;
  const mask = entryMask;
  const fresh = now + load<i32>(ageing + (<usize>network << 2));
  let m = messages;
  let x = extents;
  for (let p = first; p < end; p += 4) {
    let o: usize = load<i32>(p, AT);
    if (isTunnel) o += OUTER;
    if (load<i32>(p, SRC_ENTRY) != AS_BEFORE) {
      if (!isKnown(p, o, table, mask, net, origin, fresh)) return false;
      const d = probe(table, load<i32>(p, DST_ENTRY), mask, (load<i64>(o) & MAC_MASK) | net);
      if (atomic.load<i32>(d, 8) != target || load<i32>(d, 12) <= now) return false;
    }
    if (LAST_STEP == FORWARD) continue;
    const length = isTunnel ? swap16(load<u16>(o - 12)) - 16 : load<i32>(p, LEN);
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
  if (LAST_STEP != FORWARD) fillMessages(0, n, 0, vnetLen != 0 ? 2 : 1);
  return true;
}

/**
 * Lanes 0..n, of `network` and from `origin`, become messages 0..n to the port of `target`, when all of them go there: as they are, behind
 * `vnetLen` bytes of virtio-net header at `vnetAt` where the port wants one. Returns the same.
 */
export function across(n: i32, now: i32, network: i32, origin: i32, target: i32, vnetAt: i32, vnetLen: i32): i32 {
  if (target == origin) return -1;
  const bytes = lookForPort(n, <i64>network << 48, false, 0);
  return bytes >= 0 && hand(n, now, network, origin, target, vnetAt, vnetLen, false) ? bytes : -1;
}

/**
 * Kind of the tunnel that the outer packet of lane 0 came through, when it is VXLAN or Geneve over IPv4 with nothing odd about it; its id is
 * then in the summary, its sender the first of the sources. Else 0.
 */
export function head(): i32 {
  const first = lanes;
  const length = load<i32>(first, LEN);
  const o: usize = load<i32>(first, AT);
  if (length < OUTER || load<u16>(o, 12) != 0x0008 || openV4(o + 14, length - 14, sources) != 17) return 0;
  const kind = kindOf(load<u16>(o, 36));
  if ((kind != VXLAN && kind != GENEVE) || openHeader(kind, o + 42, <i32>(ipEnd - o) - 42) == 0) return 0;
  store<i32>(first, key, SUMMARY);
  return kind;
}

/**
 * Lanes 0..n, whole outer packets, all of the sender and the tunnel that `head` found, lose their outer headers and become messages to the port
 * of `target`, as `across` has it. `refusesTcp`: segments would be joined for that port. Returns the bytes of their frames; -1: nothing happened.
 */
export function inward(
  n: i32,
  now: i32,
  network: i32,
  origin: i32,
  target: i32,
  vnetAt: i32,
  vnetLen: i32,
  refusesTcp: i32,
): i32 {
  const bytes = lookForPort(n, <i64>network << 48, true, refusesTcp);
  if (LAST_STEP == PARSE) return bytes;
  return bytes >= 0 && hand(n, now, network, origin, target, vnetAt, vnetLen, true) ? bytes : -1;
}
