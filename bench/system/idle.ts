import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missingPrograms, must, sleep } from '../../dist/cli/lab/commands.js';
import { createUndo, type Undo } from '../../dist/cli/lab/undo.js';
import { arenaShapeOf } from '../../dist/control/arenaShape.js';
import { checkValue } from '../../dist/control/config/check.js';
import type { ConfigInput } from '../../dist/control/config/config.js';
import { workersMaxOf } from '../../dist/control/workers.js';
import { createNodeMemory } from '../../dist/worker/nodeMemory.js';
// biome-ignore lint/correctness/useImportExtensions: the set-up is made of .mjs files
import { reserveHugepages } from '../../setup/hugepages.mjs';
import { type Benchmark, numberOption, UsageError } from '../benchmark.js';
import { startTestpmd } from '../dpdk/testpmd.js';
import type { Findings, Series } from '../report/report.js';
import { median, quantile } from '../report/statistics.js';
import { cell, type Table } from '../report/table.js';
import { withCleanUp } from './cleanUp.js';
import { readProcessSeconds, residentMemory, voluntarySwitches } from './processes.js';
import { type Host, makeFolder, makeNamespace, nodeConfig, requirePrograms, runNode, WEFT } from './rig.js';
import { waitReady } from './transfer.js';

const MEGABYTE = 1e6;
const KILOBYTE = 1e3;
/** A node has ended whatever belongs to its start, the warm-up of the spare thread included, once it is as quiet as this for a while. */
const QUIET_PERCENT = 3;
const QUIET_MS = 2000;
const SETTLE_MS = 7000;
const SETTLE_MAX_MS = 20_000;

interface Idle {
  readyMs: number[];
  cpuPercent: number[];
  switchesPerSec: number[];
  rssBytes: number[];
  arenaResidentBytes: number[];
}

const nothingFound = (): Idle => ({
  readyMs: [],
  cpuPercent: [],
  switchesPerSec: [],
  rssBytes: [],
  arenaResidentBytes: [],
});

/** A node that is watched: so many TAPs, peers of its network, and whether heartbeats go to them. */
interface Size {
  ports: number;
  peers: number;
  heartbeat: boolean;
  /** In place of the TAPs: vhost-user ports, and whether silent machines are there. */
  vhost?: 'nobody' | 'machines';
}

const VHOST_PORTS = 2;
const MACHINES_MB = 96;
/** Of 2 MB, for the machines and for DPDK's memory of the node. */
const VHOST_HUGEPAGES = 256;
const ADDON = fileURLToPath(new URL('../../native/dpdk/weft_dpdk.node', import.meta.url));
const vhostSizes: Size[] = (['nobody', 'machines'] as const).map((vhost) => {
  return { ports: VHOST_PORTS, peers: 0, heartbeat: false, vhost };
});
const hasDpdk = () => existsSync(ADDON) && missingPrograms(['dpdk-testpmd']).length === 0;
const vhostSocket = (folder: string, name: string, k: number) => join(folder, `${name}-${k}.vhost`);

const FEW_PORTS = 10;

function readSwitches(pid: number): number {
  const folder = `/proc/${pid}/task`;
  return voluntarySwitches(readdirSync(folder).map((tid) => readFileSync(join(folder, tid, 'status'), 'latin1')));
}

async function makeHost(undo: Undo, signal: AbortSignal): Promise<Host> {
  const netns = await makeNamespace('idle', undo, signal);
  const device = 'v0';
  const underlayAddress = '198.18.0.1';
  await must(['ip', '-n', netns, 'link', 'add', device, 'type', 'veth', 'peer', 'name', 'v1'], signal);
  await must(['ip', '-n', netns, 'link', 'set', 'v1', 'up'], signal);
  await must(['ip', '-n', netns, 'address', 'add', `${underlayAddress}/16`, 'dev', device], signal);
  await must(['ip', '-n', netns, 'link', 'set', device, 'up'], signal);
  return { netns, device, underlayAddress, weftAddress: '10.0.0.1', kernelAddress: '10.0.1.1' };
}

