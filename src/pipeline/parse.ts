import type { Arena } from '../packet/arena.js';
import {
  type Burst,
  HAS_OPTIONS,
  HAS_VLAN,
  IS_DISCOVERY,
  IS_FRAGMENT,
  IS_HEARTBEAT,
  IS_SYN,
  IS_TCP,
  IS_UDP,
  IS_V4,
  IS_V6,
  SUMMARY_BYTES,
  SUMMARY_FLAGS,
} from '../packet/burst.js';
import { DROP } from '../packet/drop.js';
import * as Heartbeat from '../wire/heartbeat.js';
import type { WalkKernel } from './walkKernel.js';

/**
 * The parse step: Ethernet, IP and transport offsets of each lane, checked once. Afterwards l3 > 0 means a complete IP header whose length field
 * fits the frame, l4 > 0 a complete TCP or UDP header; a frame whose inner packet is odd stays an opaque Ethernet frame, as in any switch.
 *
 * Two forms that must agree (a property test ties them): the kernel (walk.as.ts) for plain IPv4 with TCP or UDP, this file for everything else.
 */

/** VLAN tags that are looked through. */
const VLAN_TAGS_MAX = 2;
/** In byte 13 of a TCP header. */
const TCP_SYN = 0x02;
/** IPv6 extension headers that are looked through. */
const EXTENSIONS_MAX = 8;

export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
const PROTO_ICMPV6 = 58;
/** Router solicitation to redirect (RFC 4861 section 4). */
const ND_FIRST = 133;
const ND_LAST = 137;

/** Hash of a flow; both directions of a flow hash differently. Ports are 0 for fragments, so that all of a datagram stay together. */
export function flowHash(src: number, dst: number, ports: number, proto: number): number {
  let x = Math.imul(src, 0x9e3779b1) ^ Math.imul(dst, 0x85ebca6b) ^ Math.imul(ports + proto, 0xc2b2ae35);
  x ^= x >>> 15;
  x = Math.imul(x, 0x2c1b3c6d);
  return x ^ (x >>> 13);
}

export interface Parse {
  /** Lanes that begin with an Ethernet header. Returns how many are heartbeats (IS_HEARTBEAT). */
  frames(n: number): number;
  /** Lanes that begin with an IP header (L3 networks). What is not IP is dropped. Returns how many are heartbeats. */
  packets(n: number): number;
}

