import { DESTINATION_WORDS } from '../native/io.js';
import type { Allocate } from '../packet/arena.js';
import { NETWORKS_MAX, PEERS_MAX, PORTS_MAX } from '../packet/counters.js';
import { createVtepTable, type VtepTable } from '../tunnel/vtep.js';
import { TEMPLATE_WORDS } from '../underlay/template.js';
import * as Address from '../wire/address.js';
import type { NetworkPlan, PeerPlan, Plan } from './plan.js';

/**
 * A plan, compiled into flat columns that hot steps index by id. Each worker has its own copy and fills it between two turns, so steps see a
 * whole plan or its successor, never a mixture; the arrays themselves stay for the worker's life and hot code keeps their addresses.
 */
export interface Tables {
  /** Per network. */
  readonly networkMtu: Int32Array;
  readonly ageingSec: Int32Array;
  /** Flood list of network n: ids floodPorts[floodPortFirst[n]] and the following floodPortCount[n]. */
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
  /** Second word of the VXLAN header as it lies in memory. */
  readonly peerVniWord: Int32Array;
  /** Rows of 8 words for the native sender: family, port, four address words, scope, 0. */
  readonly destinations: Int32Array;
  /** Longest plain frame to a peer behind a frame underlay; 0 while its next hop is not known. */
  readonly peerFrameMax: Int32Array;
  /** Outer header templates of peers behind frame underlays, see underlay/template.ts. */
  readonly templates: Int32Array;
  /** (underlay, VNI, VTEP address) -> peer and network. */
  readonly vteps: VtepTable;
}

export function createTables(allocate: Allocate): Tables {
  return {
    networkMtu: allocate(NETWORKS_MAX),
    ageingSec: allocate(NETWORKS_MAX),
    floodPortFirst: allocate(NETWORKS_MAX),
    floodPortCount: allocate(NETWORKS_MAX),
    floodPorts: allocate(PORTS_MAX),
    floodPeerFirst: allocate(NETWORKS_MAX),
    floodPeerCount: allocate(NETWORKS_MAX),
    floodPeers: allocate(PEERS_MAX),
    portNetwork: allocate(PORTS_MAX),
    peerNetwork: allocate(PEERS_MAX),
    peerUnderlay: allocate(PEERS_MAX),
    peerVniWord: allocate(PEERS_MAX),
    destinations: allocate(PEERS_MAX * DESTINATION_WORDS),
    peerFrameMax: allocate(PEERS_MAX),
    templates: allocate(PEERS_MAX * TEMPLATE_WORDS),
    vteps: createVtepTable(PEERS_MAX, NETWORKS_MAX),
  };
}

/** The VNI field (RFC 7348 section 5: VNI in the upper three bytes) as a little-endian word. */
function vniWord(vni: number): number {
  return ((vni >>> 16) & 0xff) | (vni & 0xff00) | ((vni & 0xff) << 16);
}

function compileNetworks(tables: Tables, networks: readonly NetworkPlan[], plan: Plan): void {
  let ports = 0;
  let peers = 0;
  for (const network of networks) {
    const n = network.id;
    tables.networkMtu[n] = network.mtu;
    tables.ageingSec[n] = network.ageingSec;
    tables.floodPortFirst[n] = ports;
    for (const port of plan.ports) if (port.network === n) tables.floodPorts[ports++] = port.id;
    tables.floodPortCount[n] = ports - tables.floodPortFirst[n];
    tables.floodPeerFirst[n] = peers;
    // Peers learned from traffic are flooded to as well: they are as much a part of the network as configured ones.
    for (const peer of plan.peers) if (peer.network === n) tables.floodPeers[peers++] = peer.id;
    tables.floodPeerCount[n] = peers - tables.floodPeerFirst[n];
    if (network.underlay > 0)
      tables.vteps.addNetwork(network.underlay, network.tunnel.id, n, network.acceptUnknownPeers);
  }
}

function compilePeer(tables: Tables, peer: PeerPlan, network: NetworkPlan): void {
  const address = Address.fromText(peer.address);
  if (address === null) throw new RangeError(`peer address ${peer.address} is not an IP address`);
  const mapped = Address.toMapped(address);
  const words = new Int32Array(mapped.buffer.slice(mapped.byteOffset, mapped.byteOffset + 16));
  const isV4 = address.length === 4;
  const row = peer.id * DESTINATION_WORDS;
  const { destinations } = tables;
  destinations.fill(0, row, row + DESTINATION_WORDS);
  destinations[row] = isV4 ? 4 : 6;
  destinations[row + 1] = peer.udpPort;
  if (isV4) destinations[row + 2] = words[3];
  else destinations.set(words, row + 2);
  tables.peerNetwork[peer.id] = peer.network;
  tables.peerUnderlay[peer.id] = peer.underlay;
  tables.peerVniWord[peer.id] = vniWord(network.tunnel.id);
  tables.vteps.addPeer(peer.underlay, network.tunnel.id, words, peer.id, peer.network);
}

export function compilePlan(tables: Tables, plan: Plan): void {
  tables.vteps.clear();
  tables.floodPortCount.fill(0);
  tables.floodPeerCount.fill(0);
  tables.portNetwork.fill(0);
  tables.peerNetwork.fill(0);
  tables.peerUnderlay.fill(0);
  compileNetworks(tables, plan.networks, plan);
  for (const port of plan.ports) tables.portNetwork[port.id] = port.network;
  for (const peer of plan.peers) {
    const network = plan.networks.find((n) => n.id === peer.network);
    if (network === undefined) throw new RangeError(`peer ${peer.address} is in no network of the plan`);
    compilePeer(tables, peer, network);
  }
}

/** Whether a peer's address is the four (IPv4-mapped) words of `words` from `at`. */
export function isPeerAddress(tables: Tables, peer: number, words: Int32Array, at: number): boolean {
  const { destinations } = tables;
  const row = peer * DESTINATION_WORDS;
  if (destinations[row] === 4) return words[at + 3] === destinations[row + 2] && words[at] === 0;
  for (let w = 0; w < 4; w++) if (words[at + w] !== destinations[row + 2 + w]) return false;
  return true;
}
