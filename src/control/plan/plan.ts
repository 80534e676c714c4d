/**
 * Configuration to plan: pure, so that it can be tested, compared and replayed. What the machine contributes (MTUs, users) comes in as
 * facts. Ids stay with their entity over every change: an entity is known by its name, a peer by its network and address.
 */
import type {
  NetworkPlan,
  NextHopPlan,
  PeerPlan,
  Plan,
  PortPlan,
  RoutePlan,
  StaticMacPlan,
  UnderlayPlan,
} from '../../pipeline/plan.js';
import * as Address from '../../wire/address.js';
import { macToText } from '../../wire/ethernet.js';
import type { Config, NetworkConfig, UnderlayConfig } from '../config/config.js';
import { modeOf, tunnelOf } from '../config/encapsulation.js';
import { hostPrefixesOf, isWithin, type PrefixSource, prefixSources } from '../config/prefixes.js';
import { canonicalAddress } from '../config/text.js';
import { pinsOf } from '../devices/pinning.js';
import { workersMaxOf } from '../workers.js';
import { type Domains, domainsOf } from './bridges.js';
import { carrierOf, carrierPlan, carriersOf, underlaysOf, underlayTo } from './carriers.js';
import { assignIds, type Ids, type NextHopKey, type PeerSource, type UnusedIds } from './ids.js';
import { type NetworkMtu, networkMtus, peerMtu } from './mtu.js';
import { neighbourLimitOf, staticNeighbourPlans } from './neighbours.js';
import { type Accounts, portPlan } from './portPlan.js';

/** What the machine says about itself. */
export interface HostFacts extends Accounts {
  hostname: string;
  /** CPUs that this process may run on; absent: unknown, and none is wanted. */
  cpus?: readonly number[];
  /** Workers that the node has room for; absent: as configured. */
  workersMax?: number;
  /** MTU of the device that carries each udp underlay, by the name of the underlay. */
  underlayMtu: ReadonlyMap<string, number>;
  /** Addresses with prefix length of that device: what is within them is on the underlay's own link. */
  underlayPrefixes: ReadonlyMap<string, readonly string[]>;
  /** Interface of this machine that has the address of a frame underlay, by the name of the underlay. */
  underlayKernel?: ReadonlyMap<string, string>;
  /** Largest outer packet that the path to a peer takes, where it is less than its device says; by pathKey. */
  pathMtu?: ReadonlyMap<string, number>;
  /** Where peers that roam are, by pathKey, when they are not where they are configured. */
  moved?: ReadonlyMap<string, { address: string; udpPort: number }>;
}

/** A peer by its network's name and its address. */
export const pathKey = (network: string, address: string) => `${network}/${address}`;

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
  const peers = networks.flatMap((network) => peersOf(network, underlays, facts, dynamic));
  const carriers = underlays.flatMap((underlay) => carriersOf(underlay, networks));
  const workersMax = facts.workersMax ?? workersMaxOf(config);
  const underlayPlans = carriers.map((carrier) =>
    carrierPlan(carrier, 0, workersMax, facts.underlayKernel?.get(carrier.underlay.name)),
  );
  const nextHops = nextHopsOf(peers, underlayPlans);
  const ids = assignIds(
    { underlays: carriers, networks, ports: networks.flatMap((network) => network.ports), peers, nextHops },
    previous,
  );
  const domains = domainsOf(config.bridge);
  const sources = prefixSources(config, domains);
  const had = new Map(previous?.plan.networks.map((network) => [network.name, network.mtu]));
  const mtus = networkMtus(networks, underlays, facts.underlayMtu, domains, (name, mtu) => had.get(name) === mtu);
  const { workers } = config.node;
  const byKernel = new Set(peers.filter((p) => p.direct && !p.isFrame).map((p) => `${p.network}/${p.address}`));
  const isByKernel = (network: string, address: string) => byKernel.has(`${network}/${address}`);
  const plan: Plan = {
    generation: (previous?.plan.generation ?? 0) + 1,
    node: config.node.name ?? facts.hostname,
    workers,
    cpus: pinsOf(config.node, facts.cpus ?? []),
    busyPollUs: config.node.busyPollUs,
    underlays: underlayPlans.map((underlay) => ({ ...underlay, id: ids.underlay(underlay.name) })),
    networks: [],
    ports: [],
    peers: [],
    statics: [],
    staticNeighbours: [],
    routes: sources.map((source) => routePlan(source, ids, domains)),
    ...(nextHops.length === 0 ? {} : { nextHops: nextHops.map((hop) => nextHopPlan(hop, ids)) }),
  };
  for (const network of networks) {
    const id = ids.network(network.name);
    const room = mtus.get(network.name)!;
    const { mtu } = room;
    plan.networks.push(networkPlan(network, underlaysOf(network, underlays), room, ids, domains, networks));
    for (const port of network.ports) {
      const hostRoutes = hostPrefixesOf(port, network.name, config, domains, sources, isByKernel);
      const setting = { id: ids.port(port.name), network: id, mtu, workers, workersMax, hostRoutes };
      plan.ports.push(portPlan(port, setting, facts));
    }
    const domain = domainId(network.name, ids, domains);
    plan.statics.push(...network.staticMacs.map((entry) => staticPlan(entry, domain, network.name, ids)));
    plan.staticNeighbours.push(...staticNeighbourPlans(network, domain));
  }
  const networkOf = new Map(plan.networks.map((network) => [network.name, network]));
  plan.peers = peers.map((peer) => peerPlan(peer, networkOf.get(peer.network)!, facts, ids));
  return { plan, unused: ids.unused };
}

