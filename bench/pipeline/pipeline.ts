import { Worker } from 'node:worker_threads';
import { type Benchmark, numberOption, UsageError } from '../benchmark.js';
import type { Findings, Series } from '../report/report.js';
import { median } from '../report/statistics.js';
import { cell, type Table } from '../report/table.js';
import { startClock } from './clock.js';
import type { Variant } from './scenario.js';
import type { Assignment, Outcome } from './variantWorker.js';

const SIZES = [64, 512, 1400];
const HEAP_PACKETS = 12_000_000;
const PACKETS_PER_SAMPLE = 1_000_000;
const SAMPLES_PER_THREAD = 3;
/** A thread that allocates a little shows it only while its young generation is not collected. */
const YOUNG_GENERATION_MB = 256;

const everyVariant = { flows: 10_000, macs: 4_000, transport: 'udp', frameOffset: 0 } as const;

function allVariants(): Variant[] {
  return SIZES.flatMap((frameBytes): Variant[] => [
    { ...everyVariant, name: `encap/${frameBytes}`, direction: 'encap', frameBytes, checksum: false },
    { ...everyVariant, name: `encap-checksum/${frameBytes}`, direction: 'encap', frameBytes, checksum: true },
    { ...everyVariant, name: `decap/${frameBytes}`, direction: 'decap', frameBytes, checksum: false },
    { ...everyVariant, name: `decap-checksum/${frameBytes}`, direction: 'decap', frameBytes, checksum: true },
  ]);
}

function runInThread(assignment: Assignment): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./variantWorker.js', import.meta.url), {
      workerData: assignment,
      resourceLimits: assignment.mode === 'heap' ? { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB } : undefined,
    });
    let outcome: Outcome | null = null;
    worker.once('message', (message: Outcome) => {
      outcome = message;
    });
    worker.once('error', reject);
    worker.once('exit', () =>
      outcome === null ? reject(new Error(`${assignment.variant.name}: no result`)) : resolve(outcome),
    );
  });
}

interface Gathered {
  total: Map<string, Outcome[]>;
  steps: Map<string, Outcome[]>;
  heap: Map<string, Outcome>;
}

/** Round by round over all variants, so that a busy minute of the machine meets all of them. */
async function gather(variants: Variant[], rounds: number, log: (line: string) => void): Promise<Gathered> {
  const clock = startClock();
  const base = { samples: SAMPLES_PER_THREAD, packetsPerSample: PACKETS_PER_SAMPLE, clockWords: clock.words };
  const found: Gathered = { total: new Map(), steps: new Map(), heap: new Map() };
  const add = (to: Map<string, Outcome[]>, name: string, o: Outcome) => to.set(name, [...(to.get(name) ?? []), o]);
  try {
    for (let round = 0; round < rounds; round++) {
      log(`round ${round + 1} of ${rounds}`);
      for (const variant of variants) {
        add(found.total, variant.name, await runInThread({ ...base, variant, mode: 'total' }));
        add(found.steps, variant.name, await runInThread({ ...base, variant, mode: 'steps', samples: 1 }));
      }
    }
    log('heap growth');
    for (const variant of variants) {
      found.heap.set(
        variant.name,
        await runInThread({ ...base, variant, mode: 'heap', packetsPerSample: HEAP_PACKETS }),
      );
    }
  } finally {
    clock.stop();
  }
  return found;
}

const samplesOf = (outcomes: Outcome[] | undefined) => (outcomes ?? []).flatMap((o) => o.samples);

function stepSeries(outcomes: Outcome[] | undefined): Map<string, number[]> {
  const bySteps = new Map<string, number[]>();
  for (const sample of samplesOf(outcomes)) {
    for (const [step, ns] of sample.steps) bySteps.set(step, [...(bySteps.get(step) ?? []), ns]);
  }
  return bySteps;
}

/** Names of the walk for the reader; the order is that of the walk. */
const STEP_TEXT: [string, string][] = [
  ['rx', 'rx'],
  ['outer', 'outer headers checked'],
  ['decap', 'decap'],
  ['parse', 'parse'],
  ['arrive', 'arrival (ECN)'],
  ['checkOffloads', 'offloads'],
  ['prefetch', 'prefetch of MAC entries'],
  ['learn', 'learn'],
  ['lookup', 'lookup'],
  ['sendToFrame', 'encap, finish, count'],
  ['sendToPort', 'messages to the port, count'],
  ['tx', 'tx (discarded)'],
  ['rest', 'partition, account, release'],
];

