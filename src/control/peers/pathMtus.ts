/**
 * What is known of the paths to peers: an MTU that is smaller than that of the underlay's device, told by an ICMP error, by the kernel
 * (EMSGSIZE) or by a probe. It is forgotten after a while, as Linux does (`net.ipv4.route.mtu_expires`), and then found out anew: a path that
 * has become better is used again.
 */
import type { PathMtuDocument } from '../../observe/documents.js';
import { familyOf } from '../config/text.js';
import { PATH_MTU_MIN } from '../plan/mtu.js';
import { pathKey } from '../plan/plan.js';

export const EXPIRES_SEC = 600;

export type PathMtuWhy = PathMtuDocument['why'];

export interface PathMtu extends PathMtuDocument {
  network: string;
  address: string;
}

export interface PathMtus {
  /**
   * The path to a peer takes no more than `bytes`. A smaller one is taken over, the same one lasts longer, and a larger one is passed over. Not
   * below what every path takes: whoever can forge an ICMP error may make a path that slow and no slower.
   */
  lower(network: string, address: string, bytes: number, why: PathMtuWhy): void;
  /** Forgets a peer: its path is proven to take more, or it is gone. */
  forget(network: string, address: string): void;
  list(): PathMtu[];
  /** By pathKey, for a plan. */
  facts(): ReadonlyMap<string, number>;
  stop(): void;
}

interface Surroundings {
  /** Monotonic seconds. */
  now(): number;
  /** The list is another one. */
  changed(): void;
}

interface Entry {
  network: string;
  address: string;
  bytes: number;
  why: PathMtuWhy;
  expiresAt: number;
}

export function createPathMtus({ now, changed }: Surroundings): PathMtus {
  const entries = new Map<string, Entry>();
  let timer: NodeJS.Timeout | null = null;

  function schedule(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (entries.size === 0) return;
    const first = Math.min(...[...entries.values()].map((entry) => entry.expiresAt));
    timer = setTimeout(expire, Math.max(0, first - now()) * 1000 + 1).unref();
  }

  function expire(): void {
    const before = entries.size;
    for (const [key, entry] of entries) if (entry.expiresAt <= now()) entries.delete(key);
    schedule();
    if (entries.size !== before) changed();
  }

  return {
    lower(network, address, bytes, why) {
      const key = pathKey(network, address);
      const taken = Math.max(bytes, PATH_MTU_MIN[familyOf(address) === 6 ? 6 : 4]);
      const known = entries.get(key);
      if (known !== undefined && taken > known.bytes) return;
      entries.set(key, { network, address, bytes: taken, why, expiresAt: now() + EXPIRES_SEC });
      schedule();
      if (known?.bytes !== taken) changed();
    },
    forget(network, address) {
      if (!entries.delete(pathKey(network, address))) return;
      schedule();
      changed();
    },
    list: () =>
      [...entries.values()].map(({ expiresAt, ...entry }) => ({
        ...entry,
        expiresInSec: Math.max(0, Math.round(expiresAt - now())),
      })),
    facts: () => new Map([...entries].map(([key, { bytes }]) => [key, bytes])),
    stop() {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      entries.clear();
    },
  };
}
