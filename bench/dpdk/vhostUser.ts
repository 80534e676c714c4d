import { existsSync, mkdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createUndo } from '../../dist/cli/lab/undo.js';
// biome-ignore lint/correctness/useImportExtensions: the set-up is made of .mjs files
import { reserveHugepages } from '../../setup/hugepages.mjs';
import { type Benchmark, numberOption, UsageError, wordOption } from '../benchmark.js';
import type { Findings, Series, Target } from '../report/report.js';
import { median, ratios } from '../report/statistics.js';
import { cell, type Table } from '../report/table.js';
import { withCleanUp } from '../system/cleanUp.js';
import { makeFolder, requirePrograms } from '../system/rig.js';
import { type Contestant, goFirst, observe, type Seen, stop, warmUp } from './contestant.js';
import { NODES_HELP, readNodes } from './nodes.js';
import { SWITCH } from './openVswitch.js';
import {
  HUGEPAGES,
  openVswitchLoop,
  openVswitchToKernel,
  type Place,
  testpmdLoop,
  weftLoop,
  weftToKernel,
} from './vhostRivals.js';

const SIZES = [64, 1500];
/** A frame that fits the underlay of 1500 bytes with the tunnel's headers around it. */
const TUNNEL_MAX = 1464;
const LOOP_WANTED = 0.7;
const LOOP_AIM = 0.9;

type Way = 'loop' | 'kernel';
const WAYS: Record<Way, { title: string; rivals: Record<string, (place: Place) => Promise<Contestant>> }> = {
  loop: {
    title: 'from one virtio-user device of testpmd to the other, and back',
    rivals: { weft: weftLoop, testpmd: testpmdLoop, 'Open vSwitch': openVswitchLoop },
  },
  kernel: {
    title: 'from testpmd through VXLAN to the kernel, over veth',
    rivals: { weft: weftToKernel, 'Open vSwitch': openVswitchToKernel },
  },
};

export interface Result {
  way: Way;
  frameLen: number;
  rounds: Record<string, Seen[]>;
}

interface Settings {
  ways: Way[];
  rounds: number;
  seconds: number;
  program: string;
}

async function runWay(
  way: Way,
  place: Place,
  settings: Settings,
  signal: AbortSignal,
  log: (line: string) => void,
): Promise<Result> {
  const { frameLen } = place;
  const entrants: [string, Contestant][] = [];
  for (const [name, start] of Object.entries(WAYS[way].rivals)) {
    const folder = join(place.folder, name.replaceAll(' ', '-'));
    mkdirSync(folder);
    const started = await start({ ...place, folder });
    stop(started);
    entrants.push([name, started]);
  }
  await warmUp(
    entrants.map(([, one]) => one),
    signal,
  );
  const rounds: Result['rounds'] = Object.fromEntries(entrants.map(([name]) => [name, []]));
  for (let round = 0; round < settings.rounds; round++) {
    for (const [name, one] of entrants) rounds[name].push(await observe(one, settings.seconds, signal));
    const line = entrants.map(([name]) => `${name} ${rounds[name][round].mpps.toFixed(2)}`).join(', ');
    log(`${way} ${frameLen} B, round ${round + 1} of ${settings.rounds}, Mpps: ${line}`);
  }
  return { way, frameLen, rounds };
}

function measure(settings: Settings, log: (line: string) => void): Promise<Result[]> {
  return withCleanUp(async (undo, signal) => {
    goFirst(undo);
    const pages = reserveHugepages(HUGEPAGES);
    if ('lack' in pages) throw new UsageError(pages.lack);
    undo.add(() => pages.release());
    const base = makeFolder(undo);
    const results: Result[] = [];
    for (const way of settings.ways)
      for (const size of SIZES) {
        const own = createUndo();
        const folder = join(base, `${way}-${size}`);
        mkdirSync(folder);
        const frameLen = way === 'kernel' ? Math.min(size, TUNNEL_MAX) : size;
        const place = { folder, frameLen, cpu: cpus().length - 1, program: settings.program, undo: own, signal };
        try {
          results.push(await runWay(way, place, settings, signal, log));
        } finally {
          for (const failure of await own.run()) log(`not removed: ${failure}`);
        }
      }
    return results;
  });
}

