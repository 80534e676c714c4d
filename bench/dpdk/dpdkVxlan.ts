import { existsSync, mkdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createUndo } from '../../dist/cli/lab/undo.js';
// biome-ignore lint/correctness/useImportExtensions: the set-up is made of .mjs files
import { reserveHugepages } from '../../setup/hugepages.mjs';
import { type Benchmark, numberOption, type OptionValues, UsageError, wordOption } from '../benchmark.js';
import type { Findings, Series, Target } from '../report/report.js';
import { differences, median, ratios } from '../report/statistics.js';
import { cell, type Table } from '../report/table.js';
import { withCleanUp } from '../system/cleanUp.js';
import { makeFolder, requirePrograms } from '../system/rig.js';
import { type Contestant, goFirst, observe, type Seen, stop, warmUp } from './contestant.js';
import { NODES_HELP, type NodeProgram, readNodes } from './nodes.js';
import { SWITCH } from './openVswitch.js';
import { type Course, type Direction, floor, hugepages, makeCapture, openVswitch, weft } from './rivals.js';
import { bytesPerPacket, type Probed, prepareProbe, STEPS, stepTimes } from './steps.js';

const SIZES = [64, 512, 1400];
const NAMES = {
  fixed: 'Open vSwitch, a fixed flow',
  normal: 'Open vSwitch, actions=NORMAL',
  floor: 'floor: the same devices, no work',
} as const;
type Rival = keyof typeof NAMES;
const RIVALS = Object.keys(NAMES) as Rival[];

/** weft as one Node runs it. */
export interface Own {
  /** Version of the Node. */
  node: string;
  seen: Seen[];
  /** Null when it was not asked for. */
  probed: Probed | null;
}

/** What each contestant did in one direction at one size, round by round. */
export interface Result {
  direction: Direction;
  frameLen: number;
  weft: Own[];
  rivals: Record<Rival, Seen[]>;
}

interface Settings {
  directions: Direction[];
  sizes: number[];
  rounds: number;
  seconds: number;
  nodes: NodeProgram[];
  steps: boolean;
}

/** How many times as fast as Open vSwitch weft must be. */
const WANTED: Record<Direction, number> = { push: 1.5, pop: 2 };
const AIM: Record<Direction, number> = { push: 2, pop: 3.5 };
/** Nothing is allocated for a packet; looking at the heap itself takes a little. */
const ALLOCATED_MAX = 0.01;
/** Less is of the few bursts before the tables were full. */
const STEP_MIN_NS = 0.1;
const STEP_NOTES = [
  'Steps: one worker more, alone, in which the clock is read around the native calls and kernels of every fifth burst; all is the time of whole turns in bursts of the same run that are not looked into. What preemption took is left out.',
  'Where one kernel does parse, forward and encap, versions of it that end after parse and after forward go over every fifth burst before it does: a step is what the next one takes longer.',
  "rx is the devices' receive and the lanes; net_pcap copies every frame. Bytes allocated are the growth of the worker's V8 heap over some two million packets, without the clock, where it grows least.",
];

type Ground = Omit<Course, 'program'>;

async function runCourse(ground: Ground, settings: Settings, signal: AbortSignal, log: (line: string) => void) {
  const { direction, frameLen } = ground;
  const undo = createUndo();
  const waiting = async <T extends Contestant>(starting: Promise<T>) => {
    const started = await starting;
    stop(started);
    return started;
  };
  const startWeft = ({ path, version }: NodeProgram) => {
    const folder = join(ground.folder, version);
    mkdirSync(folder);
    return waiting(weft({ ...ground, folder, program: [path] }, undo, signal));
  };
  try {
    const { fixed, normal } = await openVswitch(ground, undo, signal);
    stop(fixed);
    const rivals: Record<Rival, Contestant> = { fixed, normal, floor: await waiting(floor(ground, undo, signal)) };
    const entrants: [string, Contestant][] = [];
    for (const node of settings.nodes) entrants.push([`weft ${node.version}`, await startWeft(node)]);
    for (const name of RIVALS) entrants.push([name, rivals[name]]);
    await warmUp(
      entrants.map(([, one]) => one),
      signal,
    );
    const seen = new Map<string, Seen[]>(entrants.map(([name]) => [name, []]));
    for (let round = 0; round < settings.rounds; round++) {
      for (const [name, one] of entrants) seen.get(name)?.push(await observe(one, settings.seconds, signal));
      const line = [...seen].map(([name, all]) => `${name} ${all[round].nsPerPacket.toFixed(1)}`).join(', ');
      log(`${direction} ${frameLen} B, round ${round + 1} of ${settings.rounds}, ns a packet: ${line}`);
    }
    const of = (name: string) => seen.get(name) ?? [];
    return {
      seenOf: ({ version }: NodeProgram) => of(`weft ${version}`),
      rivals: { fixed: of('fixed'), normal: of('normal'), floor: of('floor') },
    };
  } finally {
    for (const failure of await undo.run()) log(`not removed: ${failure}`);
  }
}

