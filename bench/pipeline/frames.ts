import * as Checksum from '../../dist/wire/checksum.js';
import * as Ethernet from '../../dist/wire/ethernet.js';
import * as Ipv4 from '../../dist/wire/ipv4.js';
import * as Tcp from '../../dist/wire/tcp.js';
import * as Udp from '../../dist/wire/udp.js';
import * as Vxlan from '../../dist/wire/vxlan.js';

/** Numbers that are the same in every run (mulberry32). */
export function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

export type Transport = 'udp' | 'tcp';

/** One flow between two stations, each a number below 65536. */
export interface Flow {
  src: number;
  dst: number;
  srcPort: number;
  dstPort: number;
  transport: Transport;
}

/** Locally administered addresses with a random-looking tail: neighbours in number are not neighbours in a hash table. */
export function stationMac(station: number): Uint8Array {
  const tail = Math.imul(station + 1, 0x9e3779b1) >>> 8;
  return Uint8Array.of(2, 0x5e, station >>> 8, (tail >>> 16) ^ station, tail >>> 8, tail);
}

const stationIp = (station: number) => (10 << 24) | (1 << 16) | station;
const IP = Ethernet.HEADER_BYTES;
const L4 = IP + Ipv4.HEADER_BYTES;

/** An inner frame of exactly `bytes` bytes (without FCS), IPv4 without options, its checksums right. */
export function innerFrame(flow: Flow, bytes: number): Uint8Array {
  const frame = new Uint8Array(bytes);
  const isTcp = flow.transport === 'tcp';
  const protocol = isTcp ? Ipv4.PROTOCOL_TCP : Ipv4.PROTOCOL_UDP;
  const l4Bytes = bytes - L4;
  for (let i = L4; i < bytes; i++) frame[i] = i * 7;
  Ethernet.write(frame, 0, stationMac(flow.dst), 0, stationMac(flow.src), 0, Ethernet.TYPE_IPV4);
  Ipv4.write(frame, IP, 0, bytes - IP, 1, Ipv4.DONT_FRAGMENT, 64, protocol, stationIp(flow.src), stationIp(flow.dst));
  const pseudo = Checksum.pseudoIpv4(frame, IP, protocol, l4Bytes);
  if (isTcp) {
    Tcp.write(frame, L4, flow.srcPort, flow.dstPort, 1, 1, Tcp.ACK, 500);
    Tcp.setChecksum(frame, L4, 0);
    Tcp.setChecksum(frame, L4, Checksum.finish(Checksum.sum(frame, L4, l4Bytes, pseudo)));
  } else {
    Udp.write(frame, L4, flow.srcPort, flow.dstPort, l4Bytes, 0);
    Udp.setChecksum(frame, L4, Checksum.finishUdp(Checksum.sum(frame, L4, l4Bytes, pseudo)));
  }
  return frame;
}

export interface OuterFields {
  dstMac: Uint8Array;
  srcMac: Uint8Array;
  /** Big-endian words. */
  src: number;
  dst: number;
  srcPort: number;
  vni: number;
  checksum: boolean;
}

export const OUTER_BYTES = L4 + Udp.HEADER_BYTES + Vxlan.HEADER_BYTES;

/** A whole VXLAN packet around an inner frame. */
export function outerFrame(inner: Uint8Array, f: OuterFields): Uint8Array {
  const frame = new Uint8Array(OUTER_BYTES + inner.length);
  const udpBytes = frame.length - L4;
  Ethernet.write(frame, 0, f.dstMac, 0, f.srcMac, 0, Ethernet.TYPE_IPV4);
  Ipv4.write(frame, IP, 0, frame.length - IP, 0, Ipv4.DONT_FRAGMENT, 64, Ipv4.PROTOCOL_UDP, f.src, f.dst);
  Udp.write(frame, L4, f.srcPort, Vxlan.PORT, udpBytes, 0);
  Vxlan.write(frame, L4 + Udp.HEADER_BYTES, f.vni);
  frame.set(inner, OUTER_BYTES);
  if (f.checksum) {
    const pseudo = Checksum.pseudoIpv4(frame, IP, Ipv4.PROTOCOL_UDP, udpBytes);
    Udp.setChecksum(frame, L4, Checksum.finishUdp(Checksum.sum(frame, L4, udpBytes, pseudo)));
  }
  return frame;
}
