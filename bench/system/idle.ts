import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { must, sleep } from '../../dist/cli/lab/commands.js';
import type { Undo } from '../../dist/cli/lab/undo.js';
import { createNodeMemory } from '../../dist/worker/nodeMemory.js';
import { type Benchmark, numberOption } from '../benchmark.js';
import type { Findings } from '../report/report.js';
import { median } from '../report/statistics.js';
import { cell } from '../report/table.js';
import { withCleanUp } from './cleanUp.js';
import { readProcessSeconds, residentMemory, voluntarySwitches } from './processes.js';
import { type Host, makeFolder, makeNamespace, requirePrograms, startNode } from './rig.js';
import { waitReady } from './transfer.js';

const MEGABYTE = 1e6;
/** After this long a node has ended whatever belongs to its start. */
const SETTLE_MS = 3000;

interface Idle {
  readyMs: number[];
  cpuPercent: number[];
  switchesPerSec: number[];
  rssBytes: number[];
  arenaResidentBytes: number[];
}

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
  await must(['ip', '-n', netns, 'address', 'add', `${underlayAddress}/24`, 'dev', device], signal);
  await must(['ip', '-n', netns, 'link', 'set', device, 'up'], signal);
  return { netns, device, underlayAddress, weftAddress: '10.0.0.1', kernelAddress: '10.0.1.1' };
}

/** Starts a node, watches it doing nothing, stops it. */
async function once(
  host: Host,
  folder: string,
  round: number,
  seconds: number,
  found: Idle,
  undo: Undo,
  signal: AbortSignal,
) {
  const name = `idle-${round}`;
  const startedAt = performance.now();
  const node = startNode(host, folder, name, null, undo);
  await waitReady(join(folder, `${name}.log`), () => node.hasEnded, signal);
  found.readyMs.push(performance.now() - startedAt);
  if (seconds > 0) {
    await sleep(SETTLE_MS);
    signal.throwIfAborted();
    const switches = readSwitches(node.pid);
    const cpu = readProcessSeconds(node.pid);
    const from = performance.now();
    await sleep(seconds * 1000);
    const took = (performance.now() - from) / 1000;
    found.cpuPercent.push(((readProcessSeconds(node.pid) - cpu) / took) * 100);
    found.switchesPerSec.push((readSwitches(node.pid) - switches) / took);
    const arenaSize = createNodeMemory(1).memory.buffer.byteLength;
    const { rssBytes, arenaBytes } = residentMemory(readFileSync(`/proc/${node.pid}/smaps`, 'latin1'), arenaSize);
    found.rssBytes.push(rssBytes);
    if (arenaBytes !== null) found.arenaResidentBytes.push(arenaBytes);
  }
  await node.end();
}

async function measure(starts: number, seconds: number, log: (line: string) => void, undo: Undo, signal: AbortSignal) {
  const folder = makeFolder(undo);
  const host = await makeHost(undo, signal);
  const found: Idle = { readyMs: [], cpuPercent: [], switchesPerSec: [], rssBytes: [], arenaResidentBytes: [] };
  for (let round = 0; round < starts; round++) {
    const isLast = round === starts - 1;
    log(isLast ? `watching a node for ${seconds} s` : `start ${round + 1} of ${starts}`);
    await once(host, folder, round, isLast ? seconds : 0, found, undo, signal);
  }
  return found;
}

export const idle: Benchmark = {
  name: 'idle',
  summary: 'a node with one TAP and no traffic: CPU, resident memory beside the arena, time to ready (root)',
  options: {
    starts: { type: 'string', default: '5', help: 'starts of which the time to ready is taken' },
    seconds: { type: 'string', default: '20', help: 'how long the last of them is watched' },
  },
  async run(options, log): Promise<Findings> {
    const starts = numberOption(options, 'starts', 1);
    const seconds = numberOption(options, 'seconds', 1);
    requirePrograms(['ip']);
    const found = await withCleanUp((undo, signal) => measure(starts, seconds, log, undo, signal));
    const { readyMs, cpuPercent, switchesPerSec } = found;
    const rss = found.rssBytes.map((b) => b / MEGABYTE);
    const arena = found.arenaResidentBytes.map((b) => b / MEGABYTE);
    const beside = rss.map((mb, i) => mb - (arena[i] ?? 0));
    return {
      tables: [
        {
          title: 'one node, one TAP, no traffic',
          columns: ['what', 'value'],
          rows: [
            ['CPU, percent of a core', cell(cpuPercent, 2)],
            ['wake-ups a second, all threads', cell(switchesPerSec)],
            ['resident, MB', cell(rss)],
            ['  of it arena, MB', cell(arena)],
            ['  beside the arena, MB', cell(beside)],
            ['process start to ready, ms', cell(readyMs, 0)],
          ],
        },
      ],
      series: [
        { name: 'cpu', unit: 'percent of a core', samples: cpuPercent },
        { name: 'wake-ups', unit: '1/s', samples: switchesPerSec },
        { name: 'resident', unit: 'bytes', samples: found.rssBytes },
        { name: 'arena-resident', unit: 'bytes', samples: found.arenaResidentBytes },
        { name: 'ready', unit: 'ms', samples: readyMs },
      ],
      targets: [
        { text: 'CPU, percent of a core', value: median(cpuPercent), limit: 1, sense: 'below' },
        { text: 'resident beside the arena, MB', value: median(beside), limit: 120, sense: 'below' },
        { text: 'process start to ready, ms', value: median(readyMs), limit: 500, sense: 'below' },
      ],
      notes: [
        ...(arena.length === 0 ? ['no mapping of the size of the arena was found: it is not taken off'] : []),
        'Time to ready has `ip netns exec` in it, and is seen within 5 ms.',
      ],
    };
  },
};
