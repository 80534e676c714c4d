import type { Target } from '../report/report.js';
import { median, ratios } from '../report/statistics.js';

export const SMALLEST = 1000;
export const LARGEST = 1_000_000;
/** How much dearer an operation may be in the largest table than in the smallest. */
const GROWTH_MAX = 4;

/** `1k`, `100k`, `1M`. */
export const sizeText = (count: number) => (count < 1_000_000 ? `${count / 1000}k` : `${count / 1_000_000}M`);

export const millionsPerSec = (ns: number[]) => ns.map((each) => 1000 / each);

/** Round by round, so that what disturbed the machine then disturbed both. */
export function growthTarget(what: string, smallest: number[], largest: number[]): Target {
  return {
    text: `${what}, ${sizeText(LARGEST)} beside ${sizeText(SMALLEST)} entries, times the cost`,
    value: median(ratios(largest, smallest)),
    limit: GROWTH_MAX,
    sense: 'below',
  };
}
