import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkResolution, fromTicks, ticks, time, toTicks } from '../../../src/wire/captureTime.js';
import { range } from './frames.js';

const u32 = fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.constantFrom(0, 1, 0xffff, 0x10000, 0xffff_ffff));

/** The slow twin: BigInt. */
function twin(high: number, low: number, resolution: number): [bigint, bigint] {
  const count = (BigInt(high) << 32n) | BigInt(low);
  const perSecond = (resolution & 0x80) !== 0 ? 1n << BigInt(resolution & 0x7f) : 10n ** BigInt(resolution);
  return [count / perSecond, ((count % perSecond) * 1_000_000_000n) / perSecond];
}

describe('checkResolution', () => {
  it('takes decimal fractions to 10^-18 and binary ones to 2^-62', () => {
    const accepted = range(0, 255).filter((resolution) => checkResolution(resolution));
    expect(accepted).toEqual([...range(0, 18), ...range(0x80, 0x80 + 62)]);
  });
});

describe('fromTicks', () => {
  it('reads microseconds and nanoseconds of today', () => {
    // 2026-11-20 21:34:17.007022 UTC
    fromTicks(Math.floor(1795210457007022 / 2 ** 32), 1795210457007022 % 2 ** 32, 6);
    expect([...time]).toEqual([1795210457, 7_022_000]);
    const nanoseconds = 1795210457_007022123n;
    fromTicks(Number(nanoseconds >> 32n), Number(nanoseconds & 0xffff_ffffn), 9);
    expect([...time]).toEqual([1795210457, 7_022_123]);
  });

  it.each([...range(0, 18), ...range(0x80, 0x80 + 62)])(
    'is exact to the nanosecond for if_tsresol %i',
    (resolution) => {
      fc.assert(
        fc.property(u32, u32, (high, low) => {
          fromTicks(high, low, resolution);
          const [seconds, nanoseconds] = twin(high, low, resolution);
          // Beyond 2^53 seconds there is no exact number; the format has no such times either.
          if (seconds < 2n ** 53n) expect(time[0]).toBe(Number(seconds));
          // Bits below 2^-32 seconds are left out before the rounding.
          const less = resolution > 0x80 + 32 ? Number(nanoseconds) - time[1] : 0;
          expect(time[1]).toBe(Number(nanoseconds) - less);
          expect([0, 1]).toContain(less);
        }),
        { numRuns: 50 },
      );
    },
  );
});

describe('toTicks', () => {
  it('counts nanoseconds since 1970 in two halves', () => {
    const seconds = fc.integer({ min: 0, max: 2 ** 33 });
    fc.assert(
      fc.property(seconds, fc.integer({ min: 0, max: 999_999_999 }), (s, ns) => {
        toTicks(s, ns);
        const count = BigInt(s) * 1_000_000_000n + BigInt(ns);
        expect([BigInt(ticks[0]), BigInt(ticks[1])]).toEqual([count >> 32n, count & 0xffff_ffffn]);
        fromTicks(ticks[0], ticks[1], 9);
        expect([...time]).toEqual([s, ns]);
      }),
    );
  });
});
