import type { Burst } from '../packet/burst.js';
import type { Clock } from '../packet/clock.js';
import { LEARN_REFUSED as COUNT_LEARN_REFUSED, MAC_MOVES, NETWORK_ROW, ROW_WIDTH } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import type { ForwardKernel } from './kernel.js';
import { LEARN_MOVED, LEARN_REFUSED, learnSource, type MacTable, macKey, NEVER, probe } from './macTable.js';

/**
 * The learn step: each lane's source MAC is known behind its origin afterwards, so that the next frame already finds it.
 *
 * The kernel only compares: a source that is known where it is, with this second's stamp, costs one probe and no store. Everything else
 * (first sight, a new second, a move) comes here and goes to the table under its try-lock.
 *
 * So the lanes of a burst are compared before any of them is learned: where two lanes disagree about a station, the one that moves it wins,
 * whichever came first.
 */
export function bindLearn(
  burst: Burst,
  table: MacTable,
  ageingSec: Int32Array,
  clock: Clock,
  counters: Float64Array,
  kernel: ForwardKernel,
): (n: number) => void {
  const { srcLo, srcHi, srcEntry, network, origin, drop, careful } = burst;
  const { entries } = table;

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

  /** What the kernel leaves: first sight, a new second, a move, an entry that is not where its probe begins. */
  function learnCarefully(i: number, now: number): void {
    const net = network[i];
    const lo = srcLo[i];
    const key = macKey(srcHi[i], net);
    const e = probe(table, srcEntry[i], lo, key);
    const expires = entries[e + 3];
    const isFresh = entries[e + 2] === origin[i] && (expires === now + ageingSec[net] || expires === NEVER);
    if (!isFresh || entries[e + 2] === 0) slow(i, now);
  }

  return function learn(n: number): void {
    const now = clock.seconds;
    const left = kernel.learn(n, now);
    for (let k = 0; k < left; k++) learnCarefully(careful[k], now);
  };
}
