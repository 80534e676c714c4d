import { PAYLOAD_ETHERNET } from '../packet/burst.js';
import { moduleOf } from '../tunnel/modules.js';
import type { TunnelPlan } from '../tunnel/tunnel.js';
import { writeMac } from '../underlay/nextHops.js';
import {
  isKernelTemplate,
  TEMPLATE_END,
  TEMPLATE_ROWS,
  TEMPLATE_WORDS,
  type TemplateFields,
  WORD_LEN,
  writeTemplate,
} from '../underlay/template.js';
import * as Address from '../wire/address.js';
import * as Ethernet from '../wire/ethernet.js';
import * as Ipv4 from '../wire/ipv4.js';
import type { NetworkPlan, PeerPlan, Plan, UnderlayPlan } from './plan.js';
import type { Tables } from './tables.js';

/**
 * From plan to header templates: everything that stands in front of a packet to a peer and does not differ from packet to packet, for inner IPv4
 * and for inner IPv6.
 */

const NO_MAC = new Uint8Array(6);
const ETHER_TYPES = [Ethernet.TYPE_IPV4, Ethernet.TYPE_IPV6];

const macOf = (text: string | null | undefined) => (text ? (Ethernet.macFromText(text) ?? NO_MAC) : NO_MAC);

/** IP protocol of the outer packet. */
function protocolOf(tunnel: TunnelPlan, innerType: number): number {
  if (tunnel.kind === 'gre') return Ipv4.PROTOCOL_GRE;
  if (tunnel.kind === 'ipip') return innerType === Ethernet.TYPE_IPV6 ? Ipv4.PROTOCOL_IPV6 : Ipv4.PROTOCOL_IPV4;
  return Ipv4.PROTOCOL_UDP;
}

/** The tunnel's header, and the inner Ethernet header of an L3 network whose tunnel carries frames. */
function tunnelBytes(network: NetworkPlan, peer: PeerPlan, innerType: number): Uint8Array {
  const { tunnel } = network;
  const module = moduleOf(tunnel.kind);
  const carriesFrames = tunnel.payload === 'ethernet';
  const headerLen = module.headerLen(tunnel);
  const isRouted = carriesFrames && network.mode === 'l3';
  const bytes = new Uint8Array(headerLen + (isRouted ? Ethernet.HEADER_BYTES : 0));
  module.writeHeader(bytes, 0, tunnel, carriesFrames ? PAYLOAD_ETHERNET : innerType);
  if (isRouted) Ethernet.write(bytes, headerLen, macOf(peer.mac), 0, macOf(network.vtepMac), 0, innerType);
  return bytes;
}

function fieldsOf(underlay: UnderlayPlan, network: NetworkPlan, peer: PeerPlan, innerType: number): TemplateFields {
  const { tunnel } = network;
  const module = moduleOf(tunnel.kind);
  const fields: TemplateFields = {
    link: null,
    ip: null,
    udpPort: 0,
    udpChecksum: underlay.checksum,
    tunnel: tunnelBytes(network, peer, innerType),
    checksumOff: module.checksumOff(tunnel),
    sequenceOff: module.sequenceOff(tunnel),
  };
  if (underlay.frame === null) return fields;
  const { mac, neighbours } = underlay.frame;
  const link = { dstMac: macOf(neighbours[peer.via ?? peer.address]), srcMac: macOf(mac) };
  if (peer.direct)
    return {
      ...fields,
      tunnel: new Uint8Array(0),
      checksumOff: -1,
      sequenceOff: -1,
      link: { ...link, type: innerType },
    };
  const src = Address.fromText(underlay.address) as Uint8Array;
  const dst = Address.fromText(peer.address) as Uint8Array;
  return {
    ...fields,
    link: { ...link, type: src.length === 4 ? Ethernet.TYPE_IPV4 : Ethernet.TYPE_IPV6 },
    ip: {
      src,
      dst,
      tos: underlay.dscp < 0 ? 0 : underlay.dscp << 2,
      ttl: underlay.ttl,
      protocol: protocolOf(tunnel, innerType),
    },
    udpPort: tunnel.udpPort === 0 ? 0 : peer.udpPort,
  };
}

/** Writes the rows of every peer, and says which peers the kernel's encap may take. */
export function fillTemplates(tables: Tables, plan: Plan): void {
  const underlays = new Map(plan.underlays.map((u) => [u.id, u]));
  const networks = new Map(plan.networks.map((n) => [n.id, n]));
  for (const peer of plan.peers) {
    const underlay = underlays.get(peer.underlay);
    const network = networks.get(peer.network);
    if (underlay === undefined || network === undefined) continue;
    const first = peer.id * TEMPLATE_ROWS;
    ETHER_TYPES.forEach((type, family) => {
      writeTemplate(tables.templates, first + family, fieldsOf(underlay, network, peer, type));
    });
    const isFrame = underlay.frame !== null;
    const isForKernel =
      isFrame &&
      // What a bridge relays shares its slot with other lanes, and may have options.
      tables.isBridged[network.domain] === 0 &&
      isKernelTemplate(tables.templates, first) &&
      isKernelTemplate(tables.templates, first + 1);
    const linkLen = network.mode === 'l3' ? 0 : Ethernet.HEADER_BYTES;
    tables.peerFrameRoom[peer.id] = isForKernel ? tables.peerMtu[peer.id] + linkLen : 0;
    setReach(tables, peer.id, isFrame && (peer.via ?? peer.address) in underlay.frame!.neighbours);
  }
}

function setReach(tables: Tables, peer: number, hasNextHop: boolean): void {
  tables.peerHasNextHop[peer] = hasNextHop ? 1 : 0;
  tables.peerFrameMax[peer] = hasNextHop ? tables.peerFrameRoom[peer] : 0;
}

/** The next hop of a peer has another MAC; 0: it is not known any more. The link header is the first of both rows. */
export function setNextHopMac(tables: Tables, peer: number, mac: number): void {
  const { templates } = tables;
  const bytes = new Uint8Array(templates.buffer, templates.byteOffset, templates.byteLength);
  for (let row = peer * TEMPLATE_ROWS; row < (peer + 1) * TEMPLATE_ROWS; row++) {
    const w = row * TEMPLATE_WORDS;
    writeMac(bytes, w * 4 + TEMPLATE_END - templates[w + WORD_LEN], mac);
  }
  setReach(tables, peer, mac !== 0);
}
