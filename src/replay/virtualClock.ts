import type { Clock } from '../packet/clock.js';

/**
 * The pipeline's clock on capture time: second 1 is that of the first record, and a new second begins where the captures' seconds change, so
 * that whole bursts lie in one. It never goes backwards. Each second that passes has its tick; a gap has a bounded number of them, the last
 * of which are at its end.
 */
export interface VirtualClock {
  /** Goes on to a time of the captures. */
  advance(seconds: number, nanoseconds: number): void;
}

/** A sweep looks at 4096 entries of the MAC table: as many ticks look at all of the largest. */
export const TICKS_MAX = 64;
/** Ages are added to it in 32 bits: time stands still after 34 years. */
const SECONDS_MAX = 1 << 30;

export function createVirtualClock(clock: Clock, tick: () => void): VirtualClock {
  let first = -1;
  return {
    advance(seconds, nanoseconds) {
      if (first < 0) first = seconds;
      const target = Math.min(seconds - first, SECONDS_MAX) + 1;
      const passed = target - clock.seconds;
      if (passed > 0) {
        for (let left = Math.min(passed, TICKS_MAX) - 1; left >= 0; left--) {
          clock.seconds = target - left;
          clock.millis = (clock.seconds * 1000) & 0x7fffffff;
          tick();
        }
      }
      clock.millis = (clock.seconds * 1000 + Math.floor(nanoseconds / 1e6)) & 0x7fffffff;
    },
  };
}