function stepTable(title: string, names: string[], found: Gathered): Table {
  const columns = ['ns a packet', ...names.map((n) => `${n.split('/')[1]} B`)];
  const rows: string[][] = [];
  const totals = names.map((n) => samplesOf(found.total.get(n)));
  const steps = names.map((n) => stepSeries(found.steps.get(n)));
  const unnamed = [...new Set(steps.flatMap((s) => [...s.keys()]))].filter(
    (k) => !STEP_TEXT.some(([step]) => step === k),
  );
  for (const [step, text] of [...STEP_TEXT, ...unnamed.map((k): [string, string] => [k, k])]) {
    if (steps.some((s) => s.has(step))) rows.push([`  ${text}`, ...steps.map((s) => cell(s.get(step) ?? []))]);
  }
  rows.push(['total, not step by step', ...totals.map((t) => cell(t.map((s) => s.totalNs)))]);
  rows.push(['Mpps', ...totals.map((t) => cell(t.map((s) => 1000 / s.totalNs)))]);
  rows.push(['calibration: touch the frames', ...totals.map((t) => cell(t.map((s) => s.calibration.touchNs)))]);
  rows.push(['calibration: checksum of the frames', ...totals.map((t) => cell(t.map((s) => s.calibration.sumNs)))]);
  rows.push(['total / touch the frames', ...totals.map((t) => cell(t.map((s) => s.totalNs / s.calibration.touchNs)))]);
  rows.push([
    'calibration: integer loop',
    ...totals.map((t) =>
      cell(
        t.map((s) => s.calibration.integerNs),
        2,
      ),
    ),
  ]);
  const heap = names.map((n) => found.heap.get(n));
  const perPacket = (bytes: number | undefined) => ((bytes ?? 0) / HEAP_PACKETS).toFixed(4);
  rows.push(['heap growth, bytes a packet', ...heap.map((h) => perPacket(h?.heap?.usedBytes))]);
  rows.push(['malloced, bytes a packet', ...heap.map((h) => perPacket(h?.heap?.mallocedBytes))]);
  return { title, columns, rows };
}

function allSeries(variants: Variant[], found: Gathered): Series[] {
  return variants.flatMap(({ name }) => {
    const samples = samplesOf(found.total.get(name));
    const ns = (part: string, values: number[]): Series => ({
      name: `${name}/${part}`,
      unit: 'ns/packet',
      samples: values,
    });
    const growth = found.heap.get(name)?.heap?.usedBytes ?? 0;
    return [
      ns(
        'total',
        samples.map((s) => s.totalNs),
      ),
      ns(
        'total-wall',
        samples.map((s) => s.wallNs),
      ),
      ns(
        'calibration-touch',
        samples.map((s) => s.calibration.touchNs),
      ),
      ns(
        'calibration-sum',
        samples.map((s) => s.calibration.sumNs),
      ),
      ns(
        'calibration-integer',
        samples.map((s) => s.calibration.integerNs),
      ),
      ...[...stepSeries(found.steps.get(name))].map(([step, values]) => ns(`step/${step}`, values)),
      { name: `${name}/heap-growth`, unit: 'bytes/packet', samples: [growth / HEAP_PACKETS] },
    ];
  });
}

/** What makes the figures worthless is said in the report, not hidden in it. */
function doubts(variants: Variant[], found: Gathered): string[] {
  const notes: string[] = [];
  for (const { name } of variants) {
    const outcomes = [...(found.total.get(name) ?? []), ...(found.steps.get(name) ?? [])];
    const lost = outcomes.reduce((n, o) => n + o.packets - o.sent, 0);
    if (lost !== 0) notes.push(`${name}: ${lost} packets were received and not sent`);
    const collections = found.heap.get(name)?.heap?.collections ?? 0;
    if (collections > 0) notes.push(`${name}: ${collections} garbage collections while heap growth was measured`);
  }
  return notes;
}

export const pipeline: Benchmark = {
  name: 'pipeline',
  summary: 'ns a packet for each step of the walk, memory port to frame underlay and back; heap growth',
  options: {
    rounds: { type: 'string', default: '5', help: 'rounds over all variants' },
    only: { type: 'string', help: 'variants whose name contains this text' },
  },
  async run(options, log): Promise<Findings> {
    const only = typeof options.only === 'string' ? options.only : '';
    const variants = allVariants().filter((v) => v.name.includes(only));
    if (variants.length === 0) {
      throw new UsageError(
        `--only ${only}: the variants are ${allVariants()
          .map((v) => v.name)
          .join(', ')}`,
      );
    }
    const found = await gather(variants, numberOption(options, 'rounds', 1), log);
    const kinds = [...new Set(variants.map((v) => v.name.split('/')[0]))];
    const tables = kinds.map((kind) => {
      const names = variants.filter((v) => v.name.split('/')[0] === kind).map((v) => v.name);
      return stepTable(kind, names, found);
    });
    const notes = [
      `${everyVariant.flows} flows between ${everyVariant.macs} MACs, all known, in random order; every variant in fresh threads, ${SAMPLES_PER_THREAD} samples of ${PACKETS_PER_SAMPLE} packets each.`,
      'Nanoseconds that the thread was on a core. Steps are timed in threads of their own, so their sum differs from the total.',
      ...doubts(variants, found),
    ];
    const targets: Findings['targets'] = [];
    const encap = samplesOf(found.total.get('encap/64'));
    if (encap.length > 0) {
      const value = median(encap.map((s) => s.totalNs));
      targets.push({
        text: 'encap at 64 B with learning, lookup, flow hash and counters, ns a packet',
        value,
        limit: 50,
        sense: 'below',
      });
    }
    const growth = Math.max(...variants.map((v) => (found.heap.get(v.name)?.heap?.usedBytes ?? 0) / HEAP_PACKETS));
    targets.push({
      text: 'heap growth of the worst variant, bytes a packet',
      value: growth,
      limit: 0.01,
      sense: 'below',
    });
    return { tables, series: allSeries(variants, found), targets, notes };
  },
};