const pick = (seen: Seen[], key: keyof Seen) => seen.map((s) => s[key]);
const rivalsOf = (r: Result) => Object.keys(r.rounds).filter((name) => name !== 'weft');
const against = (r: Result, name: string) => ratios(pick(r.rounds.weft, 'mpps'), pick(r.rounds[name], 'mpps'));
/** By processor time: what testpmd takes over what weft takes. */
const cpuAgainst = (r: Result, name: string) =>
  ratios(pick(r.rounds[name], 'nsPerPacket'), pick(r.rounds.weft, 'nsPerPacket'));

function wayTable(way: Way, results: readonly Result[]): Table {
  return {
    title: WAYS[way].title,
    columns: ['what', 'Mpps', 'Gbit/s', 'CPU, ns a packet', 'weft / it, by the clock', 'weft / it, by CPU'],
    rows: results
      .filter((r) => r.way === way)
      .flatMap((r) => [
        [`${r.frameLen} B`],
        ...Object.entries(r.rounds).map(([name, seen]) => {
          const mpps = pick(seen, 'mpps');
          const gbit = mpps.map((m) => (m * r.frameLen * 8) / 1000);
          const times = name === 'weft' ? ['', ''] : [cell(against(r, name), 2), cell(cpuAgainst(r, name), 2)];
          return [`  ${name}`, cell(mpps, 2), cell(gbit, 1), cell(pick(seen, 'nsPerPacket')), ...times];
        }),
      ]),
  };
}

export function findings(results: readonly Result[]): Findings {
  const ways = [...new Set(results.map((r) => r.way))];
  const series: Series[] = results.flatMap((r) =>
    Object.entries(r.rounds).flatMap(([name, seen]) => [
      { name: `${r.way}/${r.frameLen}/${name}/rate`, unit: 'Mpps', samples: pick(seen, 'mpps') },
      { name: `${r.way}/${r.frameLen}/${name}/cpu`, unit: 'ns', samples: pick(seen, 'nsPerPacket') },
    ]),
  );
  const targets: Target[] = results
    .filter((r) => r.way === 'loop')
    .flatMap((r) =>
      rivalsOf(r)
        .filter((name) => name === 'testpmd')
        .map((name) => ({
          text: `loop, ${r.frameLen} B: share of testpmd's rate by CPU (aim ${LOOP_AIM})`,
          value: median(cpuAgainst(r, name)),
          limit: LOOP_WANTED,
          sense: 'above' as const,
        })),
    );
  return {
    tables: ways.map((way) => wayTable(way, results)),
    series,
    targets,
    notes: [
      'testpmd plays the machines on another core. Its frames run in circles, a fixed number of them; to the kernel it sends as fast as it can.',
      'CPU is that of the forwarding thread. All of them poll: on a machine with other work, what a thread waited for the machines is in its time.',
    ],
  };
}

export const vhostUser: Benchmark = {
  name: 'vhost-user',
  summary: 'virtual machines on vhost-user ports, beside a loop of testpmd and Open vSwitch over DPDK (root)',
  options: {
    way: { type: 'string', default: 'both', help: 'loop, kernel or both' },
    rounds: { type: 'string', default: '3', help: 'rounds, in each of which every contestant runs once' },
    seconds: { type: 'string', default: '1', help: 'length of each run' },
    node: { type: 'string', default: 'own', help: NODES_HELP },
  },
  async run(options, log): Promise<Findings> {
    const way = wordOption(options, 'way', ['loop', 'kernel', 'both']) ?? 'both';
    const settings: Settings = {
      ways: way === 'both' ? ['loop', 'kernel'] : [way as Way],
      rounds: numberOption(options, 'rounds', 1),
      seconds: numberOption(options, 'seconds', 0.1, false),
      program: (await readNodes(options, 'node'))[0].path,
    };
    requirePrograms(['ip', 'dpdk-testpmd', 'ovsdb-server', 'ovsdb-tool', 'ovs-ofctl']);
    if (!existsSync(SWITCH))
      throw new Error('this benchmark needs Open vSwitch over DPDK, which `node setup.mjs --for bench` unpacks');
    return findings(await measure(settings, log));
  },
};
