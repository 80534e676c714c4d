/**
 * Peers that traffic makes known, on networks with `unknownPeers: accept`. They join the plan a moment after their first packet and leave
 * it when they were silent for the ageing time of their network.
 */
import type { NodeView } from '../../observe/view.js';
import { PEER_ROW, readRow } from '../../packet/counters.js';
import { toText } from '../../wire/address.js';
import { underlayAddressFault } from '../config/text.js';
import type { DynamicPeer } from '../plan/plan.js';

/** Anyone can send to an accepting network: this many may fill the tables, no more. */
export const DYNAMIC_PEERS_MAX = 512;
/** Several first packets make one change of plan. */
const GATHER_MS = 50;
const SWEEP_MS = 10_000;

export interface DynamicPeers {
  list(): DynamicPeer[];
  /** A packet came from a VTEP that no peer has: id of the network, address in 16 bytes as it lies in memory. */
  heard(network: number, mapped: Int32Array): void;
  /** Drops one; false when there is no such dynamic peer. */
  forget(network: string, address: string): boolean;
  stop(): void;
}

interface Surroundings {
  /** The node as it is, null while it is not running. */
  view(): NodeView | null;
  /** Puts the list into effect. */
  changed(): Promise<void>;
  warn(message: string): void;
}

export function createDynamicPeers({ view, changed, warn }: Surroundings): DynamicPeers {
  const peers = new Map<string, DynamicPeer & { since: number }>();
  let gathering: NodeJS.Timeout | null = null;
  let isFullSaid = false;

  function apply(): void {
    changed().catch((error: Error) => warn(`peers heard were not taken over: ${error.message}`));
  }

  function heard(id: number, mapped: Int32Array): void {
    const now = view();
    const network = now?.plan.networks.find((n) => n.id === id);
    if (!now || !network?.acceptUnknownPeers) return;
    const address = toText(new Uint8Array(mapped.buffer, mapped.byteOffset, 16));
    if (underlayAddressFault(address) !== null) return;
    const key = `${network.name}/${address}`;
    if (peers.has(key)) return;
    if (now.plan.peers.some((p) => p.network === network.id && p.address === address)) return;
    if (peers.size >= DYNAMIC_PEERS_MAX) {
      if (!isFullSaid) warn(`${DYNAMIC_PEERS_MAX} peers were heard that are not configured; no more are taken`);
      isFullSaid = true;
      return;
    }
    peers.set(key, { network: network.name, address, since: now.now });
    gathering ??= setTimeout(() => {
      gathering = null;
      apply();
    }, GATHER_MS);
  }

  /** Forgets the peers that were silent for longer than their network remembers a MAC. */
  function sweep(): void {
    const now = view();
    if (!now) return;
    let isAnyGone = false;
    for (const [key, peer] of peers) {
      const network = now.plan.networks.find((n) => n.name === peer.network);
      const planned = now.plan.peers.find((p) => p.network === network?.id && p.address === peer.address);
      const lastHeard = planned ? readRow(now.dataplane.counters, PEER_ROW + planned.id).lastHeard : 0;
      if (network && now.now - Math.max(lastHeard, peer.since) <= network.ageingSec) continue;
      peers.delete(key);
      isAnyGone = true;
    }
    if (isAnyGone) apply();
  }

  const sweeping = setInterval(sweep, SWEEP_MS).unref();
  return {
    list: () => [...peers.values()].map(({ network, address }) => ({ network, address })),
    heard,
    forget: (network, address) => peers.delete(`${network}/${address}`),
    stop() {
      clearInterval(sweeping);
      if (gathering !== null) clearTimeout(gathering);
    },
  };
}
