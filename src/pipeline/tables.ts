import { DESTINATION_WORDS } from '../native/io.js';
import type { Allocate } from '../packet/arena.js';
import { NETWORKS_MAX, PEERS_MAX, PORTS_MAX, UNDERLAYS_MAX } from '../packet/counters.js';
import { CARRIES_GPE, CARRIES_IP, CARRIES_ROUTED_ETHERNET, IS_ORDERED, WANTS_OPTIONS } from '../tunnel/admit.js';
import { KIND } from '../tunnel/tunnel.js';
import { createVtepTable, type VtepTable, vtepKey } from '../tunnel/vtep.js';
import type { NextHopSource } from '../underlay/nextHops.js';
import { TEMPLATE_ROWS, TEMPLATE_WORDS } from '../underlay/template.js';
import * as Address from '../wire/address.js';
import { macWords } from '../wire/ethernet.js';
import type { NetworkPlan, PeerPlan, Plan, PortPlan } from './plan.js';

/** Values of `networkMode`: bits, so that a burst can say which modes are in it. */
export const MODE_L2 = 1;
export const MODE_L3 = 2;
export const MODE_XCONNECT = 4;

/**
 * A plan, compiled into flat columns that hot steps index by id. Each worker has its own copy and fills it between two turns, so steps see a
 * whole plan or its successor, never a mixture; the arrays themselves stay for the worker's life and hot code keeps their addresses.
 *
 * Bridged networks share a domain: MAC table entries, routes, flood lists and limits are the domain's, the way in and out is the network's.
 */
export interface Tables {
  /** Per network. */
  readonly networkMtu: Int32Array;
  readonly networkMode: Int32Array;
  /** 1: packets without DF that do not fit are cut; 1: the MSS of SYNs is lowered. */
  readonly networkFragments: Int32Array;
  readonly networkClampsMss: Int32Array;
  readonly networkDomain: Int32Array;
  /** CARRIES_* of tunnel/admit.ts. */
  readonly networkCarries: Int32Array;
  readonly networkVtepLo: Int32Array;
  readonly networkVtepHi: Int32Array;
  /** 1: the network takes part in heartbeats; its peers are followed to other addresses. */
  readonly networkHeartbeats: Int32Array;
  readonly networkRoams: Int32Array;
  /** Cross-connected networks: their port and peer, or their two ports. */
  readonly networkPort: Int32Array;
  readonly networkOtherPort: Int32Array;
  readonly networkPeer: Int32Array;
  /** Per carrier: a network of it. */
  readonly underlayNetwork: Int32Array;
  /** Per domain: 1 where it joins several networks. */
  readonly isBridged: Int32Array;
  readonly ageingSec: Int32Array;
  /** Per domain: 1 where the node answers ARP and neighbour discovery. */
  readonly suppresses: Int32Array;
  /** Flood list of domain n: ids floodPorts[floodPortFirst[n]] and the following floodPortCount[n]. */
  readonly floodPortFirst: Int32Array;
  readonly floodPortCount: Int32Array;
  readonly floodPorts: Int32Array;
  readonly floodPeerFirst: Int32Array;
  readonly floodPeerCount: Int32Array;
  readonly floodPeers: Int32Array;
  /** Per port. */
  readonly portNetwork: Int32Array;
  /** Per peer. */
  readonly peerNetwork: Int32Array;
  readonly peerUnderlay: Int32Array;
  /** Largest inner packet. */
  readonly peerMtu: Int32Array;
  /** 1: options of relayed packets (Geneve) go along to this peer. */
  readonly peerRelaysOptions: Int32Array;
  /** 1: a peer that roams is not where it is configured, maybe behind a NAT. */
  readonly peerMoved: Int32Array;
  /** Rows of 8 words for the native sender: family, port, four address words, scope, 0. */
  readonly destinations: Int32Array;
  /** Longest frame that the kernel's encap takes for a peer behind a frame underlay; 0 for none. */
  readonly peerFrameMax: Int32Array;
  /** The same once its next hop is known. */
  readonly peerFrameRoom: Int32Array;
  /** 1: the next hop of a peer behind a frame underlay is known. */
  readonly peerHasNextHop: Int32Array;
  /** Id of its next hop, 0 where no MAC is looked for. */
  readonly peerNextHop: Int32Array;
  /** Two header templates a peer, see underlay/template.ts. */
  readonly templates: Int32Array;
  /** (carrier, kind, id, VTEP address) -> peer and network. */
  readonly vteps: VtepTable;
  /** Numbers that belong to the plan as a whole. */
  readonly whole: { routesAt: number; hasBridges: boolean; hasMoved: boolean };
}