export function bindParse(arena: Arena, burst: Burst, kernel: Pick<WalkKernel, 'parse'>): Parse {
  const { view: v } = arena;
  const { at, len, flags, drop, careful, tos, flow, l3, l4, dstLo, dstHi, srcLo, srcHi, summary } = burst;

  let heartbeats = 0;
  function markHeartbeat(i: number): void {
    flags[i] |= IS_HEARTBEAT;
    heartbeats++;
  }

  function parseTransport(i: number, proto: number, l4At: number, end: number): number {
    if (proto === PROTO_TCP) {
      if (end - l4At < 20) return 0;
      const headerLen = (v.getUint8(l4At + 12) >>> 4) << 2;
      if (headerLen < 20 || headerLen > end - l4At) return 0;
      l4[i] = l4At;
      if ((v.getUint8(l4At + 13) & TCP_SYN) === 0) return IS_TCP;
      summary[SUMMARY_FLAGS] |= IS_SYN;
      return IS_TCP | IS_SYN;
    }
    if (proto !== PROTO_UDP || end - l4At < 8) return 0;
    l4[i] = l4At;
    return IS_UDP;
  }

  function parseIpv4(i: number, l3At: number, end: number): void {
    if (end - l3At < 20) return;
    const versionIhl = v.getUint8(l3At);
    const headerLen = (versionIhl & 15) << 2;
    const totalLen = v.getUint16(l3At + 2);
    if (versionIhl >>> 4 !== 4 || headerLen < 20 || totalLen < headerLen || totalLen > end - l3At) return;
    l3[i] = l3At;
    tos[i] = v.getUint8(l3At + 1);
    let kind = IS_V4 | (headerLen > 20 ? HAS_OPTIONS : 0);
    const proto = v.getUint8(l3At + 9);
    let ports = 0;
    if ((v.getUint16(l3At + 6) & 0x3fff) !== 0) kind |= IS_FRAGMENT;
    else kind |= parseTransport(i, proto, l3At + headerLen, l3At + totalLen);
    if (l4[i] !== 0) ports = v.getInt32(l4[i], true);
    flow[i] = flowHash(v.getInt32(l3At + 12, true), v.getInt32(l3At + 16, true), ports, proto);
    flags[i] |= kind;
  }

  function discoveryOf(l4At: number, end: number): number {
    const type = end - l4At < 8 ? 0 : v.getUint8(l4At);
    return type >= ND_FIRST && type <= ND_LAST ? IS_DISCOVERY : 0;
  }

  function parseIpv6(i: number, l3At: number, frameEnd: number): void {
    if (frameEnd - l3At < 40) return;
    const end = l3At + 40 + v.getUint16(l3At + 4);
    if (v.getUint8(l3At) >>> 4 !== 6 || end > frameEnd) return;
    l3[i] = l3At;
    tos[i] = (v.getUint16(l3At) >>> 4) & 0xff;
    let kind = IS_V6;
    let proto = v.getUint8(l3At + 6);
    let next = l3At + 40;
    for (let n = 0; n < EXTENSIONS_MAX && end - next >= 8; n++) {
      if (proto === 44) kind |= IS_FRAGMENT | HAS_OPTIONS;
      else if (proto === 0 || proto === 43 || proto === 60) kind |= HAS_OPTIONS;
      else break;
      const bytes = proto === 44 ? 8 : (v.getUint8(next + 1) + 1) << 3;
      proto = v.getUint8(next);
      next += bytes;
      // What is behind it is in the first fragment alone, and all fragments are of one flow.
      if ((kind & IS_FRAGMENT) !== 0) break;
    }
    if ((kind & IS_FRAGMENT) === 0 && next <= end) {
      if (proto === PROTO_ICMPV6) kind |= discoveryOf(next, end);
      else kind |= parseTransport(i, proto, next, end);
    }
    let src = 0;
    let dst = 0;
    for (let w = 0; w < 16; w += 4) {
      src = Math.imul(src, 0x01000193) ^ v.getInt32(l3At + 8 + w, true);
      dst = Math.imul(dst, 0x01000193) ^ v.getInt32(l3At + 24 + w, true);
    }
    flow[i] = flowHash(src, dst, l4[i] === 0 ? 0 : v.getInt32(l4[i], true), proto);
    flags[i] |= kind;
  }

  /** What the kernel leaves: short frames, VLAN tags, IPv6, IP options, fragments, what is neither TCP nor UDP. */
  function parseCarefully(i: number): void {
    const o = at[i];
    const end = o + len[i];
    if (len[i] < 14) {
      drop[i] = DROP['malformed-frame'];
      return;
    }
    dstLo[i] = v.getInt32(o, true);
    dstHi[i] = v.getUint16(o + 4, true);
    srcLo[i] = v.getInt32(o + 6, true);
    srcHi[i] = v.getUint16(o + 10, true);
    l3[i] = 0;
    l4[i] = 0;
    tos[i] = 0;
    let type = v.getUint16(o + 12);
    let next = o + 14;
    for (let tags = 0; tags < VLAN_TAGS_MAX && (type === 0x8100 || type === 0x88a8); tags++) {
      if (end - next < 4) {
        drop[i] = DROP['malformed-frame'];
        return;
      }
      type = v.getUint16(next + 2);
      next += 4;
      flags[i] |= HAS_VLAN;
    }
    flow[i] = flowHash(srcLo[i] ^ (srcHi[i] << 16), dstLo[i] ^ (dstHi[i] << 16), 0, type);
    if (type === 0x0800) parseIpv4(i, next, end);
    else if (type === 0x86dd) parseIpv6(i, next, end);
    else if (type === 0x0806) flags[i] |= IS_DISCOVERY;
    else if (type === Heartbeat.ETHER_TYPE && dstLo[i] === Heartbeat.MAC_LO && dstHi[i] === Heartbeat.MAC_HI)
      if (next === o + 14)
        // Behind a tag it is none.
        markHeartbeat(i);
  }

  /** A bare packet: the frame ends where the packet does, padding of the tunnel's carrier is left behind. */
  function parsePacket(i: number): void {
    const o = at[i];
    const end = o + len[i];
    l3[i] = 0;
    l4[i] = 0;
    tos[i] = 0;
    flow[i] = 0;
    dstLo[i] = 0;
    dstHi[i] = 0;
    srcLo[i] = 0;
    srcHi[i] = 0;
    const version = len[i] > 0 ? v.getUint8(o) >>> 4 : 0;
    if (version === 4) parseIpv4(i, o, end);
    else if (version === 6) parseIpv6(i, o, end);
    if (l3[i] === 0) drop[i] = DROP['malformed-packet'];
    else len[i] = version === 4 ? v.getUint16(o + 2) : 40 + v.getUint16(o + 4);
    if (l4[i] === 0 && (flags[i] & (IS_V4 | HAS_OPTIONS | IS_FRAGMENT)) === IS_V4 && drop[i] === 0) parseOther(i, o);
  }

  function parseOther(i: number, o: number): void {
    if (v.getUint8(o + 9) === Heartbeat.PROTOCOL && v.getInt32(o + 16) === Heartbeat.IPV4_DST) markHeartbeat(i);
  }

  return {
    frames(n) {
      heartbeats = 0;
      const left = kernel.parse(n);
      for (let k = 0; k < left; k++) parseCarefully(careful[k]);
      for (let k = 0; k < left; k++) summary[SUMMARY_FLAGS] |= flags[careful[k]] & IS_DISCOVERY;
      return heartbeats;
    },
    packets(n) {
      heartbeats = 0;
      let bytes = 0;
      let seen = 0;
      summary[SUMMARY_FLAGS] = 0;
      for (let i = 0; i < n; i++) {
        bytes += len[i];
        seen |= flags[i];
        if (drop[i] === 0) parsePacket(i);
      }
      summary[SUMMARY_FLAGS] |= seen;
      summary[SUMMARY_BYTES] = bytes;
      return heartbeats;
    },
  };
}
