/*
 * Times of capture files: 64-bit counts of ticks, turned into seconds and nanoseconds and back without BigInt.
 *
 *   A count is two unsigned 32-bit halves. Products and dividends stay below 2^53, where every integer is exact, because a count
 *   is divided in steps of 16 bits, by divisors of at most 32.
 *
 *   if_tsresol   +-+-+-+-+-+-+-+-+
 *                |B|  exponent   |   one tick is 10^-exponent seconds, or 2^-exponent where B is set
 *                +-+-+-+-+-+-+-+-+
 *
 * Both functions have two results, which they leave in `time` or `ticks` until the next call. Typed arrays hold them because a
 * module's variable would box each number that is not a small integer.
 */

/** Microseconds, which hold where an interface names no resolution. */
export const RESOLUTION_DEFAULT = 6;
const BINARY = 0x80;
const DECIMAL_EXPONENT_MAX = 18;
const BINARY_EXPONENT_MAX = 62;
// Divisors for one step: the finer resolutions take two.
const DECIMAL_STEP_MAX = 9;
const BINARY_STEP_MAX = 32;

const NANOSECONDS = 1_000_000_000;
// 10^9 is 2^9 * 5^9: a remainder of 32 bits times 5^9 is exact, times 10^9 it would not be.
const FIVE_TO_9 = 1_953_125;

const POWERS_OF_10 = powersOf(10, DECIMAL_STEP_MAX);
const POWERS_OF_2 = powersOf(2, 32);

/** Left by `fromTicks`: seconds and nanoseconds since the epoch. */
export const time = new Float64Array(2);
/** Left by `toTicks`: the upper and the lower half of a count. */
export const ticks = new Float64Array(2);

// Left by `divide`: the quotient's halves and the remainder.
const division = new Float64Array(3);

/** Finer resolutions than 10^-18 and 2^-62 seconds are not read. */
export function checkResolution(resolution: number): boolean {
  const exponentMax = (resolution & BINARY) !== 0 ? BINARY_EXPONENT_MAX : DECIMAL_EXPONENT_MAX;
  return (resolution & ~BINARY) <= exponentMax;
}

/**
 * Leaves a count of ticks in `time`, rounded down to nanoseconds; in binary resolutions finer than 2^-32, one less where the bits
 * below those decide. `resolution` is a checked if_tsresol.
 */
export function fromTicks(high: number, low: number, resolution: number): void {
  const binary = (resolution & BINARY) !== 0;
  const powers = binary ? POWERS_OF_2 : POWERS_OF_10;
  const stepMax = binary ? BINARY_STEP_MAX : DECIMAL_STEP_MAX;
  let exponent = resolution & ~BINARY;
  division[0] = high;
  division[1] = low;
  if (exponent > stepMax) {
    divide(powers[exponent - stepMax]);
    exponent = stepMax;
  }
  const perSecond = powers[exponent];
  divide(perSecond);
  time[0] = division[0] * 2 ** 32 + division[1];
  time[1] = binary
    ? Math.floor((division[2] * FIVE_TO_9) / (perSecond / 512))
    : division[2] * (NANOSECONDS / perSecond);
}

/** Leaves a time as nanoseconds since the epoch in `ticks`. */
export function toTicks(seconds: number, nanoseconds: number): void {
  const upperSeconds = Math.floor(seconds / 65536);
  const lower = (seconds - upperSeconds * 65536) * NANOSECONDS + nanoseconds;
  const carry = Math.floor(lower / 65536);
  const upper = upperSeconds * NANOSECONDS + carry;
  const high = Math.floor(upper / 65536);
  ticks[0] = high;
  ticks[1] = (upper - high * 65536) * 65536 + (lower - carry * 65536);
}

/** Divides the count in `division` by at most 2^32. */
function divide(by: number): void {
  const high = Math.floor(division[0] / by);
  const low = division[1];
  const lowUpper = Math.floor(low / 65536);
  const upper = (division[0] - high * by) * 65536 + lowUpper;
  const upperQuotient = Math.floor(upper / by);
  const lower = (upper - upperQuotient * by) * 65536 + (low - lowUpper * 65536);
  const lowerQuotient = Math.floor(lower / by);
  division[0] = high;
  division[1] = upperQuotient * 65536 + lowerQuotient;
  division[2] = lower - lowerQuotient * by;
}

function powersOf(base: number, exponentMax: number): Float64Array {
  const powers = new Float64Array(exponentMax + 1).fill(1);
  for (let i = 1; i <= exponentMax; i++) powers[i] = powers[i - 1] * base;
  return powers;
}
