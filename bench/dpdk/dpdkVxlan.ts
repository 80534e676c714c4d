import { existsSync, mkdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createUndo } from '../../dist/cli/lab/undo.js';
// biome-ignore lint/correctness/useImportExtensions: the set-up is made of .mjs files
import { reserveHugepages } from '../../setup/hugepages.mjs';
import { type Benchmark, numberOption, type OptionValues, UsageError, wordOption } from '../benchmark.js';
import type { Findings, Series, Target } from '../report/report.js';
import { median, ratios } from '../report/statistics.js';
import { cell, type Table } from '../report/table.js';
import { withCleanUp } from '../system/cleanUp.js';
import { makeFolder, requirePrograms } from '../system/rig.js';
import { type Contestant, goFirst, observe, type Seen, stop, warmUp } from './contestant.js';
import { SWITCH } from './openVswitch.js';
import { type Course, type Direction, floor, HUGEPAGES, makeCapture, openVswitch, weft } from './rivals.js';
import { STEPS, type Step, sharesOf } from './steps.js';

const PROFILE_SECONDS = 1.5;
const SIZES = [64, 512, 1400];
const NAMES = {
  weft: 'weft',
  fixed: 'Open vSwitch, a fixed flow',
  normal: 'Open vSwitch, actions=NORMAL',
  floor: 'floor: the same devices, no work',
} as const;
type Who = keyof typeof NAMES;
const WHO = Object.keys(NAMES) as Who[];

/** What each contestant did in one direction at one size, round by round. */
export interface Result {
  direction: Direction;
  frameLen: number;
  rounds: Record<Who, Seen[]>;
  /** Shares of weft's steps in its time; empty when they were not asked for. */
  steps: Map<Step, number>;
}

interface Settings {
  directions: Direction[];
  sizes: number[];
  rounds: number;
  seconds: number;
  program: string;
  steps: boolean;
}

/** How many times as fast as Open vSwitch weft must be. */
const WANTED: Record<Direction, number> = { push: 1.5, pop: 2 };
const AIM: Record<Direction, number> = { push: 2, pop: 3.5 };

async function runCourse(course: Course, settings: Settings, signal: AbortSignal, log: (line: string) => void) {
  const { direction, frameLen } = course;
  const undo = createUndo();
  const waiting = async <T extends Contestant>(starting: Promise<T>) => {
    const started = await starting;
    stop(started);
    return started;
  };
  try {
    const { fixed, normal } = await openVswitch(course, undo, signal);
    stop(fixed);
    const entrants: Record<Who, Contestant> = {
      fixed,
      normal,
      floor: await waiting(floor(course, undo, signal)),
      weft: await waiting(weft(course, undo, signal)),
    };
    await warmUp(Object.values(entrants), signal);
    const rounds: Result['rounds'] = { weft: [], fixed: [], normal: [], floor: [] };
    for (let round = 0; round < settings.rounds; round++) {
      for (const who of WHO) rounds[who].push(await observe(entrants[who], settings.seconds, signal));
      const line = WHO.map((who) => `${who} ${rounds[who][round].nsPerPacket.toFixed(1)}`).join(', ');
      log(`${direction} ${frameLen} B, round ${round + 1} of ${settings.rounds}, ns a packet: ${line}`);
    }
    return rounds;
  } finally {
    for (const failure of await undo.run()) log(`not removed: ${failure}`);
  }
}

/** Another run of weft, alone, with V8's sampling profiler: its thread is slower by some percent, its steps alike. */
async function runSteps(course: Course, signal: AbortSignal): Promise<Map<Step, number>> {
  const folder = join(course.folder, 'steps');
  const profiles = join(folder, 'profiles');
  mkdirSync(folder);
  const undo = createUndo();
  try {
    await observe(await weft({ ...course, folder, profiles }, undo, signal), PROFILE_SECONDS, signal);
  } finally {
    await undo.run();
  }
  return sharesOf(profiles);
}

async function measure(settings: Settings, log: (line: string) => void): Promise<Result[]> {
  return withCleanUp(async (undo, signal) => {
    goFirst(undo);
    const pages = reserveHugepages(HUGEPAGES);
    if ('lack' in pages) throw new UsageError(pages.lack);
    undo.add(() => pages.release());
    const folder = makeFolder(undo);
    const results: Result[] = [];
    for (const direction of settings.directions)
      for (const frameLen of settings.sizes) {
        const own = join(folder, `${direction}-${frameLen}`);
        mkdirSync(own);
        const capture = makeCapture(direction, frameLen, own);
        const course = { direction, frameLen, capture, folder: own, cpu: cpus().length - 1, program: settings.program };
        const rounds = await runCourse(course, settings, signal, log);
        const steps = settings.steps ? await runSteps(course, signal) : new Map();
        results.push({ direction, frameLen, rounds, steps });
      }
    return results;
  });
}

const pick = (seen: Seen[], key: keyof Seen) => seen.map((s) => s[key]);
/** Round by round: how many times the processor time of weft another one takes. */
const against = ({ rounds }: Result, who: Who) =>
  ratios(pick(rounds[who], 'nsPerPacket'), pick(rounds.weft, 'nsPerPacket'));

