/**
 * Configuration to plan: pure, so that it can be tested, compared and replayed. What the machine contributes (MTUs, users) comes in as
 * facts. Ids stay with their entity over every change: an entity is known by its name, a peer by its network and address.
 */
import { WeftError } from '../packet/error.js';
import type { NetworkPlan, PeerPlan, Plan, PortPlan, StaticMacPlan, TapPlan, UnderlayPlan } from '../pipeline/plan.js';
import { tunnelPlan } from '../tunnel/tunnel.js';
import type { Config, NetworkConfig, PortConfig, TapPortConfig, UnderlayConfig } from './config.js';
import { MTU_MAX, MTU_MIN } from './config.js';
import { assignIds, type Ids, type PeerSource, type UnusedIds } from './ids.js';
import { parseSourcePorts } from './text.js';

/** Ethernet, VXLAN, UDP and IPv4 headers in front of an inner packet, as the MTU of the underlay counts them. */
export const VXLAN_OVERHEAD = 14 + 8 + 8 + 20;
/** MTU of networks without an underlay, and of the link behind a frame underlay. */
export const ETHERNET_MTU = 1500;

/** What the machine says about itself. */
export interface HostFacts {
  hostname: string;
  /** MTU of the device that carries each udp underlay, by the name of the underlay. */
  underlayMtu: ReadonlyMap<string, number>;
  users: ReadonlyMap<string, number>;
  groups: ReadonlyMap<string, number>;
}

/** A peer that traffic made known; it is part of the plan, not of the configuration. */
export interface DynamicPeer {
  network: string;
  address: string;
}

/** A plan and the ids that no entity has had yet. */
export interface Planned {
  plan: Plan;
  unused: UnusedIds;
}

/**
 * Makes the plan of a configuration. With a previous plan, entities that stay keep their ids, and fresh ones get ids that nobody had;
 * only when those run out are ids of removed entities given again.
 */
export function makePlan(
  config: Config,
  facts: HostFacts,
  previous: Planned | null = null,
  dynamic: DynamicPeer[] = [],
): Planned {
  const { underlays, networks } = config;
  const peers = networks.flatMap((network) => peersOf(network, underlays, dynamic));
  const ids = assignIds(config, peers, previous);
  const plan: Plan = {
    generation: (previous?.plan.generation ?? 0) + 1,
    node: config.node.name ?? facts.hostname,
    workers: config.node.workers,
    busyPollUs: config.node.busyPollUs,
    underlays: underlays.map((underlay) => underlayPlan(underlay, ids.underlay(underlay.name))),
    networks: [],
    ports: [],
    peers: peers.map((peer) => peerPlan(peer, ids)),
    statics: [],
    routes: [],
  };
  for (const network of networks) {
    const id = ids.network(network.name);
    const mtu = networkMtu(network, underlays, facts);
    plan.networks.push(networkPlan(network, id, network.underlay ? ids.underlay(network.underlay) : 0, mtu));
    for (const port of network.ports)
      plan.ports.push(portPlan(port, ids.port(port.name), id, mtu, config.node.workers, facts));
    plan.statics.push(...network.staticMacs.map((entry) => staticPlan(entry, id, network.name, ids)));
  }
  return { plan, unused: ids.unused };
}

function underlayPlan(underlay: UnderlayConfig, id: number): UnderlayPlan {
  const ports = parseSourcePorts(underlay.sourcePorts);
  if ('message' in ports)
    throw new WeftError('CONFIG', ports.message, { object: `underlay ${underlay.name}`, remedy: ports.remedy });
  const { frame } = underlay;
  return {
    id,
    name: underlay.name,
    underlay: underlay.name,
    kind: underlay.kind,
    tunnel: underlay.kind === 'frame' ? 'none' : 'vxlan',
    address: underlay.address,
    device: underlay.device ?? null,
    udpPort: underlay.udpPort,
    checksum: underlay.checksum,
    sourcePortFirst: ports.first,
    sourcePortCount: ports.count,
    dscp: underlay.dscp === 'inherit' ? -1 : underlay.dscp,
    ttl: underlay.ttl,
    deliverOffloadLeak: underlay.offloadLeak === 'deliver',
    frame: frame
      ? {
          kind: frame.type,
          name: frame.name ?? underlay.name,
          input: frame.input ?? null,
          output: frame.output ?? null,
          mac: frame.mac.toLowerCase(),
          popDepth: 0,
          neighbours: Object.fromEntries(Object.entries(frame.neighbours).map(([ip, mac]) => [ip, mac.toLowerCase()])),
        }
      : null,
  };
}

function networkPlan(network: NetworkConfig, id: number, underlay: number, mtu: number): NetworkPlan {
  return {
    id,
    name: network.name,
    mode: 'l2',
    tunnel: tunnelPlan('vxlan', network.vni),
    domain: id,
    vtepMac: null,
    underlay,
    mtu,
    ageingSec: network.ageing,
    macLimit: network.macLimit,
    broadcastPps: network.broadcastLimit,
    acceptUnknownPeers: network.unknownPeers === 'accept',
  };
}

