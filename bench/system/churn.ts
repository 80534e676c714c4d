import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must } from '../../dist/cli/lab/commands.js';
import type { Undo } from '../../dist/cli/lab/undo.js';
import { createClient } from '../../dist/control/api/client.js';
import type { StatusDocument } from '../../dist/observe/documents.js';
import { type Benchmark, numberOption, UsageError } from '../benchmark.js';
import type { Findings } from '../report/report.js';
import { quantile } from '../report/statistics.js';
import { cell } from '../report/table.js';
import { withCleanUp } from './cleanUp.js';
import { type Host, makeFolder, makeHosts, makeNamespace, nodeConfig, requirePrograms, runNode } from './rig.js';
import { waitReady } from './transfer.js';

const NEW_MACS = fileURLToPath(new URL('../../test/rig/newMacs.py', import.meta.url));
/** Most that a network of weft learns. */
const MACS_MAX = 65_000;
/** Of so many new stations one is sent frames. */
const EVERY = 10;
const WEFT = { udpPort: 4789, vni: 42, devices: ['w2', 'w3'] };
const KERNEL = { udpPort: 8472, vni: 43, devices: ['k2', 'k3'] };
const WAYS = { weft: WEFT, kernel: KERNEL } as const;
type Way = keyof typeof WAYS;

/** What became of one run. */
interface Run {
  seconds: number;
  /** From the first frame of a station to the first one to it that is not flooded; null for never. */
  lagsUs: (number | null)[];
  probes: number;
  flooded: number;
  lost: number;
  /** MACs that were in the table afterwards and not before. */
  learned: number;
}

interface Rig {
  hosts: [Host, Host];
  stations: string[];
  socket: string;
  signal: AbortSignal;
}

/** The kernel's switch: a bridge with its VXLAN device, which learns, and a veth to each station. */
async function addKernelSwitch({ hosts: [a, b], stations, signal }: Omit<Rig, 'socket'>): Promise<void> {
  const ip = (...args: string[]) => must(['ip', '-n', a.netns, ...args], signal);
  const ends = ['local', a.underlayAddress, 'remote', b.underlayAddress, 'dev', a.device];
  await ip('link', 'add', 'bridge', 'type', 'bridge');
  const { vni, udpPort, devices } = KERNEL;
  await ip('link', 'add', 'vx', 'type', 'vxlan', 'id', `${vni}`, 'dstport', `${udpPort}`, ...ends);
  for (const [k, netns] of stations.entries()) {
    const plug = `plug${k}`;
    await ip('link', 'add', plug, 'type', 'veth', 'peer', 'name', devices[k], 'netns', netns);
    await must(['ip', '-n', netns, 'link', 'set', devices[k], 'up'], signal);
    await ip('link', 'set', plug, 'master', 'bridge', 'up');
  }
  await ip('link', 'set', 'vx', 'master', 'bridge', 'up');
  await ip('link', 'set', 'bridge', 'up');
}

async function startSwitches(undo: Undo, signal: AbortSignal): Promise<Rig> {
  const folder = makeFolder(undo);
  const hosts = await makeHosts(undo, signal);
  const [a, b] = hosts;
  const stations = [await makeNamespace('s2', undo, signal), await makeNamespace('s3', undo, signal)];
  await addKernelSwitch({ hosts, stations, signal });
  const config = nodeConfig('churn', folder, a, b.underlayAddress);
  const [network] = config.networks;
  network.macLimit = MACS_MAX;
  network.broadcastLimit = 0;
  network.ports = WEFT.devices.map((device, k) => ({ type: 'tap' as const, name: device, netns: stations[k] }));
  const node = runNode(a, folder, 'churn', config, undo);
  await waitReady(join(folder, 'churn.log'), () => node.hasEnded, signal);
  return { hosts, stations, socket: join(folder, 'churn.sock'), signal };
}

/** MACs that a switch has in its table. */
async function tableSize(way: Way, { hosts: [a], socket, signal }: Rig): Promise<number> {
  if (way === 'weft') return (await createClient(socket).get<StatusDocument>('/v1/status')).networks[0].macs;
  const rows = await must(['bridge', '-n', a.netns, 'fdb', 'show', 'br', 'bridge', 'dynamic'], signal);
  // Those of the bridge: the VXLAN device lists them, with where they are, again.
  return rows.split('\n').filter((row) => / master bridge/.test(row)).length;
}

