import { type Burst, ID_MASK, SUMMARY_EGRESS, TO_PEER, TO_PORT } from '../packet/burst.js';
import type { Clock } from '../packet/clock.js';
import { DROP } from '../packet/drop.js';
import type { ForwardKernel } from './kernel.js';
import { type MacTable, macKey, probe } from './macTable.js';

/**
 * The forward step: where does each lane go. `dst` becomes the value of the destination MAC, or 0: flood. Link-local control frames, frames
 * for where they came from, and frames from one peer for another (split horizon) get their drop reason here. Both MACs were hashed by the prefetch step.
 */
export function bindLookup(
  burst: Burst,
  table: MacTable,
  clock: Clock,
  kernel: ForwardKernel,
  /** Network of each peer: split horizon holds inside of a network, a bridge relays between two. */
  peerNetwork: Int32Array,
): (n: number) => void {
  const { dstLo, dstHi, dstEntry, network, origin, dst, drop, careful, summary } = burst;
  const { entries } = table;

  /** 01:80:c2:00:00:00 to 0f: IEEE 802.1Q table 8-1, never forwarded by a bridge. */
  const isLinkLocalControl = (lo: number, hi: number) => lo === 0x00c28001 && (hi & 0xf0ff) === 0;

  /** From a peer of one network to a peer of another that is bridged with it. */
  const isRelay = (value: number, from: number) =>
    (from & TO_PEER) !== 0 && peerNetwork[value & ID_MASK] !== peerNetwork[from & ID_MASK];

  /** What the kernel leaves: group addresses, drops, expired entries, and entries that are not where their probe begins. */
  function lookUpCarefully(i: number, now: number): void {
    const lo = dstLo[i];
    dst[i] = 0;
    if ((lo & 1) !== 0) {
      if (isLinkLocalControl(lo, dstHi[i])) drop[i] = DROP['link-local-control'];
      return;
    }
    const e = probe(table, dstEntry[i], lo, macKey(dstHi[i], network[i]));
    const value = entries[e + 2];
    if (value <= 0 || entries[e + 3] <= now) return;
    dst[i] = value;
    // What came from no port came from a peer, though maybe from one without an id.
    const from = origin[i];
    if ((value & TO_PEER) !== 0 && (from & TO_PORT) === 0) {
      if (!isRelay(value, from)) drop[i] = DROP['split-horizon'];
    } else if (value === from) drop[i] = DROP['same-port'];
  }

  return function lookup(n: number): void {
    const now = clock.seconds;
    const left = kernel.lookup(n, now);
    if (left > 0) summary[SUMMARY_EGRESS] = -1;
    for (let k = 0; k < left; k++) lookUpCarefully(careful[k], now);
  };
}
