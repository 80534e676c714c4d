/*
 * The loops of the way in, in AssemblyScript over the arena (why: walk.as.ts): outer headers and tunnel headers that have nothing odd
 * about them, and runs of lanes of one peer. The steps in TypeScript take every other lane, by the column `careful`.
 *
 * Columns are 256 bytes apart in the order of packet/burst.ts; inboundKernel.ts checks it before it hands the addresses over.
 */

import { sum } from '../packet/checksum.as';
import { fold } from './egress.as';
import { AT, CAREFUL, DROP, FLAGS, LEN, NETWORK, ORIGIN, SUMMARY, bindLanes, lanes, swap16 } from './walk.as';

// Byte offsets of lane columns from the first.
const OUTER_TOS: usize = 14 * 256;
const FROM: usize = 15 * 256;
const TUNNEL: usize = 26 * 256;
const KEY: usize = 27 * 256;
const PAYLOAD: usize = 28 * 256;
const META_LEN: usize = 29 * 256;
const SUMMARY_BYTES: usize = SUMMARY + 4;
const SUMMARY_PACKETS: usize = SUMMARY + 8;

const FROM_PEER: i32 = 128;
const PAYLOAD_ETHERNET: i32 = 0x6558;
export const VXLAN: i32 = 1;
export const GENEVE: i32 = 2;
/** First word of a Geneve header without options and flags that carries frames, as it lies in memory. */
const GENEVE_PLAIN: i32 = 0x58650000;
const GRE: i32 = 3;
const IPIP: i32 = 4;
const FOU: i32 = 5;
const IPV4_TYPE: i32 = 0x0800;
const IPV6_TYPE: i32 = 0x86dd;
const IPV4_MAPPED: i32 = 0xffff0000;
const ETHERNET: i32 = 14;

export let sources: usize = 0;
/** [ own address, 4 words | kind of GRE | kind of IP in IP | number of ports | port, kind... ], address and ports as they lie in memory. */
let rules: usize = 0;
const RULE_GRE: usize = 16;
const RULE_IPIP: usize = 20;
const RULE_PORTS: usize = 24;
const RULE_FIRST_PORT: usize = 28;

export function bind(first: usize, sourcesAt: usize, rulesAt: usize): void {
  bindLanes(first);
  sources = sourcesAt;
  rules = rulesAt;
}

/** RFC 1071 sum of an IPv4 header without options, folded. */
@inline
export function headerSum(ip: usize): i32 {
  let sum: u64 = <u64>load<u32>(ip) + load<u32>(ip, 4) + load<u32>(ip, 8) + load<u32>(ip, 12) + load<u32>(ip, 16);
  sum = (sum & 0xffff) + ((sum >>> 16) & 0xffff) + (sum >>> 32);
  return fold(<i32>sum);
}

/** RFC 768: a zero checksum means none, RFC 6936 over IPv6, too. `addressBytes` of addresses are in front of the header. */
@inline
export function udpChecksumIsRight(udp: usize, udpLen: i32, addressBytes: i32): bool {
  if (load<u16>(udp, 6) == 0) return true;
  const addresses = sum(<i32>udp - addressBytes, addressBytes);
  return fold(addresses + (17 << 8) + load<u16>(udp, 4) + sum(<i32>udp, udpLen)) == 0xffff;
}

