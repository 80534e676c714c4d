import { type Burst, sharedInts } from '../packet/burst.js';
import type { MacTable } from './macTable.js';

/**
 * Hashes both MACs of each lane and touches their entries: the loads of a whole burst overlap here, and learn and lookup find them in the cache.
 * Dropped lanes are hashed too: their words are stale, their entries only touched.
 */
export function bindPrefetch(burst: Burst, table: MacTable): (n: number) => void {
  const { srcLo, srcHi, dstLo, dstHi, srcEntry, dstEntry, network } = burst;
  const { entries, entryMask } = table;
  // Where the touched words end up, so that the compiler cannot leave the loads out.
  const sink = sharedInts(1);

  return function prefetch(n) {
    let touched = 0;
    for (let i = 0; i < n; i++) {
      const net = network[i] << 16;
      const x = Math.imul(srcLo[i] ^ Math.imul(srcHi[i] | net, 0x9e3779b1), 0x85ebca6b);
      const y = Math.imul(dstLo[i] ^ Math.imul(dstHi[i] | net, 0x9e3779b1), 0x85ebca6b);
      const e = ((x ^ (x >>> 15)) << 2) & entryMask;
      const f = ((y ^ (y >>> 15)) << 2) & entryMask;
      srcEntry[i] = e;
      dstEntry[i] = f;
      touched ^= entries[e] ^ entries[f];
    }
    sink[0] = touched;
  };
}
