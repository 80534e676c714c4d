import { join } from 'node:path';
import type { Undo } from '../../dist/cli/lab/undo.js';
import { type Benchmark, numberOption, wordOption } from '../benchmark.js';
import type { Findings, Series } from '../report/report.js';
import { median, ratios } from '../report/statistics.js';
import { cell, type Table } from '../report/table.js';
import { withCleanUp } from './cleanUp.js';
import {
  addKernelVxlan,
  type Host,
  makeFolder,
  makeHosts,
  type Rig,
  requirePrograms,
  setRig,
  startNode,
} from './rig.js';
import { startReceiver, type Transfer, transfer, waitAnswer, waitReady } from './transfer.js';

interface Settings {
  rigs: Rig[];
  rounds: number;
  seconds: number;
  streams: number;
}

type Peers = Record<'weft' | 'kernel', Transfer[]>;

const RIG_TEXT: Record<Rig, string> = {
  uncut: 'uncut: veth as it is made; superframes cross it whole',
  cut: 'cut: senders with `tx off`, receivers with `gro on`; what crosses is what a wire carries',
};

const RATIO_WANTED = 0.35;

/** weft and the kernel in turn, so that a machine that changes its speed changes both. */
async function inTurn(
  [a, b]: [Host, Host],
  rig: Rig,
  settings: Settings,
  pids: number[],
  log: (line: string) => void,
  signal: AbortSignal,
): Promise<Peers> {
  const { rounds, seconds, streams } = settings;
  await setRig([a, b], rig, signal);
  // TCP's metrics of the rig before, and the first frames, are left out.
  for (const address of [b.weftAddress, b.kernelAddress]) await transfer(a, address, 1, streams, pids, signal);
  const found: Peers = { weft: [], kernel: [] };
  for (let round = 0; round < rounds; round++) {
    const weft = await transfer(a, b.weftAddress, seconds, streams, pids, signal);
    const kernel = await transfer(a, b.kernelAddress, seconds, streams, pids, signal);
    found.weft.push(weft);
    found.kernel.push(kernel);
    log(
      `${rig} ${round + 1} of ${rounds}: weft ${weft.gbitPerSec.toFixed(2)}, kernel ${kernel.gbitPerSec.toFixed(2)} Gbit/s`,
    );
  }
  return found;
}

async function measure(settings: Settings, log: (line: string) => void, undo: Undo, signal: AbortSignal) {
  const folder = makeFolder(undo);
  const hosts = await makeHosts(undo, signal);
  const [a, b] = hosts;
  const nodes = [
    { node: startNode(a, folder, 'a', b.underlayAddress, undo), name: 'a' },
    { node: startNode(b, folder, 'b', a.underlayAddress, undo), name: 'b' },
  ];
  for (const { node, name } of nodes) await waitReady(join(folder, `${name}.log`), () => node.hasEnded, signal);
  await addKernelVxlan(hosts, signal);
  for (const address of [b.weftAddress, b.kernelAddress]) await waitAnswer(a, address, signal);
  await startReceiver(b, folder, undo, signal);
  const pids = nodes.map(({ node }) => node.pid);
  const found = new Map<Rig, Peers>();
  for (const rig of settings.rigs) found.set(rig, await inTurn(hosts, rig, settings, pids, log, signal));
  return found;
}

const pick = (transfers: Transfer[], key: keyof Transfer) => transfers.map((t) => t[key]);

function rigTable(rig: Rig, { weft, kernel }: Peers): Table {
  const row = (text: string, key: keyof Transfer, digits: number, hasKernel = true): string[] => {
    const [w, k] = [pick(weft, key), pick(kernel, key)];
    return hasKernel
      ? [text, cell(w, digits), cell(k, digits), cell(ratios(w, k), 2)]
      : [text, cell(w, digits), '-', '-'];
  };
  return {
    title: RIG_TEXT[rig],
    columns: ['one direction', 'weft', 'kernel', 'weft / kernel'],
    rows: [
      row('Gbit/s', 'gbitPerSec', 2),
      row('CPU s/GB, whole machine', 'machineSecPerGigabyte', 2),
      row('CPU s/GB, both weft nodes', 'weftSecPerGigabyte', 2, false),
      row('retransmits a round', 'retransmits', 0, false),
    ],
  };
}

function rigSeries(rig: Rig, peers: Peers): Series[] {
  const series = Object.entries(peers).flatMap(([who, transfers]) => [
    { name: `${rig}/${who}/throughput`, unit: 'Gbit/s', samples: pick(transfers, 'gbitPerSec') },
    { name: `${rig}/${who}/cpu-machine`, unit: 's/GB', samples: pick(transfers, 'machineSecPerGigabyte') },
    { name: `${rig}/${who}/cpu-weft`, unit: 's/GB', samples: pick(transfers, 'weftSecPerGigabyte') },
    { name: `${rig}/${who}/retransmits`, unit: 'segments', samples: pick(transfers, 'retransmits') },
  ]);
  const both = ratios(pick(peers.weft, 'gbitPerSec'), pick(peers.kernel, 'gbitPerSec'));
  return [...series, { name: `${rig}/ratio`, unit: 'weft/kernel', samples: both }];
}

export const tcpVxlan: Benchmark = {
  name: 'tcp-vxlan',
  summary: 'TCP over two weft nodes and over the kernel VXLAN in turn: Gbit/s, CPU seconds a gigabyte, ratios (root)',
  options: {
    rig: { type: 'string', default: 'both', help: 'uncut, cut or both' },
    rounds: { type: 'string', default: '5', help: 'rounds of one transfer each' },
    seconds: { type: 'string', default: '4', help: 'length of a transfer' },
    streams: { type: 'string', default: '1', help: 'TCP streams at once' },
  },
  async run(options, log): Promise<Findings> {
    const rig = wordOption(options, 'rig', ['uncut', 'cut', 'both']) ?? 'both';
    const settings = {
      rigs: rig === 'both' ? (['uncut', 'cut'] as Rig[]) : [rig],
      rounds: numberOption(options, 'rounds', 1),
      seconds: numberOption(options, 'seconds', 1),
      streams: numberOption(options, 'streams', 1),
    };
    requirePrograms(['ip', 'ss', 'ping', 'iperf3', 'ethtool']);
    const found = await withCleanUp((undo, signal) => measure(settings, log, undo, signal));
    const uncut = found.get('uncut');
    return {
      tables: [...found].map(([rig, peers]) => rigTable(rig, peers)),
      series: [...found].flatMap(([rig, peers]) => rigSeries(rig, peers)),
      targets:
        uncut === undefined
          ? []
          : [
              {
                text: 'throughput on the uncut rig, weft / kernel',
                value: median(ratios(pick(uncut.weft, 'gbitPerSec'), pick(uncut.kernel, 'gbitPerSec'))),
                limit: RATIO_WANTED,
                sense: 'above',
              },
            ],
      notes: [
        'Sender, receiver and both nodes share the cores of this machine. CPU of the whole machine has iperf3 in it, and whatever else ran.',
      ],
    };
  },
};
