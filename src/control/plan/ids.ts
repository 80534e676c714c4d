/**
 * Ids of a plan's entities. They index counter rows and are the values of the MAC table, so they stay with their entity for its whole
 * life: a carrier, network or port is known by its name, a peer by its network and address.
 */
import { NETWORKS_MAX, PEERS_MAX, PORTS_MAX, UNDERLAYS_MAX } from '../../packet/counters.js';
import { WeftError } from '../../packet/error.js';
import type { Plan } from '../../pipeline/plan.js';
import { NEXT_HOPS_MAX } from '../../underlay/nextHops.js';

const LIMITS = {
  underlays: UNDERLAYS_MAX,
  networks: NETWORKS_MAX,
  ports: PORTS_MAX,
  peers: PEERS_MAX,
  nextHops: NEXT_HOPS_MAX,
};

type Kind = keyof typeof LIMITS;

/** The lowest id of each kind that no entity has had yet. Id 0 is never given out. */
export type UnusedIds = Record<Kind, number>;

/** A peer as it is known. */
export interface PeerSource {
  network: string;
  address: string;
}

/** Everything that gets an id. */
export interface Entities {
  /** Carriers. */
  underlays: readonly { name: string }[];
  networks: readonly { name: string }[];
  ports: readonly { name: string }[];
  peers: readonly PeerSource[];
  nextHops: readonly NextHopKey[];
}

/** A next hop by its carrier and its address. */
export interface NextHopKey {
  underlay: string;
  address: string;
}

export interface Ids {
  underlay(name: string): number;
  network(name: string): number;
  port(name: string): number;
  peer(network: string, address: string): number;
  /** Undefined where none is looked for. */
  nextHop(underlay: string, address: string): number | undefined;
  unused: UnusedIds;
}

/** Ids of everything, those of the previous plan where an entity was in it already. */
export function assignIds(entities: Entities, previous: { plan: Plan; unused: UnusedIds } | null): Ids {
  const unused = previous ? { ...previous.unused } : { underlays: 1, networks: 1, ports: 1, peers: 1, nextHops: 1 };
  const before = previous?.plan;
  const underlays = assign('underlays', before?.underlays ?? [], entities.underlays.map(byName), unused);
  const networks = assign('networks', before?.networks ?? [], entities.networks.map(byName), unused);
  const ports = assign('ports', before?.ports ?? [], entities.ports.map(byName), unused);
  const peerKey = (network: number, address: string) => `${network}/${address}`;
  const earlier = (before?.peers ?? []).map(({ id, network, address }) => ({ id, name: peerKey(network, address) }));
  const peerKeys = entities.peers.map((peer) => peerKey(networks.get(peer.network)!, peer.address));
  const peerIds = assign('peers', earlier, peerKeys, unused);
  const hops = (before?.nextHops ?? []).map(({ id, underlay, address }) => ({ id, name: peerKey(underlay, address) }));
  const hopKeys = entities.nextHops.map((hop) => peerKey(underlays.get(hop.underlay)!, hop.address));
  const nextHopIds = assign('nextHops', hops, hopKeys, unused);
  return {
    underlay: (name) => underlays.get(name)!,
    network: (name) => networks.get(name)!,
    port: (name) => ports.get(name)!,
    peer: (network, address) => peerIds.get(peerKey(networks.get(network)!, address))!,
    nextHop: (underlay, address) => nextHopIds.get(peerKey(underlays.get(underlay)!, address)),
    unused,
  };
}

const byName = (entity: { name: string }) => entity.name;

function assign(
  kind: Kind,
  before: { id: number; name: string }[],
  names: string[],
  unused: UnusedIds,
): Map<string, number> {
  const known = new Map(before.map(({ id, name }) => [name, id]));
  const taken = new Set(known.values());
  const ids = new Map<string, number>();
  for (const name of names) {
    const id = known.get(name) ?? freshId(kind, taken, unused);
    ids.set(name, id);
    taken.add(id);
  }
  return ids;
}

function freshId(kind: Kind, taken: Set<number>, unused: UnusedIds): number {
  if (unused[kind] < LIMITS[kind]) return unused[kind]++;
  for (let id = 1; id < LIMITS[kind]; id++) if (!taken.has(id)) return id;
  throw new WeftError('LIMIT', `a node has at most ${LIMITS[kind] - 1} ${kind}`, {
    object: kind,
    remedy: 'remove some, or spread the networks over more nodes',
  });
}
