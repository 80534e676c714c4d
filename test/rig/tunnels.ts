// Tunnels by hand: every encapsulation as its RFC draws it, and outer packets over IPv4 and IPv6. Nothing here comes from what writes headers
// in src/; the plan of a tunnel is only named beside its bytes.
import { type TunnelPlan, tunnelPlan } from '../../src/tunnel/tunnel.js';
import { type ChecksumKind, join, onesSum, read16, read32, u16, u32, v4, v6, v6Text } from './frames.js';

export type Family = 4 | 6;

/** What differs from packet to packet. */
export interface PacketFields {
  /** Family of the inner packet. */
  family: Family;
  /** GRE, where it has one. */
  sequence: number;
  /** VXLAN between routers: MACs of the inner Ethernet header. */
  dstMac: string;
  srcMac: string;
}

export interface Encapsulation {
  name: string;
  tunnel: TunnelPlan;
  mode: 'l2' | 'l3';
  /** IP protocol of the outer packet. */
  protocol(family: Family): number;
  /** What stands behind the outer IP and UDP headers: the tunnel's header and `inner`, an Ethernet frame (l2) or an IP packet (l3). */
  wrap(inner: Uint8Array, f: PacketFields): Uint8Array;
  /** The same header with another id. Absent: the kind has none. */
  otherId?(inner: Uint8Array, f: PacketFields): Uint8Array;
  /** The same header with another protocol, an EtherType. Absent: the kind says none. */
  otherProtocol?(inner: Uint8Array, f: PacketFields, type: number): Uint8Array;
}

const ID = 0x123456;
const TEB = 0x6558;
const etherType = (family: Family) => (family === 4 ? 0x0800 : 0x86dd);
const UDP = () => 17;
const GRE = () => 47;

/** RFC 7348 section 5, with draft-ietf-nvo3-vxlan-gpe's flag P and draft-smith-vxlan-group-policy's flag G. */
const vxlanHeader = (first: string, vni = ID) => join(first, u32(vni * 256));

/** RFC 8926 section 3.4. */
const geneveHeader = (type: number, options: Uint8Array, isCritical: boolean, vni = ID) =>
  join(options.length / 4, isCritical ? 0x40 : 0, u16(type), u32(vni * 256), options);

/** RFC 2784 and RFC 2890: C 0x8000, K 0x2000, S 0x1000. */
function grePacket(type: number, inner: Uint8Array, full: { key: number; sequence: number } | null): Uint8Array {
  if (full === null) return join('0000', u16(type), inner);
  const packet = join('b000', u16(type), '0000 0000', u32(full.key), u32(full.sequence), inner);
  packet.set(u16(0xffff - onesSum(packet)), 4);
  return packet;
}

const OPTIONS = join('0102 80 01 00010002', '0103 03 00', '014b 01 02 0a000001 00500000');
const optionsPlan = [
  { class: 0x0102, type: 0x80, data: join('00010002') },
  { class: 0x0103, type: 0x03, data: new Uint8Array(0) },
  { class: 0x014b, type: 0x01, data: join('0a000001 00500000') },
];

const vxlan = (name: string, first: string, rest: Partial<TunnelPlan>): Encapsulation => ({
  name,
  tunnel: tunnelPlan('vxlan', ID, rest),
  mode: 'l2',
  protocol: UDP,
  wrap: (inner) => join(vxlanHeader(first), inner),
  otherId: (inner) => join(vxlanHeader(first, ID + 1), inner),
});

const gpeNext = { 2048: 1, 34525: 2, [TEB]: 3 } as Record<number, number>;

function vxlanGpe(name: string, mode: 'l2' | 'l3'): Encapsulation {
  const packet = (type: number, inner: Uint8Array, vni = ID) =>
    join(vxlanHeader(`0c0000${(gpeNext[type] ?? 9).toString(16).padStart(2, '0')}`, vni), inner);
  const typeOf = (family: Family) => (mode === 'l2' ? TEB : etherType(family));
  return {
    name,
    tunnel: tunnelPlan('vxlan', ID, { gpe: true, payload: mode === 'l2' ? 'ethernet' : 'ip' }),
    mode,
    protocol: UDP,
    wrap: (inner, f) => packet(typeOf(f.family), inner),
    otherId: (inner, f) => packet(typeOf(f.family), inner, ID + 1),
    otherProtocol: (inner, _f, type) => packet(type, inner),
  };
}

