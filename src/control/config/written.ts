/**
 * Reads a configuration value as it was written, of any shape: what is not a list, a map or a name is stepped over, because the schema
 * reports it.
 */
import type { Path } from './faults.js';
import { canonicalAddress, nearest } from './text.js';

/** A map in the configuration and its place. */
export type Item = { path: Path; value: Record<string, unknown> };

/** The maps in a list. */
export function items(root: unknown, path: Path, key: string): Item[] {
  const list = record(root)?.[key];
  if (!Array.isArray(list)) return [];
  return list.flatMap((entry: unknown, i) => {
    const value = record(entry);
    return value ? [{ path: [...path, key, i], value }] : [];
  });
}

export function record(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

export function namesOf(all: Item[]): string[] {
  return all.map(({ value }) => value.name).filter((name) => typeof name === 'string');
}

/** The names in a word or a list of words. */
export function wordsOf(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.filter((word) => typeof word === 'string');
}

/** The peers of a network that have an address at all, in either form; addresses are written the one way. */
export function peersOf(network: Item): { path: Path; address: string }[] {
  const list = Array.isArray(network.value.peers) ? network.value.peers : [];
  return list.flatMap((peer: unknown, i) => {
    const path = [...network.path, 'peers', i];
    if (typeof peer === 'string') return [{ path, address: canonicalAddress(peer) }];
    const address = record(peer)?.address;
    return typeof address === 'string' ? [{ path: [...path, 'address'], address: canonicalAddress(address) }] : [];
  });
}

export function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || (Array.isArray(value) && value.length === 0);
}

/** Remedy for a name that does not exist. */
export function suggest(word: string, known: string[], what: string): string {
  const near = nearest(word, known);
  if (near) return `did you mean ${near}?`;
  return known.length > 0 ? `${what}: ${known.join(', ')}` : `there are none yet; define it first`;
}
