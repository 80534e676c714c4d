import type { Arena } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import { type ChecksumKernel, fold } from '../packet/checksum.js';
import { DROP } from '../packet/drop.js';
import type { Outbox } from '../packet/outbox.js';

/**
 * The outer headers of whole frames (Ethernet, IPv4 or IPv6, UDP), checked once: afterwards a lane stands at its tunnel header, and `tunnel`, `from`,
 * `outerTos` and the sender's address say what was in front of it.
 */
export interface OuterRules {
  /** Own address as four IPv4-mapped words, bytes as they lie in memory; null: packets to any address. */
  address: Int32Array | null;
  /** UDP ports and the kind number of the tunnel on each. */
  ports: Int32Array;
  kinds: Int32Array;
  /** Kind numbers of the IP protocols 47, and 4 and 41; 0: not taken. */
  gre: number;
  ipip: number;
  /** Own MAC as two words where plain routed packets are taken, else 0. */
  routedLo: number;
  routedHi: number;
}

export interface Outer {
  /** Drop reason of lane i, or 0 and the lane stands at its tunnel header (plain routed packets, tunnel 0: at their IP header). */
  check(i: number, rules: OuterRules): number;
}

const ETHERNET = 14;
const UDP = 8;
const IPV4_MAPPED = 0xffff0000 | 0; // 00 00 ff ff as a little-endian word
/** Extension headers that are stepped over: hop-by-hop and destination options (RFC 2473 section 4.1.1: the tunnel encapsulation limit). */
const EXTENSIONS_MAX = 3;

export function bindOuter(arena: Arena, burst: Burst, outbox: Outbox, kernel: ChecksumKernel): Outer {
  const { view } = arena;
  const { at, len, outerTos, from, tunnel, key, payload, metaLen } = burst;
  const { rxSrc } = outbox;

  const malformed = DROP['malformed-outer'];
  const notForUs = DROP['not-for-us'];
  const badChecksum = DROP['outer-checksum'];

  /** RFC 768 and RFC 6936: a zero checksum means none. Lengths of the header and the buffer agree already. */
  function udpChecksumIsRight(addressesAt: number, addressesLen: number, udp: number, udpLen: number): boolean {
    if (view.getUint16(udp + 6) === 0) return true;
    const addresses = kernel.sum(addressesAt, addressesLen);
    return fold(addresses + (17 << 8) + view.getUint16(udp + 4, true) + kernel.sum(udp, udpLen)) === 0xffff;
  }

  function kindOfPort(rules: OuterRules, port: number): number {
    const { ports, kinds } = rules;
    for (let p = 0; p < ports.length; p++) if (ports[p] === port) return kinds[p];
    return 0;
  }

  /** Behind the IP header: UDP, GRE or IP. */
  function checkTransport(
    i: number,
    rules: OuterRules,
    protocol: number,
    o: number,
    end: number,
    addressesAt: number,
    addressesLen: number,
  ): number {
    let kind = 0;
    let next = o;
    let bytes = end - o;
    if (protocol === 17) {
      if (bytes < UDP) return malformed;
      const udpLen = view.getUint16(o + 4);
      kind = kindOfPort(rules, view.getUint16(o + 2));
      if (kind === 0) return notForUs;
      if (udpLen < UDP || udpLen > bytes) return malformed;
      if (!udpChecksumIsRight(addressesAt, addressesLen, o, udpLen)) return badChecksum;
      next = o + UDP;
      bytes = udpLen - UDP;
    } else if (protocol === 47) kind = rules.gre;
    else if (protocol === 4 || protocol === 41) kind = rules.ipip;
    if (kind === 0) return notForUs;
    tunnel[i] = kind;
    at[i] = next;
    len[i] = bytes;
    return 0;
  }

  /** A packet that is for nobody here by its address: plain routed, if it was sent to our MAC. */
  function checkRouted(i: number, rules: OuterRules, ip: number, end: number, type: number): number {
    const o = at[i];
    const isOurs =
      rules.routedLo !== 0 &&
      view.getInt32(o, true) === rules.routedLo &&
      view.getUint16(o + 4, true) === rules.routedHi;
    if (!isOurs) return notForUs;
    tunnel[i] = 0;
    key[i] = 0;
    payload[i] = type;
    metaLen[i] = 0;
    outerTos[i] = 0;
    at[i] = ip;
    len[i] = end - ip;
    return 0;
  }

  function checkV4(i: number, rules: OuterRules, ip: number, frameEnd: number): number {
    if (frameEnd - ip < 20) return malformed;
    const versionIhl = view.getUint8(ip);
    const headerLen = (versionIhl & 15) << 2;
    const totalLen = view.getUint16(ip + 2);
    if (versionIhl >>> 4 !== 4 || headerLen < 20 || totalLen < headerLen || totalLen > frameEnd - ip) return malformed;
    if (kernel.sum(ip, headerLen) !== 0xffff) return badChecksum;
    const own = rules.address;
    if (own !== null && (view.getInt32(ip + 16, true) !== own[3] || own[2] !== IPV4_MAPPED))
      return checkRouted(i, rules, ip, ip + totalLen, 0x0800);
    if ((view.getUint16(ip + 6) & 0x3fff) !== 0) return DROP['outer-fragment'];
    outerTos[i] = view.getUint8(ip + 1);
    const s = i << 2;
    rxSrc[s] = 0;
    rxSrc[s + 1] = 0;
    rxSrc[s + 2] = IPV4_MAPPED;
    rxSrc[s + 3] = view.getInt32(ip + 12, true);
    return checkTransport(i, rules, view.getUint8(ip + 9), ip + headerLen, ip + totalLen, ip + 12, 8);
  }

  function isOwnV6(own: Int32Array, dst: number): boolean {
    for (let w = 0; w < 4; w++) if (view.getInt32(dst + w * 4, true) !== own[w]) return false;
    return true;
  }

  function checkV6(i: number, rules: OuterRules, ip: number, frameEnd: number): number {
    if (frameEnd - ip < 40) return malformed;
    const end = ip + 40 + view.getUint16(ip + 4);
    if (view.getUint8(ip) >>> 4 !== 6 || end > frameEnd) return malformed;
    if (rules.address !== null && !isOwnV6(rules.address, ip + 24)) return checkRouted(i, rules, ip, end, 0x86dd);
    let protocol = view.getUint8(ip + 6);
    let next = ip + 40;
    for (let n = 0; n < EXTENSIONS_MAX && (protocol === 0 || protocol === 60); n++) {
      if (end - next < 8) return malformed;
      protocol = view.getUint8(next);
      next += (view.getUint8(next + 1) + 1) << 3;
    }
    if (next > end) return malformed;
    if (protocol === 44) return DROP['outer-fragment'];
    outerTos[i] = (view.getUint16(ip) >>> 4) & 0xff;
    for (let w = 0; w < 4; w++) rxSrc[(i << 2) + w] = view.getInt32(ip + 8 + w * 4, true);
    return checkTransport(i, rules, protocol, next, end, ip + 8, 32);
  }

  return {
    check(i, rules) {
      const o = at[i];
      if (len[i] < ETHERNET) return malformed;
      from[i] = i;
      const type = view.getUint16(o + 12);
      if (type === 0x0800) return checkV4(i, rules, o + ETHERNET, o + len[i]);
      return type === 0x86dd ? checkV6(i, rules, o + ETHERNET, o + len[i]) : notForUs;
    },
  };
}
