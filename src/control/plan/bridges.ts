/**
 * Bridges between networks. Bridged networks share their tables, so what counts is which networks are joined, directly or over others.
 */
import type { Path } from '../config/faults.js';

/** Two networks by name, and the place of the pair in the configuration. */
export interface BridgePair {
  path: Path;
  names: readonly [string, string];
}

/** The pairs of `bridge: [a, b]` or `bridge: [[a, b], [c, d]]` as it was written; null when it is neither. */
export function bridgePairs(bridge: unknown): BridgePair[] | null {
  if (bridge === undefined) return [];
  if (!Array.isArray(bridge)) return null;
  if (bridge.length === 0) return [];
  if (bridge.every((entry) => typeof entry === 'string')) {
    const names = pairOf(bridge);
    return names && [{ path: ['bridge'], names }];
  }
  const pairs = bridge.flatMap((entry, i): BridgePair[] => {
    const names = pairOf(entry);
    return names ? [{ path: ['bridge', i], names }] : [];
  });
  return pairs.length === bridge.length ? pairs : null;
}

function pairOf(entry: unknown): [string, string] | null {
  const isPair = Array.isArray(entry) && entry.length === 2 && entry.every((name) => typeof name === 'string');
  return isPair ? (entry as [string, string]) : null;
}

/** Joins names one pair after the other. */
export interface Domains {
  /** False when the two are joined already. */
  join(a: string, b: string): boolean;
  /** All names that are joined with this one, itself among them. */
  of(name: string): ReadonlySet<string>;
}

export function createDomains(): Domains {
  const sets = new Map<string, Set<string>>();
  const setOf = (name: string) => sets.get(name) ?? new Set([name]);
  return {
    join(a, b) {
      const [first, second] = [setOf(a), setOf(b)];
      if (first.has(b)) return false;
      const joined = new Set([...first, ...second]);
      for (const name of joined) sets.set(name, joined);
      return true;
    },
    of: setOf,
  };
}

/** Domains of a configuration; pairs that are wrong are stepped over. */
export function domainsOf(bridge: unknown): Domains {
  const domains = createDomains();
  for (const { names } of bridgePairs(bridge) ?? []) domains.join(...names);
  return domains;
}
