/**
 * The one clock of a pipeline, read once per turn. Live nodes fill it from the monotonic clock that the native poll reads anyway;
 * replay and tests set it.
 */
export interface Clock {
  /** Monotonic whole seconds; starts above 0 so that 0 can mean "never". */
  seconds: number;
  /** Monotonic milliseconds, wrapping at 2^31. */
  millis: number;
}

export function createClock(seconds = 1): Clock {
  return { seconds, millis: seconds * 1000 };
}

export function advance(clock: Clock, millis: number): void {
  clock.millis = (clock.millis + millis) & 0x7fffffff;
  clock.seconds = Math.floor(clock.millis / 1000);
}
