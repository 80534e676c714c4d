/*
 * The walk's hottest loops, in AssemblyScript over the arena: parse of plain IPv4 frames, MACs that are known where they are, and outer
 * headers of plain lanes to frame underlays. They read and write the same columns as the steps in TypeScript, which take over every lane
 * that is not plain.
 *
 * Why: a column access costs V8 about 0.45 ns (bounds check, base, load), and these loops make 20 to 40 for a packet. Here it is one
 * instruction with the column as immediate offset, lanes may lie at any alignment, and nothing deoptimises.
 *
 * Columns are 256 bytes apart in the order of packet/burst.ts, messages and extents in that of packet/outbox.ts; walkKernel.ts checks
 * both before it hands the addresses over. Flags and ids are those of packet/burst.ts.
 */

// Byte offsets of lane columns from the first.
const AT: usize = 1 * 256;
const LEN: usize = 2 * 256;
const FLAGS: usize = 8 * 256;
const DROP: usize = 9 * 256;
const NETWORK: usize = 10 * 256;
const ORIGIN: usize = 11 * 256;
const DST: usize = 12 * 256;
const TOS: usize = 13 * 256;
const FLOW: usize = 16 * 256;
const L3: usize = 17 * 256;
const L4: usize = 18 * 256;
const DST_LO: usize = 19 * 256;
const DST_HI: usize = 20 * 256;
const SRC_LO: usize = 21 * 256;
const SRC_HI: usize = 22 * 256;
const SRC_ENTRY: usize = 23 * 256;
const DST_ENTRY: usize = 24 * 256;
const CAREFUL: usize = 25 * 256;
const SUMMARY: usize = 30 * 256;

const IS_V4: i32 = 1;
const IS_V6: i32 = 2;
const IS_TCP: i32 = 4;
const IS_UDP: i32 = 8;
const NEEDS_CSUM: i32 = 64;
const HAS_GSO: i32 = 1024;
/** The flag as bytes 12 and 13 of a TCP header hold it, and how far IS_SYN is from it. */
const TCP_SYN: i32 = 0x0200;
const SYN_SHIFT: i32 = 4;
const TO_PORT: i32 = 1 << 20;
const TO_PEER: i32 = 2 << 20;
const ID_MASK: i32 = TO_PORT - 1;
const NEVER: i32 = 0x7fffffff;

/** Ethernet, IPv4 and TCP without options. Shorter frames are left to the careful form. */
const PLAIN_BYTES_MIN: i32 = 54;

let lanes: usize = 0;

export function bindLanes(first: usize): void {
  lanes = first;
}

@inline
function flowHash(src: i32, dst: i32, ports: i32, proto: i32): i32 {
  let x = (src * 0x9e3779b1) ^ (dst * 0x85ebca6b) ^ ((ports + proto) * 0xc2b2ae35);
  x ^= x >>> 15;
  x *= 0x2c1b3c6d;
  return x ^ (x >>> 13);
}

@inline
function swap16(x: i32): i32 {
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

let ageing: usize = 0;
/** The MAC table's entries: [ MAC bytes 0-3 | bytes 4-5 and network | value | expires ], see forward/macTable.ts. */
let entries: usize = 0;
/** For indices in words, as the entry columns have them. */
let entryMask: i32 = 0;

export function bindForward(ageingAt: usize, entriesAt: usize, mask: i32): void {
  ageing = ageingAt;
  entries = entriesAt;
  entryMask = mask;
}

@inline
function entryOf(lo: i32, key: i32, mask: i32): i32 {
  const x = (lo ^ (key * 0x9e3779b1)) * 0x85ebca6b;
  return ((x ^ (x >>> 15)) << 2) & mask;
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
  const mask = entryMask;
  for (let p = first; p < end; p += 4) {
    const net = load<i32>(p, NETWORK) << 16;
    store<i32>(p, entryOf(load<i32>(p, SRC_LO), load<i32>(p, SRC_HI) | net, mask), SRC_ENTRY);
    store<i32>(p, entryOf(load<i32>(p, DST_LO), load<i32>(p, DST_HI) | net, mask), DST_ENTRY);
  }
  let touched = 0;
  for (let p = first; p < end; p += 4) {
    touched ^= load<i32>(table + (<usize>load<i32>(p, SRC_ENTRY) << 2));
    touched ^= load<i32>(table + (<usize>load<i32>(p, DST_ENTRY) << 2));
  }
  store<i32>(first, touched, SUMMARY + 12);
}

/** Sources that are known where they are, with this second's stamp, need nothing; the others go to the careful list. */
export function learn(n: i32, now: i32): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  const table = entries;
  const ages = ageing;
  let next = first;
  for (let p = first; p < end; p += 4) {
    if (load<i32>(p, DROP) != 0) continue;
    const net = load<i32>(p, NETWORK);
    const e = table + (<usize>load<i32>(p, SRC_ENTRY) << 2);
    const value = load<i32>(e, 8);
    const expires = load<i32>(e, 12);
    const isKnown =
      load<i32>(e) == load<i32>(p, SRC_LO) &&
      load<i32>(e, 4) == (load<i32>(p, SRC_HI) | (net << 16)) &&
      value == load<i32>(p, ORIGIN) &&
      value != 0;
    if (isKnown && (expires == now + load<i32>(ages + (<usize>net << 2)) || expires == NEVER)) continue;
    store<i32>(next, <i32>((p - first) >> 2), CAREFUL);
    next += 4;
  }
  return <i32>((next - first) >> 2);
}