function resultTable(direction: Direction, results: readonly Result[]): Table {
  return {
    title: `${direction}: net_pcap to net_null ${direction === 'push' ? 'into' : 'out of'} VXLAN, one thread on one core`,
    columns: ['what', 'Mpps by the clock', 'CPU, ns a packet', 'Mpps of a whole core', 'weft is so many times as fast'],
    rows: results
      .filter((r) => r.direction === direction)
      .flatMap((r) => [
        [`${r.frameLen} B`],
        ...WHO.map((who) => {
          const ns = pick(r.rounds[who], 'nsPerPacket');
          const mpps = ns.map((n) => 1000 / n);
          const times = who === 'weft' ? '' : cell(against(r, who), 2);
          return [`  ${NAMES[who]}`, cell(pick(r.rounds[who], 'mpps'), 2), cell(ns), cell(mpps, 2), times];
        }),
      ]),
  };
}

function stepsTable(direction: Direction, results: readonly Result[]): Table {
  const own = results.filter((r) => r.direction === direction);
  const ns = (r: Result, share = 0) => (share * median(pick(r.rounds.weft, 'nsPerPacket'))).toFixed(1);
  return {
    title: `${direction}: weft, step by step`,
    columns: ['ns a packet', ...own.map((r) => `${r.frameLen} B`)],
    rows: STEPS.map((step) => [`  ${step}`, ...own.map((r) => ns(r, r.steps.get(step)))]),
  };
}

function resultSeries({ direction, frameLen, rounds }: Result): Series[] {
  return WHO.flatMap((who) => [
    { name: `${direction}/${frameLen}/${who}/rate`, unit: 'Mpps', samples: pick(rounds[who], 'mpps') },
    { name: `${direction}/${frameLen}/${who}/cpu`, unit: 'ns', samples: pick(rounds[who], 'nsPerPacket') },
  ]);
}

function resultTargets(result: Result): Target[] {
  const { direction, frameLen } = result;
  return (['fixed', 'normal'] as const).map((who) => ({
    text: `${direction}, ${frameLen} B: times as fast as ${NAMES[who]} (aim ${AIM[direction]})`,
    value: median(against(result, who)),
    limit: WANTED[direction],
    sense: 'above',
  }));
}

export function findings(results: readonly Result[]): Findings {
  const directions = [...new Set(results.map((r) => r.direction))];
  return {
    tables: directions.flatMap((direction) => [
      resultTable(direction, results),
      ...(results.some((r) => r.steps.size > 0) ? [stepsTable(direction, results)] : []),
    ]),
    series: results.flatMap(resultSeries),
    targets: results.flatMap(resultTargets),
    notes: [
      '4000 destination MACs and 10,000 flows in random order from 64 stations, no outer UDP checksum; weft learns, looks up and counts.',
      'Ratios are of the processor time of the forwarding thread, round by round; the others are stopped meanwhile. The clock also counts what other programs took of the core.',
      'Open vSwitch: one PMD thread, huge pages, explicit flows on br-phy, and the exact-match cache off, which 10,000 flows overrun: it is faster so.',
    ],
  };
}

function readSettings(options: OptionValues): Settings {
  const direction = wordOption(options, 'direction', ['push', 'pop', 'both']) ?? 'both';
  const size = wordOption(options, 'size', [...SIZES.map(String), 'all']) ?? 'all';
  return {
    directions: direction === 'both' ? ['push', 'pop'] : [direction as Direction],
    sizes: size === 'all' ? SIZES : [Number(size)],
    rounds: numberOption(options, 'rounds', 1),
    seconds: numberOption(options, 'seconds', 0.1, false),
    steps: options.steps === true,
    program: typeof options.node === 'string' ? options.node : process.execPath,
  };
}

export const dpdkVxlan: Benchmark = {
  name: 'dpdk-vxlan',
  summary: 'VXLAN between devices of DPDK, beside Open vSwitch over DPDK on the same devices and capture (root)',
  options: {
    direction: { type: 'string', default: 'both', help: 'push, pop or both' },
    size: { type: 'string', default: 'all', help: `bytes of the inner frames: ${SIZES.join(', ')} or all` },
    rounds: { type: 'string', default: '3', help: 'rounds, in each of which every contestant runs once' },
    seconds: { type: 'string', default: '1', help: 'length of each run' },
    steps: { type: 'boolean', help: 'also where weft spends its time, in a run of its own under the profiler' },
    node: { type: 'string', help: 'path of another Node that runs weft; default: the one that runs this' },
  },
  async run(options, log): Promise<Findings> {
    const settings = readSettings(options);
    requirePrograms(['ip', 'dpdk-testpmd', 'ovsdb-server', 'ovsdb-tool', 'ovs-ofctl']);
    if (!existsSync(SWITCH))
      throw new Error('this benchmark needs Open vSwitch over DPDK, which `node setup.mjs --for bench` unpacks');
    return findings(await measure(settings, log));
  },
};
