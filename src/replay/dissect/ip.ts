/**
 * IPv4 and IPv6 with its extension headers.
 */
import * as Ipv4 from '../../wire/ipv4.js';
import * as Ipv6 from '../../wire/ipv6.js';
import { goOn, type Next, type Packet, type Protocol } from './packet.js';

export const IP_PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMP',
  4: 'IPv4',
  6: 'TCP',
  17: 'UDP',
  41: 'IPv6',
  47: 'GRE',
  58: 'ICMPv6',
};

const NEXT: Readonly<Record<number, Protocol>> = {
  1: 'icmp',
  4: 'ip',
  6: 'tcp',
  17: 'udp',
  41: 'ipv6',
  47: 'gre',
  58: 'icmpv6',
};

/** What an IP protocol number says. */
export function protocolOfNumber(number: number): Protocol {
  return NEXT[number] ?? 'data';
}

export function ip(packet: Packet, at: number, end: number): Next {
  const { bytes } = packet;
  if (end - at < Ipv4.HEADER_BYTES) return packet.cut('ip', Ipv4.HEADER_BYTES, at, end);
  const header = Ipv4.headerBytes(bytes, at);
  if (bytes[at] >>> 4 !== 4 || header < Ipv4.HEADER_BYTES || header > end - at) {
    packet.notes.push(`ip: no IPv4 header at byte ${at}`);
    return goOn('data', at, end);
  }
  packet.layer('ip');
  packet.number('ip.version', at, 1, {}, 0xf0);
  packet.field('ip.hdr_len', at, 1, String(header), 0x0f);
  packet.number('ip.dsfield.dscp', at + Ipv4.TOS_OFF, 1, {}, 0xfc);
  packet.number('ip.dsfield.ecn', at + Ipv4.TOS_OFF, 1, {}, 0x03);
  const total = packet.number('ip.len', at + Ipv4.TOTAL_LENGTH_OFF, 2);
  packet.hex('ip.id', at + Ipv4.IDENTIFICATION_OFF, 2);
  packet.number('ip.flags.rb', at + Ipv4.FRAGMENT_OFF, 2, {}, 0x8000);
  packet.number('ip.flags.df', at + Ipv4.FRAGMENT_OFF, 2, {}, Ipv4.DONT_FRAGMENT);
  packet.number('ip.flags.mf', at + Ipv4.FRAGMENT_OFF, 2, {}, Ipv4.MORE_FRAGMENTS);
  packet.field('ip.frag_offset', at + Ipv4.FRAGMENT_OFF, 2, String(Ipv4.fragmentOffsetBytes(bytes, at)), 0x1fff);
  packet.number('ip.ttl', at + Ipv4.TTL_OFF, 1);
  const protocol = packet.number('ip.proto', at + Ipv4.PROTOCOL_OFF, 1, IP_PROTOCOLS);
  packet.hex('ip.checksum', at + Ipv4.CHECKSUM_OFF, 2);
  packet.ipv4('ip.src', at + Ipv4.SRC_OFF);
  packet.ipv4('ip.dst', at + Ipv4.DST_OFF);
  packet.run('ip.options', at + Ipv4.HEADER_BYTES, header - Ipv4.HEADER_BYTES);
  if (total > end - at) packet.notes.push(`ip: ${total} bytes by its length, ${end - at} there`);
  const packetEnd = at + (total >= header && total <= end - at ? total : end - at);
  trailer(packet, packetEnd, end);
  return goOn(Ipv4.isLaterFragment(bytes, at) ? 'data' : protocolOfNumber(protocol), at + header, packetEnd);
}

