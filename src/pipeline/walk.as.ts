/*
 * The walk's hottest loops, in AssemblyScript over the arena: parse of plain IPv4 frames, and MACs that are known where they are. They
 * read and write the same columns as the steps in TypeScript, which take over every lane that is not plain. The way out: egress.as.ts.
 *
 * Why: a column access costs V8 about 0.45 ns (bounds check, base, load), and these loops make 20 to 40 for a packet. Here it is one
 * instruction with the column as immediate offset, lanes may lie at any alignment, and nothing deoptimises.
 *
 * Columns are 256 bytes apart in the order of packet/burst.ts; walkKernel.ts checks it before it hands the addresses over. Flags and ids are
 * those of packet/burst.ts. The other kernels (egress, inbound, straight) take what they share from here; each is a module of its own, with
 * variables of its own.
 */

// Byte offsets of lane columns from the first.
export const AT: usize = 1 * 256;
export const LEN: usize = 2 * 256;
export const FLAGS: usize = 8 * 256;
export const DROP: usize = 9 * 256;
export const NETWORK: usize = 10 * 256;
export const ORIGIN: usize = 11 * 256;
export const DST: usize = 12 * 256;
export const TOS: usize = 13 * 256;
export const FLOW: usize = 16 * 256;
export const L3: usize = 17 * 256;
const L4: usize = 18 * 256;
const DST_LO: usize = 19 * 256;
const DST_HI: usize = 20 * 256;
const SRC_LO: usize = 21 * 256;
const SRC_HI: usize = 22 * 256;
export const SRC_ENTRY: usize = 23 * 256;
export const DST_ENTRY: usize = 24 * 256;
export const CAREFUL: usize = 25 * 256;
export const SUMMARY: usize = 30 * 256;

export const IS_V4: i32 = 1;
const IS_TCP: i32 = 4;
const IS_UDP: i32 = 8;
/** The flag as bytes 12 and 13 of a TCP header hold it, and how far IS_SYN is from it. */
export const TCP_SYN: i32 = 0x0200;
const SYN_SHIFT: i32 = 4;
const TO_PORT: i32 = 1 << 20;
export const TO_PEER: i32 = 2 << 20;
export const ID_MASK: i32 = TO_PORT - 1;
export const NEVER: i32 = 0x7fffffff;

/** Ethernet, IPv4 and TCP without options. Shorter frames are left to the careful form. */
export const PLAIN_BYTES_MIN: i32 = 54;

export let lanes: usize = 0;

export function bindLanes(first: usize): void {
  lanes = first;
}

@inline
export function flowHash(src: i32, dst: i32, ports: i32, proto: i32): i32 {
  let x = (src * 0x9e3779b1) ^ (dst * 0x85ebca6b) ^ ((ports + proto) * 0xc2b2ae35);
  x ^= x >>> 15;
  x *= 0x2c1b3c6d;
  return x ^ (x >>> 13);
}

@inline
export function swap16(x: i32): i32 {
  return ((x & 0xff) << 8) | ((x >>> 8) & 0xff);
}

/**
 * Touches the first line of each frame and the line before it, where an outer header will go: frames of DPDK ports and load generators
 * are cold, and a burst's loads overlap here.
 */
@inline
function touch(first: usize, end: usize): i32 {
  let touched = 0;
  for (let p = first; p < end; p += 4) {
    const o: usize = load<i32>(p, AT);
    touched ^= load<u8>(o) ^ load<u8>(o - 56);
  }
  return touched;
}