function networkPlan(
  network: NetworkConfig,
  underlays: UnderlayConfig[],
  room: NetworkMtu,
  ids: Ids,
  domains: Domains,
  networks: NetworkConfig[],
): NetworkPlan {
  const mode = modeOf(network);
  const tunnel = tunnelOf(network, underlays[0]?.udpPort ?? 0);
  const hasVtepMac = underlays.length > 0 && mode === 'l3' && tunnel.payload === 'ethernet';
  return {
    id: ids.network(network.name),
    name: network.name,
    mode,
    tunnel,
    domain: domainId(network.name, ids, domains),
    vtepMac: hasVtepMac ? (network.vtepMac?.toLowerCase() ?? defaultVtepMac(underlays[0].address)) : null,
    underlays: underlays.map((underlay) => ids.underlay(carrierOf(underlay, network))),
    mtu: room.mtu,
    isMtuAuto: room.isAuto,
    mtuMost: underlays.some(({ kind }) => kind === 'udp') ? room.most : null,
    fragment: network.fragment,
    mssClamp: network.mssClamp,
    ageingSec: network.ageing,
    macLimit: network.macLimit,
    neighbourLimit: neighbourLimitOf(network, domains.of(network.name), networks),
    broadcastPps: network.broadcastLimit,
    acceptUnknownPeers: network.unknownPeers === 'accept',
    ...(network.heartbeat === undefined ? {} : { heartbeats: true }),
    ...(network.peers.some((peer) => typeof peer === 'object' && peer.roams) ? { roams: true } : {}),
  };
}

/** The network whose tables a network shares: that with the smallest id of all that it is joined with. */
function domainId(network: string, ids: Ids, domains: Domains): number {
  return Math.min(...[...domains.of(network)].map((name) => ids.network(name)));
}

/** MAC of a tunnel endpoint that is given none: locally administered, then the last four bytes of its address. */
export function defaultVtepMac(address: string): string {
  const bytes = Address.fromText(address)!;
  return macToText(Uint8Array.of(0x02, 0x00, ...bytes.subarray(bytes.length - 4)), 0);
}

/** A peer by the names it is configured with, and what the plan says about it. */
interface PlannedPeer extends PeerSource {
  underlay: string;
  udpPort: number;
  mac: string | null;
  direct: boolean;
  dynamic: boolean;
  /** Behind a frame underlay: what is routed directly goes through weft, not through the kernel. */
  isFrame: boolean;
  /** Router on the way to it. */
  via?: string;
}

function peersOf(
  network: NetworkConfig,
  underlays: UnderlayConfig[],
  facts: HostFacts,
  dynamic: DynamicPeer[],
): PlannedPeer[] {
  const own = underlaysOf(network, underlays);
  if (own.length === 0) return [];
  const hasMac = modeOf(network) === 'l3' && tunnelOf(network, own[0].udpPort).payload === 'ethernet';
  const wayTo = (address: string) => {
    const underlay = underlayTo(address, own)!;
    return {
      onLink: linkOf(underlay, facts),
      udpPort: tunnelOf(network, underlay.udpPort).udpPort,
      common: {
        network: network.name,
        underlay: carrierOf(underlay, network),
        isFrame: underlay.kind === 'frame',
        ...routerOf(underlay, address),
      },
    };
  };
  const configured = network.peers.map((peer): PlannedPeer => {
    const { address, udpPort, mac } = typeof peer === 'string' ? { address: peer } : peer;
    const way = wayTo(address);
    const { common, onLink } = way;
    const direct = network.routing === 'direct' || (network.routing === 'crossSubnet' && isWithin(address, onLink));
    const ownMac = hasMac ? (mac?.toLowerCase() ?? defaultVtepMac(address)) : null;
    return { ...common, address, udpPort: udpPort ?? way.udpPort, mac: ownMac, direct, dynamic: false };
  });
  const known = new Set(configured.map((peer) => peer.address));
  const learned = dynamic
    .filter((peer) => peer.network === network.name && !known.has(peer.address))
    .map(({ address }): PlannedPeer => {
      const { common, udpPort } = wayTo(address);
      return { ...common, address, udpPort, mac: null, direct: false, dynamic: true };
    });
  return [...configured, ...learned];
}

