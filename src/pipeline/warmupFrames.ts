import * as Arp from '../wire/arp.js';
import * as Checksum from '../wire/checksum.js';
import * as Ethernet from '../wire/ethernet.js';
import * as Heartbeat from '../wire/heartbeat.js';
import * as Icmpv6 from '../wire/icmpv6.js';
import * as Ipv4 from '../wire/ipv4.js';
import * as Ipv6 from '../wire/ipv6.js';
import * as Tcp from '../wire/tcp.js';
import * as Udp from '../wire/udp.js';
import * as Vxlan from '../wire/vxlan.js';

/** Synthetic frames for the warm-up: station n has the MAC 02:00:00:00:00:n and the address 10.0.0.n. Made with the byte-shaped writers of wire/. */
export interface FrameFields {
  src: number;
  dst: number;
  payload: number;
  tos?: number;
  seq?: number;
  srcPort?: number;
  /** Leaves the transport checksum at the pseudo header's sum, as a device with offloads hands it over. */
  unfinished?: boolean;
  fragment?: boolean;
  /** TCP: with SYN and an MSS. */
  syn?: boolean;
}

export const stationMac = (n: number) => Uint8Array.of(2, 0, 0, 0, 0, n);
const stationIp = (n: number) => (10 << 24) | n;
const stationIpv6 = (n: number) => Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n);
const IP = Ethernet.HEADER_BYTES;

function ethernet(bytes: number, f: { src: number; dst: number }, type: number): Uint8Array {
  const frame = new Uint8Array(IP + bytes);
  Ethernet.write(frame, 0, stationMac(f.dst), 0, stationMac(f.src), 0, type);
  for (let i = IP; i < frame.length; i++) frame[i] = i;
  return frame;
}

function ipv4(f: FrameFields, protocol: number, headerBytes: number): Uint8Array {
  const total = Ipv4.HEADER_BYTES + headerBytes + f.payload;
  const frame = ethernet(total, f, Ethernet.TYPE_IPV4);
  const fragment = f.fragment ? Ipv4.MORE_FRAGMENTS : Ipv4.DONT_FRAGMENT;
  Ipv4.write(frame, IP, f.tos ?? 0, total, 1, fragment, 64, protocol, stationIp(f.src), stationIp(f.dst));
  return frame;
}

/** An MSS of 65,535 in the first four bytes behind the TCP header, which are an option now. */
function writeMss(frame: Uint8Array, tcp: number): void {
  frame[tcp + 12] = 6 << 4;
  frame.set([2, 4, 255, 255], tcp + Tcp.HEADER_BYTES);
}

export function ipv4Tcp(f: FrameFields): Uint8Array {
  const frame = ipv4(f, Ipv4.PROTOCOL_TCP, Tcp.HEADER_BYTES);
  const at = IP + Ipv4.HEADER_BYTES;
  const bytes = frame.length - at;
  Tcp.write(frame, at, f.srcPort ?? 1000, 2000, f.seq ?? 0, 7, f.syn ? Tcp.SYN : Tcp.ACK, 500);
  if (f.syn) writeMss(frame, at);
  Tcp.setChecksum(frame, at, 0);
  const pseudo = Checksum.pseudoIpv4(frame, IP, Ipv4.PROTOCOL_TCP, bytes);
  Tcp.setChecksum(frame, at, f.unfinished ? pseudo : Checksum.finish(Checksum.sum(frame, at, bytes, pseudo)));
  return frame;
}

export function ipv4Udp(f: FrameFields): Uint8Array {
  const frame = ipv4(f, Ipv4.PROTOCOL_UDP, Udp.HEADER_BYTES);
  const at = IP + Ipv4.HEADER_BYTES;
  const bytes = frame.length - at;
  Udp.write(frame, at, 1000 + f.src, 2000, bytes, 0);
  const pseudo = Checksum.pseudoIpv4(frame, IP, Ipv4.PROTOCOL_UDP, bytes);
  Udp.setChecksum(frame, at, f.unfinished ? pseudo : Checksum.finishUdp(Checksum.sum(frame, at, bytes, pseudo)));
  return frame;
}

export function ipv6Tcp(f: FrameFields): Uint8Array {
  const tcpBytes = Tcp.HEADER_BYTES + f.payload;
  const frame = ethernet(Ipv6.HEADER_BYTES + tcpBytes, f, Ethernet.TYPE_IPV6);
  const at = IP + Ipv6.HEADER_BYTES;
  Ipv6.write(frame, IP, 0, 0, tcpBytes, Ipv6.NEXT_TCP, 64);
  Ipv6.setSrc(frame, IP, stationIpv6(f.src), 0);
  Ipv6.setDst(frame, IP, stationIpv6(f.dst), 0);
  Tcp.write(frame, at, 1000, 2000, f.seq ?? 0, 7, Tcp.ACK, 500);
  Tcp.setChecksum(frame, at, 0);
  const pseudo = Checksum.pseudoIpv6(frame, IP, Ipv6.NEXT_TCP, tcpBytes);
  Tcp.setChecksum(frame, at, f.unfinished ? pseudo : Checksum.finish(Checksum.sum(frame, at, tcpBytes, pseudo)));
  return frame;
}

