/**
 * Finds a path-MTU black hole: a path that loses packets above a size and tells nobody (RFC 2923 section 2.1). As in RFC 8899: padded
 * heartbeats that are never fragmented, and a search for the largest that is answered. Pure: whoever holds it says what time it is, in
 * monotonic milliseconds, and sends.
 *
 * A size is tried by a pair of heartbeats, the padded one and a small one behind it, of a size that every path takes. Where only the small one is
 * answered, the try has failed; where neither is, it says nothing about the size and is made again.
 *
 *   full size    answered: the path is whole, next look in 10 minutes      3 failed tries: search
 *   search       by halves between what every path takes and the full size, 2 tries a size; a hole that was known is tried first
 *   hole         next look in 5 minutes
 */
export interface ProbeLimits {
  /** Outer bytes that every path takes. */
  floor: number;
  /** Outer bytes of a full packet. */
  full: number;
}

export type ProbeResult = { kind: 'whole' } | { kind: 'hole'; bytes: number };

export interface PathProbe {
  readonly limits: ProbeLimits;
  /** Largest outer packet that gets through where larger ones vanish; null while no hole is known. */
  readonly hole: number | null;
  /** Outer bytes of the pair that is to be sent now, null for none. `waitMs`: how long its answers may take. */
  next(now: number, waitMs: number): number | null;
  /** An answer to the pair that was sent last. */
  noteAnswer(isPadded: boolean, now: number): void;
  /** The kernel did not take the padded heartbeat. */
  noteRefused(now: number): void;
  /** What was found out since the last call. */
  take(): ProbeResult | null;
}

const FULL_TRIES = 3;
const SEARCH_TRIES = 2;
/** Pairs in a row without any answer, after which the path is left alone for a while. */
const SILENT_MAX = 8;
const AGAIN_MS = 600_000;
/** Before what was found is forgotten (EXPIRES_SEC in pathMtus.ts). */
const AGAIN_WITH_HOLE_MS = 300_000;
const AGAIN_AFTER_SILENCE_MS = 30_000;

export function createPathProbe(limits: ProbeLimits, startAt: number): PathProbe {
  const { floor, full } = limits;
  let nextAt = startAt;
  let hole: number | null = null;
  let result: ProbeResult | null = null;
  /** Size that is being tried, 0 between two looks. */
  let size = 0;
  /** What gets through, and what does not. */
  let low = floor;
  let high = full;
  let guesses: number[] = [];
  let failed = 0;
  let silent = 0;
  /** End of the wait for the pair that is under way, null for none. */
  let until: number | null = null;
  let isSmallAnswered = false;

  function settle(bytes: number, now: number): void {
    hole = bytes >= full ? null : bytes;
    result = hole === null ? { kind: 'whole' } : { kind: 'hole', bytes };
    size = 0;
    nextAt = now + (hole === null ? AGAIN_MS : AGAIN_WITH_HOLE_MS);
  }

  function begin(): void {
    size = full;
    low = Math.min(floor, full);
    high = full;
    // A hole that is still the same takes two sizes, not a whole search.
    guesses = hole === null ? [] : [hole, hole + 1];
    failed = 0;
    silent = 0;
  }

  function tryNextSize(now: number): void {
    failed = 0;
    guesses = guesses.filter((guess) => guess > low && guess < high);
    if (high - low <= 1) settle(low, now);
    else size = guesses.shift() ?? (low + high) >> 1;
  }

  function pass(now: number): void {
    until = null;
    silent = 0;
    low = size;
    if (size === full) settle(full, now);
    else tryNextSize(now);
  }

  function fail(now: number): void {
    until = null;
    silent = 0;
    if (++failed < (size === full ? FULL_TRIES : SEARCH_TRIES)) return;
    high = size;
    tryNextSize(now);
  }

  function missBoth(now: number): void {
    until = null;
    if (++silent < SILENT_MAX) return;
    size = 0;
    nextAt = now + AGAIN_AFTER_SILENCE_MS;
  }

  return {
    limits,
    get hole() {
      return hole;
    },
    next(now, waitMs) {
      if (until !== null && now >= until) {
        if (isSmallAnswered) fail(now);
        else missBoth(now);
      }
      if (until !== null) return null;
      if (size === 0) {
        if (now < nextAt) return null;
        begin();
      }
      until = now + waitMs;
      isSmallAnswered = false;
      return size;
    },
    noteAnswer(isPadded, now) {
      if (until === null) return;
      if (isPadded) pass(now);
      else isSmallAnswered = true;
    },
    noteRefused(now) {
      if (until === null) return;
      failed = FULL_TRIES;
      fail(now);
    },
    take() {
      const taken = result;
      result = null;
      return taken;
    },
  };
}
