import { describe, expect, it } from 'vitest';
import { createClock } from '../../../src/packet/clock.js';
import { createVirtualClock, TICKS_MAX } from '../../../src/replay/virtualClock.js';

function makeClock() {
  const clock = createClock();
  const ticks: number[] = [];
  const virtual = createVirtualClock(clock, () => ticks.push(clock.seconds));
  return { clock, ticks, virtual };
}

describe('the virtual clock', () => {
  it('begins at second 1 with the first record, whenever that was', () => {
    const { clock, ticks, virtual } = makeClock();
    virtual.advance(1_700_000_000, 250_000_000);
    expect([clock.seconds, clock.millis, ticks]).toEqual([1, 1250, []]);
  });

  it('ticks once for each second of the captures', () => {
    const { clock, ticks, virtual } = makeClock();
    virtual.advance(1000, 900_000_000);
    virtual.advance(1001, 0);
    virtual.advance(1001, 999_999_999);
    virtual.advance(1004, 5_000_000);
    expect(ticks).toEqual([2, 3, 4, 5]);
    expect([clock.seconds, clock.millis]).toEqual([5, 5005]);
  });

  it('has a bounded number of ticks for a gap, the last of them at its end', () => {
    const { clock, ticks, virtual } = makeClock();
    virtual.advance(0, 0);
    virtual.advance(1_000_000, 0);
    expect(ticks).toHaveLength(TICKS_MAX);
    expect(ticks.at(-1)).toBe(1_000_001);
    expect(clock.seconds).toBe(1_000_001);
  });

  it('stands still where seconds would not fit 31 bits, and milliseconds wrap', () => {
    const { clock, virtual } = makeClock();
    virtual.advance(0, 0);
    virtual.advance(0xfffffffe, 0);
    expect(clock.seconds).toBeLessThan(2 ** 31 - 1_000_001);
    expect(clock.millis).toBeGreaterThanOrEqual(0);
    virtual.advance(0xfffffffe, 7_000_000);
    expect(clock.millis).toBeLessThan(2 ** 31);
  });
});