/** By default for an address that nobody has. */
export function arpRequest(src: number, target = 77): Uint8Array {
  const frame = ethernet(Arp.PACKET_BYTES, { src, dst: 0 }, Ethernet.TYPE_ARP);
  frame.fill(0xff, 0, 6);
  Arp.write(frame, IP, Arp.REQUEST);
  Arp.setSender(frame, IP, stationMac(src), 0, stationIp(src));
  Arp.setTarget(frame, IP, stationMac(0), 0, stationIp(target));
  return frame;
}

/** Neighbour discovery to all nodes: `body`, the target, and an option with the sender's MAC. */
function neighbourDiscovery(src: number, target: number, type: number, body: number, option: number): Uint8Array {
  const bytes = Icmpv6.NEIGHBOUR_BYTES + 8;
  const frame = ethernet(Ipv6.HEADER_BYTES + bytes, { src, dst: 1 }, Ethernet.TYPE_IPV6);
  frame.set([0x33, 0x33, 0, 0, 0, 1]);
  const at = IP + Ipv6.HEADER_BYTES;
  Ipv6.write(frame, IP, 0, 0, bytes, Ipv6.NEXT_ICMPV6, 255);
  Ipv6.setSrc(frame, IP, stationIpv6(src), 0);
  Ipv6.setDst(frame, IP, Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), 0);
  Icmpv6.write(frame, at, type, 0, body);
  frame.set(stationIpv6(target), at + Icmpv6.TARGET_OFF);
  frame.set([option, 1, ...stationMac(src)], at + Icmpv6.NEIGHBOUR_OPTIONS_OFF);
  Icmpv6.writeChecksum(frame, IP, at, bytes);
  return frame;
}

export function neighbourSolicitation(src: number, target: number): Uint8Array {
  return neighbourDiscovery(src, target, Icmpv6.NEIGHBOUR_SOLICITATION, 0, Icmpv6.OPTION_SOURCE_LINK_LAYER);
}

export function neighbourAdvertisement(src: number): Uint8Array {
  const { NEIGHBOUR_ADVERTISEMENT, FLAG_OVERRIDE, OPTION_TARGET_LINK_LAYER } = Icmpv6;
  return neighbourDiscovery(src, src, NEIGHBOUR_ADVERTISEMENT, FLAG_OVERRIDE, OPTION_TARGET_LINK_LAYER);
}

/** Too short to be one that is kept. */
export function heartbeat(src: number): Uint8Array {
  const frame = ethernet(46, { src, dst: 0 }, Heartbeat.ETHER_TYPE);
  Heartbeat.writeFrameHeader(frame, 0, stationMac(src));
  return frame;
}

export function withTag(frame: Uint8Array): Uint8Array {
  const tagged = new Uint8Array(frame.length + Ethernet.TAG_BYTES);
  tagged.set(frame.subarray(0, 12), 0);
  Ethernet.writeTag(tagged, 12, Ethernet.TYPE_VLAN, 0, 7);
  tagged.set(frame.subarray(12), 12 + Ethernet.TAG_BYTES);
  return tagged;
}

/** Ethernet frames behind one VXLAN header each, one after the other, as UDP_GRO hands them over: only the last may be shorter. */
export function vxlan(vni: number, ...frames: Uint8Array[]): Uint8Array {
  const segment = frames[0].length + Vxlan.HEADER_BYTES;
  const last = frames[frames.length - 1].length + Vxlan.HEADER_BYTES;
  const bytes = new Uint8Array(segment * (frames.length - 1) + last);
  frames.forEach((frame, k) => {
    Vxlan.write(bytes, k * segment, vni);
    bytes.set(frame, k * segment + Vxlan.HEADER_BYTES);
  });
  return bytes;
}

/** A whole outer frame from one VTEP to another. */
export function outer(payload: Uint8Array, src: number, dst: number, tos: number): Uint8Array {
  const total = Ipv4.HEADER_BYTES + Udp.HEADER_BYTES + payload.length;
  const frame = ethernet(total, { src: 3, dst: 1 }, Ethernet.TYPE_IPV4);
  const at = IP + Ipv4.HEADER_BYTES;
  Ipv4.write(frame, IP, tos, total, 0, Ipv4.DONT_FRAGMENT, 64, Ipv4.PROTOCOL_UDP, src, dst);
  Udp.write(frame, at, 50000, Vxlan.PORT, total - Ipv4.HEADER_BYTES, 0);
  frame.set(payload, at + Udp.HEADER_BYTES);
  return frame;
}
