import { describe, expect, it } from 'vitest';
import { createStormLimit } from '../../../src/forward/storm.js';

const admitted = (storm: ReturnType<typeof createStormLimit>, network: number, tries: number, packets = 1) => {
  let n = 0;
  for (let i = 0; i < tries; i++) if (storm.admit(network, packets)) n++;
  return n;
};

describe('the broadcast limit', () => {
  it('lets a second of its rate pass at once, then its rate', () => {
    const clock = { millis: 5000 };
    const storm = createStormLimit(4, clock);
    storm.configure(1, 100);
    expect(admitted(storm, 1, 500)).toBe(100);
    clock.millis += 250;
    expect(admitted(storm, 1, 500)).toBe(25);
    clock.millis += 10;
    expect(admitted(storm, 1, 500)).toBe(1);
  });

  it('saves up no more than a second', () => {
    const clock = { millis: 0 };
    const storm = createStormLimit(4, clock);
    storm.configure(1, 100);
    admitted(storm, 1, 500);
    clock.millis += 3_600_000;
    expect(admitted(storm, 1, 500)).toBe(100);
  });

  it('admits its rate over a minute, whatever the steps of the clock', () => {
    const clock = { millis: 2 ** 31 - 20_000 };
    const storm = createStormLimit(4, clock);
    storm.configure(1, 333);
    let n = admitted(storm, 1, 1000);
    for (let step = 0; step < 6000; step++) {
      clock.millis = (clock.millis + 10) & 0x7fffffff;
      n += admitted(storm, 1, 20);
    }
    expect(n).toBeGreaterThan(333 * 61 - 5);
    expect(n).toBeLessThanOrEqual(333 * 61);
  });

  it('counts a superframe by its packets, all or none', () => {
    const clock = { millis: 0 };
    const storm = createStormLimit(4, clock);
    storm.configure(1, 100);
    expect(storm.admit(1, 60)).toBe(true);
    expect(storm.admit(1, 60)).toBe(false);
    expect(storm.admit(1, 40)).toBe(true);
    expect(storm.admit(1, 1)).toBe(false);
  });

  it('is for each network its own, and none at 0', () => {
    const storm = createStormLimit(4, { millis: 0 });
    storm.configure(1, 1);
    storm.configure(2, 5);
    expect([admitted(storm, 1, 10), admitted(storm, 2, 10), admitted(storm, 3, 10)]).toEqual([1, 5, 10]);
    storm.configure(1, 0);
    expect(admitted(storm, 1, 10)).toBe(10);
  });

  it('is not filled again by a plan that says the same', () => {
    const storm = createStormLimit(4, { millis: 0 });
    storm.configure(1, 10);
    expect(admitted(storm, 1, 20)).toBe(10);
    storm.configure(1, 10);
    expect(admitted(storm, 1, 20)).toBe(0);
    storm.configure(1, 3);
    expect(admitted(storm, 1, 20)).toBe(3);
  });

  it('passes fractions on: workers share a rate', () => {
    const clock = { millis: 0 };
    const storm = createStormLimit(2, clock);
    storm.configure(1, 1 / 4);
    let n = 0;
    for (let s = 0; s < 40; s++) {
      clock.millis += 1000;
      n += admitted(storm, 1, 5);
    }
    expect(n, 'a rate below one a second never saves up a whole packet').toBe(0);
  });
});