@inline
export function kindOf(port: i32): i32 {
  const end = rules + RULE_FIRST_PORT + (<usize>load<i32>(rules, RULE_PORTS) << 3);
  for (let r = rules + RULE_FIRST_PORT; r < end; r += 8) if (load<i32>(r) == port) return load<i32>(r, 4);
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
 * Kind of tunnel behind an IPv4 header without options, no fragment, to our address; 0 for what is not plain. The packet has `bytes` bytes,
 * or fewer by its own length, which becomes `ipEnd`.
 */
export let ipEnd: usize = 0;
@inline
export function openV4(ip: usize, bytes: i32, source: usize): i32 {
  if (bytes < 20 || load<u8>(ip) != 0x45 || (load<u16>(ip, 6) & 0xff3f) != 0) return 0;
  const total = swap16(load<u16>(ip, 2));
  if (total < 20 || total > bytes || load<i32>(ip, 16) != load<i32>(rules, 12)) return 0;
  if (load<i32>(rules, 8) != IPV4_MAPPED || headerSum(ip) != 0xffff) return 0;
  ipEnd = ip + total;
  store<i64>(source, 0);
  store<i32>(source, IPV4_MAPPED, 8);
  store<i32>(source, load<i32>(ip, 12), 12);
  return load<u8>(ip, 9);
}

/** The same behind an IPv6 header without extension headers. */
@inline
function openV6(ip: usize, bytes: i32, source: usize): i32 {
  if (bytes < 40 || (load<u8>(ip) & 0xf0) != 0x60) return 0;
  const total = swap16(load<u16>(ip, 4)) + 40;
  if (total > bytes || load<i64>(ip, 24) != load<i64>(rules) || load<i64>(ip, 32) != load<i64>(rules, 8)) return 0;
  ipEnd = ip + total;
  store<i64>(source, load<i64>(ip, 8));
  store<i64>(source, load<i64>(ip, 16), 8);
  return load<u8>(ip, 6);
}

/**
 * Whole outer frames: untagged Ethernet, IPv4 or IPv6 with nothing odd about it to our address, a tunnel that we have, by IP protocol or by
 * UDP. Such a lane is left at its tunnel header; others are for underlay/outer.ts. Returns how many those are.
 */
export function outer(n: i32): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  store<i32>(first, touch(first, end), SUMMARY);
  let next = first;
  let source = sources;
  for (let p = first; p < end; p += 4, source += 16) {
    store<i32>(p, <i32>((p - first) >> 2), FROM);
    if (load<i32>(p, DROP) != 0) continue;
    const length = load<i32>(p, LEN);
    const ip: usize = load<i32>(p, AT) + ETHERNET;
    const type = length < ETHERNET ? 0 : swap16(load<u16>(ip - 2));
    let protocol = 0;
    let tos = 0;
    let o = ip;
    if (type == IPV4_TYPE) {
      protocol = openV4(ip, length - ETHERNET, source);
      tos = load<u8>(ip, 1);
      o = ip + 20;
    } else if (type == IPV6_TYPE) {
      protocol = openV6(ip, length - ETHERNET, source);
      tos = (swap16(load<u16>(ip)) >>> 4) & 0xff;
      o = ip + 40;
    }
    let kind = 0;
    let tunnelEnd = ipEnd;
    if (protocol == 17) {
      const bytes = <i32>(ipEnd - o);
      const udpLen = swap16(load<u16>(o, 4));
      if (bytes >= 8 && udpLen >= 8 && udpLen <= bytes) kind = kindOf(load<u16>(o, 2));
      if (kind != 0 && !udpChecksumIsRight(o, udpLen, type == IPV4_TYPE ? 8 : 32)) kind = 0;
      tunnelEnd = o + udpLen;
      o += 8;
    } else if (protocol == 47) kind = load<i32>(rules, RULE_GRE);
    else if (protocol == 4 || protocol == 41) kind = load<i32>(rules, RULE_IPIP);
    if (kind == 0) {
      store<i32>(next, <i32>((p - first) >> 2), CAREFUL);
      next += 4;
      continue;
    }
    store<i32>(p, tos, OUTER_TOS);
    store<i32>(p, kind, TUNNEL);
    store<i32>(p, <i32>o, AT);
    store<i32>(p, <i32>(tunnelEnd - o), LEN);
  }
  return <i32>((next - first) >> 2);
}

/** Of a lane whose header `openHeader` took: what it says. */
export let key: i32 = 0;
let payload: i32 = 0;
let metaLen: i32 = 0;