export function createTables(allocate: Allocate): Tables {
  return {
    networkMtu: allocate(NETWORKS_MAX),
    networkMode: allocate(NETWORKS_MAX),
    networkFragments: allocate(NETWORKS_MAX),
    networkClampsMss: allocate(NETWORKS_MAX),
    networkDomain: allocate(NETWORKS_MAX),
    networkCarries: allocate(NETWORKS_MAX),
    networkVtepLo: allocate(NETWORKS_MAX),
    networkVtepHi: allocate(NETWORKS_MAX),
    networkHeartbeats: allocate(NETWORKS_MAX),
    networkRoams: allocate(NETWORKS_MAX),
    networkPort: allocate(NETWORKS_MAX),
    networkOtherPort: allocate(NETWORKS_MAX),
    networkPeer: allocate(NETWORKS_MAX),
    underlayNetwork: allocate(UNDERLAYS_MAX),
    isBridged: allocate(NETWORKS_MAX),
    ageingSec: allocate(NETWORKS_MAX),
    suppresses: allocate(NETWORKS_MAX),
    floodPortFirst: allocate(NETWORKS_MAX),
    floodPortCount: allocate(NETWORKS_MAX),
    floodPorts: allocate(PORTS_MAX),
    floodPeerFirst: allocate(NETWORKS_MAX),
    floodPeerCount: allocate(NETWORKS_MAX),
    floodPeers: allocate(PEERS_MAX),
    portNetwork: allocate(PORTS_MAX),
    peerNetwork: allocate(PEERS_MAX),
    peerUnderlay: allocate(PEERS_MAX),
    peerMtu: allocate(PEERS_MAX),
    peerRelaysOptions: allocate(PEERS_MAX),
    peerMoved: allocate(PEERS_MAX),
    destinations: allocate(PEERS_MAX * DESTINATION_WORDS),
    peerFrameMax: allocate(PEERS_MAX),
    peerFrameRoom: allocate(PEERS_MAX),
    peerHasNextHop: allocate(PEERS_MAX),
    peerNextHop: allocate(PEERS_MAX),
    templates: allocate(PEERS_MAX * TEMPLATE_ROWS * TEMPLATE_WORDS),
    vteps: createVtepTable(PEERS_MAX, NETWORKS_MAX),
    whole: { routesAt: 0, hasBridges: false, hasMoved: false },
  };
}

const MODES = { l2: MODE_L2, l3: MODE_L3, xconnect: MODE_XCONNECT } as const;

function carriesOf(network: NetworkPlan): number {
  const { tunnel, mode } = network;
  const gpe = tunnel.gpe ? CARRIES_GPE : 0;
  const options = tunnel.kind === 'geneve' && tunnel.match.length > 0 ? WANTS_OPTIONS : 0;
  const order = tunnel.kind === 'gre' && tunnel.sequence ? IS_ORDERED : 0;
  const checked = gpe | options | order;
  if (tunnel.payload === 'ip') return checked | CARRIES_IP;
  return mode === 'l3' ? checked | CARRIES_IP | CARRIES_ROUTED_ETHERNET : checked;
}

function compileNetwork(tables: Tables, network: NetworkPlan, isDirect: boolean): void {
  const n = network.id;
  tables.networkMtu[n] = network.mtu;
  tables.networkMode[n] = MODES[network.mode];
  tables.networkFragments[n] = network.fragment ? 1 : 0;
  tables.networkClampsMss[n] = network.mssClamp ? 1 : 0;
  tables.networkDomain[n] = network.domain;
  tables.networkCarries[n] = carriesOf(network);
  tables.ageingSec[n] = network.ageingSec;
  tables.suppresses[n] = network.neighbourLimit > 0 ? 1 : 0;
  tables.networkHeartbeats[n] = network.heartbeats ? 1 : 0;
  tables.networkRoams[n] = network.roams ? 1 : 0;
  if (network.domain !== n) {
    tables.isBridged[network.domain] = 1;
    tables.whole.hasBridges = true;
  }
  const vtep = network.vtepMac === null ? null : macWords(network.vtepMac);
  tables.networkVtepLo[n] = vtep?.[0] ?? 0;
  tables.networkVtepHi[n] = vtep?.[1] ?? 0;
  const { kind, id } = network.tunnel;
  for (const carrier of network.underlays) {
    tables.underlayNetwork[carrier] = n;
    tables.vteps.addNetwork(vtepKey(carrier, KIND[kind]), id, n, network.acceptUnknownPeers);
    // Plain routed packets of direct peers: known by their route, not by their sender.
    if (isDirect) tables.vteps.addNetwork(vtepKey(carrier, KIND.none), 0, n, true);
  }
}

