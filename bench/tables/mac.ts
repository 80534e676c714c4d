import { Worker } from 'node:worker_threads';
import { macTableBytes } from '../../dist/forward/macTable.js';
import { type Benchmark, numberOption } from '../benchmark.js';
import type { Findings } from '../report/report.js';
import { ratios } from '../report/statistics.js';
import { cell, type Table } from '../report/table.js';
import { growthTarget, LARGEST, millionsPerSec, SMALLEST, sizeText } from './growth.js';
import { MAC_CASES, type MacAssignment, type MacCase, type MacOutcome } from './macWorker.js';

const SIZES = [SMALLEST, 100_000, LARGEST];
const SAMPLES_PER_THREAD = 3;

const CASE_TEXT: Record<MacCase, string> = {
  lookup: 'lookup of known MACs, in bursts',
  unknown: 'lookup of unknown MACs, in bursts',
  single: 'lookup of known MACs, one by one, without prefetch',
  insert: 'insert of new MACs into an empty table until it has them all, in bursts',
};

function runInThread(assignment: MacAssignment): Promise<MacOutcome> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./macWorker.js', import.meta.url), { workerData: assignment });
    let outcome: MacOutcome | null = null;
    worker.once('message', (message: MacOutcome) => {
      outcome = message;
    });
    worker.once('error', reject);
    worker.once('exit', () =>
      outcome === null ? reject(new Error(`${assignment.count} MACs: no result`)) : resolve(outcome),
    );
  });
}

/** By size. */
type Gathered = Map<number, MacOutcome>;

async function gather(rounds: number, log: (line: string) => void): Promise<Gathered> {
  const found: Gathered = new Map(SIZES.map((count) => [count, { lookup: [], unknown: [], single: [], insert: [] }]));
  for (let round = 0; round < rounds; round++) {
    log(`round ${round + 1} of ${rounds}`);
    for (const [count, all] of found) {
      const outcome = await runInThread({ count, samples: SAMPLES_PER_THREAD });
      for (const name of MAC_CASES) all[name].push(...outcome[name]);
    }
  }
  return found;
}

function caseTable(name: MacCase, found: Gathered): Table {
  const smallest = found.get(SMALLEST)?.[name] ?? [];
  return {
    title: CASE_TEXT[name],
    columns: ['MACs', 'table MB', 'ns', 'million/s', 'x 1k'],
    rows: [...found].map(([count, outcome]) => [
      sizeText(count),
      (macTableBytes(count) / 1e6).toFixed(2),
      cell(outcome[name]),
      cell(millionsPerSec(outcome[name])),
      cell(ratios(outcome[name], smallest), 2),
    ]),
  };
}

export const mac: Benchmark = {
  name: 'mac',
  summary: 'MAC table: lookups and inserts a second at 1k, 100k and 1M entries, growth of their cost',
  options: { rounds: { type: 'string', default: '7', help: 'rounds over all sizes' } },
  async run(options, log): Promise<Findings> {
    const found = await gather(numberOption(options, 'rounds', 1), log);
    const samples = (count: number, name: MacCase) => found.get(count)?.[name] ?? [];
    return {
      tables: MAC_CASES.map((name) => caseTable(name, found)),
      series: [...found].flatMap(([count, outcome]) =>
        MAC_CASES.map((name) => ({ name: `${count}/${name}`, unit: 'ns', samples: outcome[name] })),
      ),
      targets: (['lookup', 'insert'] as const).map((name) =>
        growthTarget(CASE_TEXT[name], samples(SMALLEST, name), samples(LARGEST, name)),
      ),
      notes: [
        `Every size in a thread of its own, ${SAMPLES_PER_THREAD} samples each. In bursts: the steps of the walk, prefetch and then lookup or learn, for 64 frames.`,
        'Putting the MACs into the columns of a burst is timed apart and taken off.',
      ],
    };
  },
};
