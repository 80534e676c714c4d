/**
 * TCP, UDP, ICMP and ICMPv6.
 */
import * as Geneve from '../../wire/geneve.js';
import * as Gue from '../../wire/gue.js';
import * as Icmp from '../../wire/icmp.js';
import * as Icmpv6 from '../../wire/icmpv6.js';
import * as Tcp from '../../wire/tcp.js';
import * as Udp from '../../wire/udp.js';
import * as Vxlan from '../../wire/vxlan.js';
import { goOn, type Next, type Packet, type Protocol } from './packet.js';

const PORT_FLANNEL_UDP = 8285;

/** Tunnels by their destination port: the assigned ones, and those that Linux and flannel took before. */
const PORTS: Readonly<Record<number, Protocol>> = {
  [Vxlan.PORT]: 'vxlan',
  [Vxlan.PORT_LINUX]: 'vxlan',
  [Vxlan.PORT_GPE]: 'vxlan-gpe',
  [Geneve.PORT]: 'geneve',
  [Gue.PORT]: 'gue',
  [PORT_FLANNEL_UDP]: 'raw-ip',
};

const TCP_FLAGS: readonly [bit: number, word: string][] = [
  [Tcp.FIN, 'FIN'],
  [Tcp.SYN, 'SYN'],
  [Tcp.RST, 'RST'],
  [Tcp.PSH, 'PSH'],
  [Tcp.ACK, 'ACK'],
  [Tcp.URG, 'URG'],
  [Tcp.ECE, 'ECE'],
  [Tcp.CWR, 'CWR'],
];

export function udp(packet: Packet, at: number, end: number): Next {
  if (end - at < Udp.HEADER_BYTES) return packet.cut('udp', Udp.HEADER_BYTES, at, end);
  packet.layer('udp');
  packet.number('udp.srcport', at + Udp.SRC_PORT_OFF, 2);
  const port = packet.number('udp.dstport', at + Udp.DST_PORT_OFF, 2);
  const length = packet.number('udp.length', at + Udp.LENGTH_OFF, 2);
  packet.hex('udp.checksum', at + Udp.CHECKSUM_OFF, 2);
  const there = end - at;
  if (length > there) packet.notes.push(`udp: ${length} bytes by its length, ${there} there`);
  const dataEnd = at + (length >= Udp.HEADER_BYTES && length <= there ? length : there);
  if (dataEnd < end) packet.run('udp.trailer', dataEnd, end - dataEnd);
  return goOn(PORTS[port] ?? 'data', Udp.payloadAt(at), dataEnd);
}

export function tcp(packet: Packet, at: number, end: number): Next {
  if (end - at < Tcp.HEADER_BYTES) return packet.cut('tcp', Tcp.HEADER_BYTES, at, end);
  const { bytes } = packet;
  const header = Tcp.headerBytes(bytes, at);
  packet.layer('tcp');
  packet.number('tcp.srcport', at + Tcp.SRC_PORT_OFF, 2);
  packet.number('tcp.dstport', at + Tcp.DST_PORT_OFF, 2);
  packet.number('tcp.seq_raw', at + Tcp.SEQUENCE_OFF, 4);
  packet.number('tcp.ack_raw', at + Tcp.ACKNOWLEDGEMENT_OFF, 4);
  packet.field('tcp.hdr_len', at + Tcp.DATA_OFFSET_OFF, 1, String(header), 0xf0);
  const flags = packet.integer(at + Tcp.DATA_OFFSET_OFF, 2, 0x0fff);
  const words = TCP_FLAGS.filter(([bit]) => (flags & bit) !== 0).map(([, word]) => word);
  const text = `0x${flags.toString(16).padStart(3, '0')}${words.length > 0 ? ` (${words.join(' ')})` : ''}`;
  packet.field('tcp.flags', at + Tcp.DATA_OFFSET_OFF, 2, text, 0x0fff);
  packet.number('tcp.window_size_value', at + Tcp.WINDOW_OFF, 2);
  packet.hex('tcp.checksum', at + Tcp.CHECKSUM_OFF, 2);
  packet.number('tcp.urgent_pointer', at + Tcp.URGENT_OFF, 2);
  if (header < Tcp.HEADER_BYTES || header > end - at) {
    packet.notes.push(`tcp: header of ${header} bytes by its length, ${end - at} there`);
    return goOn('data', at + Tcp.HEADER_BYTES, end);
  }
  packet.run('tcp.options', at + Tcp.HEADER_BYTES, header - Tcp.HEADER_BYTES);
  return goOn('data', at + header, end);
}