function configOf(name: string, folder: string, host: Host, { ports, peers, heartbeat, vhost }: Size): ConfigInput {
  const config = nodeConfig(name, folder, host, null);
  const [network] = config.networks;
  if (ports > 1) network.ports = Array.from({ length: ports }, (_, k) => ({ name: `tap${k}`, type: 'tap' as const }));
  if (vhost !== undefined)
    network.ports = Array.from({ length: ports }, (_, k) => {
      return { name: `vm${k}`, type: 'vhost-user' as const, path: vhostSocket(folder, name, k) };
    });
  network.peers = Array.from({ length: peers }, (_, k) => `198.18.${1 + Math.floor(k / 250)}.${1 + (k % 250)}`);
  if (heartbeat) network.heartbeat = {};
  return config;
}

/** Of the arena that a node makes for a configuration. */
function arenaBytesOf(input: ConfigInput): number {
  const { config } = checkValue(input);
  if (config === null) throw new Error('the configuration of the benchmark is wrong');
  return createNodeMemory(workersMaxOf(config), undefined, arenaShapeOf(config)).memory.buffer.byteLength;
}

async function settle(pid: number, signal: AbortSignal): Promise<void> {
  const from = performance.now();
  await sleep(SETTLE_MS);
  for (let percent = 100; percent > QUIET_PERCENT && performance.now() - from < SETTLE_MAX_MS; ) {
    signal.throwIfAborted();
    const before = readProcessSeconds(pid);
    await sleep(QUIET_MS);
    percent = ((readProcessSeconds(pid) - before) / (QUIET_MS / 1000)) * 100;
  }
}

/** What a start leaves to the garbage collector differs by more than all ports have: a node that collects it when told so. */
const MEASURED_NODE = fileURLToPath(new URL('../../test/rig/measuredNode.mjs', import.meta.url));

async function collectGarbage(pid: number, log: string, signal: AbortSignal): Promise<void> {
  // V8 gives pages back after the second time.
  for (let times = 1; times <= 2; times++) {
    process.kill(pid, 'SIGUSR2');
    while ((readFileSync(log, 'utf8').match(/^measured /gm) ?? []).length < times) {
      signal.throwIfAborted();
      await sleep(20);
    }
  }
}

/** Machines whose network cards are up, and who send nothing. */
function startMachines(folder: string, name: string, undo: Undo, signal: AbortSignal) {
  const path = (k: number) => vhostSocket(folder, name, k);
  const vdevs = Array.from({ length: VHOST_PORTS }, (_, k) => `net_virtio_user${k},path=${path(k)},queue_size=256`);
  const forward = ['--total-num-mbufs=4096'];
  return startTestpmd({ cpu: 0, memoryMb: MACHINES_MB, vdevs, forward, isSilent: true }, undo, signal);
}

let nodes = 0;

/** Starts a node, watches it doing nothing, stops it. */
async function once(
  { host, folder, undo, signal }: Surroundings,
  size: Size,
  seconds: number,
  found: Idle,
): Promise<void> {
  const name = `idle-${++nodes}`;
  const startedAt = performance.now();
  const program = size.ports > 1 ? MEASURED_NODE : WEFT;
  const node = runNode(host, folder, name, configOf(name, folder, host, size), undo, program);
  await waitReady(join(folder, `${name}.log`), () => node.hasEnded, signal);
  found.readyMs.push(performance.now() - startedAt);
  const machines = createUndo();
  undo.add(() => machines.run());
  if (size.vhost === 'machines') await startMachines(folder, name, machines, signal);
  if (seconds > 0) {
    await settle(node.pid, signal);
    const switches = readSwitches(node.pid);
    const cpu = readProcessSeconds(node.pid);
    const from = performance.now();
    await sleep(seconds * 1000);
    const took = (performance.now() - from) / 1000;
    found.cpuPercent.push(((readProcessSeconds(node.pid) - cpu) / took) * 100);
    found.switchesPerSec.push((readSwitches(node.pid) - switches) / took);
    if (program === MEASURED_NODE) await collectGarbage(node.pid, join(folder, `${name}.log`), signal);
    const arenaSize = arenaBytesOf(configOf(name, folder, host, size));
    const { rssBytes, arenaBytes } = residentMemory(readFileSync(`/proc/${node.pid}/smaps`, 'latin1'), arenaSize);
    found.rssBytes.push(rssBytes);
    if (arenaBytes !== null) found.arenaResidentBytes.push(arenaBytes);
  }
  await machines.run();
  await node.end();
}