/** Another run of weft, alone, with the clock read around its steps. */
async function runSteps(ground: Ground, { path, version }: NodeProgram, signal: AbortSignal): Promise<Probed> {
  const folder = join(ground.folder, `steps-${version}`);
  mkdirSync(folder);
  const undo = createUndo();
  try {
    const probe = await prepareProbe(folder, path, signal);
    await weft({ ...ground, folder, program: probe.program }, undo, signal);
    return await probe.result();
  } finally {
    await undo.run();
  }
}

async function measure(settings: Settings, log: (line: string) => void): Promise<Result[]> {
  return withCleanUp(async (undo, signal) => {
    goFirst(undo);
    const pages = reserveHugepages(hugepages(settings.nodes.length));
    if ('lack' in pages) throw new UsageError(pages.lack);
    undo.add(() => pages.release());
    const folder = makeFolder(undo);
    const results: Result[] = [];
    for (const direction of settings.directions)
      for (const frameLen of settings.sizes) {
        const own = join(folder, `${direction}-${frameLen}`);
        mkdirSync(own);
        const capture = makeCapture(direction, frameLen, own);
        const ground = { direction, frameLen, capture, folder: own, cpu: cpus().length - 1 };
        const { seenOf, rivals } = await runCourse(ground, settings, signal, log);
        const weft: Own[] = [];
        for (const node of settings.nodes) {
          const probed = settings.steps ? await runSteps(ground, node, signal) : null;
          weft.push({ node: node.version, seen: seenOf(node), probed });
        }
        results.push({ direction, frameLen, weft, rivals });
      }
    return results;
  });
}

const pick = (seen: Seen[], key: keyof Seen) => seen.map((s) => s[key]);
const nsOf = (seen: Seen[]) => pick(seen, 'nsPerPacket');
/** Round by round: how many times the processor time of weft another one takes. */
const against = (own: Own, rival: Seen[]) => ratios(nsOf(rival), nsOf(own.seen));
/** The same of what both take beyond the floor, which is what the devices alone take. */
const beyond = (own: Own, rival: Seen[], floor: Seen[]) =>
  ratios(differences(nsOf(rival), nsOf(floor)), differences(nsOf(own.seen), nsOf(floor)));

/** The name of a Node where there are several. */
const named = (text: string, own: Own, { weft }: Result) =>
  weft.length > 1 ? `${text}, Node ${own.node.slice(1)}` : text;

function resultTable(direction: Direction, results: readonly Result[]): Table {
  const ofDirection = results.filter((r) => r.direction === direction);
  const [first] = ofDirection;
  const values = (name: string, seen: Seen[], ...more: string[]) => {
    const mpps = nsOf(seen).map((n) => 1000 / n);
    return [`  ${name}`, cell(pick(seen, 'mpps'), 2), cell(nsOf(seen)), cell(mpps, 2), ...more];
  };
  return {
    title: `${direction}: net_pcap to net_null ${direction === 'push' ? 'into' : 'out of'} VXLAN, one thread on one core`,
    columns: [
      ...['what', 'Mpps by the clock', 'CPU, ns a packet', 'Mpps of a whole core'],
      ...first.weft.flatMap((own) => [named('weft, times as fast', own, first), named('beyond the floor', own, first)]),
    ],
    rows: ofDirection.flatMap((r) => [
      [`${r.frameLen} B`],
      ...r.weft.map((own) => values(named('weft', own, r), own.seen)),
      ...RIVALS.map((who) => {
        const rival = r.rivals[who];
        const times = (own: Own) => [
          cell(against(own, rival), 2),
          who === 'floor' ? '' : cell(beyond(own, rival, r.rivals.floor), 2),
        ];
        return values(NAMES[who], rival, ...r.weft.flatMap(times));
      }),
    ]),
  };
}