const ICMP_TYPES: Readonly<Record<number, string>> = {
  [Icmp.ECHO_REPLY]: 'echo reply',
  [Icmp.UNREACHABLE]: 'unreachable',
  [Icmp.REDIRECT]: 'redirect',
  [Icmp.ECHO_REQUEST]: 'echo request',
  [Icmp.TIME_EXCEEDED]: 'time exceeded',
  [Icmp.PARAMETER_PROBLEM]: 'parameter problem',
};

export function icmp(packet: Packet, at: number, end: number): Next {
  if (end - at < Icmp.HEADER_BYTES) return packet.cut('icmp', Icmp.HEADER_BYTES, at, end);
  packet.layer('icmp');
  const type = packet.number('icmp.type', at, 1, ICMP_TYPES);
  const code = packet.number('icmp.code', at + Icmp.CODE_OFF, 1);
  packet.hex('icmp.checksum', at + Icmp.CHECKSUM_OFF, 2);
  if (type === Icmp.ECHO_REQUEST || type === Icmp.ECHO_REPLY) {
    packet.number('icmp.ident', at + Icmp.IDENTIFIER_OFF, 2);
    packet.number('icmp.seq', at + Icmp.SEQUENCE_OFF, 2);
  } else if (type === Icmp.UNREACHABLE && code === Icmp.CODE_FRAGMENTATION_NEEDED) {
    packet.run('icmp.unused', at + 4, 2);
    packet.number('icmp.mtu', at + Icmp.MTU_OFF, 2);
  } else packet.run('icmp.unused', at + 4, 4);
  return goOn('data', at + Icmp.HEADER_BYTES, end);
}

const ICMPV6_TYPES: Readonly<Record<number, string>> = {
  [Icmpv6.UNREACHABLE]: 'unreachable',
  [Icmpv6.PACKET_TOO_BIG]: 'packet too big',
  [Icmpv6.TIME_EXCEEDED]: 'time exceeded',
  [Icmpv6.PARAMETER_PROBLEM]: 'parameter problem',
  [Icmpv6.ECHO_REQUEST]: 'echo request',
  [Icmpv6.ECHO_REPLY]: 'echo reply',
  [Icmpv6.ROUTER_SOLICITATION]: 'router solicitation',
  [Icmpv6.ROUTER_ADVERTISEMENT]: 'router advertisement',
  [Icmpv6.NEIGHBOUR_SOLICITATION]: 'neighbour solicitation',
  [Icmpv6.NEIGHBOUR_ADVERTISEMENT]: 'neighbour advertisement',
  [Icmpv6.REDIRECT]: 'redirect',
};

export function icmpv6(packet: Packet, at: number, end: number): Next {
  if (end - at < Icmpv6.HEADER_BYTES) return packet.cut('icmpv6', Icmpv6.HEADER_BYTES, at, end);
  packet.layer('icmpv6');
  const type = packet.number('icmpv6.type', at, 1, ICMPV6_TYPES);
  packet.number('icmpv6.code', at + Icmpv6.CODE_OFF, 1);
  packet.hex('icmpv6.checksum', at + Icmpv6.CHECKSUM_OFF, 2);
  let dataAt = at + Icmpv6.HEADER_BYTES;
  if (type === Icmpv6.ECHO_REQUEST || type === Icmpv6.ECHO_REPLY) {
    packet.number('icmpv6.echo.identifier', at + Icmpv6.BODY_OFF, 2);
    packet.number('icmpv6.echo.sequence_number', at + Icmpv6.BODY_OFF + 2, 2);
  } else if (type === Icmpv6.PACKET_TOO_BIG) packet.number('icmpv6.mtu', at + Icmpv6.BODY_OFF, 4);
  else if (Icmpv6.isNeighbour(packet.bytes, at) && end - at >= Icmpv6.NEIGHBOUR_BYTES) {
    const nd = type === Icmpv6.NEIGHBOUR_SOLICITATION ? 'ns' : 'na';
    if (nd === 'na') packet.hex('icmpv6.nd.na.flag', at + Icmpv6.BODY_OFF, 4);
    else packet.run('icmpv6.reserved', at + Icmpv6.BODY_OFF, 4);
    packet.ipv6(`icmpv6.nd.${nd}.target_address`, at + Icmpv6.TARGET_OFF);
    dataAt = at + Icmpv6.NEIGHBOUR_BYTES;
  } else packet.run('icmpv6.reserved', at + Icmpv6.BODY_OFF, 4);
  return goOn('data', dataAt, end);
}
