import { expect, it } from 'vitest';
import { advance, createClock } from '../../../src/packet/clock.js';

it('starts above 0, so that 0 can mean never', () => {
  expect(createClock()).toEqual({ seconds: 1, millis: 1000 });
});

it('advances by milliseconds and shows whole seconds', () => {
  const clock = createClock(5);
  advance(clock, 999);
  expect(clock).toEqual({ seconds: 5, millis: 5999 });
  advance(clock, 1);
  expect(clock).toEqual({ seconds: 6, millis: 6000 });
});

it('wraps its milliseconds at 2^31 and stays positive', () => {
  const clock = createClock();
  clock.millis = 2 ** 31 - 1;
  advance(clock, 1);
  expect(clock.millis).toBe(0);
});
