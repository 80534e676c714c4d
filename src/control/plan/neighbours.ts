/**
 * IP neighbours of switched networks: whether a network answers for them, how many it learns, and which are configured.
 */
import { neighbourTableBytes } from '../../forward/neighbourTable.js';
import type { StaticNeighbourPlan } from '../../pipeline/plan.js';
import type { Config, NetworkConfig } from '../config/config.js';
import { modeOf } from '../config/encapsulation.js';
import { canonicalAddress } from '../config/text.js';

/** Room for neighbours that networks of a running node may still need. */
const NEIGHBOURS_MIN = 8192;

/** Where there is no underlay, a flood costs nothing that would have to be saved. */
function suppresses(network: NetworkConfig): boolean {
  const isWanted = network.underlay !== undefined || network.staticNeighbours.length > 0;
  return modeOf(network) === 'l2' && (network.suppressNeighbours ?? isWanted);
}

/** Neighbours that a network learns at most; 0 where it, or a network that it is joined with, is not to answer. */
export function neighbourLimitOf(
  network: NetworkConfig,
  joined: ReadonlySet<string>,
  networks: NetworkConfig[],
): number {
  const isSuppressed = networks.every((other) => !joined.has(other.name) || suppresses(other));
  return isSuppressed ? network.neighbourLimit : 0;
}

export function staticNeighbourPlans(network: NetworkConfig, domain: number): StaticNeighbourPlan[] {
  return network.staticNeighbours.map(({ address, mac, router }) => ({
    network: domain,
    address: canonicalAddress(address),
    mac: mac.toLowerCase(),
    isRouter: router,
  }));
}

/** Bytes of the neighbour table of a node. */
export function neighbourBytesOf({ networks }: Config): number {
  const wanted = networks.reduce((sum, n) => sum + n.neighbourLimit + n.staticNeighbours.length, 0);
  return neighbourTableBytes(Math.max(NEIGHBOURS_MIN, wanted));
}
