import type { Burst } from '../packet/burst.js';
import { sharedInts } from '../packet/burst.js';

/** Different flow hashes, in a table that grows with them: a small one stays in the cache. */
export interface FlowCount {
  /** Looks at lanes 0..n, after parse. */
  add(n: number): void;
  readonly flows: number;
  /** There were more than are counted. */
  readonly isFull: boolean;
}

export const FLOWS_MAX = 1 << 20;
const ENTRIES_MIN = 1 << 12;

export function bindFlowCount(burst: Burst): FlowCount {
  const { flow, drop } = burst;
  let table = sharedInts(ENTRIES_MIN);
  let mask = ENTRIES_MIN - 1;
  let flows = 0;
  let isFull = false;
  /** 0 is the empty entry. */
  let hasZero = false;

  const placeOf = (hash: number) => hash ^ (hash >>> 15);

  /** A hash that is not at its place: further on, or seen for the first time. Not part of the loop over lanes, see ARCHITECTURE.md. */
  function addAt(hash: number): void {
    let entry = placeOf(hash) & mask;
    while (table[entry] !== 0 && table[entry] !== hash) entry = (entry + 1) & mask;
    if (table[entry] === hash) return;
    if (flows >= FLOWS_MAX) {
      isFull = true;
      return;
    }
    table[entry] = hash;
    flows++;
    if (flows * 2 > table.length) grow();
  }

  function grow(): void {
    const before = table;
    table = sharedInts(before.length * 2);
    mask = table.length - 1;
    for (const hash of before) {
      if (hash === 0) continue;
      let entry = placeOf(hash) & mask;
      while (table[entry] !== 0) entry = (entry + 1) & mask;
      table[entry] = hash;
    }
  }

  function addZero(): void {
    if (hasZero) return;
    hasZero = true;
    flows++;
  }

  return {
    add(n) {
      const entries = table;
      const bits = mask;
      for (let i = 0; i < n; i++) {
        if (drop[i] !== 0) continue;
        const hash = flow[i];
        if (hash !== 0 && entries[(hash ^ (hash >>> 15)) & bits] === hash) continue;
        if (hash === 0) addZero();
        else addAt(hash);
      }
    },
    get flows() {
      return flows;
    },
    get isFull() {
      return isFull;
    },
  };
}