/** Destinations that are known, or known not to be; group addresses, drops, collisions and expired entries go to the careful list. */
export function lookup(n: i32, now: i32): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  const table = entries;
  let next = first;
  for (let p = first; p < end; p += 4) {
    if (load<i32>(p, DROP) != 0) continue;
    const lo = load<i32>(p, DST_LO);
    const key = load<i32>(p, DST_HI) | (load<i32>(p, NETWORK) << 16);
    const from = load<i32>(p, ORIGIN);
    const e = table + (<usize>load<i32>(p, DST_ENTRY) << 2);
    // Value, key, value again: what a reader without a lock may believe.
    const value = atomic.load<i32>(e, 8);
    if ((lo & 1) == 0) {
      if (value == 0) {
        store<i32>(p, 0, DST);
        continue;
      }
      const isHit = load<i32>(e) == lo && load<i32>(e, 4) == key && atomic.load<i32>(e, 8) == value && value > 0;
      const isForwarded = value != from && ((value & TO_PEER) == 0 || (from & TO_PORT) != 0);
      if (isHit && isForwarded && load<i32>(e, 12) > now) {
        store<i32>(p, value, DST);
        continue;
      }
    }
    store<i32>(next, <i32>((p - first) >> 2), CAREFUL);
    next += 4;
  }
  return <i32>((next - first) >> 2);
}

// Byte offsets of message and extent columns from msgFirst and extAt.
const MSG_COUNT: usize = 1 * 8192;
const MSG_PACKETS: usize = 2 * 8192;
const MSG_BYTES: usize = 3 * 8192;
const MSG_PEER_ROW: usize = 4 * 8192;
const EXT_LEN: usize = 1 * 32768;

let templates: usize = 0;
let frameMax: usize = 0;
let messages: usize = 0;
let extents: usize = 0;
let peerRowBase: i32 = 0;

export function bindEncap(
  templatesAt: usize,
  frameMaxAt: usize,
  msgFirstAt: usize,
  extAt: usize,
  peerRow: i32,
): void {
  templates = templatesAt;
  frameMax = frameMaxAt;
  messages = msgFirstAt;
  extents = extAt;
  peerRowBase = peerRow;
}

@inline
function fold(sum: i32): i32 {
  const s = (sum & 0xffff) + (sum >>> 16);
  return (s & 0xffff) + (s >>> 16);
}

/**
 * Writes the plain outer headers (Ethernet, IPv4, UDP, 8 bytes of tunnel: underlay/template.ts) in front of a frame at `o`. `t` is byte 152 of
 * the row, where their padding begins; `mark` is what the inner header adds to the outer TOS.
 */
@inline
function writePlain(o: usize, t: usize, bytes: i32, hash: i32, mark: i32): void {
  const h = o - 56;
  const total = swap16(bytes + 36);
  v128.store(h, v128.load(t));
  store<i32>(h, load<i32>(t, 16), 16);
  store<i32>(h, load<i32>(t, 20) | (mark << 8) | (total << 16), 20);
  store<i32>(h, load<i32>(t, 24), 24);
  store<i32>(h, load<i32>(t, 28) | (~fold(load<i32>(t, IP_SUM - 152) + total + (mark << 8)) << 16), 28);
  store<i64>(h, load<i64>(t, 32), 32);
  store<i32>(h, load<i32>(t, 40) | swap16((hash >>> 18) | 0xc000), 40);
  store<i32>(h, swap16(bytes + 16), 44);
  store<i64>(h, load<i64>(t, 48), 48);
}

// What is known of a row's headers, as byte offsets.
const HEADERS_LEN: usize = 208;
const IP_BACK: usize = 212;
const UDP_BACK: usize = 216;
const ROW_FLAGS: usize = 232;
const IP_SUM: usize = 236;
const ROW_V6: i32 = 1;
const ROW_TTL: i32 = 4;
const ROW_PLAIN: i32 = 8;

