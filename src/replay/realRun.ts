import { LANES } from '../packet/burst.js';
import { boundBy, earliest, type Source, setBound } from './merge.js';
import type { Pacer } from './pacer.js';
import type { RunEnd, RunLimits } from './virtualRun.js';

/** What a run on the real clock needs of the thread around it. */
export interface RealWorld {
  /** Microseconds, monotonic. */
  nowUs(): number;
  /** Serves all other devices; blocks for so long when they have nothing. */
  turn(sleepUs: number): void;
  /** Bytes that have come in at a source. */
  bytesOf(source: number): number;
}

/** Bursts between two looks at the other devices. */
const BURSTS_PER_TURN = 4;
/** A stop is heard after so long. */
const SLEEP_MAX_US = 100_000;

/**
 * Sends the records of all inputs when they are due, and serves the other devices in between. Reads the inputs `loops` times, 0 for ever; a
 * source is open only while its burst is walked, so that the turn loop leaves it alone.
 */
export function runReal(
  sources: readonly Source[],
  world: RealWorld,
  pacer: Pacer,
  loops: number,
  limits: RunLimits,
  shouldStop: (packets: number) => boolean,
): RunEnd {
  const startUs = world.nowUs();
  const elapsed = () => world.nowUs() - startUs;
  const end: RunEnd = { stopped: false, captureSeconds: 0 };
  let packets = 0;
  let packetsOfLoop = 0;
  let loop = 1;
  let bursts = 0;
  let firstSeconds = -1;
  let firstNanoseconds = 0;
  for (const { gate } of sources) gate.lanesMax = 0;

  function beginAgain(): boolean {
    if (packetsOfLoop === 0 || (loops > 0 && loop >= loops)) return false;
    loop++;
    packetsOfLoop = 0;
    firstSeconds = -1;
    for (const { input } of sources) input.rewind();
    pacer.restart(elapsed());
    return true;
  }

  const sinceFirst = (source: Source) =>
    (source.input.seconds - firstSeconds) * 1e6 + (source.input.nanoseconds - firstNanoseconds) / 1e3;

  /** Nothing that is due later than now; what has been waited for goes in any case. */
  function boundNow(best: number, nowUs: number): void {
    const until = Math.max(pacer.until(nowUs), sinceFirst(sources[best]));
    if (until === Number.POSITIVE_INFINITY) return;
    const nanoseconds = firstNanoseconds + Math.floor((until % 1e6) * 1e3) + 1;
    const carry = Math.floor(nanoseconds / 1e9);
    boundBy(sources[best].gate, firstSeconds + Math.floor(until / 1e6) + carry, nanoseconds - carry * 1e9);
  }

  function sendBurst(best: number, nowUs: number): number {
    const { gate, walk } = sources[best];
    setBound(sources, best);
    boundNow(best, nowUs);
    const left = limits.packets > 0 ? limits.packets - packets : LANES;
    gate.lanesMax = Math.min(left, pacer.lanes(nowUs));
    const before = world.bytesOf(best);
    const n = walk();
    gate.lanesMax = 0;
    if (n > 0) pacer.sent(n, world.bytesOf(best) - before);
    return n;
  }

  for (;;) {
    const best = earliest(sources);
    if (best < 0) {
      if (beginAgain()) continue;
      return end;
    }
    const source = sources[best];
    if (firstSeconds < 0) {
      firstSeconds = source.input.seconds;
      firstNanoseconds = source.input.nanoseconds;
    }
    const nowUs = elapsed();
    const leftUs = limits.seconds > 0 ? limits.seconds * 1e6 - nowUs : SLEEP_MAX_US;
    end.stopped = leftUs <= 0 || (limits.packets > 0 && packets >= limits.packets) || shouldStop(packets);
    if (end.stopped) return end;
    const wait = pacer.wait(nowUs, sinceFirst(source));
    if (wait > 0) {
      world.turn(Math.min(wait, leftUs, SLEEP_MAX_US));
      continue;
    }
    const n = sendBurst(best, nowUs);
    if (n <= 0) {
      end.stopped = true;
      return end;
    }
    packets += n;
    packetsOfLoop += n;
    end.captureSeconds = Math.max(end.captureSeconds, sinceFirst(source) / 1e6);
    if (++bursts % BURSTS_PER_TURN === 0) world.turn(0);
  }
}
