import { describe, expect, it } from 'vitest';
import { createLiveness } from '../../../../src/control/peers/liveness.js';

const TIMING = { intervalMs: 1000, timeoutMs: 5000 };

/** A peer whose heartbeats are answered after `rtt` milliseconds until `deaf`, looked at every 50 ms. */
function watch(
  until: number,
  { rtt = 2, deafFrom = Number.POSITIVE_INFINITY, deafTo = Number.POSITIVE_INFINITY } = {},
) {
  const liveness = createLiveness(TIMING, 0);
  const changes: [number, string][] = [];
  let sequence = 0;
  let answers: [number, number][] = [];
  for (let now = 0; now <= until; now += 50) {
    for (const [number, at] of answers.filter(([, at]) => at <= now)) liveness.noteAnswer(number, at, 0);
    answers = answers.filter(([, at]) => at > now);
    if (liveness.review(now)) changes.push([now, liveness.state]);
    if (!liveness.isDue(now)) continue;
    liveness.noteSent(++sequence, now);
    if (now < deafFrom || now >= deafTo) answers.push([sequence, now + rtt]);
  }
  return { liveness, changes };
}

describe('state', () => {
  it('is unknown until the first answer', () => {
    const liveness = createLiveness(TIMING, 100);
    expect([liveness.state, liveness.answeredAt, liveness.roundTrip]).toEqual(['unknown', null, null]);
    expect(liveness.review(5100)).toBe(false);
    expect(liveness.state).toBe('unknown');
  });

  it('is up with the first answer', () => {
    const { liveness, changes } = watch(10_000);
    expect(changes).toEqual([[50, 'up']]);
    expect([liveness.state, liveness.since]).toEqual(['up', 50]);
  });

  it('is down when no answer ever came, and says so once', () => {
    expect(watch(20_000, { deafFrom: 0, deafTo: 30_000 }).changes).toEqual([[5050, 'down']]);
  });

  it('is down a timeout after the last answer, and up again with the next one', () => {
    const { changes } = watch(40_000, { deafFrom: 10_000, deafTo: 30_000 });
    expect(changes).toEqual([
      [50, 'up'],
      // The last answer came at 9002.
      [14_050, 'down'],
      [30_050, 'up'],
    ]);
  });

  it('does not change for single losses', () => {
    const { changes, liveness } = watch(30_000, { deafFrom: 10_000, deafTo: 13_000 });
    expect(changes).toEqual([[50, 'up']]);
    expect(liveness.lost).toBe(3);
  });

  it('is not decided by how late the holder looks', () => {
    const liveness = createLiveness(TIMING, 0);
    liveness.noteSent(1, 0);
    liveness.noteAnswer(1, 2, 0);
    liveness.review(2);
    // The process stood still for a minute; the answer came in the middle of it.
    liveness.noteSent(2, 57_000);
    liveness.noteAnswer(2, 57_003, 0);
    expect(liveness.review(60_000)).toBe(false);
    expect(liveness.state).toBe('up');
  });
});

describe('heartbeats', () => {
  it('are due at once, then every interval, and once after a pause', () => {
    const liveness = createLiveness(TIMING, 500);
    const due = [500, 501, 1499, 1500, 1501, 2520, 3499, 3500, 60_000, 60_050, 60_999, 61_000];
    expect(due.filter((now) => liveness.isDue(now))).toEqual([500, 1500, 2520, 3500, 60_000, 61_000]);
    liveness.hurry(61_500);
    expect(liveness.isDue(61_500)).toBe(true);
    const later = createLiveness(TIMING, 500, 800);
    expect([500, 799, 800, 1799, 1800].filter((now) => later.isDue(now))).toEqual([800, 1800]);
  });

  it('are counted, lost ones after the timeout', () => {
    const { liveness } = watch(19_000, { deafFrom: 10_000, deafTo: 12_000 });
    expect(liveness).toMatchObject({ sent: 20, answered: 17, lost: 2 });
    expect(liveness.lossRecently).toBeCloseTo(2 / 19);
  });

  it('count once however often they are answered, and not when they were never sent', () => {
    const liveness = createLiveness(TIMING, 0);
    liveness.noteSent(7, 0);
    expect(liveness.noteAnswer(8, 1, 0)).toBe(false);
    expect(liveness.noteAnswer(7, 1, 0)).toBe(true);
    expect(liveness.noteAnswer(7, 2, 0)).toBe(false);
    expect(liveness.answered).toBe(1);
  });

  it('answered after the timeout are no news', () => {
    const liveness = createLiveness(TIMING, 0);
    liveness.noteSent(1, 0);
    liveness.review(5001);
    expect(liveness.noteAnswer(1, 5001, 0)).toBe(false);
    expect([liveness.state, liveness.lost]).toEqual(['down', 1]);
  });

  it('recent loss forgets', () => {
    const { liveness } = watch(100_000, { deafFrom: 0, deafTo: 10_000 });
    expect(liveness).toMatchObject({ lost: 10, lossRecently: 0 });
  });
});

describe('round-trip time', () => {
  it('is without the time that the peer held the heartbeat', () => {
    const liveness = createLiveness(TIMING, 0);
    liveness.noteSent(1, 1000);
    liveness.noteAnswer(1, 1050.5, 50_000);
    expect(liveness.roundTrip).toEqual({ lastUs: 500, smoothedUs: 500, leastUs: 500 });
    liveness.noteSent(2, 2000);
    liveness.noteAnswer(2, 2001.3, 0);
    // 500 + (1300 - 500) / 8
    expect(liveness.roundTrip).toEqual({ lastUs: 1300, smoothedUs: 600, leastUs: 500 });
  });

  it('is never below nothing, whatever a peer says', () => {
    const liveness = createLiveness(TIMING, 0);
    liveness.noteSent(1, 0);
    liveness.noteAnswer(1, 1, 0xffffffff);
    expect(liveness.roundTrip?.lastUs).toBe(0);
  });
});
