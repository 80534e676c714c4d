/*
 * The loops of the way in, in AssemblyScript over the arena (why: walk.as.ts): outer headers of plain frames, tunnel headers of plain
 * packets, and runs of lanes of one peer. The steps in TypeScript take every lane that is not plain, by the column `careful`.
 *
 * Columns are 256 bytes apart in the order of packet/burst.ts; inboundKernel.ts checks it before it hands the addresses over.
 */

// Byte offsets of lane columns from the first.
const AT: usize = 1 * 256;
const LEN: usize = 2 * 256;
const FLAGS: usize = 8 * 256;
const DROP: usize = 9 * 256;
const NETWORK: usize = 10 * 256;
const ORIGIN: usize = 11 * 256;
const OUTER_TOS: usize = 14 * 256;
const FROM: usize = 15 * 256;
const CAREFUL: usize = 25 * 256;
const TUNNEL: usize = 26 * 256;
const KEY: usize = 27 * 256;
const PAYLOAD: usize = 28 * 256;
const META_LEN: usize = 29 * 256;
const SUMMARY: usize = 30 * 256;
const SUMMARY_BYTES: usize = SUMMARY + 4;
const SUMMARY_PACKETS: usize = SUMMARY + 8;

const FROM_PEER: i32 = 128;
const PAYLOAD_ETHERNET: i32 = 0x6558;
const VXLAN: i32 = 1;
const GENEVE: i32 = 2;
/** First word of a Geneve header without options and flags that carries frames, as it lies in memory. */
const GENEVE_PLAIN: i32 = 0x58650000;
const UDP: u8 = 17;
const IPV4_MAPPED: i32 = 0xffff0000;
/** Ethernet, IPv4 without options, UDP. */
const OUTER_BYTES: i32 = 42;

let lanes: usize = 0;
let sources: usize = 0;
/** [ own IPv4 address | number of ports | port, kind number... ], address and ports as they lie in memory. */
let rules: usize = 0;

export function bind(first: usize, sourcesAt: usize, rulesAt: usize): void {
  lanes = first;
  sources = sourcesAt;
  rules = rulesAt;
}

@inline
function swap16(x: i32): i32 {
  return ((x & 0xff) << 8) | ((x >>> 8) & 0xff);
}

/** RFC 1071 sum of an IPv4 header without options, folded. */
@inline
function headerSum(ip: usize): i32 {
  let sum: u64 = <u64>load<u32>(ip) + load<u32>(ip, 4) + load<u32>(ip, 8) + load<u32>(ip, 12) + load<u32>(ip, 16);
  sum = (sum & 0xffff) + ((sum >>> 16) & 0xffff) + (sum >>> 32);
  sum = (sum & 0xffff) + (sum >>> 16);
  return <i32>((sum & 0xffff) + (sum >>> 16));
}

@inline
function kindOf(port: i32): i32 {
  const end = rules + 8 + (<usize>load<i32>(rules, 4) << 3);
  for (let r = rules + 8; r < end; r += 8) if (load<i32>(r) == port) return load<i32>(r, 4);
  return 0;
}

/** The first two lines of each frame: those of a burst are cold, and their loads overlap here. */
@inline
function touch(first: usize, end: usize): i32 {
  let touched = 0;
  for (let p = first; p < end; p += 4) {
    const o: usize = load<i32>(p, AT);
    touched ^= load<u8>(o) ^ load<u8>(o, 64);
  }
  return touched;
}

/**
 * Whole outer frames: untagged Ethernet, IPv4 without options and no fragment, UDP without a checksum to our address and one of our ports. Such
 * a lane is left at its tunnel header; others are for underlay/outer.ts. Returns how many those are.
 */
