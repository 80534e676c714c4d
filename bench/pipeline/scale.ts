import { once } from 'node:events';
import { loadavg } from 'node:os';
import { Worker } from 'node:worker_threads';
import { tun } from '../../dist/native/tun.js';
import { makeCounterBlock } from '../../dist/packet/counters.js';
import { type Benchmark, numberOption } from '../benchmark.js';
import type { Findings, Series } from '../report/report.js';
import { median } from '../report/statistics.js';
import { cell } from '../report/table.js';
import { startClock } from './clock.js';
import type { Lap, LapResult, ScaleAssignment } from './scaleWorker.js';
import { makeMemory, type Variant } from './scenario.js';

const WORKERS = 2;
const WANTED = 1.7;

const VARIANTS: Variant[] = (['encap', 'decap'] as const).map((direction) => ({
  name: `${direction}/64`,
  direction,
  frameBytes: 64,
  checksum: false,
  transport: 'udp',
  flows: 5_000,
  macs: 4_000,
  frameOffset: 0,
}));

/** Packets a second of each worker, alone and beside the other. */
interface Samples {
  alone: number[];
  together: number[];
  ratio: number[];
  wallRatio: number[];
  dropped: number;
}

const perSecond = ({ packets, onCoreNs }: LapResult) => (packets / onCoreNs) * 1e9;
const perWallSecond = ({ packets, wallNs }: LapResult) => (packets / wallNs) * 1e9;
const sum = (numbers: number[]) => numbers.reduce((total, n) => total + n, 0);

async function startWorkers(variant: Variant, clockWords: SharedArrayBuffer): Promise<Worker[]> {
  const memory = makeMemory(variant, WORKERS);
  const cpus = tun().affinity();
  const workers = Array.from({ length: WORKERS }, (_, worker) => {
    const cpu = cpus.length >= WORKERS ? cpus[worker] : -1;
    const own = { ...memory, counters: makeCounterBlock() };
    const workerData: ScaleAssignment = { variant, memory: own, worker, cpu, clockWords };
    return new Worker(new URL('./scaleWorker.js', import.meta.url), { workerData });
  });
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  return workers;
}

function lap(workers: Worker[], durationMs: number): Promise<LapResult[]> {
  return Promise.all(
    workers.map(async (worker) => {
      const result = once(worker, 'message');
      worker.postMessage({ durationMs } satisfies Lap);
      return (await result)[0] as LapResult;
    }),
  );
}

/** One worker after the other, then both: in turns, so that a busy minute of the machine meets all of them. */
async function measure(variant: Variant, rounds: number, durationMs: number): Promise<Samples> {
  const clock = startClock();
  const workers = await startWorkers(variant, clock.words);
  const samples: Samples = { alone: [], together: [], ratio: [], wallRatio: [], dropped: 0 };
  try {
    for (let round = 0; round < rounds; round++) {
      const alone: LapResult[] = [];
      for (const worker of workers) alone.push(...(await lap([worker], durationMs)));
      const together = await lap(workers, durationMs);
      const mean = (rate: (result: LapResult) => number) => sum(alone.map(rate)) / WORKERS;
      samples.alone.push(...alone.map(perSecond));
      samples.together.push(...together.map(perSecond));
      samples.ratio.push(sum(together.map(perSecond)) / mean(perSecond));
      samples.wallRatio.push(sum(together.map(perWallSecond)) / mean(perWallSecond));
      samples.dropped += sum([...alone, ...together].map(({ dropped }) => dropped));
    }
  } finally {
    clock.stop();
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  return samples;
}

const inMillions = (rates: number[]) => cell(rates.map((rate) => rate / 1e6));

export const scale: Benchmark = {
  name: 'scale',
  summary: 'two workers of one node against one, memory port to frame underlay and back, 64 bytes',
  options: {
    rounds: { type: 'string', default: '9', help: 'rounds for each direction' },
    ms: { type: 'string', default: '300', help: 'milliseconds of a measurement' },
  },
  async run(options, log): Promise<Findings> {
    const rounds = numberOption(options, 'rounds', 1);
    const durationMs = numberOption(options, 'ms', 10);
    const rows: string[][] = [];
    const series: Series[] = [];
    const targets: Findings['targets'] = [];
    const notes = [
      'The workers share an arena, the MAC table and the plan; each has 5000 flows of its own between the same 4000 MACs, and a CPU of its own.',
      'Rates are packets a second that the thread was on its core; on an idle machine the ratio by the wall clock is the same.',
    ];
    for (const variant of VARIANTS) {
      log(variant.name);
      const found = await measure(variant, rounds, durationMs);
      rows.push([
        variant.name,
        inMillions(found.alone),
        inMillions(found.together),
        cell(found.ratio, 2),
        cell(found.wallRatio, 2),
      ]);
      for (const part of ['alone', 'together'] as const)
        series.push({ name: `${variant.name}/${part}`, unit: 'packets/s', samples: found[part] });
      series.push({ name: `${variant.name}/ratio`, unit: 'times', samples: found.ratio });
      series.push({ name: `${variant.name}/ratio-wall`, unit: 'times', samples: found.wallRatio });
      const text = `${variant.name}: two workers, times one`;
      targets.push({ text, value: median(found.ratio), limit: WANTED, sense: 'above' });
      if (found.dropped > 0) notes.push(`${variant.name}: ${found.dropped} packets were dropped`);
    }
    const columns = ['Mpps', 'alone', 'each beside the other', 'ratio', 'by the wall clock'];
    notes.push(`Load average at the end: ${loadavg()[0].toFixed(2)}.`);
    return { tables: [{ title: 'One worker and two', columns, rows }], series, targets, notes };
  },
};