/** Parses lanes 0..n; lanes that are not plain go to the careful list. Returns how many those are. */
export function parse(n: i32): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  // A summary word that is nobody's: it keeps the loads from being left out.
  store<i32>(first, touch(first, end), SUMMARY + 8);
  let seen = 0;
  let bytes = 0;
  let next = first;
  for (let p = first; p < end; p += 4) {
    const length = load<i32>(p, LEN);
    const f = load<i32>(p, FLAGS);
    bytes += length;
    seen |= f;
    if (load<i32>(p, DROP) != 0) continue;
    const o: usize = load<i32>(p, AT);
    let kind = 0;
    let proto = 0;
    // Ethertype IPv4 and a header without options; no fragment.
    if (length >= PLAIN_BYTES_MIN && (load<i32>(o, 12) & 0x00ffffff) == 0x00450008 && (load<i32>(o, 20) & 0xff3f) == 0) {
      const total = swap16(load<u16>(o, 16));
      proto = load<u8>(o, 23);
      if (total <= length - 14) {
        const tcp = <i32>load<u16>(o, 46);
        const tcpLen = (tcp & 0xf0) >> 2;
        if (proto == 6 && tcpLen >= 20 && total >= 20 + tcpLen) kind = IS_V4 | IS_TCP | ((tcp & TCP_SYN) << SYN_SHIFT);
        else if (proto == 17 && total >= 28) kind = IS_V4 | IS_UDP;
      }
    }
    if (kind == 0) {
      store<i32>(next, <i32>((p - first) >> 2), CAREFUL);
      next += 4;
      continue;
    }
    seen |= kind;
    store<i32>(p, load<i32>(o), DST_LO);
    store<i32>(p, load<u16>(o, 4), DST_HI);
    store<i32>(p, load<i32>(o, 6), SRC_LO);
    store<i32>(p, load<u16>(o, 10), SRC_HI);
    store<i32>(p, load<u8>(o, 15), TOS);
    store<i32>(p, <i32>o + 14, L3);
    store<i32>(p, <i32>o + 34, L4);
    store<i32>(p, f | kind, FLAGS);
    store<i32>(p, flowHash(load<i32>(o, 26), load<i32>(o, 30), load<i32>(o, 34), proto), FLOW);
  }
  store<i32>(first, seen, SUMMARY);
  store<i32>(first, bytes, SUMMARY + 4);
  return <i32>((next - first) >> 2);
}

/** All of a burst comes from one place: lanes 0..n. Rounded up to four lanes, as the next function. */
export function arriveFrom(n: i32, network: i32, origin: i32): void {
  const end = lanes + (<usize>n << 2);
  const networks = i32x4.splat(network);
  const origins = i32x4.splat(origin);
  for (let p = lanes; p < end; p += 16) {
    v128.store(p, networks, NETWORK);
    v128.store(p, origins, ORIGIN);
  }
}

export let ageing: usize = 0;
/** The MAC table's entries: [ MAC bytes 0-3 | bytes 4-5 and network | value | expires ], see forward/macTable.ts. */
export let entries: usize = 0;
/** For indices in words, as the entry columns have them. */
export let entryMask: i32 = 0;
export let peerUnderlay: usize = 0;
/** Egress list of underlay 0; ports have those before it. */
let underlayList: i32 = 0;

export function bindForward(ageingAt: usize, entriesAt: usize, mask: i32, underlaysAt: usize, listOf: i32): void {
  ageing = ageingAt;
  entries = entriesAt;
  entryMask = mask;
  peerUnderlay = underlaysAt;
  underlayList = listOf;
}

/** Four at once: macHash of forward/macTable.ts. */
@inline
function entriesOf(lo: v128, key: v128, mask: v128): v128 {
  const x = i32x4.mul(v128.xor(lo, i32x4.mul(key, i32x4.splat(0x9e3779b1))), i32x4.splat(0x85ebca6b));
  return v128.and(i32x4.shl(v128.xor(x, i32x4.shr_u(x, 15)), 2), mask);
}

/**
 * Where the probes of both MACs begin; touches the entries, in a loop of nothing else, so that many misses of the cache overlap: with a
 * million MACs a lookup costs 31 ns so and 45 ns when each entry is touched as soon as it is known. Dropped lanes have stale words: they are
 * hashed, too.
 */
export function prefetch(n: i32): void {
  const first = lanes;
  const end = first + (<usize>n << 2);
  const table = entries;
  const mask = i32x4.splat(entryMask);
  for (let p = first; p < end; p += 16) {
    const net = i32x4.shl(v128.load(p, NETWORK), 16);
    v128.store(p, entriesOf(v128.load(p, SRC_LO), v128.or(v128.load(p, SRC_HI), net), mask), SRC_ENTRY);
    v128.store(p, entriesOf(v128.load(p, DST_LO), v128.or(v128.load(p, DST_HI), net), mask), DST_ENTRY);
  }
  let touched = 0;
  for (let p = first; p < end; p += 4) {
    touched ^= load<i32>(table + (<usize>load<i32>(p, SRC_ENTRY) << 2));
    touched ^= load<i32>(table + (<usize>load<i32>(p, DST_ENTRY) << 2));
  }
  store<i32>(first, touched, SUMMARY + 12);
}