export function outer(n: i32): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  store<i32>(first, touch(first, end), SUMMARY);
  const own = load<i32>(rules);
  let next = first;
  let source = sources;
  for (let p = first; p < end; p += 4, source += 16) {
    store<i32>(p, <i32>((p - first) >> 2), FROM);
    if (load<i32>(p, DROP) != 0) continue;
    const length = load<i32>(p, LEN);
    const o: usize = load<i32>(p, AT);
    let kind = 0;
    let udpLen = 0;
    if (
      length >= OUTER_BYTES &&
      (load<i32>(o, 12) & 0x00ffffff) == 0x00450008 &&
      (load<i32>(o, 20) & 0xff3f) == 0 &&
      load<u8>(o, 23) == UDP &&
      load<i32>(o, 30) == own &&
      load<u16>(o, 40) == 0 &&
      headerSum(o + 14) == 0xffff
    ) {
      const total = swap16(load<u16>(o, 16));
      udpLen = swap16(load<u16>(o, 38));
      if (total <= length - 14 && udpLen >= 8 && udpLen <= total - 20) kind = kindOf(load<u16>(o, 36));
    }
    if (kind == 0) {
      store<i32>(next, <i32>((p - first) >> 2), CAREFUL);
      next += 4;
      continue;
    }
    store<i32>(p, load<u8>(o, 15), OUTER_TOS);
    store<i64>(source, 0);
    store<i32>(source, IPV4_MAPPED, 8);
    store<i32>(source, load<i32>(o, 26), 12);
    store<i32>(p, kind, TUNNEL);
    store<i32>(p, <i32>o + OUTER_BYTES, AT);
    store<i32>(p, udpLen - 8, LEN);
  }
  return <i32>((next - first) >> 2);
}

/**
 * Tunnel headers: VXLAN without GPE's flag, Geneve with frames and without options. Such a lane is left at its frame, with `key`, `payload`
 * and `metaLen`; others of a tunnel are for the kinds' own decap. No lane has a network yet. Returns how many lanes are left, and in the bits from 8
 * on the kinds of all.
 */
export function decap(n: i32): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  let next = first;
  let kinds = 0;
  for (let p = first; p < end; p += 4) {
    store<i32>(p, 0, NETWORK);
    store<i32>(p, 0, ORIGIN);
    if (load<i32>(p, DROP) != 0) continue;
    const kind = load<i32>(p, TUNNEL);
    kinds |= 1 << kind;
    if (kind == 0) continue;
    const o: usize = load<i32>(p, AT);
    const length = load<i32>(p, LEN);
    let isPlain = false;
    if (length > 8) {
      if (kind == VXLAN) isPlain = (load<u8>(o) & 0x0c) == 0x08;
      else if (kind == GENEVE) isPlain = load<i32>(o) == GENEVE_PLAIN;
    }
    if (!isPlain) {
      store<i32>(next, <i32>((p - first) >> 2), CAREFUL);
      next += 4;
      continue;
    }
    store<i32>(p, <i32>(bswap(load<u32>(o, 4)) >>> 8), KEY);
    store<i32>(p, PAYLOAD_ETHERNET, PAYLOAD);
    store<i32>(p, 0, META_LEN);
    store<i32>(p, <i32>o + 8, AT);
    store<i32>(p, length - 8, LEN);
  }
  return <i32>((next - first) >> 2) | (kinds << 8);
}

/**
 * Lanes from `from` on that have its sender, kind and id and carry frames: they come from `origin` into `network`. Returns the first that is another's,
 * and leaves the packets and bytes in the summary.
 */
export function admit(from: i32, n: i32, network: i32, origin: i32): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  let p = first + (<usize>from << 2);
  const kind = load<i32>(p, TUNNEL);
  const key = load<i32>(p, KEY);
  const source = sources + (<usize>load<i32>(p, FROM) << 4);
  const high = load<i64>(source);
  const low = load<i64>(source, 8);
  let packets = 0;
  let bytes = 0;
  for (; p < end; p += 4) {
    if (load<i32>(p, DROP) != 0) continue;
    const s = sources + (<usize>load<i32>(p, FROM) << 4);
    if (load<i32>(p, KEY) != key || load<i32>(p, TUNNEL) != kind || load<i32>(p, PAYLOAD) != PAYLOAD_ETHERNET) break;
    if (load<i64>(s, 8) != low || load<i64>(s) != high) break;
    store<i32>(p, network, NETWORK);
    store<i32>(p, origin, ORIGIN);
    store<i32>(p, load<i32>(p, FLAGS) | FROM_PEER, FLAGS);
    packets++;
    bytes += load<i32>(p, LEN);
  }
  store<i32>(first, packets, SUMMARY_PACKETS);
  store<i32>(first, bytes, SUMMARY_BYTES);
  return <i32>((p - first) >> 2);
}
