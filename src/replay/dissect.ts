/**
 * Takes a packet apart for people: layers from the outside in, tunnels included, each with its fields. Bytes that no field names are
 * `data`. Never throws: what is cut off or wrong becomes a note, and the rest of it data. Not for the walk: it allocates at will.
 */

import * as Ip from './dissect/ip.js';
import * as Link from './dissect/link.js';
import { goOn, type Layer, type Next, Packet, type Protocol } from './dissect/packet.js';
import * as Transport from './dissect/transport.js';
import * as Tunnels from './dissect/tunnels.js';

export type { Field, Layer } from './dissect/packet.js';

export interface Dissection {
  readonly layers: readonly Layer[];
  /** What is wrong with the packet, a sentence each. */
  readonly notes: readonly string[];
}

/** More than any real packet has; a packet of nothing but headers ends here. */
const LAYERS_MAX = 32;

const DISSECTORS: Readonly<Record<Protocol, (packet: Packet, at: number, end: number) => Next>> = {
  eth: Link.eth,
  vlan: Link.vlan,
  arp: Link.arp,
  ip: Ip.ip,
  ipv6: Ip.ipv6,
  icmp: Transport.icmp,
  icmpv6: Transport.icmpv6,
  tcp: Transport.tcp,
  udp: Transport.udp,
  vxlan: Tunnels.vxlan,
  'vxlan-gpe': Tunnels.vxlanGpe,
  geneve: Tunnels.geneve,
  gre: Tunnels.gre,
  gue: Tunnels.gue,
  'raw-ip': Tunnels.rawIp,
  data,
};

/** Link types of capture files (tcpdump.org/linktypes.html) that hold a known protocol. */
const LINK_TYPES: Readonly<Record<number, Protocol>> = {
  1: 'eth',
  12: 'raw-ip',
  101: 'raw-ip',
  228: 'ip',
  229: 'ipv6',
};

/** Without `values`, fields have empty texts, which is several times as fast. */
export function dissect(bytes: Uint8Array, linkType: number, { values = true } = {}): Dissection {
  const packet = new Packet(bytes, values);
  let next = goOn(LINK_TYPES[linkType] ?? 'data', 0, bytes.length);
  while (next !== null) {
    const { protocol, at, end } = next;
    const isDeep = packet.layers.length >= LAYERS_MAX;
    if (isDeep && protocol !== 'data') packet.notes.push(`more than ${LAYERS_MAX} layers`);
    next = DISSECTORS[isDeep ? 'data' : protocol](packet, at, end);
  }
  return packet;
}

function data(packet: Packet, at: number, end: number): Next {
  packet.layer('data');
  packet.run('data', at, end - at);
  return null;
}

/** `eth ip udp vxlan eth ip icmp, 10.0.0.1 > 10.0.0.2`: the addresses are those of the innermost packet. */
export function summary({ layers }: Dissection): string {
  const path = layers
    .map((layer) => layer.name)
    .filter((name) => name !== 'data')
    .join(' ');
  const innermost = (...ends: string[]) => {
    const fields = layers.flatMap((layer) => layer.fields);
    return fields.findLast(({ name }) => ends.some((end) => name === end || name.startsWith(`${end}#`)))?.value;
  };
  const src = innermost('ip.src', 'ipv6.src') ?? innermost('eth.src');
  const dst = innermost('ip.dst', 'ipv6.dst') ?? innermost('eth.dst');
  return src === undefined ? path || 'data' : `${path}, ${src} > ${dst}`;
}
