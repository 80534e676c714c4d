import type { Burst } from '../packet/burst.js';
import type { Clock } from '../packet/clock.js';
import { LEARN_REFUSED as COUNT_LEARN_REFUSED, MAC_MOVES, NETWORK_ROW, ROW_WIDTH } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { LEARN_MOVED, LEARN_REFUSED, learnSource, type MacTable, NEVER, probeOn } from './macTable.js';

/**
 * The learn step: each lane's source MAC is known behind its origin afterwards, so that the next frame already finds it.
 *
 * The loop only compares: a source that is known where it is, with this second's stamp, costs one probe and no store. Everything else
 * (first sight, a new second, a move) goes to the table under its try-lock.
 */
export function bindLearn(
  burst: Burst,
  table: MacTable,
  ageingSec: Int32Array,
  clock: Clock,
  counters: Float64Array,
): (n: number) => void {
  const { srcLo, srcHi, srcEntry, network, origin, drop } = burst;
  const { entries, entryMask } = table;

  function slow(i: number, now: number): void {
    const lo = srcLo[i];
    const hi = srcHi[i];
    if ((lo & 1) !== 0 || (lo | hi) === 0) {
      drop[i] = DROP['invalid-source'];
      return;
    }
    if (origin[i] === 0) return; // an unknown peer: nothing to point at
    const net = network[i];
    const did = learnSource(table, lo, hi, net, origin[i], now + ageingSec[net], now);
    if (did > 0) drop[i] = did;
    else if (did === LEARN_REFUSED) counters[(NETWORK_ROW + net) * ROW_WIDTH + COUNT_LEARN_REFUSED]++;
    else if (did === LEARN_MOVED) counters[(NETWORK_ROW + net) * ROW_WIDTH + MAC_MOVES]++;
  }

  return function learn(n: number): void {
    const now = clock.seconds;
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0) continue;
      const lo = srcLo[i];
      const net = network[i];
      const key = srcHi[i] | (net << 16);
      let e = srcEntry[i];
      let value = entries[e + 2];
      if (value !== 0 && (entries[e] !== lo || entries[e + 1] !== key)) {
        e = probeOn(entries, entryMask, e, lo, key);
        value = entries[e + 2];
      }
      const expires = entries[e + 3];
      if (value !== origin[i] || (expires !== now + ageingSec[net] && expires !== NEVER) || value === 0) slow(i, now);
    }
  };
}
