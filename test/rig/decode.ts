// A second reader of frames for tests: slow, and written without a look at src/. Positions are counted from the frame's first byte.
import { onesSum, read16, read32 } from './frames.js';

export interface Decoded {
  dstMac: Uint8Array;
  srcMac: Uint8Array;
  /** TCI of each VLAN tag. */
  tags: number[];
  type: number;
  /** Position of the IP header, 0 when there is no IP packet that is whole. */
  l3: number;
  family: 0 | 4 | 6;
  /** End of the IP packet. */
  end: number;
  protocol: number;
  tos: number;
  ttl: number;
  isFragment: boolean;
  hasOptions: boolean;
  /** Position of a whole TCP or UDP header, else 0. */
  l4: number;
  /** ARP, or a message of neighbour discovery (ICMPv6 133 to 137). */
  isDiscovery: boolean;
}

const TPIDS = [0x8100, 0x88a8];
/** Extension headers that are looked through: hop-by-hop, routing, fragment, destination options. */
const EXTENSIONS = [0, 43, 44, 60];

/** What a frame is; null when it has no whole Ethernet header, or its VLAN tags (two at most are looked at) run past its end. */
export function decode(f: Uint8Array): Decoded | null {
  if (f.length < 14) return null;
  let at = 12;
  const tags: number[] = [];
  while (tags.length < 2 && TPIDS.includes(read16(f, at))) {
    if (f.length < at + 6) return null;
    tags.push(read16(f, at + 2));
    at += 4;
  }
  const type = read16(f, at);
  const d: Decoded = {
    dstMac: f.slice(0, 6),
    srcMac: f.slice(6, 12),
    tags,
    type,
    l3: 0,
    family: 0,
    end: 0,
    protocol: -1,
    tos: 0,
    ttl: 0,
    isFragment: false,
    hasOptions: false,
    l4: 0,
    isDiscovery: type === 0x0806,
  };
  if (type === 0x0800) decodeIpv4(f, at + 2, d);
  else if (type === 0x86dd) decodeIpv6(f, at + 2, d);
  return d;
}

function decodeIpv4(f: Uint8Array, at: number, d: Decoded): void {
  if (f.length < at + 20) return;
  const ihl = (f[at] % 16) * 4;
  const total = read16(f, at + 2);
  if (Math.floor(f[at] / 16) !== 4 || ihl < 20 || total < ihl || at + total > f.length) return;
  Object.assign(d, { l3: at, family: 4, end: at + total, tos: f[at + 1], ttl: f[at + 8], protocol: f[at + 9] });
  d.hasOptions = ihl > 20;
  const flagsAndOffset = read16(f, at + 6);
  // More fragments, or an offset.
  d.isFragment = (flagsAndOffset & 0x2000) !== 0 || flagsAndOffset % 0x2000 !== 0;
  if (!d.isFragment) decodeTransport(f, at + ihl, d);
}

function decodeIpv6(f: Uint8Array, at: number, d: Decoded): void {
  if (f.length < at + 40 || Math.floor(f[at] / 16) !== 6) return;
  const end = at + 40 + read16(f, at + 4);
  if (end > f.length) return;
  Object.assign(d, { l3: at, family: 6, end, tos: (read16(f, at) >> 4) % 256, ttl: f[at + 7] });
  let next = f[at + 6];
  let p = at + 40;
  for (let n = 0; n < 8 && EXTENSIONS.includes(next) && p + 8 <= end; n++) {
    d.hasOptions = true;
    if (next === 44) d.isFragment = true;
    const bytes = next === 44 ? 8 : (f[p + 1] + 1) * 8;
    next = f[p];
    p += bytes;
  }
  d.protocol = next;
  const type = next === 58 && !d.isFragment && p + 8 <= end ? f[p] : 0;
  d.isDiscovery = type >= 133 && type <= 137;
  if (!d.isFragment && p <= end) decodeTransport(f, p, d);
}

