/**
 * Ethernet, VLAN tags and ARP.
 */
import * as Arp from '../../wire/arp.js';
import * as Ethernet from '../../wire/ethernet.js';
import { goOn, type Next, type Packet, type Protocol } from './packet.js';

export const TYPE_TEB = 0x6558;

export const ETHER_TYPES: Readonly<Record<number, string>> = {
  [Ethernet.TYPE_IPV4]: 'IPv4',
  [Ethernet.TYPE_ARP]: 'ARP',
  [Ethernet.TYPE_VLAN]: 'VLAN',
  [Ethernet.TYPE_QINQ]: 'QinQ',
  [Ethernet.TYPE_IPV6]: 'IPv6',
  [TYPE_TEB]: 'Ethernet',
};

export function eth(packet: Packet, at: number, end: number): Next {
  if (!Ethernet.check(packet.bytes, at, end)) return packet.cut('eth', Ethernet.HEADER_BYTES, at, end);
  packet.layer('eth');
  packet.mac('eth.dst', at + Ethernet.DST_OFF);
  packet.mac('eth.src', at + Ethernet.SRC_OFF);
  return typeOrLength(packet, 'eth', at + Ethernet.TYPE_OFF, end);
}

/** Between two EtherTypes: the control word, and the type of what follows. */
export function vlan(packet: Packet, at: number, end: number): Next {
  if (end - at < Ethernet.TAG_BYTES) return packet.cut('vlan', Ethernet.TAG_BYTES, at, end);
  packet.layer('vlan');
  packet.number('vlan.priority', at, 2, {}, 0xe000);
  packet.number('vlan.dei', at, 2, {}, 0x1000);
  packet.number('vlan.id', at, 2, {}, 0x0fff);
  return typeOrLength(packet, 'vlan', at + 2, end);
}

function typeOrLength(packet: Packet, layer: 'eth' | 'vlan', at: number, end: number): Next {
  const type = packet.integer(at, 2);
  if (type < Ethernet.TYPE_MIN) {
    packet.number(`${layer}.len`, at, 2);
    return goOn('data', at + 2, end);
  }
  packet.hex(layer === 'eth' ? 'eth.type' : 'vlan.etype', at, 2, ETHER_TYPES);
  return goOn(protocolOf(type), at + 2, end);
}

/** What an EtherType says. */
export function protocolOf(etherType: number): Protocol {
  switch (etherType) {
    case Ethernet.TYPE_IPV4:
      return 'ip';
    case Ethernet.TYPE_IPV6:
      return 'ipv6';
    case Ethernet.TYPE_ARP:
      return 'arp';
    case Ethernet.TYPE_VLAN:
    case Ethernet.TYPE_QINQ:
      return 'vlan';
    case TYPE_TEB:
      return 'eth';
    default:
      return 'data';
  }
}

export function arp(packet: Packet, at: number, end: number): Next {
  if (end - at < Arp.PACKET_BYTES) return packet.cut('arp', Arp.PACKET_BYTES, at, end);
  packet.layer('arp');
  packet.number('arp.hw.type', at, 2);
  packet.hex('arp.proto.type', at + 2, 2, ETHER_TYPES);
  packet.number('arp.hw.size', at + 4, 1);
  packet.number('arp.proto.size', at + 5, 1);
  packet.number('arp.opcode', at + Arp.OPERATION_OFF, 2, { [Arp.REQUEST]: 'request', [Arp.REPLY]: 'reply' });
  packet.mac('arp.src.hw_mac', at + Arp.SENDER_MAC_OFF);
  packet.ipv4('arp.src.proto_ipv4', at + Arp.SENDER_IP_OFF);
  packet.mac('arp.dst.hw_mac', at + Arp.TARGET_MAC_OFF);
  packet.ipv4('arp.dst.proto_ipv4', at + Arp.TARGET_IP_OFF);
  if (at + Arp.PACKET_BYTES < end) packet.run('eth.trailer', at + Arp.PACKET_BYTES, end - at - Arp.PACKET_BYTES);
  return null;
}