/**
 * Writes the headers of a row of any form in front of `bytes` bytes at `o`: copied in pieces of 16 bytes from the end (up to 15 bytes in front
 * of them are written, too), then lengths, TOS, TTL, source port, flow label and the IPv4 header's checksum. UDP and tunnel checksums are
 * the caller's.
 */
export function writeHeaders(o: usize, row: i32, bytes: i32, hash: i32, mark: i32, ttl: i32): void {
  writeRow(o, templates + (<usize>row << 8), bytes, hash, mark, ttl);
}

function writeRow(o: usize, t: usize, bytes: i32, hash: i32, mark: i32, ttl: i32): void {
  const len = load<i32>(t, HEADERS_LEN);
  for (let k = 16; k < len + 16; k += 16) v128.store(o - k, v128.load(t + 208 - k));
  const back = load<i32>(t, IP_BACK);
  if (back == 0) return;
  const ip = o - back;
  const rowFlags = load<i32>(t, ROW_FLAGS);
  const own = (rowFlags & ROW_TTL) != 0 ? ttl : 0;
  if ((rowFlags & ROW_V6) != 0) {
    // RFC 6438: the flow label spreads tunnels of many flows.
    const first = bswap(load<i32>(ip)) | (mark << 20) | (hash >>> 12);
    store<i32>(ip, bswap(first));
    store<u16>(ip, <u16>swap16(bytes + back - 40), 4);
    if (own != 0) store<u8>(ip, <u8>own, 7);
  } else {
    const total = swap16(bytes + back);
    store<u8>(ip, <u8>(load<u8>(ip, 1) | mark), 1);
    store<u16>(ip, <u16>total, 2);
    if (own != 0) store<u8>(ip, <u8>own, 8);
    store<u16>(ip, <u16>~fold(load<i32>(t, IP_SUM) + total + (mark << 8) + own), 10);
  }
  const udpBack = load<i32>(t, UDP_BACK);
  if (udpBack == 0) return;
  const udp = o - udpBack;
  store<u16>(udp, <u16>swap16((hash >>> 18) | 0xc000));
  store<u16>(udp, <u16>swap16(bytes + udpBack), 4);
}

@inline
function innerTtl(p: usize, f: i32): i32 {
  const l3: usize = load<i32>(p, L3);
  if (l3 == 0) return 64;
  return (f & IS_V4) != 0 ? load<u8>(l3, 8) : load<u8>(l3, 7);
}

/**
 * Lanes list[from..end) that need nothing but headers become messages of one extent, from `message` and `extent` on. Stops at the first lane
 * that needs more, and returns its place in the list.
 */
export function encap(list: usize, from: i32, end: i32, message: i32, extent: i32, tosMask: i32): i32 {
  const first = lanes;
  const rows = templates;
  const max = frameMax;
  const base = peerRowBase;
  let m = messages + (<usize>message << 2);
  let x = extents + (<usize>extent << 2);
  let e = extent;
  let k = from;
  for (; k < end; k++) {
    const p = first + (<usize>load<i32>(list + (<usize>k << 2)) << 2);
    const bytes = load<i32>(p, LEN);
    const peer = load<i32>(p, DST) & ID_MASK;
    const f = load<i32>(p, FLAGS);
    if ((f & (HAS_GSO | NEEDS_CSUM)) != 0 || bytes > load<i32>(max + (<usize>peer << 2))) break;
    const o: usize = load<i32>(p, AT);
    // Two rows of 256 bytes a peer; IS_V6 is 2.
    const t = rows + (<usize>peer << 9) + (<usize>(f & IS_V6) << 7);
    const hash = load<i32>(p, FLOW);
    const mark = load<i32>(p, TOS) & tosMask;
    const headers = load<i32>(t, HEADERS_LEN);
    if ((load<i32>(t, ROW_FLAGS) & ROW_PLAIN) != 0) writePlain(o, t + 152, bytes, hash, mark);
    else writeRow(o, t, bytes, hash, mark, innerTtl(p, f));
    store<i32>(x, <i32>o - headers);
    store<i32>(x, bytes + headers, EXT_LEN);
    store<i32>(m, e++);
    store<i32>(m, 1, MSG_COUNT);
    store<i32>(m, 1, MSG_PACKETS);
    store<i32>(m, bytes, MSG_BYTES);
    store<i32>(m, base + peer, MSG_PEER_ROW);
    m += 4;
    x += 4;
  }
  return k;
}
