/**
 * The headers of tunnels: VXLAN with GBP and GPE, Geneve with its options, GRE, GUE, and bare IP.
 */
import * as Geneve from '../../wire/geneve.js';
import * as Gre from '../../wire/gre.js';
import * as Gue from '../../wire/gue.js';
import * as Vxlan from '../../wire/vxlan.js';
import { IP_PROTOCOLS, protocolOfNumber } from './ip.js';
import { ETHER_TYPES, protocolOf } from './link.js';
import { goOn, type Next, type Packet, type Protocol, runText } from './packet.js';

/** Routing of RFC 1701, and versions other than 0: what follows is something else. */
const GRE_OTHER = 0x4007;

/** RFC 7348; the 16 bits behind the flags are the group of GBP (draft-smith-vxlan-group-policy). */
export function vxlan(packet: Packet, at: number, end: number): Next {
  if (end - at < Vxlan.HEADER_BYTES) return packet.cut('vxlan', Vxlan.HEADER_BYTES, at, end);
  // Linux sends GPE to any port. The P bit says that a protocol number is there; plain VXLAN leaves it zero.
  if ((packet.bytes[at] & Vxlan.FLAG_NEXT_PROTOCOL) !== 0) return vxlanGpe(packet, at, end);
  packet.layer('vxlan');
  packet.hex('vxlan.flags', at, 2);
  packet.number('vxlan.gbp', at + 2, 2);
  identifier(packet, 'vxlan', at + Vxlan.VNI_OFF);
  return goOn('eth', at + Vxlan.HEADER_BYTES, end);
}

const GPE_PROTOCOLS: Readonly<Record<number, string>> = { 1: 'IPv4', 2: 'IPv6', 3: 'Ethernet', 4: 'NSH', 5: 'MPLS' };
const GPE_NEXT: Readonly<Record<number, Protocol>> = { 1: 'ip', 2: 'ipv6', 3: 'eth' };

/** draft-ietf-nvo3-vxlan-gpe. */
export function vxlanGpe(packet: Packet, at: number, end: number): Next {
  if (end - at < Vxlan.HEADER_BYTES) return packet.cut('vxlan', Vxlan.HEADER_BYTES, at, end);
  packet.layer('vxlan');
  packet.hex('vxlan.flags', at, 1);
  packet.hex('vxlan.reserved_16', at + 1, 2);
  const next = packet.number('vxlan.next_proto', at + 3, 1, GPE_PROTOCOLS);
  identifier(packet, 'vxlan', at + Vxlan.VNI_OFF);
  return goOn(GPE_NEXT[next] ?? 'data', at + Vxlan.HEADER_BYTES, end);
}

/** 24 bits of network and 8 reserved ones. */
function identifier(packet: Packet, layer: 'vxlan' | 'geneve', at: number): void {
  packet.number(`${layer}.vni`, at, 3);
  packet.hex(layer === 'vxlan' ? 'vxlan.reserved8' : 'geneve.reserved', at + 3, 1);
}

/** RFC 8926 section 3.4. */
export function geneve(packet: Packet, at: number, end: number): Next {
  if (end - at < Geneve.HEADER_BYTES) return packet.cut('geneve', Geneve.HEADER_BYTES, at, end);
  packet.layer('geneve');
  const version = packet.number('geneve.version', at, 1, {}, 0xc0);
  const optionsLen = packet.integer(at, 1, 0x3f) * 4;
  packet.field('geneve.option.length', at, 1, String(optionsLen), 0x3f);
  packet.number('geneve.flags.oam', at + 1, 1, {}, 0x80);
  packet.number('geneve.flags.critical', at + 1, 1, {}, 0x40);
  packet.hex('geneve.flags.reserved', at + 1, 1, {}, 0x3f);
  const type = packet.hex('geneve.proto_type', at + 2, 2, ETHER_TYPES);
  identifier(packet, 'geneve', at + 4);
  const optionsAt = at + Geneve.HEADER_BYTES;
  if (version !== 0) return goOn('data', optionsAt, end);
  if (optionsLen > end - optionsAt) return packet.cut('geneve.option', optionsLen, optionsAt, end);
  geneveOptions(packet, optionsAt, optionsAt + optionsLen);
  return goOn(protocolOf(type), optionsAt + optionsLen, end);
}