/** Frames between routers, as flannel sends them. */
const vxlanRouted: Encapsulation = {
  name: 'vxlan between routers',
  tunnel: tunnelPlan('vxlan', 1, { udpPort: 8472 }),
  mode: 'l3',
  protocol: UDP,
  wrap: (inner, f) => join(vxlanHeader('08000000', 1), f.dstMac, f.srcMac, u16(etherType(f.family)), inner),
  otherId: (inner, f) => join(vxlanHeader('08000000', 2), f.dstMac, f.srcMac, u16(etherType(f.family)), inner),
  otherProtocol: (inner, f, type) => join(vxlanHeader('08000000', 1), f.dstMac, f.srcMac, u16(type), inner),
};

function geneve(name: string, mode: 'l2' | 'l3', options: Uint8Array = new Uint8Array(0)): Encapsulation {
  const isCritical = options.length > 0;
  const typeOf = (family: Family) => (mode === 'l2' ? TEB : etherType(family));
  return {
    name,
    tunnel: tunnelPlan('geneve', ID, {
      payload: mode === 'l2' ? 'ethernet' : 'ip',
      options: options.length > 0 ? optionsPlan : [],
    }),
    mode,
    protocol: UDP,
    wrap: (inner, f) => join(geneveHeader(typeOf(f.family), options, isCritical), inner),
    otherId: (inner, f) => join(geneveHeader(typeOf(f.family), options, isCritical, ID + 1), inner),
    otherProtocol: (inner, _f, type) => join(geneveHeader(type, options, isCritical), inner),
  };
}

function gre(name: string, mode: 'l2' | 'l3', isFull: boolean): Encapsulation {
  const key = 0x80000007;
  const typeOf = (family: Family) => (mode === 'l2' ? TEB : etherType(family));
  const fields = (f: PacketFields) => (isFull ? { key, sequence: f.sequence } : null);
  return {
    name,
    tunnel: tunnelPlan('gre', isFull ? key : 0, {
      payload: mode === 'l2' ? 'ethernet' : 'ip',
      checksum: isFull,
      sequence: isFull,
    }),
    mode,
    protocol: GRE,
    wrap: (inner, f) => grePacket(typeOf(f.family), inner, fields(f)),
    otherId: (inner, f) => grePacket(typeOf(f.family), inner, isFull ? null : { key: 9, sequence: f.sequence }),
    otherProtocol: (inner, f, type) => grePacket(type, inner, fields(f)),
  };
}

const bare = (kind: 'ipip' | 'fou', protocol: (family: Family) => number): Encapsulation => ({
  name: kind,
  tunnel: tunnelPlan(kind),
  mode: 'l3',
  protocol,
  wrap: (inner) => inner,
});

/** draft-ietf-intarea-gue section 3.1: variant 0, control 0, no extension fields. */
const gue: Encapsulation = {
  name: 'gue',
  tunnel: tunnelPlan('gue'),
  mode: 'l3',
  protocol: UDP,
  wrap: (inner, f) => join(0, f.family === 4 ? 4 : 41, '0000', inner),
  otherProtocol: (inner, _f, type) => join(0, { 2048: 4, 34525: 41 }[type] ?? 47, '0000', inner),
};

export const ENCAPSULATIONS: readonly Encapsulation[] = [
  vxlan('vxlan', '08000000', {}),
  vxlan('vxlan with a group', '88000007', { group: 7 }),
  vxlanGpe('vxlan gpe', 'l2'),
  vxlanGpe('vxlan gpe of packets', 'l3'),
  vxlanRouted,
  geneve('geneve', 'l2'),
  geneve('geneve with options', 'l2', OPTIONS),
  geneve('geneve of packets', 'l3'),
  geneve('geneve of packets with options', 'l3', OPTIONS),
  gre('gre', 'l2', false),
  gre('gre with key, checksum and sequence', 'l2', true),
  gre('gre of packets', 'l3', false),
  gre('gre of packets with key, checksum and sequence', 'l3', true),
  bare('ipip', (family) => (family === 4 ? 4 : 41)),
  bare('fou', UDP),
  gue,
];

export interface OuterPacket {
  src: string;
  dst: string;
  protocol: number;
  tos?: number;
  ttl?: number;
  /** UDP alone. */
  sport?: number;
  dport?: number;
  checksum?: ChecksumKind;
  dstMac?: string;
  srcMac?: string;
  /** IPv4: flags and fragment offset. */
  fragment?: number;
  /** Bytes behind the IP packet. */
  trailer?: number;
}

const addressOf = (text: string) => (text.includes(':') ? v6(text) : v4(text));