function compileFloodLists(tables: Tables, plan: Plan): void {
  let ports = 0;
  let peers = 0;
  const domainOf = (network: number) => tables.networkDomain[network];
  for (const { id, domain } of plan.networks) {
    if (id !== domain) continue;
    tables.floodPortFirst[id] = ports;
    for (const port of plan.ports) if (domainOf(port.network) === id) tables.floodPorts[ports++] = port.id;
    tables.floodPortCount[id] = ports - tables.floodPortFirst[id];
    tables.floodPeerFirst[id] = peers;
    // Peers learned from traffic are flooded to as well: they are as much a part of the network as configured ones.
    for (const peer of plan.peers) if (domainOf(peer.network) === id) tables.floodPeers[peers++] = peer.id;
    tables.floodPeerCount[id] = peers - tables.floodPeerFirst[id];
  }
}

/** An address as four words, IPv4-mapped, bytes as they lie in memory. */
export function addressWords(text: string): Int32Array | null {
  const address = Address.fromText(text);
  if (address === null) return null;
  const mapped = Address.toMapped(address);
  return new Int32Array(mapped.buffer.slice(mapped.byteOffset, mapped.byteOffset + 16));
}

function compilePeer(tables: Tables, peer: PeerPlan, network: NetworkPlan): void {
  const { address, udpPort } = peer.at ?? peer;
  const words = addressWords(address);
  if (words === null) throw new RangeError(`peer address ${address} is not an IP address`);
  const isV4 = !address.includes(':');
  const row = peer.id * DESTINATION_WORDS;
  const { destinations } = tables;
  destinations.fill(0, row, row + DESTINATION_WORDS);
  destinations[row] = isV4 ? 4 : 6;
  destinations[row + 1] = udpPort;
  if (isV4) destinations[row + 2] = words[3];
  else destinations.set(words, row + 2);
  const { kind, id, relayOptions } = network.tunnel;
  tables.peerNetwork[peer.id] = peer.network;
  tables.peerUnderlay[peer.id] = peer.underlay;
  tables.peerNextHop[peer.id] = peer.nextHop ?? 0;
  tables.peerMoved[peer.id] = peer.at === undefined ? 0 : 1;
  if (peer.at !== undefined) tables.whole.hasMoved = true;
  tables.peerMtu[peer.id] = peer.mtu ?? network.mtu;
  const relays = kind === 'geneve' && relayOptions === 'pass' && tables.isBridged[network.domain] === 1;
  tables.peerRelaysOptions[peer.id] = relays ? 1 : 0;
  tables.vteps.addPeer(vtepKey(peer.underlay, KIND[kind]), id, words, peer.id, peer.network);
}

function clear(tables: Tables): void {
  tables.vteps.clear();
  const { floodPortCount, floodPeerCount, portNetwork, peerNetwork, peerUnderlay, isBridged, networkDomain } = tables;
  for (const column of [floodPortCount, floodPeerCount, portNetwork, peerNetwork, peerUnderlay, isBridged])
    column.fill(0);
  networkDomain.fill(0);
  for (const column of [tables.networkPort, tables.networkOtherPort, tables.networkPeer]) column.fill(0);
  for (const column of [tables.underlayNetwork, tables.networkMode]) column.fill(0);
  tables.whole.hasBridges = false;
  tables.whole.hasMoved = false;
}

export function compilePlan(tables: Tables, plan: Plan): void {
  clear(tables);
  for (const network of plan.networks)
    compileNetwork(
      tables,
      network,
      plan.peers.some((peer) => peer.network === network.id && peer.direct),
    );
  for (const port of plan.ports) {
    tables.portNetwork[port.id] = port.network;
    tables.networkOtherPort[port.network] = tables.networkPort[port.network];
    tables.networkPort[port.network] = port.id;
  }
  for (const peer of plan.peers) {
    const network = plan.networks.find((n) => n.id === peer.network);
    if (network === undefined) throw new RangeError(`peer ${peer.address} is in no network of the plan`);
    compilePeer(tables, peer, network);
    tables.networkPeer[peer.network] = peer.id;
  }
  compileFloodLists(tables, plan);
}

/** Whether a port's frames are bare IP packets: it is in an L3 network. */
export function isPacketPort(plan: Plan, port: PortPlan): boolean {
  return plan.networks.find((n) => n.id === port.network)?.mode === 'l3';
}

/** Rows that the table of next hops is to have. */
export function nextHopSources({ nextHops = [] }: Plan): NextHopSource[] {
  return nextHops.map(({ id, underlay, address }) => ({ id, underlay, address: addressWords(address) as Int32Array }));
}

/** Whether a peer's address is the four (IPv4-mapped) words of `words` from `at`. */
export function isPeerAddress(tables: Tables, peer: number, words: Int32Array, at: number): boolean {
  const { destinations } = tables;
  const row = peer * DESTINATION_WORDS;
  if (destinations[row] === 4) return words[at + 3] === destinations[row + 2] && words[at] === 0;
  for (let w = 0; w < 4; w++) if (words[at + w] !== destinations[row + 2 + w]) return false;
  return true;
}
