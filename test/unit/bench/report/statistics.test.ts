import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  differences,
  median,
  quantile,
  ratios,
  relativeSpread,
  summarize,
} from '../../../../bench/report/statistics.js';

const samples = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 50 });

describe('quantile', () => {
  it.each([
    [[7], 0.5, 7],
    [[1, 2], 0.5, 1.5],
    [[3, 1, 2], 0.5, 2],
    // R: quantile(c(1, 2, 3, 4, 10), c(.25, .75), type = 7) is 2, 4
    [[10, 1, 4, 3, 2], 0.25, 2],
    [[10, 1, 4, 3, 2], 0.75, 4],
    // numpy.quantile([15, 20, 35, 40, 50], 0.4) is 29
    [[15, 20, 35, 40, 50], 0.4, 29],
    [[5, 9], 0, 5],
    [[5, 9], 1, 9],
  ])('%j at %d is %d', (values, q, expected) => {
    expect(quantile(values, q)).toBeCloseTo(expected, 9);
  });

  it('of nothing is NaN', () => {
    expect(quantile([], 0.5)).toBeNaN();
  });

  it('lies between the extremes, whatever the order, and leaves its argument as it is', () => {
    fc.assert(
      fc.property(samples, fc.double({ min: 0, max: 1, noNaN: true }), (values, q) => {
        const copy = [...values];
        const result = quantile(values, q);
        expect(values).toEqual(copy);
        expect(result).toBeGreaterThanOrEqual(Math.min(...values) - 1e-9);
        expect(result).toBeLessThanOrEqual(Math.max(...values) + 1e-9);
        expect(quantile([...values].reverse(), q)).toBe(result);
      }),
    );
  });
});

describe('summaries', () => {
  it('have median, extremes and quartiles', () => {
    expect(summarize([10, 1, 4, 3, 2])).toEqual({ median: 3, min: 1, max: 10, q1: 2, q3: 4, count: 5 });
  });

  it('one wild sample moves neither median nor spread', () => {
    expect(median([10, 11, 12, 13, 1000])).toBe(12);
    expect(relativeSpread([10, 11, 12, 13, 1000])).toBeCloseTo(2 / 12, 9);
  });

  it('ratios and differences go sample by sample', () => {
    expect(ratios([2, 9, 5], [4, 3])).toEqual([0.5, 3]);
    expect(differences([5, 7], [1, 10])).toEqual([4, -3]);
  });
});