function decodeTransport(f: Uint8Array, at: number, d: Decoded): void {
  if (d.protocol === 17 && at + 8 <= d.end) d.l4 = at;
  if (d.protocol !== 6 || at + 20 > d.end) return;
  const headerLen = Math.floor(f[at + 12] / 16) * 4;
  if (headerLen >= 20 && at + headerLen <= d.end) d.l4 = at;
}

/** Pseudo header of a decoded packet, for a transport part of `length` bytes. */
export function pseudoOf(f: Uint8Array, d: Decoded, length: number): Uint8Array {
  const tail =
    d.family === 4
      ? [0, d.protocol, length >> 8, length & 255]
      : [0, 0, length >> 8, length & 255, 0, 0, 0, d.protocol];
  const addresses = d.family === 4 ? f.slice(d.l3 + 12, d.l3 + 20) : f.slice(d.l3 + 8, d.l3 + 40);
  return Uint8Array.from([...addresses, ...tail]);
}

export function isIpChecksumRight(f: Uint8Array, d: Decoded): boolean {
  return onesSum(f.slice(d.l3, d.l3 + (f[d.l3] % 16) * 4)) === 0xffff;
}

/** Whether the TCP or UDP checksum is right; a UDP checksum of zero counts as right. */
export function isTransportChecksumRight(f: Uint8Array, d: Decoded): boolean {
  const segment = f.slice(d.l4, d.end);
  if (d.protocol === 17 && read16(segment, 6) === 0) return true;
  return onesSum(pseudoOf(f, d, segment.length), segment) === 0xffff;
}

/** Whether the checksum field holds the sum of the pseudo header, as senders leave it to an offload. A wrong checksum is that by chance, too. */
export function looksUnfinished(f: Uint8Array, d: Decoded): boolean {
  if (d.l4 === 0 || isTransportChecksumRight(f, d)) return false;
  return read16(f, d.l4 + (d.protocol === 6 ? 16 : 6)) === onesSum(pseudoOf(f, d, d.end - d.l4));
}

export interface Outer {
  dstMac: string;
  srcMac: string;
  tos: number;
  totalLen: number;
  id: number;
  fragment: number;
  ttl: number;
  src: string;
  dst: string;
  sport: number;
  dport: number;
  udpLen: number;
  udpChecksum: number;
  isIpChecksumRight: boolean;
  isUdpChecksumRight: boolean;
  flags: number;
  reserved: number[];
  vni: number;
  inner: Uint8Array;
}

const macText = (b: Uint8Array) => Array.from(b, (x) => x.toString(16).padStart(2, '0')).join(':');

/** An outer frame with IPv4, UDP and VXLAN, field by field. Throws on what is no such frame. */
export function decodeOuter(f: Uint8Array): Outer {
  const d = decode(f);
  if (d === null || d.family !== 4 || d.protocol !== 17 || d.l4 !== 34)
    throw new Error(`no VXLAN frame: ${Buffer.from(f).toString('hex')}`);
  const vx = d.l4 + 8;
  return {
    dstMac: macText(d.dstMac),
    srcMac: macText(d.srcMac),
    tos: d.tos,
    totalLen: read16(f, 16),
    id: read16(f, 18),
    fragment: read16(f, 20),
    ttl: d.ttl,
    src: Array.from(f.slice(26, 30)).join('.'),
    dst: Array.from(f.slice(30, 34)).join('.'),
    sport: read16(f, 34),
    dport: read16(f, 36),
    udpLen: read16(f, 38),
    udpChecksum: read16(f, 40),
    isIpChecksumRight: isIpChecksumRight(f, d),
    isUdpChecksumRight: isTransportChecksumRight(f, d),
    flags: f[vx],
    reserved: [f[vx + 1], f[vx + 2], f[vx + 3], f[vx + 7]],
    vni: Math.floor(read32(f, vx + 4) / 256),
    inner: f.slice(vx + 8),
  };
}