/**
 * MAC and network as an entry begins with them. The first half comes as what it is, without a sign: of an i32 that was just loaded, the
 * compiler extends the sign, whatever it is cast to.
 */
@inline
function keyOf(lo: u32, hi: i32, net: i32): i64 {
  return <i64>lo | (<i64>(hi | (net << 16)) << 32);
}

/** The entry of a key, or the empty one that ends its chain: `probe` of forward/macTable.ts. Value, key, value again: what a reader without a lock may believe. */
@inline
export function probe(table: usize, from: i32, mask: i32, key: i64): usize {
  let w = from;
  let e = table + (<usize>w << 2);
  let value = atomic.load<i32>(e, 8);
  while (value != 0 && (load<i64>(e) != key || atomic.load<i32>(e, 8) != value)) {
    w = (w + 4) & mask;
    e = table + (<usize>w << 2);
    value = atomic.load<i32>(e, 8);
  }
  return e;
}

/** Sources that are known where they are, with this second's stamp, need nothing; the others go to the careful list. */
export function learn(n: i32, now: i32): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  const table = entries;
  const mask = entryMask;
  const ages = ageing;
  let next = first;
  for (let p = first; p < end; p += 4) {
    if (load<i32>(p, DROP) != 0) continue;
    const net = load<i32>(p, NETWORK);
    const e = probe(table, load<i32>(p, SRC_ENTRY), mask, keyOf(load<u32>(p, SRC_LO), load<i32>(p, SRC_HI), net));
    const value = load<i32>(e, 8);
    const expires = load<i32>(e, 12);
    const isKnown = value != 0 && value == load<i32>(p, ORIGIN);
    if (isKnown && (expires == now + load<i32>(ages + (<usize>net << 2)) || expires == NEVER)) continue;
    store<i32>(next, <i32>((p - first) >> 2), CAREFUL);
    next += 4;
  }
  return <i32>((next - first) >> 2);
}

/**
 * Destinations that are known, or known not to be; group addresses, what is not to be forwarded and expired entries go to the careful list. The
 * summary says where all lanes go, when that is one egress list and none is dropped or flooded; else -1.
 */
export function lookup(n: i32, now: i32): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  const table = entries;
  const mask = entryMask;
  const underlays = peerUnderlay;
  const list = underlayList;
  let next = first;
  let only = -1;
  let differs = 0;
  for (let p = first; p < end; p += 4) {
    if (load<i32>(p, DROP) != 0) {
      differs = 1;
      continue;
    }
    const lo = load<u32>(p, DST_LO);
    const from = load<i32>(p, ORIGIN);
    if ((lo & 1) == 0) {
      const e = probe(table, load<i32>(p, DST_ENTRY), mask, keyOf(lo, load<i32>(p, DST_HI), load<i32>(p, NETWORK)));
      const value = atomic.load<i32>(e, 8);
      if (value == 0) {
        store<i32>(p, 0, DST);
        differs = 1;
        continue;
      }
      const isForwarded = value != from && ((value & TO_PEER) == 0 || (from & TO_PORT) != 0);
      if (value > 0 && isForwarded && load<i32>(e, 12) > now) {
        store<i32>(p, value, DST);
        const id = value & ID_MASK;
        const egress = (value & TO_PORT) != 0 ? id : list + load<i32>(underlays + (<usize>id << 2));
        if (only < 0) only = egress;
        differs |= only ^ egress;
        continue;
      }
    }
    store<i32>(next, <i32>((p - first) >> 2), CAREFUL);
    next += 4;
  }
  store<i32>(first, differs == 0 && next == first ? only : -1, SUMMARY + 16);
  return <i32>((next - first) >> 2);
}