interface Surroundings {
  host: Host;
  folder: string;
  undo: Undo;
  signal: AbortSignal;
}

interface Options {
  starts: number;
  seconds: number;
  rounds: number;
  sizes: Size[];
}

/** What was found of a node with one TAP, and of those of each size, in turns. */
async function measure({ starts, seconds, rounds, sizes }: Options, log: (line: string) => void) {
  return withCleanUp(async (undo, signal) => {
    const around = { host: await makeHost(undo, signal), folder: makeFolder(undo), undo, signal };
    if (sizes.some(({ vhost }) => vhost !== undefined)) {
      const pages = reserveHugepages(VHOST_HUGEPAGES);
      if ('lack' in pages) throw new UsageError(pages.lack);
      undo.add(() => pages.release());
    }
    const small = nothingFound();
    for (let round = 0; round < starts; round++) {
      const isLast = round === starts - 1;
      log(isLast ? `watching a node for ${seconds} s` : `start ${round + 1} of ${starts}`);
      await once(around, { ports: 1, peers: 0, heartbeat: false }, isLast ? seconds : 0, small);
    }
    const large = sizes.map(nothingFound);
    for (let round = 0; round < rounds; round++) {
      for (const [k, size] of sizes.entries()) {
        log(`${sizeText(size)}: watching for ${seconds} s`);
        await once(around, size, seconds, large[k]);
      }
    }
    return { small, large };
  });
}

const sizeText = ({ ports, peers, heartbeat, vhost }: Size) =>
  vhost !== undefined
    ? `${ports} vhost-user ports, ${vhost === 'nobody' ? 'nobody there' : 'silent machines'}`
    : `${ports} ports, ${peers} peers${heartbeat ? ' with heartbeats' : ''}`;

const inMegabytes = (samples: number[]) => cell(samples.map((bytes) => bytes / MEGABYTE));

function smallTable({ cpuPercent, switchesPerSec, rssBytes, arenaResidentBytes, readyMs }: Idle): Table {
  return {
    title: 'one node, one TAP, no traffic',
    columns: ['what', 'value'],
    rows: [
      ['CPU, percent of a core', cell(cpuPercent, 2)],
      ['wake-ups a second, all threads', cell(switchesPerSec)],
      ['resident, MB', inMegabytes(rssBytes)],
      ['  of it arena, MB', inMegabytes(arenaResidentBytes)],
      ['  beside the arena, MB', inMegabytes(besideArena(rssBytes, arenaResidentBytes))],
      ['process start to ready, ms', cell(readyMs, 0)],
    ],
  };
}

const besideArena = (rss: number[], arena: number[]) => rss.map((bytes, i) => bytes - (arena[i] ?? 0));

const largeTable = (sizes: Size[], found: Idle[]): Table => ({
  title: 'one node of several sizes, no traffic',
  columns: ['ports and peers', 'CPU, %', 'wake-ups/s', 'resident, MB', 'to ready, ms'],
  rows: found.map(({ cpuPercent, switchesPerSec, rssBytes, readyMs }, k) => [
    sizeText(sizes[k]),
    cell(cpuPercent, 2),
    cell(switchesPerSec),
    inMegabytes(rssBytes),
    cell(readyMs, 0),
  ]),
});

/**
 * Kilobytes of resident memory of each of `count` ports or peers that one size has more than another: of the least of all rounds, since what V8
 * needs for compiling stays or does not, and is more than all of them have.
 */
const kilobytesOf = (more: Idle, less: Idle, count: number) => [
  (quantile(more.rssBytes, 0) - quantile(less.rssBytes, 0)) / KILOBYTE / count,
];

const memoryTable = (ofPort: number[], ofPeer: number[]): Table => ({
  title: 'resident memory of one more, from the least of all rounds',
  columns: ['of a', 'kB'],
  rows: [
    ['port', cell(ofPort)],
    ['peer', cell(ofPeer)],
  ],
});

