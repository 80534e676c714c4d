import { Worker } from 'node:worker_threads';
import { type Benchmark, numberOption, wordOption } from '../benchmark.js';
import type { Findings } from '../report/report.js';
import { ratios } from '../report/statistics.js';
import { cell, type Table } from '../report/table.js';
import { CALIBRATION } from './calibration.js';
import { SIZES } from './packet/checksum.js';
import { type CaseOutcome, SUITE_NAMES, type SuiteAssignment, type SuiteName } from './suiteWorker.js';

const SUITE_TEXT: Record<SuiteName, string> = {
  wire: 'wire: protocol modules over bytes',
  packet: 'packet: checksum by size',
  forward: 'forward: the MAC table',
  tunnel: 'tunnel: decap of 64 B inner frames, a burst that stays in the cache',
  out: 'pipeline: steps on the way out, 64 B frames, a burst that stays in the cache',
  in: 'pipeline: steps on the way in, 64 B inner frames, a burst that stays in the cache',
};

/** By suite and case, one figure a round. */
type Gathered = Map<SuiteName, Map<string, number[]>>;

function runInThread(assignment: SuiteAssignment): Promise<CaseOutcome[]> {
  return new Promise((resolve, reject) => {
    // benny announces its suites on standard output, where the report goes.
    const worker = new Worker(new URL('./suiteWorker.js', import.meta.url), { workerData: assignment, stdout: true });
    let outcomes: CaseOutcome[] | null = null;
    worker.once('message', (message: CaseOutcome[]) => {
      outcomes = message;
    });
    worker.once('error', reject);
    worker.once('exit', () => (outcomes ? resolve(outcomes) : reject(new Error(`${assignment.suite}: no result`))));
  });
}

/** Every suite in every round, in a thread of its own: a burst step exists once in an isolate. */
async function gather(
  suites: SuiteName[],
  rounds: number,
  maxTime: number,
  log: (line: string) => void,
): Promise<Gathered> {
  const found: Gathered = new Map(suites.map((suite) => [suite, new Map()]));
  for (let round = 0; round < rounds; round++) {
    log(`round ${round + 1} of ${rounds}`);
    for (const suite of suites) {
      const cases = found.get(suite) as Map<string, number[]>;
      for (const { name, ns } of await runInThread({ suite, maxTime }))
        cases.set(name, [...(cases.get(name) ?? []), ns]);
    }
  }
  return found;
}

function suiteTable(suite: SuiteName, cases: Map<string, number[]>): Table {
  const calibration = cases.get(CALIBRATION) ?? [];
  return {
    title: SUITE_TEXT[suite],
    columns: ['case', 'ns', '/ calibration'],
    rows: [...cases].map(([name, ns]) => [name, cell(ns, 2), cell(ratios(ns, calibration), 2)]),
  };
}

/** The kernel beside plain JavaScript. */
function checksumTable(cases: Map<string, number[]>): Table {
  return {
    title: 'packet: checksum by size, ns',
    columns: ['bytes', 'kernel', 'unrolled loop', 'loop of wire/', 'unrolled / kernel', 'kernel GB/s'],
    rows: SIZES.map((size) => {
      const of = (what: string) => cases.get(`checksum ${size} B, ${what}`) ?? [];
      const kernel = of('kernel');
      const unrolled = of('unrolled loop');
      const rate = kernel.map((ns) => size / ns);
      return [
        String(size),
        cell(kernel),
        cell(unrolled),
        cell(of('loop of wire/')),
        cell(ratios(unrolled, kernel)),
        cell(rate),
      ];
    }),
  };
}

export const codec: Benchmark = {
  name: 'codec',
  summary: 'ns an operation of headers, checksums, MAC table and burst steps, beside a calibration loop',
  options: {
    rounds: { type: 'string', default: '5', help: 'rounds over all suites' },
    seconds: { type: 'string', default: '0.2', help: 'time for a case in a round' },
    only: { type: 'string', help: `one suite: ${SUITE_NAMES.join(', ')}` },
  },
  async run(options, log): Promise<Findings> {
    const only = wordOption(options, 'only', SUITE_NAMES);
    const suites = only === undefined ? SUITE_NAMES : [only];
    const found = await gather(
      suites,
      numberOption(options, 'rounds', 1),
      numberOption(options, 'seconds', 0.01, false),
      log,
    );
    const checksums = found.get('packet');
    return {
      tables: [
        ...[...found].filter(([suite]) => suite !== 'packet').map(([suite, cases]) => suiteTable(suite, cases)),
        ...(checksums === undefined ? [] : [checksumTable(checksums)]),
      ],
      series: [...found].flatMap(([suite, cases]) =>
        [...cases].map(([name, samples]) => ({ name: `${suite}/${name}`, unit: 'ns', samples })),
      ),
      targets: [],
      notes: ['A burst step is given for one lane of a full burst; wire/ and the MAC table for one call.'],
    };
  },
};