function stepsTable(direction: Direction, results: readonly Result[]): Table {
  const columns = results
    .filter((r) => r.direction === direction)
    .flatMap((r) =>
      r.weft.flatMap((own) => {
        if (own.probed === null) return [];
        const bytes = bytesPerPacket(own.probed);
        return [{ name: named(`${r.frameLen} B`, own, r), times: stepTimes(own.probed), bytes }];
      }),
    );
  const steps = STEPS.filter((step) => columns.some(({ times }) => Math.abs(times.get(step) ?? 0) >= STEP_MIN_NS));
  return {
    title: `${direction}: weft, step by step`,
    columns: ['ns a packet', ...columns.map(({ name }) => name)],
    rows: [
      ...steps.map((step) => [`  ${step}`, ...columns.map(({ times }) => times.get(step)?.toFixed(1) ?? '')]),
      ['bytes allocated a packet', ...columns.map(({ bytes }) => bytes.toFixed(4))],
    ],
  };
}

function resultSeries({ direction, frameLen, weft, rivals }: Result): Series[] {
  const all = [...weft.map(({ node, seen }) => [`weft ${node}`, seen] as const), ...Object.entries(rivals)];
  const place = `${direction}/${frameLen}`;
  return [
    ...all.flatMap(([who, seen]) => [
      { name: `${place}/${who}/rate`, unit: 'Mpps', samples: pick(seen, 'mpps') },
      { name: `${place}/${who}/cpu`, unit: 'ns', samples: nsOf(seen) },
    ]),
    ...weft.flatMap(({ node, probed }) =>
      [...(probed === null ? [] : stepTimes(probed))].map(([step, ns]) => ({
        name: `${place}/weft ${node}/step/${step}`,
        unit: 'ns',
        samples: [ns],
      })),
    ),
  ];
}

function resultTargets(result: Result): Target[] {
  const { direction, frameLen } = result;
  return result.weft.flatMap((own): Target[] => {
    const place = named(`${direction}, ${frameLen} B`, own, result);
    const allocated = own.probed === null ? [] : [bytesPerPacket(own.probed)];
    return [
      ...(['fixed', 'normal'] as const).map((who) => ({
        text: `${place}: times as fast as ${NAMES[who]} (aim ${AIM[direction]})`,
        value: median(against(own, result.rivals[who])),
        limit: WANTED[direction],
        sense: 'above' as const,
      })),
      ...allocated.map((value) => ({
        text: `${place}: bytes allocated a packet`,
        value,
        limit: ALLOCATED_MAX,
        sense: 'below' as const,
      })),
    ];
  });
}

export function findings(results: readonly Result[]): Findings {
  const directions = [...new Set(results.map((r) => r.direction))];
  const isProbed = results.some((r) => r.weft.some(({ probed }) => probed !== null));
  return {
    tables: directions.flatMap((direction) => [
      resultTable(direction, results),
      ...(isProbed ? [stepsTable(direction, results)] : []),
    ]),
    series: results.flatMap(resultSeries),
    targets: results.flatMap(resultTargets),
    notes: [
      '4000 destination MACs and 10,000 flows in random order from 64 stations, no outer UDP checksum; weft learns, looks up and counts.',
      'Ratios are of the processor time of the forwarding thread, round by round; the others are stopped meanwhile. The clock also counts what other programs took of the core.',
      'Beyond the floor: of the times less that of the floor, which is what the devices take, whoever uses them.',
      'Open vSwitch: one PMD thread, huge pages, explicit flows on br-phy, and the exact-match cache off, which 10,000 flows overrun: it is faster so.',
      ...(isProbed ? STEP_NOTES : []),
    ],
  };
}

async function readSettings(options: OptionValues): Promise<Settings> {
  const direction = wordOption(options, 'direction', ['push', 'pop', 'both']) ?? 'both';
  const size = wordOption(options, 'size', [...SIZES.map(String), 'all']) ?? 'all';
  return {
    directions: direction === 'both' ? ['push', 'pop'] : [direction as Direction],
    sizes: size === 'all' ? SIZES : [Number(size)],
    rounds: numberOption(options, 'rounds', 1),
    seconds: numberOption(options, 'seconds', 0.1, false),
    steps: wordOption(options, 'steps', ['yes', 'no']) !== 'no',
    nodes: await readNodes(options, 'nodes'),
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
    steps: { type: 'string', default: 'yes', help: 'yes or no: also time the steps of weft, in runs of their own' },
    nodes: { type: 'string', default: 'own', help: `${NODES_HELP}; several with commas` },
  },
  async run(options, log): Promise<Findings> {
    const settings = await readSettings(options);
    requirePrograms(['ip', 'dpdk-testpmd', 'ovsdb-server', 'ovsdb-tool', 'ovs-ofctl']);
    if (!existsSync(SWITCH))
      throw new Error('this benchmark needs Open vSwitch over DPDK, which `node setup.mjs --for bench` unpacks');
    return findings(await measure(settings, log));
  },
};