const seriesOf = (prefix: string, found: Idle): Series[] => [
  { name: `${prefix}cpu`, unit: 'percent of a core', samples: found.cpuPercent },
  { name: `${prefix}wake-ups`, unit: '1/s', samples: found.switchesPerSec },
  { name: `${prefix}resident`, unit: 'bytes', samples: found.rssBytes },
  { name: `${prefix}arena-resident`, unit: 'bytes', samples: found.arenaResidentBytes },
  { name: `${prefix}ready`, unit: 'ms', samples: found.readyMs },
];

const below = (text: string, samples: number[], limit: number) =>
  ({ text, value: median(samples), limit, sense: 'below' }) as const;

export const idle: Benchmark = {
  name: 'idle',
  summary:
    'nodes without traffic, of one TAP, of many ports and peers, of vhost-user ports: CPU, resident memory, time to ready (root)',
  options: {
    starts: { type: 'string', default: '5', help: 'starts of which the time to ready is taken' },
    seconds: { type: 'string', default: '20', help: 'how long the last of them, and each larger node, is watched' },
    rounds: { type: 'string', default: '3', help: 'rounds over the larger nodes; 0: none of them' },
    ports: { type: 'string', default: '250', help: 'ports of the larger nodes' },
    peers: { type: 'string', default: '100', help: 'peers of the larger nodes' },
  },
  async run(options, log): Promise<Findings> {
    const [starts, seconds, rounds] = [
      numberOption(options, 'starts', 1),
      numberOption(options, 'seconds', 1),
      numberOption(options, 'rounds', 0),
    ];
    const [ports, peers] = [numberOption(options, 'ports', FEW_PORTS + 1), numberOption(options, 'peers', 1)];
    requirePrograms(['ip']);
    const sizes: Size[] = [
      { ports: FEW_PORTS, peers: 0, heartbeat: false },
      { ports, peers: 0, heartbeat: false },
      { ports, peers, heartbeat: false },
      { ports, peers, heartbeat: true },
      ...(rounds > 0 && hasDpdk() ? vhostSizes : []),
    ];
    const { small, large } = await measure({ starts, seconds, rounds, sizes }, log);
    const [few, many, peered] = large;
    const ofPort = kilobytesOf(many, few, ports - FEW_PORTS);
    const ofPeer = kilobytesOf(peered, many, peers);
    const beside = besideArena(small.rssBytes, small.arenaResidentBytes).map((bytes) => bytes / MEGABYTE);
    const isLarge = rounds > 0;
    return {
      tables: [smallTable(small), ...(isLarge ? [largeTable(sizes, large), memoryTable(ofPort, ofPeer)] : [])],
      series: [
        ...seriesOf('', small),
        ...large.flatMap((found, k) => seriesOf(`${sizeText(sizes[k])}/`, found)),
        { name: 'port', unit: 'kB', samples: ofPort },
        { name: 'peer', unit: 'kB', samples: ofPeer },
      ],
      targets: [
        below('CPU, percent of a core', small.cpuPercent, 1),
        below('resident beside the arena, MB', beside, 120),
        below('process start to ready, ms', small.readyMs, 500),
        ...large.flatMap((found, k) =>
          isLarge && (k === 2 || sizes[k].vhost !== undefined)
            ? [below(`${sizeText(sizes[k])}: CPU, percent of a core`, found.cpuPercent, 1)]
            : [],
        ),
      ],
      notes: [
        ...(small.arenaResidentBytes.length === 0
          ? ['no mapping of the size of the arena was found: it is not taken off']
          : []),
        ...(isLarge && !hasDpdk() ? ['Ports of type vhost-user were left out: no DPDK, or no dpdk-testpmd.'] : []),
        'Time to ready has `ip netns exec` in it, and is seen within 5 ms.',
        ...(isLarge
          ? [
              'Peers of the larger nodes are nowhere: nobody answers their heartbeats. Their memory is taken after a garbage collection.',
            ]
          : []),
      ],
    };
  },
};
