import { type Burst, TO_PEER, TO_PORT } from '../packet/burst.js';
import type { Clock } from '../packet/clock.js';
import { DROP } from '../packet/drop.js';
import { type MacTable, probeOn } from './macTable.js';

/**
 * The forward step: where does each lane go. `dst` becomes the value of the destination MAC, or 0: flood. Link-local control frames, frames
 * for where they came from, and frames from one peer for another (split horizon) get their drop reason here. Both MACs were hashed by the prefetch step.
 */
export function bindLookup(burst: Burst, table: MacTable, clock: Clock): (n: number) => void {
  const { dstLo, dstHi, dstEntry, network, origin, dst, drop } = burst;
  const { entries, entryMask } = table;

  /** 01:80:c2:00:00:00 to 0f: IEEE 802.1Q table 8-1, never forwarded by a bridge. */
  const isLinkLocalControl = (lo: number, hi: number) => lo === 0x00c28001 && (hi & 0xf0ff) === 0;

  return function lookup(n: number): void {
    const now = clock.seconds;
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0) continue;
      const lo = dstLo[i];
      if ((lo & 1) !== 0) {
        dst[i] = 0;
        if (isLinkLocalControl(lo, dstHi[i])) drop[i] = DROP['link-local-control'];
        continue;
      }
      const key = dstHi[i] | (network[i] << 16);
      let e = dstEntry[i];
      let value = entries[e + 2];
      // Value, key, value again: what a reader without a lock may believe (macTable.ts).
      if (value !== 0 && (entries[e] !== lo || entries[e + 1] !== key || entries[e + 2] !== value)) {
        e = probeOn(entries, entryMask, e, lo, key);
        value = entries[e + 2];
      }
      if (value <= 0 || entries[e + 3] <= now) {
        dst[i] = 0;
        continue;
      }
      dst[i] = value;
      // What came from no port came from a peer, though maybe from one without an id.
      if ((value & TO_PEER) !== 0 && (origin[i] & TO_PORT) === 0) drop[i] = DROP['split-horizon'];
      else if (value === origin[i]) drop[i] = DROP['same-port'];
    }
  };
}