/** A whole outer frame: Ethernet, IPv4 or IPv6, UDP where the protocol is 17. */
export function tunnelFrame(f: OuterPacket, payload: Uint8Array): Uint8Array {
  const src = addressOf(f.src);
  const dst = addressOf(f.dst);
  const isV6 = src.length === 16;
  let body = payload;
  if (f.protocol === 17) {
    const udpLen = 8 + payload.length;
    body = join(u16(f.sport ?? 50000), u16(f.dport ?? 0), u16(udpLen), u16(0), payload);
    let sum = 0xffff - onesSum(join(src, dst, u32(udpLen), 0, 0, 0, 17), body);
    if (sum === 0) sum = 0xffff;
    if (f.checksum === 'bad') sum = sum ^ 0x0100 || 1;
    if (f.checksum !== undefined && f.checksum !== 'zero') body.set(u16(sum), 6);
  }
  const tos = f.tos ?? 0;
  const header = isV6
    ? join(u32(0x60000000 + tos * 2 ** 20), u16(body.length), f.protocol, f.ttl ?? 64, src, dst)
    : join(
        0x45,
        tos,
        u16(20 + body.length),
        '0000',
        u16(f.fragment ?? 0x4000),
        f.ttl ?? 64,
        f.protocol,
        0,
        0,
        src,
        dst,
      );
  if (!isV6) header.set(u16(0xffff - onesSum(header)), 10);
  const link = join(f.dstMac ?? '020000000a01', f.srcMac ?? '020000000a02', isV6 ? '86dd' : '0800');
  return join(link, header, body, new Uint8Array(f.trailer ?? 0));
}

/** An outer frame, field by field. */
export interface ReadPacket {
  dstMac: string;
  srcMac: string;
  src: string;
  dst: string;
  tos: number;
  ttl: number;
  /** IPv4: id, and flags with fragment offset. IPv6: 0 and the flow label. */
  id: number;
  fragment: number;
  flowLabel: number;
  protocol: number;
  /** All lengths say what is there. */
  isLengthRight: boolean;
  isIpChecksumRight: boolean;
  sport: number;
  dport: number;
  hasUdpChecksum: boolean;
  isUdpChecksumRight: boolean;
  payload: Uint8Array;
}

const macText = (b: Uint8Array) => Array.from(b, (x) => x.toString(16).padStart(2, '0')).join(':');

function readUdp(src: Uint8Array, dst: Uint8Array, body: Uint8Array) {
  const length = read16(body, 4);
  const checksum = read16(body, 6);
  return {
    sport: read16(body, 0),
    dport: read16(body, 2),
    hasUdpChecksum: checksum !== 0,
    isUdpChecksumRight: checksum === 0 || onesSum(join(src, dst, u32(length), 0, 0, 0, 17), body) === 0xffff,
    payload: body.slice(8),
    isLengthRight: length === body.length,
  };
}

export function readTunnelFrame(f: Uint8Array): ReadPacket {
  const isV6 = read16(f, 12) === 0x86dd;
  if (!isV6 && (read16(f, 12) !== 0x0800 || f[14] !== 0x45))
    throw new Error(`no IP: ${Buffer.from(f).toString('hex')}`);
  const [srcAt, bytes, headerLen] = isV6 ? [22, 16, 40] : [26, 4, 20];
  const src = f.slice(srcAt, srcAt + bytes);
  const dst = f.slice(srcAt + bytes, srcAt + 2 * bytes);
  const body = f.slice(14 + headerLen);
  const protocol = isV6 ? f[20] : f[23];
  const text = (a: Uint8Array) => (isV6 ? v6Text(a) : Array.from(a).join('.'));
  const isIpLengthRight = isV6 ? read16(f, 18) === body.length : read16(f, 16) === f.length - 14;
  const none = {
    sport: 0,
    dport: 0,
    hasUdpChecksum: false,
    isUdpChecksumRight: true,
    payload: body,
    isLengthRight: true,
  };
  const udp = protocol === 17 ? readUdp(src, dst, body) : none;
  return {
    dstMac: macText(f.slice(0, 6)),
    srcMac: macText(f.slice(6, 12)),
    src: text(src),
    dst: text(dst),
    tos: isV6 ? Math.floor(read16(f, 14) / 16) % 256 : f[15],
    ttl: isV6 ? f[21] : f[22],
    id: isV6 ? 0 : read16(f, 18),
    fragment: isV6 ? 0x4000 : read16(f, 20),
    flowLabel: isV6 ? read32(f, 14) % 2 ** 20 : 0,
    protocol,
    isIpChecksumRight: isV6 || onesSum(f.slice(14, 34)) === 0xffff,
    ...udp,
    isLengthRight: isIpLengthRight && udp.isLengthRight,
  };
}