/** Prefixes on the own link of an underlay. */
function linkOf(underlay: UnderlayConfig, facts: HostFacts): readonly string[] {
  if (underlay.kind === 'frame') return underlay.frame?.prefix === undefined ? [] : [underlay.frame.prefix];
  return facts.underlayPrefixes.get(underlay.name) ?? [];
}

/** The gateway of a frame underlay, for a peer that is not on its link. */
function routerOf({ frame }: UnderlayConfig, address: string): { via?: string } {
  if (frame?.gateway === undefined || frame.prefix === undefined || isWithin(address, [frame.prefix])) return {};
  return { via: frame.gateway };
}

/** Next hops that are looked for: of peers behind frame underlays that do so, and that have no configured MAC. */
function nextHopsOf(peers: readonly PlannedPeer[], underlays: readonly UnderlayPlan[]): NextHopKey[] {
  const byName = new Map(underlays.map((underlay) => [underlay.name, underlay.frame]));
  const hops = new Map<string, NextHopKey>();
  for (const { underlay, address, via = address } of peers) {
    const frame = byName.get(underlay);
    if (frame?.resolver === undefined || via in frame.neighbours) continue;
    hops.set(`${underlay}/${via}`, { underlay, address: via });
  }
  return [...hops.values()];
}

function staticPlan(entry: NetworkConfig['staticMacs'][number], domain: number, name: string, ids: Ids): StaticMacPlan {
  return {
    network: domain,
    mac: entry.mac.toLowerCase(),
    port: entry.port === undefined ? 0 : ids.port(entry.port),
    peer: entry.peer === undefined ? 0 : ids.peer(name, canonicalAddress(entry.peer)),
  };
}

function peerPlan(peer: PlannedPeer, of: NetworkPlan, facts: HostFacts, ids: Ids): PeerPlan {
  const { network, underlay, address, udpPort, mac, direct, dynamic } = peer;
  const outer = direct ? undefined : facts.pathMtu?.get(pathKey(network, address));
  // A configured MTU that its device no longer takes: the node says so to senders, instead of the kernel to nobody.
  const most = direct ? of.mtu : Math.min(of.mtu, of.mtuMost ?? of.mtu);
  const at = facts.moved?.get(pathKey(network, address));
  return {
    id: ids.peer(network, address),
    network: of.id,
    underlay: ids.underlay(underlay),
    address,
    udpPort,
    mac,
    direct,
    dynamic,
    mtu: peerMtu(most, of.tunnel, address, outer),
    ...(at === undefined ? {} : { at }),
    ...(peer.via === undefined ? {} : { via: peer.via }),
    ...nextHopOf(ids.nextHop(underlay, peer.via ?? address)),
  };
}

const nextHopPlan = ({ underlay, address }: NextHopKey, ids: Ids): NextHopPlan => ({
  id: ids.nextHop(underlay, address)!,
  underlay: ids.underlay(underlay),
  address,
});

const nextHopOf = (id: number | undefined) => (id === undefined ? {} : { nextHop: id });

function routePlan({ network, prefix, port, peer }: PrefixSource, ids: Ids, domains: Domains): RoutePlan {
  return {
    network: domainId(network, ids, domains),
    prefix,
    port: port === null ? 0 : ids.port(port),
    peer: peer === null ? 0 : ids.peer(network, peer),
  };
}
/** What a change of plan brings and takes away. */
export interface PlanDiff {
  portsAdded: PortPlan[];
  portsRemoved: PortPlan[];
  peersAdded: PeerPlan[];
  peersRemoved: PeerPlan[];
  networksAdded: NetworkPlan[];
  underlaysAdded: UnderlayPlan[];
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
    networksAdded: missing(after.networks, before.networks),
    underlaysAdded: missing(after.underlays, before.underlays),
  };
}
