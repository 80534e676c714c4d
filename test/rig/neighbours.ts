// ARP and neighbour discovery, byte by byte as RFC 826 and RFC 4861 draw them.
import { BROADCAST, ethernet, join, onesSum, type Part, stationMac, stationV4, u16, u32, v6 } from './frames.js';

type Station = number | ArrayLike<number>;
const macOf = (who: Station) => (typeof who === 'number' ? stationMac(who) : who);
const v4Of = (who: Station) => (typeof who === 'number' ? stationV4(who) : who);

export const NOBODY = [0, 0, 0, 0];
export const UNSPECIFIED = v6('::');
export const ALL_NODES = v6('ff02::1');
/** Link-local address of a station. */
export const linkLocal = (n: number) => join('fe80 0000 0000 0000 0000 0000 0000', u16(n));
const v6Of = (who: Station) => (typeof who === 'number' ? linkLocal(who) : Uint8Array.from(Array.from(who)));

export interface ArpFields {
  operation?: number;
  /** Sender: a station's number, or its MAC and address. */
  sha?: Station;
  spa?: Station;
  tha?: Station;
  tpa?: Station;
  src?: Station;
  dst?: Station;
  tags?: [tpid: number, tci: number][];
  trailer?: number;
}

/** A frame with an ARP packet; by default station 1 asks everybody for station 2. */
export function arp(f: ArpFields = {}): Uint8Array {
  const { operation = 1, sha = 1, spa = 1, tpa = 2 } = f;
  const tha = f.tha ?? (operation === 1 ? [0, 0, 0, 0, 0, 0] : 2);
  const body = join('0001 0800 06 04', u16(operation), macOf(sha), v4Of(spa), macOf(tha), v4Of(tpa));
  const dst = f.dst ?? (operation === 1 ? BROADCAST : macOf(tha));
  return ethernet({ src: f.src ?? macOf(sha), dst, tags: f.tags }, 0x0806, join(body, new Uint8Array(f.trailer ?? 18)));
}

/** "I have this address": sender and target are one. */
export const gratuitous = (station: number, mac: Station = station, operation = 1) =>
  arp({ operation, sha: mac, spa: station, tpa: station, tha: 0, dst: BROADCAST });

/** Multicast MAC of an IPv6 group (RFC 2464 section 7). */
const groupMac = (address: Uint8Array) => join('3333', address.slice(12));
/** RFC 4291 section 2.7.1. */
const solicitedNode = (target: Uint8Array) => join('ff02 0000 0000 0000 0000 0001 ff', target.slice(13));

export interface DiscoveryFields {
  src: Station;
  /** Address of the sender of the packet. */
  ipSrc?: Station;
  ipDst?: Station;
  dst?: Station;
  hopLimit?: number;
  /** Added to the right checksum. */
  checksumError?: number;
  code?: number;
  /** Extension headers in front of ICMPv6, with the number of the first; each says what follows by itself. */
  extensions?: { first: number; bytes: Part };
  tags?: [tpid: number, tci: number][];
}

/** An ICMPv6 message: type, then everything behind the checksum. */
export function icmpv6(f: DiscoveryFields, type: number, rest: Uint8Array): Uint8Array {
  const ipSrc = v6Of(f.ipSrc ?? (typeof f.src === 'number' ? f.src : 1));
  const ipDst = v6Of(f.ipDst ?? ALL_NODES);
  const message = join(type, f.code ?? 0, u16(0), rest);
  const pseudo = join(ipSrc, ipDst, u32(message.length), 0, 0, 0, 58);
  message.set(u16(0xffff - onesSum(pseudo, message) + (f.checksumError ?? 0)), 2);
  const body = f.extensions === undefined ? message : join(f.extensions.bytes, message);
  const header = join('60000000', u16(body.length), f.extensions?.first ?? 58, f.hopLimit ?? 255, ipSrc, ipDst);
  const dst = f.dst ?? (ipDst[0] === 0xff ? groupMac(ipDst) : stationMac(ipDst[14] * 256 + ipDst[15]));
  return ethernet({ src: f.src, dst, tags: f.tags }, 0x86dd, join(header, body));
}

const option = (type: number, mac: Station | null) => (mac === null ? [] : join(type, 1, macOf(mac)));

/** Station `src` asks for the address of another (RFC 4861 section 4.3). `lla`: its source link-layer option, null for none. */
export function solicit(
  f: Omit<DiscoveryFields, 'ipDst'> & { target: Station; lla?: Station | null; ipDst?: Station },
): Uint8Array {
  const target = v6Of(f.target);
  const lla = f.lla === undefined ? f.src : f.lla;
  return icmpv6({ ...f, ipDst: f.ipDst ?? solicitedNode(target) }, 135, join(u32(0), target, option(1, lla)));
}

export const ROUTER = 0x80;
export const SOLICITED = 0x40;
export const OVERRIDE = 0x20;

/** RFC 4861 section 4.4. `flags`: the first byte. */
export function advertise(f: DiscoveryFields & { target?: Station; flags?: number; lla?: Station | null }): Uint8Array {
  const target = v6Of(f.target ?? f.src);
  const lla = f.lla === undefined ? f.src : f.lla;
  return icmpv6(f, 136, join(f.flags ?? OVERRIDE, 0, 0, 0, target, option(2, lla)));
}
