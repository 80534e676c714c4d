/**
 * Whether one peer answers its heartbeats, and how fast. Pure: whoever holds it says what time it is, in monotonic milliseconds.
 *
 *   unknown --answer--> up --no answer for timeoutMs--> down --answer--> up
 *   unknown --no answer for timeoutMs--> down
 *
 * Traffic to a peer that is down goes on as before: heartbeats tell, they do not switch.
 */
export type LivenessState = 'unknown' | 'up' | 'down';

export interface Timing {
  intervalMs: number;
  /** A peer that has not answered for so long is down. */
  timeoutMs: number;
}

export interface RoundTrip {
  lastUs: number;
  /** Smoothed, by 1/8 of each difference (RFC 6298 section 2). */
  smoothedUs: number;
  leastUs: number;
}

export interface Liveness {
  readonly state: LivenessState;
  /** When the state began. */
  readonly since: number;
  /** When the last answer came, null for never. */
  readonly answeredAt: number | null;
  readonly roundTrip: RoundTrip | null;
  readonly sent: number;
  readonly answered: number;
  /** Heartbeats that got no answer in time. */
  readonly lost: number;
  /** Lost ones of the last 64 whose fate is known, 0 to 1. */
  readonly lossRecently: number;
  /** A heartbeat is to be sent now; the next one is due an interval later. */
  isDue(now: number): boolean;
  /** Makes one due at once: the peer is somewhere else. */
  hurry(now: number): void;
  /** A heartbeat with this number went out. */
  noteSent(sequence: number, now: number): void;
  /** Its answer came at `at`, after it had been `heldUs` with the peer. False for a number that is not waited for. */
  noteAnswer(sequence: number, at: number, heldUs: number): boolean;
  /** Moves on with time; true when that changed the state. */
  review(now: number): boolean;
}

/** Heartbeats that the recent loss is reckoned over. */
const HISTORY = 64;

export function createLiveness({ intervalMs, timeoutMs }: Timing, startedAt: number, firstAt = startedAt): Liveness {
  const waiting = new Map<number, number>();
  const fates: boolean[] = [];
  let nextAt = firstAt;
  let state: LivenessState = 'unknown';
  let since = startedAt;
  let answeredAt: number | null = null;
  let roundTrip: RoundTrip | null = null;
  let sent = 0;
  let answered = 0;
  let lost = 0;

  function enter(next: LivenessState, now: number): boolean {
    if (state === next) return false;
    state = next;
    since = now;
    return true;
  }

  function noteFate(wasLost: boolean): void {
    fates.push(wasLost);
    if (fates.length > HISTORY) fates.shift();
    if (wasLost) lost++;
    else answered++;
  }

  function measure(us: number): void {
    // Clocks of two threads: never less than nothing.
    const lastUs = Math.max(0, Math.round(us));
    if (roundTrip === null) roundTrip = { lastUs, smoothedUs: lastUs, leastUs: lastUs };
    else {
      const smoothedUs = roundTrip.smoothedUs + (lastUs - roundTrip.smoothedUs) / 8;
      roundTrip = { lastUs, smoothedUs, leastUs: Math.min(roundTrip.leastUs, lastUs) };
    }
  }

  return {
    get state() {
      return state;
    },
    get since() {
      return since;
    },
    get answeredAt() {
      return answeredAt;
    },
    get roundTrip() {
      return roundTrip;
    },
    get sent() {
      return sent;
    },
    get answered() {
      return answered;
    },
    get lost() {
      return lost;
    },
    get lossRecently() {
      return fates.length === 0 ? 0 : fates.filter((wasLost) => wasLost).length / fates.length;
    },
    isDue(now) {
      if (now < nextAt) return false;
      // After a pause of the process one heartbeat is enough.
      nextAt = nextAt + intervalMs > now ? nextAt + intervalMs : now + intervalMs;
      return true;
    },
    hurry(now) {
      nextAt = now;
    },
    noteSent(sequence, now) {
      waiting.set(sequence, now);
      sent++;
    },
    noteAnswer(sequence, at, heldUs) {
      const sentAt = waiting.get(sequence);
      if (sentAt === undefined) return false;
      waiting.delete(sequence);
      noteFate(false);
      measure((at - sentAt) * 1000 - heldUs);
      answeredAt = Math.max(answeredAt ?? at, at);
      return true;
    },
    review(now) {
      for (const [sequence, sentAt] of waiting) {
        if (now - sentAt <= timeoutMs) break;
        waiting.delete(sequence);
        noteFate(true);
      }
      if (answeredAt !== null && now - answeredAt <= timeoutMs) return enter('up', now);
      return state !== 'down' && now - (answeredAt ?? since) > timeoutMs && enter('down', now);
    },
  };
}