export function ipv6(packet: Packet, at: number, end: number): Next {
  const { bytes } = packet;
  if (end - at < Ipv6.HEADER_BYTES) return packet.cut('ipv6', Ipv6.HEADER_BYTES, at, end);
  if (bytes[at] >>> 4 !== 6) {
    packet.notes.push(`ipv6: no IPv6 header at byte ${at}`);
    return goOn('data', at, end);
  }
  packet.layer('ipv6');
  packet.number('ipv6.version', at, 1, {}, 0xf0);
  packet.number('ipv6.tclass.dscp', at, 2, {}, 0x0fc0);
  packet.number('ipv6.tclass.ecn', at, 2, {}, 0x0030);
  packet.hex('ipv6.flow', at + 1, 3, {}, 0x0f_ffff);
  const payload = packet.number('ipv6.plen', at + Ipv6.PAYLOAD_LENGTH_OFF, 2);
  const next = packet.number('ipv6.nxt', at + Ipv6.NEXT_HEADER_OFF, 1, IP_PROTOCOLS);
  packet.number('ipv6.hlim', at + Ipv6.HOP_LIMIT_OFF, 1);
  packet.ipv6('ipv6.src', at + Ipv6.SRC_OFF);
  packet.ipv6('ipv6.dst', at + Ipv6.DST_OFF);
  const there = end - at - Ipv6.HEADER_BYTES;
  if (payload > there) packet.notes.push(`ipv6: payload of ${payload} bytes by its length, ${there} there`);
  const packetEnd = at + Ipv6.HEADER_BYTES + Math.min(payload, there);
  trailer(packet, packetEnd, end);
  return extensions(packet, next, at + Ipv6.HEADER_BYTES, packetEnd);
}

/** A frame goes on behind its packet: padding. Only of the outermost packet; inner ones fill what holds them. */
function trailer(packet: Packet, packetEnd: number, end: number): void {
  if (packetEnd < end) packet.run('eth.trailer', packetEnd, end - packetEnd);
}

const EXTENSION_NAMES: Readonly<Record<number, string>> = {
  [Ipv6.NEXT_HOP_BY_HOP]: 'hopopts',
  [Ipv6.NEXT_ROUTING]: 'routing',
  [Ipv6.NEXT_FRAGMENT]: 'fraghdr',
  [Ipv6.NEXT_AUTHENTICATION]: 'ah',
  [Ipv6.NEXT_DESTINATION]: 'dstopts',
  [Ipv6.NEXT_MOBILITY]: 'mobility',
};

function extensions(packet: Packet, first: number, from: number, end: number): Next {
  let next = first;
  let at = from;
  while (EXTENSION_NAMES[next] !== undefined && at < end) {
    const name = `ipv6.${EXTENSION_NAMES[next]}`;
    const len = end - at < 8 ? 8 : extensionBytes(packet, at, next);
    if (len > end - at) return packet.cut(name, len, at, end);
    const isFragment = next === Ipv6.NEXT_FRAGMENT;
    next = packet.number(`${name}.nxt`, at, 1, IP_PROTOCOLS);
    if (isFragment) fragment(packet, at);
    else {
      packet.number(`${name}.len`, at + 1, 1);
      packet.run(`${name}.data`, at + 2, len - 2);
    }
    const isLater = isFragment && Ipv6.fragmentOffsetBytes(packet.bytes, at) !== 0;
    at += len;
    if (isLater) return goOn('data', at, end);
  }
  return goOn(protocolOfNumber(next), at, end);
}

function extensionBytes(packet: Packet, at: number, number: number): number {
  if (number === Ipv6.NEXT_FRAGMENT) return Ipv6.FRAGMENT_BYTES;
  const len = packet.bytes[at + 1];
  // RFC 4302 counts words of 4 bytes, less 2; all others words of 8, less 1.
  return number === Ipv6.NEXT_AUTHENTICATION ? (len + 2) * 4 : (len + 1) * 8;
}

function fragment(packet: Packet, at: number): void {
  packet.hex('ipv6.fraghdr.reserved_octet', at + 1, 1);
  packet.field('ipv6.fraghdr.offset', at + 2, 2, String(Ipv6.fragmentOffsetBytes(packet.bytes, at)), 0xfff8);
  packet.number('ipv6.fraghdr.reserved_bits', at + 2, 2, {}, 0x0006);
  packet.number('ipv6.fraghdr.more', at + 2, 2, {}, 0x0001);
  packet.hex('ipv6.fraghdr.ident', at + 4, 4);
}