async function run(way: Way, rig: Rig, first: number, count: number, rate: number): Promise<Run> {
  const { udpPort, vni, devices } = WAYS[way];
  const [a, b] = rig.hosts;
  const [near, far] = rig.stations;
  const ends = [b.netns, b.underlayAddress, a.underlayAddress, udpPort, vni, near, devices[0], far, devices[1]];
  const before = await tableSize(way, rig);
  const command = ['python3', NEW_MACS, ...[...ends, first, count, rate, EVERY].map(String)];
  const found = JSON.parse(await must(command, rig.signal, (count / rate) * 1000 + 30_000));
  return { ...found, learned: (await tableSize(way, rig)) - before };
}

async function measure(rounds: number, seconds: number, rate: number, log: (line: string) => void) {
  return withCleanUp(async (undo, signal) => {
    const rig = await startSwitches(undo, signal);
    const found: Record<Way, Run[]> = { weft: [], kernel: [] };
    const count = rate * seconds;
    for (let round = 0; round < rounds; round++) {
      for (const way of ['weft', 'kernel'] as const) {
        log(`round ${round + 1} of ${rounds}: ${way}`);
        found[way].push(await run(way, rig, round * count, count, rate));
      }
    }
    return found;
  });
}

const lagOf = (runs: Run[], q: number) =>
  runs.map(({ lagsUs }) =>
    quantile(
      lagsUs.filter((lag) => lag !== null),
      q,
    ),
  );
const neverOf = (runs: Run[]) => runs.map(({ lagsUs }) => lagsUs.filter((lag) => lag === null).length);
const rateOf = (runs: Run[]) => runs.map(({ learned, seconds }) => learned / seconds);

export const churn: Benchmark = {
  name: 'churn',
  summary:
    "new MACs out of a tunnel: how soon frames to them are not flooded any more, beside the kernel's bridge (root)",
  options: {
    rounds: { type: 'string', default: '3', help: 'rounds, each of both switches' },
    seconds: { type: 'string', default: '2', help: 'length of each' },
    rate: { type: 'string', default: '10000', help: 'new MACs a second' },
  },
  async run(options, log): Promise<Findings> {
    const [rounds, seconds, rate] = [
      numberOption(options, 'rounds', 1),
      numberOption(options, 'seconds', 1),
      numberOption(options, 'rate', EVERY),
    ];
    if (rounds * seconds * rate > MACS_MAX) throw new UsageError(`a network learns ${MACS_MAX} MACs: fewer, please`);
    requirePrograms(['ip', 'bridge', 'python3']);
    const { weft, kernel } = await measure(rounds, seconds, rate, log);
    const row = (what: string, of: (runs: Run[]) => number[], digits = 0) => [
      what,
      cell(of(weft), digits),
      cell(of(kernel), digits),
    ];
    const learnedShare = weft.map(({ learned }) => learned / (rate * seconds));
    return {
      tables: [
        {
          title: `${rate} new MACs a second out of a VXLAN tunnel; to one of ${EVERY} a station sends frames`,
          columns: ['what', 'weft', 'bridge of the kernel'],
          rows: [
            row('learning lag, median, µs', (runs) => lagOf(runs, 0.5)),
            row('learning lag, p99, µs', (runs) => lagOf(runs, 0.99)),
            row('flooded, of the frames to new MACs, %', (runs) => runs.map((r) => (r.flooded / r.probes) * 100), 2),
            row('lost, of them', (runs) => runs.map((r) => r.lost)),
            row('MACs that were flooded to the end', neverOf),
            row('learned a second', rateOf),
          ],
        },
      ],
      series: (['weft', 'kernel'] as const).flatMap((way) => {
        const runs = { weft, kernel }[way];
        return [
          { name: `${way}/lag`, unit: 'us', samples: runs.flatMap((r) => r.lagsUs.filter((lag) => lag !== null)) },
          { name: `${way}/lag-p99`, unit: 'us', samples: lagOf(runs, 0.99) },
          { name: `${way}/learned`, unit: '1/s', samples: rateOf(runs) },
          { name: `${way}/flooded`, unit: 'frames', samples: runs.map((r) => r.flooded) },
          { name: `${way}/lost`, unit: 'frames', samples: runs.map((r) => r.lost) },
        ];
      }),
      targets: [
        {
          text: 'share of the new MACs that weft learned',
          value: Math.min(...learnedShare),
          limit: 0.999,
          sense: 'above',
        },
      ],
      notes: [
        'The lag is from the call that sends the first frame of a station to the call that sends the first frame to it from which on none is flooded.',
        "A worker that was held up may serve the station's port before the tunnel. Who answers a new station has had its frame from the switch, which has learned it by then.",
        'Frames go to a station at once, and 1, 3, 10, 30 and 100 stations later: the lag is known to the next of them.',
      ],
    };
  },
};