/** The configured MTU, or what the underlay leaves. An MTU that the underlay cannot carry is an error: every full packet would be lost. */
function networkMtu(network: NetworkConfig, underlays: UnderlayConfig[], facts: HostFacts): number {
  const underlay = underlays.find((u) => u.name === network.underlay);
  if (!underlay) return network.mtu ?? ETHERNET_MTU;
  const outer = underlay.kind === 'frame' ? ETHERNET_MTU : (facts.underlayMtu.get(underlay.name) ?? ETHERNET_MTU);
  const largest = Math.min(outer - VXLAN_OVERHEAD, MTU_MAX);
  if (largest < MTU_MIN)
    throw new WeftError(
      'UNDERLAY',
      `underlay ${underlay.name}: a device MTU of ${outer} bytes leaves no room for packets`,
      {
        object: `underlay ${underlay.name}`,
        remedy: `raise the MTU of its device to ${MTU_MIN + VXLAN_OVERHEAD} bytes or more`,
      },
    );
  if (network.mtu === undefined) return largest;
  if (network.mtu > largest && underlay.kind === 'udp')
    throw new WeftError(
      'UNDERLAY',
      `network ${network.name}: MTU ${network.mtu} and ${VXLAN_OVERHEAD} bytes of VXLAN headers do not fit the device of underlay ${underlay.name}, whose MTU is ${outer}`,
      {
        object: `network ${network.name}`,
        remedy: `set the MTU of the network to ${largest} or less, leave it out, or raise that of the device to ${network.mtu + VXLAN_OVERHEAD}`,
      },
    );
  return network.mtu;
}

function portPlan(
  port: PortConfig,
  id: number,
  network: number,
  mtu: number,
  workers: number,
  facts: HostFacts,
): PortPlan {
  return {
    id,
    name: port.name,
    network,
    kind: port.type,
    mtu: port.mtu ?? mtu,
    tap: port.type === 'tap' ? tapPlan(port, workers, facts) : null,
    pcap: port.type === 'pcap' ? { input: port.input ?? null, output: port.output ?? null } : null,
  };
}

function tapPlan(port: TapPortConfig, workers: number, facts: HostFacts): TapPlan {
  return {
    device: port.device ?? port.name,
    create: port.create,
    netns: port.netns === undefined ? null : port.netns.includes('/') ? port.netns : `/run/netns/${port.netns}`,
    addresses: port.addresses,
    mac: port.mac?.toLowerCase() ?? null,
    queues: port.queues ?? workers,
    owner: accountId(port, port.owner, facts.users, 'user'),
    group: accountId(port, port.group, facts.groups, 'group'),
    hostRoutes: [],
  };
}

function accountId(
  port: TapPortConfig,
  who: number | string | undefined,
  known: ReadonlyMap<string, number>,
  kind: string,
): number | null {
  if (who === undefined) return null;
  if (typeof who === 'number') return who;
  const id = known.get(who);
  if (id !== undefined) return id;
  throw new WeftError('DEVICE', `port ${port.name}: this machine has no ${kind} named ${JSON.stringify(who)}`, {
    object: `port ${port.name}`,
    remedy: `give an existing ${kind} or its number`,
  });
}

function peersOf(network: NetworkConfig, underlays: UnderlayConfig[], dynamic: DynamicPeer[]): PeerSource[] {
  const underlay = underlays.find((u) => u.name === network.underlay);
  if (!underlay) return [];
  const common = { network: network.name, underlay: underlay.name };
  const configured = network.peers.map((peer) => {
    const { address, udpPort = underlay.udpPort } = typeof peer === 'string' ? { address: peer } : peer;
    return { ...common, address, udpPort, dynamic: false };
  });
  const known = new Set(configured.map((peer) => peer.address));
  const learned = dynamic
    .filter((peer) => peer.network === network.name && !known.has(peer.address))
    .map(({ address }) => ({ ...common, address, udpPort: underlay.udpPort, dynamic: true }));
  return [...configured, ...learned];
}

function staticPlan(
  entry: NetworkConfig['staticMacs'][number],
  network: number,
  name: string,
  ids: Ids,
): StaticMacPlan {
  return {
    network,
    mac: entry.mac.toLowerCase(),
    port: entry.port === undefined ? 0 : ids.port(entry.port),
    peer: entry.peer === undefined ? 0 : ids.peer(name, entry.peer),
  };
}

function peerPlan(peer: PeerSource, ids: Ids): PeerPlan {
  const { address, udpPort, dynamic } = peer;
  return {
    id: ids.peer(peer.network, address),
    network: ids.network(peer.network),
    underlay: ids.underlay(peer.underlay),
    address,
    udpPort,
    mac: null,
    direct: false,
    dynamic,
  };
}

/** What a change of plan brings and takes away. */
export interface PlanDiff {
  portsAdded: PortPlan[];
  portsRemoved: PortPlan[];
  peersAdded: PeerPlan[];
  peersRemoved: PeerPlan[];
}

export function diffPlans(before: Plan, after: Plan): PlanDiff {
  const missing = <T extends { id: number }>(from: T[], other: T[]) => {
    const ids = new Set(other.map((entity) => entity.id));
    return from.filter((entity) => !ids.has(entity.id));
  };
  return {
    portsAdded: missing(after.ports, before.ports),
    portsRemoved: missing(before.ports, after.ports),
    peersAdded: missing(after.peers, before.peers),
    peersRemoved: missing(before.peers, after.peers),
  };
}
