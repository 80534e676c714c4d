// Frames, built and read byte by byte for tests. Nothing here comes from src/: what src/ writes and reads is judged by someone else.
// Slow and plain on purpose.

/** Numbers are single bytes, strings hexadecimal digits (spaces allowed). */
export type Part = number | string | ArrayLike<number>;

export function join(...parts: Part[]): Uint8Array {
  const pieces = parts.map((part) => {
    if (typeof part === 'number') return Uint8Array.of(part);
    if (typeof part === 'string') return Uint8Array.from(Buffer.from(part.replace(/\s+/g, ''), 'hex'));
    return part instanceof Uint8Array ? part : Uint8Array.from(Array.from(part));
  });
  const out = new Uint8Array(pieces.reduce((n, piece) => n + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

export const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
export const u16 = (n: number) => [(n >>> 8) & 255, n & 255];
export const u32 = (n: number) => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
export const read16 = (b: ArrayLike<number>, at: number) => b[at] * 256 + b[at + 1];
export const read32 = (b: ArrayLike<number>, at: number) => read16(b, at) * 65536 + read16(b, at + 2);

/** RFC 1071 as its text has it: 16-bit big-endian words, carries added at the end; an odd last byte is a word's upper half. Not inverted. */
export function onesSum(...pieces: ArrayLike<number>[]): number {
  const all = pieces.length === 1 ? pieces[0] : join(...pieces);
  let sum = 0;
  for (let i = 0; i < all.length; i += 2) sum += all[i] * 256 + (i + 1 < all.length ? all[i + 1] : 0);
  while (sum > 0xffff) sum = (sum % 65536) + Math.floor(sum / 65536);
  return sum;
}

/** Noise that is the same every time, with no byte equal to its neighbour's place in another frame. */
export function noise(length: number, seed = 1): Uint8Array {
  const out = new Uint8Array(length);
  let x = (seed * 2654435761) >>> 0;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    out[i] = x >>> 24;
  }
  return out;
}

/** Station n: 02:00:00:00:hi:lo, 10.0.hi.lo, fd00::n. */
export const stationMac = (n: number) => Uint8Array.of(2, 0, 0, 0, n >>> 8, n & 255);
export const BROADCAST = Uint8Array.of(255, 255, 255, 255, 255, 255);
export const stationV4 = (n: number) => Uint8Array.of(10, 0, n >>> 8, n & 255);
export const stationV6 = (n: number) => Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n >>> 8, n & 255);
export const v4 = (text: string) => Uint8Array.from(text.split('.').map(Number));
/** IPv6 without an IPv4 tail. */
export function v6(text: string): Uint8Array {
  const [head, tail] = text.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const groups = tail === undefined ? head : [...head, ...new Array(8 - head.length - tail.length).fill('0'), ...tail];
  return join(...groups.map((group) => u16(Number.parseInt(group, 16))));
}
/** As RFC 5952 wants it: the URL parser knows how. */
export const v6Text = (bytes: Uint8Array) =>
  new URL(`http://[${(toHex(bytes).match(/..../g) ?? []).join(':')}]`).hostname.slice(1, -1);
/** The lane columns' form of a MAC: bytes 0-3 and 4-5 as little-endian words. */
export const macWords = (m: ArrayLike<number>) => ({
  lo: m[0] | (m[1] << 8) | (m[2] << 16) | (m[3] << 24),
  hi: m[4] | (m[5] << 8),
});

export interface EthernetFields {
  /** Stations, or MACs. */
  src?: number | ArrayLike<number>;
  dst?: number | ArrayLike<number>;
  /** VLAN tags from the outside in: TPID and TCI. */
  tags?: [tpid: number, tci: number][];
}

export interface IpFields extends EthernetFields {
  family?: 4 | 6;
  tos?: number;
  ttl?: number;
  /** IPv4 */
  id?: number;
  /** IPv4 flags and fragment offset as they stand in the header; default DF. */
  fragment?: number;
  /** IPv4 options, a multiple of four bytes. */
  options?: ArrayLike<number>;
  /** IPv6 extension headers, whole, each with its own number; `next` fields are filled in here. */
  extensions?: { number: number; bytes: ArrayLike<number> }[];
  flowLabel?: number;
  /** Bytes behind the IP packet: Ethernet padding. */
  trailer?: number;
  /** Stations of the IP addresses where they differ from the MACs. */
  ipSrc?: number;
  ipDst?: number;
}

export type ChecksumKind = 'good' | 'bad' | 'unfinished' | 'zero';

export interface TcpFields extends IpFields {
  sport?: number;
  dport?: number;
  seq?: number;
  ack?: number;
  flags?: number;
  /** Low four bits of the byte that holds the data offset. */
  reserved?: number;
  window?: number;
  urgent?: number;
  /** TCP options, a multiple of four bytes. */
  tcpOptions?: ArrayLike<number>;
  payload?: number | Uint8Array;
  checksum?: ChecksumKind;
}

export interface UdpFields extends IpFields {
  sport?: number;
  dport?: number;
  payload?: number | Uint8Array;
  checksum?: ChecksumKind;
}

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;
export const URG = 32;
export const ECE = 64;
export const CWR = 128;

const macOf = (who: number | ArrayLike<number>) => (typeof who === 'number' ? stationMac(who) : who);
const stationOf = (who: number | ArrayLike<number> | undefined, otherwise: number) =>
  typeof who === 'number' ? who : otherwise;
const payloadOf = (payload: number | Uint8Array | undefined) =>
  typeof payload === 'object' ? payload : noise(payload ?? 0, 7);

export function ethernet(f: EthernetFields, type: number, payload: ArrayLike<number>): Uint8Array {
  const tags = (f.tags ?? []).flatMap(([tpid, tci]) => [...u16(tpid), ...u16(tci)]);
  return join(macOf(f.dst ?? 2), macOf(f.src ?? 1), tags, u16(type), payload);
}

function addresses(f: IpFields): { src: Uint8Array; dst: Uint8Array } {
  const src = f.ipSrc ?? stationOf(f.src, 1);
  const dst = f.ipDst ?? stationOf(f.dst, 2);
  return f.family === 6 ? { src: stationV6(src), dst: stationV6(dst) } : { src: stationV4(src), dst: stationV4(dst) };
}

function ipv4Packet(f: IpFields, protocol: number, payload: ArrayLike<number>): Uint8Array {
  const options = f.options ?? [];
  const { src, dst } = addresses(f);
  const header = join(
    0x40 | (5 + options.length / 4),
    f.tos ?? 0,
    u16(20 + options.length + payload.length),
    u16(f.id ?? 0x1234),
    u16(f.fragment ?? 0x4000),
    f.ttl ?? 64,
    protocol,
    u16(0),
    src,
    dst,
    options,
  );
  header.set(u16(0xffff - onesSum(header)), 10);
  return join(header, payload);
}

function ipv6Packet(f: IpFields, protocol: number, payload: ArrayLike<number>): Uint8Array {
  const { src, dst } = addresses(f);
  const extensions = (f.extensions ?? []).map(({ number, bytes }) => ({
    number,
    bytes: Uint8Array.from(Array.from(bytes)),
  }));
  extensions.forEach(({ bytes }, k) => {
    bytes[0] = extensions[k + 1]?.number ?? protocol;
  });
  const body = join(...extensions.map((e) => e.bytes), payload);
  const first = 0x60000000 + ((f.tos ?? 0) << 20) + (f.flowLabel ?? 0);
  return join(u32(first), u16(body.length), extensions[0]?.number ?? protocol, f.ttl ?? 64, src, dst, body);
}

/** An Ethernet frame with an IP packet of any protocol. */
export function ip(f: IpFields, protocol: number, payload: ArrayLike<number>): Uint8Array {
  const isV6 = f.family === 6;
  const packet = isV6 ? ipv6Packet(f, protocol, payload) : ipv4Packet(f, protocol, payload);
  return ethernet(f, isV6 ? 0x86dd : 0x0800, join(packet, new Uint8Array(f.trailer ?? 0).fill(0xee)));
}

/** Pseudo header of RFC 9293 section 3.1, RFC 768 and RFC 8200 section 8.1. */
export function pseudoHeader(f: IpFields, protocol: number, length: number): Uint8Array {
  const { src, dst } = addresses(f);
  return f.family === 6 ? join(src, dst, u32(length), 0, 0, 0, protocol) : join(src, dst, 0, protocol, u16(length));
}

function setChecksum(segment: Uint8Array, at: number, f: IpFields, protocol: number, kind: ChecksumKind): void {
  const pseudo = pseudoHeader(f, protocol, segment.length);
  let value = 0xffff - onesSum(pseudo, segment);
  if (protocol === 17 && value === 0) value = 0xffff;
  if (kind === 'unfinished') value = onesSum(pseudo);
  else if (kind === 'bad') value = (value + 1) & 0xffff || 1;
  else if (kind === 'zero') value = 0;
  segment.set(u16(value), at);
}

export function tcp(f: TcpFields = {}): Uint8Array {
  const options = f.tcpOptions ?? [];
  const segment = join(
    u16(f.sport ?? 1000),
    u16(f.dport ?? 2000),
    u32(f.seq ?? 1),
    u32(f.ack ?? 7),
    ((5 + options.length / 4) << 4) | (f.reserved ?? 0),
    f.flags ?? ACK,
    u16(f.window ?? 500),
    u16(0),
    u16(f.urgent ?? 0),
    options,
    payloadOf(f.payload),
  );
  setChecksum(segment, 16, f, 6, f.checksum ?? 'good');
  return ip(f, 6, segment);
}

export function udp(f: UdpFields = {}): Uint8Array {
  const payload = payloadOf(f.payload);
  const segment = join(u16(f.sport ?? 1000), u16(f.dport ?? 2000), u16(8 + payload.length), u16(0), payload);
  setChecksum(segment, 6, f, 17, f.checksum ?? 'good');
  return ip(f, 17, segment);
}

/** An ARP request of a station for another's address, to everybody. */
export function arpRequest(src: number, target = 99): Uint8Array {
  const body = join('0001 0800 06 04 0001', stationMac(src), stationV4(src), new Uint8Array(6), stationV4(target));
  return ethernet({ src, dst: BROADCAST }, 0x0806, join(body, new Uint8Array(18)));
}

/** RFC 7348 section 5: flags with the I bit, 24 reserved bits, VNI, 8 reserved bits. */
export const vxlan = (vni: number, frame: ArrayLike<number>, flags = 0x08) =>
  join(flags, 0, 0, 0, u32(vni * 256), frame);

export interface OuterFields {
  dstMac?: ArrayLike<number>;
  srcMac?: ArrayLike<number>;
  src?: string;
  dst?: string;
  tos?: number;
  ttl?: number;
  sport?: number;
  dport?: number;
  checksum?: ChecksumKind;
  options?: ArrayLike<number>;
  fragment?: number;
  /** Wrong values for single fields, written last, before the IP checksum: offset from the Ethernet header. */
  patches?: [off: number, bytes: ArrayLike<number>][];
  /** Bytes behind the outer IP packet. */
  trailer?: number;
  /** Leave the IP checksum wrong. */
  isIpChecksumBad?: boolean;
}

/** A whole outer frame: Ethernet, IPv4, UDP. */
export function outer(f: OuterFields, payload: ArrayLike<number>): Uint8Array {
  const src = v4(f.src ?? '198.18.0.2');
  const dst = v4(f.dst ?? '198.18.0.1');
  const options = f.options ?? [];
  const udpLen = 8 + payload.length;
  const datagram = join(u16(f.sport ?? 50000), u16(f.dport ?? 4789), u16(udpLen), u16(0), payload);
  if ((f.checksum ?? 'zero') !== 'zero') {
    let sum = 0xffff - onesSum(join(src, dst, 0, 17, u16(udpLen)), datagram);
    if (sum === 0) sum = 0xffff;
    if (f.checksum === 'bad') sum = sum ^ 0x0100 || 1;
    datagram.set(u16(sum), 6);
  }
  const header = join(
    0x40 | (5 + options.length / 4),
    f.tos ?? 0,
    u16(20 + options.length + datagram.length),
    u16(0),
    u16(f.fragment ?? 0x4000),
    f.ttl ?? 64,
    17,
    u16(0),
    src,
    dst,
    options,
  );
  const frame = join(
    f.dstMac ?? '020000000a01',
    f.srcMac ?? '020000000a02',
    u16(0x0800),
    header,
    datagram,
    new Uint8Array(f.trailer ?? 0),
  );
  for (const [off, bytes] of f.patches ?? []) frame.set(Array.from(bytes), off);
  const ihl = Math.max(5, frame[14] & 15) * 4;
  frame.set([0, 0], 24);
  frame.set(u16(0xffff - onesSum(frame.slice(14, 14 + ihl))), 24);
  if (f.isIpChecksumBad) frame[24] ^= 0x55;
  return frame;
}