/** One field an option, named `geneve.option`: options come and go as wholes. */
function geneveOptions(packet: Packet, from: number, end: number): void {
  let at = from;
  while (at < end) {
    const dataLen = end - at < 4 ? 0 : packet.integer(at + 3, 1, 0x1f) * 4;
    if (end - at < 4 + dataLen) {
      packet.notes.push(`geneve: option at byte ${at} is longer than the options`);
      packet.run('geneve.option', at, end - at);
      return;
    }
    const number = (off: number, len: number) => packet.integer(at + off, len).toString(16);
    const data = runText(packet.bytes, at + 4, dataLen).replaceAll(' ', '');
    const text = `class 0x${number(0, 2).padStart(4, '0')} type 0x${number(2, 1).padStart(2, '0')} data ${data || '-'}`;
    packet.field('geneve.option', at, 4 + dataLen, text);
    at += 4 + dataLen;
  }
}

/** RFC 2784, RFC 2890. */
export function gre(packet: Packet, at: number, end: number): Next {
  if (end - at < Gre.HEADER_BYTES) return packet.cut('gre', Gre.HEADER_BYTES, at, end);
  packet.layer('gre');
  const flags = packet.hex('gre.flags_and_version', at, 2);
  const type = packet.hex('gre.proto', at + 2, 2, ETHER_TYPES);
  let position = at + Gre.HEADER_BYTES;
  if ((flags & GRE_OTHER) !== 0) return goOn('data', position, end);
  const rest = Gre.headerBytes(flags) - Gre.HEADER_BYTES;
  if (end - position < rest) return packet.cut('gre', rest, position, end);
  if ((flags & Gre.FLAG_CHECKSUM) !== 0) {
    packet.hex('gre.checksum', position, 2);
    packet.number('gre.offset', position + 2, 2);
    position += 4;
  }
  if ((flags & Gre.FLAG_KEY) !== 0) {
    packet.number('gre.key', position, 4);
    position += 4;
  }
  if ((flags & Gre.FLAG_SEQUENCE) !== 0) {
    packet.number('gre.sequence_number', position, 4);
    position += 4;
  }
  return goOn(protocolOf(type), position, end);
}

/** draft-ietf-intarea-gue. Version 1 is a bare IP packet. */
export function gue(packet: Packet, at: number, end: number): Next {
  if (end - at < Gue.HEADER_BYTES) return packet.cut('gue', Gue.HEADER_BYTES, at, end);
  if (packet.bytes[at] >>> 6 === 1) return rawIp(packet, at, end);
  packet.layer('gue');
  const version = packet.number('gue.version', at, 1, {}, 0xc0);
  const control = packet.number('gue.control', at, 1, {}, 0x20);
  const extra = packet.integer(at, 1, 0x1f) * 4;
  packet.field('gue.hdr_len', at, 1, String(extra), 0x1f);
  const next = packet.number(control === 0 ? 'gue.proto' : 'gue.ctype', at + 1, 1, control === 0 ? IP_PROTOCOLS : {});
  packet.hex('gue.flags', at + 2, 2);
  if (extra > end - at - Gue.HEADER_BYTES) return packet.cut('gue', extra, at + Gue.HEADER_BYTES, end);
  packet.run('gue.options', at + Gue.HEADER_BYTES, extra);
  const isKnown = version === 0 && control === 0;
  return goOn(isKnown ? protocolOfNumber(next) : 'data', at + Gue.HEADER_BYTES + extra, end);
}

/** An IP packet, of the version that it says. */
export function rawIp(packet: Packet, at: number, end: number): Next {
  const version = packet.bytes[at] >>> 4;
  return goOn(version === 4 ? 'ip' : version === 6 ? 'ipv6' : 'data', at, end);
}
