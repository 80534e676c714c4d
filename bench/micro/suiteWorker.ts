import { parentPort, workerData } from 'node:worker_threads';
import b from 'benny';
import { calibrationCase } from './calibration.js';
import type { Case } from './cases.js';
import { macTableCases } from './forward/macTable.js';
import { checksumCases } from './packet/checksum.js';
import { inCases, outCases } from './pipeline/steps.js';
import { wireCases } from './wire/codecs.js';

const suites = {
  wire: wireCases,
  packet: checksumCases,
  forward: macTableCases,
  out: outCases,
  in: inCases,
};

export type SuiteName = keyof typeof suites;

export const SUITE_NAMES = Object.keys(suites) as SuiteName[];

export interface SuiteAssignment {
  suite: SuiteName;
  /** Seconds for one case. */
  maxTime: number;
}

/** Nanoseconds of one operation: median of benny's samples. */
export interface CaseOutcome {
  name: string;
  ns: number;
}

/** So many calls until a case has its final form. */
const WARM_UP_CALLS = 300;

async function run({ suite, maxTime }: SuiteAssignment): Promise<CaseOutcome[]> {
  const cases: Case[] = [calibrationCase(), ...suites[suite]()];
  for (const { run } of cases) for (let k = 0; k < WARM_UP_CALLS; k++) run();
  const options = { minSamples: 5, maxTime, minTime: maxTime / 20 };
  const { results } = await b.suite(suite, ...cases.map(({ name, run }) => b.add(name, () => void run(), options)));
  return results.map(({ name, details }, k) => ({ name, ns: (details.median * 1e9) / cases[k].operations }));
}

if (parentPort !== null) void run(workerData).then((outcomes) => parentPort?.postMessage(outcomes));