@inline
function openGre(o: usize, length: i32): i32 {
  // Flags K and S alone.
  const flags = <i32>load<u8>(o);
  if (length <= 4 || (flags & 0xcf) != 0 || load<u8>(o, 1) != 0) return 0;
  const keyLen = (flags >>> 3) & 4;
  metaLen = (flags >>> 2) & 4;
  payload = swap16(load<u16>(o, 2));
  key = keyLen == 0 ? 0 : bswap(load<i32>(o, 4));
  const isCarried = payload == PAYLOAD_ETHERNET || payload == IPV4_TYPE || payload == IPV6_TYPE;
  const inner = 4 + keyLen + metaLen;
  return isCarried && length > inner ? inner : 0;
}

/**
 * Bytes of a plain tunnel header with frames: VXLAN without GPE's flag, Geneve without options; 0 for others. GRE without a checksum
 * and with whatever it carries is plain, too.
 */
@inline
export function openHeader(kind: i32, o: usize, length: i32): i32 {
  if (kind == GRE) return openGre(o, length);
  if (length <= 8) return 0;
  const isPlain = kind == VXLAN ? (load<u8>(o) & 0x0c) == 0x08 : kind == GENEVE && load<i32>(o) == GENEVE_PLAIN;
  if (!isPlain) return 0;
  key = bswap(load<u32>(o, 4)) >>> 8;
  payload = PAYLOAD_ETHERNET;
  metaLen = 0;
  return 8;
}

/** EtherType of an IP packet whose header is there, 0 for others. */
@inline
function bareType(o: usize, length: i32): i32 {
  const version = length < 20 ? 0 : <i32>load<u8>(o) >>> 4;
  return version == 4 ? IPV4_TYPE : version == 6 && length >= 40 ? IPV6_TYPE : 0;
}

/**
 * Tunnel headers. A lane with a plain one is left at what it carries, with `key`, `payload` and `metaLen`; others are for the kinds' own decap.
 * No lane has a network yet. Returns how many lanes are left.
 */
export function decap(n: i32): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  let next = first;
  for (let p = first; p < end; p += 4) {
    store<i32>(p, 0, NETWORK);
    store<i32>(p, 0, ORIGIN);
    const kind = load<i32>(p, TUNNEL);
    if (load<i32>(p, DROP) != 0 || kind == 0) continue;
    const o: usize = load<i32>(p, AT);
    const length = load<i32>(p, LEN);
    let inner = 0;
    let isTaken = false;
    if (kind == IPIP || kind == FOU) {
      key = 0;
      metaLen = 0;
      payload = bareType(o, length);
      isTaken = payload != 0;
    } else {
      inner = openHeader(kind, o, length);
      isTaken = inner != 0;
    }
    if (!isTaken) {
      store<i32>(next, <i32>((p - first) >> 2), CAREFUL);
      next += 4;
      continue;
    }
    store<i32>(p, key, KEY);
    store<i32>(p, payload, PAYLOAD);
    store<i32>(p, metaLen, META_LEN);
    store<i32>(p, <i32>o + inner, AT);
    store<i32>(p, length - inner, LEN);
  }
  return <i32>((next - first) >> 2);
}

/**
 * Lanes from `from` on that have its sender, kind and id and carry the same: they come from `origin` into `network`. Returns the first that is another's,
 * and leaves the packets and bytes in the summary.
 */
export function admit(from: i32, n: i32, network: i32, origin: i32): i32 {
  const first = lanes;
  const end = first + (<usize>n << 2);
  let p = first + (<usize>from << 2);
  const kind = load<i32>(p, TUNNEL);
  const id = load<i32>(p, KEY);
  const type = load<i32>(p, PAYLOAD);
  const source = sources + (<usize>load<i32>(p, FROM) << 4);
  const high = load<i64>(source);
  const low = load<i64>(source, 8);
  let packets = 0;
  let bytes = 0;
  for (; p < end; p += 4) {
    if (load<i32>(p, DROP) != 0) continue;
    const s = sources + (<usize>load<i32>(p, FROM) << 4);
    if (load<i32>(p, KEY) != id || load<i32>(p, TUNNEL) != kind || load<i32>(p, PAYLOAD) != type) break;
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
