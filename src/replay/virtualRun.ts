import { LANES } from '../packet/burst.js';
import { boundBy, earliest, type Source, setBound } from './merge.js';
import type { VirtualClock } from './virtualClock.js';

export interface RunLimits {
  /** Packets; 0: no limit. */
  packets: number;
  /** Seconds of the captures or of the real clock; 0: no limit. */
  seconds: number;
}

/** How a run ended. */
export interface RunEnd {
  /** With input left. */
  stopped: boolean;
  /** From the first record to the last. */
  captureSeconds: number;
}

/**
 * Walks all inputs to their ends in the order of their timestamps, equal ones in the order of the inputs. A burst is of one input, ends before
 * the next record of another, and lies within one second: where bursts begin and end is decided by the captures alone.
 */
export function runVirtual(
  sources: readonly Source[],
  clock: VirtualClock,
  limits: RunLimits,
  shouldStop: (packets: number) => boolean,
): RunEnd {
  const end: RunEnd = { stopped: false, captureSeconds: 0 };
  let packets = 0;
  let firstSeconds = -1;
  let firstNanoseconds = 0;

  function boundDuration(best: number): void {
    const nanoseconds = firstNanoseconds + Math.round((limits.seconds % 1) * 1e9);
    const carry = Math.floor(nanoseconds / 1e9);
    boundBy(sources[best].gate, firstSeconds + Math.floor(limits.seconds) + carry, nanoseconds - carry * 1e9);
  }

  for (let best = earliest(sources); best >= 0; best = earliest(sources)) {
    const { input, gate, walk } = sources[best];
    if (firstSeconds < 0) {
      firstSeconds = input.seconds;
      firstNanoseconds = input.nanoseconds;
    }
    setBound(sources, best);
    if (limits.seconds > 0) boundDuration(best);
    gate.lanesMax = limits.packets > 0 ? Math.min(LANES, limits.packets - packets) : LANES;
    clock.advance(input.seconds, input.nanoseconds);
    const n = shouldStop(packets) ? 0 : walk();
    if (n <= 0) {
      end.stopped = true;
      break;
    }
    packets += n;
    end.captureSeconds = input.seconds - firstSeconds + (input.nanoseconds - firstNanoseconds) / 1e9;
  }
  return end;
}
