/** What a set of samples says. Medians and quartiles: one preempted round must not move the result. */
export interface Summary {
  median: number;
  min: number;
  max: number;
  /** Lower and upper quartile. */
  q1: number;
  q3: number;
  count: number;
}

/** Quantile `q` (0..1) by linear interpolation between the two nearest samples. */
export function quantile(samples: readonly number[], q: number): number {
  if (samples.length === 0) return Number.NaN;
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const below = Math.floor(at);
  const above = Math.ceil(at);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - below);
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

export function summarize(samples: readonly number[]): Summary {
  return {
    median: median(samples),
    min: quantile(samples, 0),
    max: quantile(samples, 1),
    q1: quantile(samples, 0.25),
    q3: quantile(samples, 0.75),
    count: samples.length,
  };
}

/** Distance between the quartiles as a share of the median. */
export function relativeSpread(samples: readonly number[]): number {
  const { median: middle, q1, q3 } = summarize(samples);
  return (q3 - q1) / middle;
}

/** Sample by sample, a over b: both were taken in the same round, so what disturbed the machine then disturbed both. */
export function ratios(a: readonly number[], b: readonly number[]): number[] {
  const count = Math.min(a.length, b.length);
  return Array.from({ length: count }, (_, i) => a[i] / b[i]);
}

export function differences(after: readonly number[], before: readonly number[]): number[] {
  return after.map((value, i) => value - before[i]);
}
