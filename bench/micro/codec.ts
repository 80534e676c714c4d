import { Worker } from 'node:worker_threads';
import { type Benchmark, numberOption, wordOption } from '../benchmark.js';
import type { Findings } from '../report/report.js';
import { ratios } from '../report/statistics.js';
import { cell, type Table } from '../report/table.js';
import { CALIBRATION } from './calibration.js';
import { SIZES } from './packet/checksum.js';
import { type CaseOutcome, SUITE_NAMES, type SuiteAssignment, type SuiteName } from './suiteWorker.js';
import { measureTunnels, TUNNEL_NOTE, tunnelSeries, tunnelTable, tunnelTargets } from './tunnel/report.js';
import type { TunnelOutcome } from './tunnel/tunnelWorker.js';

const SUITE_TEXT: Record<SuiteName, string> = {
  wire: 'wire: protocol modules over bytes',
  packet: 'packet: checksum by size',
  forward: 'forward: the MAC table',
  out: 'pipeline: steps on the way out, 64 B frames, a burst that stays in the cache',
  in: 'pipeline: steps on the way in, 64 B inner frames, a burst that stays in the cache',
};

/** The suite that is no list of cases: its figures are taken in turns. */
const TUNNEL = 'tunnel';
const ALL_SUITES = [...SUITE_NAMES, TUNNEL] as const;
const TUNNEL_PASSES = 40;

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
  summary: 'encap and decap of every tunnel beside VXLAN; ns of headers, checksums, MAC table and burst steps',
  options: {
    rounds: { type: 'string', default: '5', help: 'rounds over all suites' },
    seconds: { type: 'string', default: '0.2', help: 'time for a case in a round' },
    only: { type: 'string', help: `one suite: ${ALL_SUITES.join(', ')}` },
  },
  async run(options, log): Promise<Findings> {
    const only = wordOption(options, 'only', ALL_SUITES);
    const rounds = numberOption(options, 'rounds', 1);
    const suites = SUITE_NAMES.filter((suite) => only === undefined || suite === only);
    const seconds = numberOption(options, 'seconds', 0.01, false);
    const found = await gather(suites, suites.length === 0 ? 0 : rounds, seconds, log);
    let tunnels: TunnelOutcome[] = [];
    if (only === undefined || only === TUNNEL) {
      log('tunnels');
      tunnels = await measureTunnels(rounds, TUNNEL_PASSES);
    }
    const checksums = found.get('packet');
    return {
      tables: [
        ...[...found].filter(([suite]) => suite !== 'packet').map(([suite, cases]) => suiteTable(suite, cases)),
        ...(checksums === undefined ? [] : [checksumTable(checksums)]),
        ...(tunnels.length === 0 ? [] : [tunnelTable(tunnels)]),
      ],
      series: [
        ...[...found].flatMap(([suite, cases]) =>
          [...cases].map(([name, samples]) => ({ name: `${suite}/${name}`, unit: 'ns', samples })),
        ),
        ...(tunnels.length === 0 ? [] : tunnelSeries(tunnels)),
      ],
      targets: tunnels.length === 0 ? [] : tunnelTargets(tunnels),
      notes: [
        ...(found.size === 0
          ? []
          : ['A burst step is given for one lane of a full burst; wire/ and the MAC table for one call.']),
        ...(tunnels.length === 0 ? [] : [TUNNEL_NOTE]),
      ],
    };
  },
};
