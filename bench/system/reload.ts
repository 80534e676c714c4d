import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { background, must, sleep } from '../../dist/cli/lab/commands.js';
import type { Undo } from '../../dist/cli/lab/undo.js';
import type { ConfigInput } from '../../dist/control/config/config.js';
import { type Benchmark, numberOption } from '../benchmark.js';
import type { Findings } from '../report/report.js';
import { median } from '../report/statistics.js';
import { cell } from '../report/table.js';
import { withCleanUp } from './cleanUp.js';
import { type Host, inside, makeFolder, makeHosts, nodeConfig, requirePrograms, startNode } from './rig.js';
import { waitAnswer, waitReady } from './transfer.js';

const STEADY = fileURLToPath(new URL('../../test/rig/steady.py', import.meta.url));
const PORT = '5001';
/** Between two reloads. */
const PAUSE_MS = 100;

/** What became of one stream; times in microseconds. */
interface Stream {
  sent: number;
  received: number;
  twice: number;
  late: number;
  gapUsMax: number;
  delayUs: { median: number; p99: number; p999: number; max: number };
}

interface Rig {
  hosts: [Host, Host];
  folder: string;
  /** The node that is reloaded. */
  pid: number;
  signal: AbortSignal;
}

/** The other network as it is changed, round and round: taken away, put back, another MTU, another peer, another device. */
function variants(config: ConfigInput, peer: string): ConfigInput[] {
  const port = { type: 'tap' as const, name: 'other0' };
  const other = { name: 'other', vni: 77, underlay: 'veth', peers: [peer], ports: [port] };
  const others = [
    other,
    { ...other, mtu: 1300 },
    { ...other, peers: [peer, '198.18.0.77'] },
    { ...other, ports: [{ ...port, owner: 65534 }] },
    { ...other, encapsulation: 'geneve' as const },
  ];
  return [...others.map((changed) => ({ ...config, networks: [...config.networks, changed] })), config];
}

const countReloads = (log: string) => (readFileSync(log, 'utf8').match(/ reloaded: /g) ?? []).length;

/** Reloads until told to stop; milliseconds from each signal to the line that says it is done. */
async function keepReloading({ folder, pid, hosts, signal }: Rig, isOver: () => boolean): Promise<number[]> {
  const took: number[] = [];
  const all = variants(nodeConfig('a', folder, hosts[0], hosts[1].underlayAddress), hosts[1].underlayAddress);
  for (let n = 0; !isOver(); n++) {
    const before = countReloads(join(folder, 'a.log'));
    writeFileSync(join(folder, 'a.yaml'), stringify(all[n % all.length]));
    const from = performance.now();
    process.kill(pid, 'SIGHUP');
    while (countReloads(join(folder, 'a.log')) === before) {
      signal.throwIfAborted();
      if (performance.now() - from > 5000) throw new Error('a reload takes more than 5 s');
      await sleep(2);
    }
    took.push(performance.now() - from);
    await sleep(PAUSE_MS);
  }
  return took;
}

let streams = 0;

/** One stream over the network that is left alone, from the node that is reloaded to the other. */
async function stream(
  { hosts: [a, b], folder, signal }: Rig,
  seconds: number,
  pps: number,
  undo: Undo,
): Promise<Stream> {
  const log = join(folder, `receiver-${++streams}.log`);
  const receiver = background(inside(b, 'python3', STEADY, 'receive', b.weftAddress, PORT), log);
  undo.add(() => receiver.end());
  while (!readFileSync(log, 'utf8').includes('ready')) {
    signal.throwIfAborted();
    if (receiver.hasEnded) throw new Error(`the receiver ended:\n${readFileSync(log, 'utf8')}`);
    await sleep(5);
  }
  const args = ['python3', STEADY, 'send', b.weftAddress, PORT, String(seconds), String(pps)];
  const sent = JSON.parse(await must(inside(a, ...args), signal, seconds * 1000 + 20_000));
  for (let n = 0; !receiver.hasEnded && n < 200; n++) await sleep(50);
  return { ...sent, ...JSON.parse(readFileSync(log, 'utf8').replace('ready', '')) };
}

async function measure(
  rounds: number,
  seconds: number,
  pps: number,
  log: (line: string) => void,
  undo: Undo,
  signal: AbortSignal,
) {
  const folder = makeFolder(undo);
  const hosts = await makeHosts(undo, signal);
  const [a, b] = hosts;
  const nodes = [
    startNode(a, folder, 'a', b.underlayAddress, undo),
    startNode(b, folder, 'b', a.underlayAddress, undo),
  ];
  for (const [i, name] of ['a', 'b'].entries())
    await waitReady(join(folder, `${name}.log`), () => nodes[i].hasEnded, signal);
  await waitAnswer(a, b.weftAddress, signal);
  const rig: Rig = { hosts, folder, pid: nodes[0].pid, signal };
  const found = { quiet: [] as Stream[], reloaded: [] as Stream[], tookMs: [] as number[] };
  for (let round = 1; round <= rounds; round++) {
    log(`round ${round} of ${rounds}: without reloads`);
    found.quiet.push(await stream(rig, seconds, pps, undo));
    log(`round ${round} of ${rounds}: with reloads`);
    let isOver = false;
    const reloads = keepReloading(rig, () => isOver);
    found.reloaded.push(await stream(rig, seconds, pps, undo).finally(() => (isOver = true)));
    found.tookMs.push(...(await reloads));
  }
  return found;
}

const sum = (streams: Stream[], of: (stream: Stream) => number) => streams.reduce((n, stream) => n + of(stream), 0);

export const reload: Benchmark = {
  name: 'reload',
  summary:
    'one network under a steady stream while another one of the node is reloaded: what the stream notices (root)',
  options: {
    rounds: { type: 'string', default: '3', help: 'pairs of streams, one without reloads and one with' },
    seconds: { type: 'string', default: '5', help: 'length of each stream' },
    pps: { type: 'string', default: '2000', help: 'datagrams a second' },
  },
  async run(options, log): Promise<Findings> {
    const [rounds, seconds, pps] = [
      numberOption(options, 'rounds', 1),
      numberOption(options, 'seconds', 1),
      numberOption(options, 'pps', 1),
    ];
    requirePrograms(['ip', 'python3', 'ping']);
    const { quiet, reloaded, tookMs } = await withCleanUp((undo, signal) =>
      measure(rounds, seconds, pps, log, undo, signal),
    );
    const row = (what: string, of: (stream: Stream) => number) => [what, cell(quiet.map(of)), cell(reloaded.map(of))];
    const lost = (s: Stream) => s.sent - s.received;
    return {
      tables: [
        {
          title: `a stream of ${pps} datagrams a second over one network, while another one is left alone or reloaded`,
          columns: ['what', 'left alone', 'reloaded'],
          rows: [
            row('lost', lost),
            row('repeated', (s) => s.twice),
            row('out of order', (s) => s.late),
            row('delay, median, µs', (s) => s.delayUs.median),
            row('delay, p99, µs', (s) => s.delayUs.p99),
            row('delay, p99.9, µs', (s) => s.delayUs.p999),
            row('delay, longest, µs', (s) => s.delayUs.max),
            row('longest gap between two, µs', (s) => s.gapUsMax),
            ['reloads', '0', String(tookMs.length)],
            ['signal to done, ms', '-', cell(tookMs)],
          ],
        },
      ],
      series: [
        { name: 'delay-max-alone', unit: 'us', samples: quiet.map((s) => s.delayUs.max) },
        { name: 'delay-max-reloaded', unit: 'us', samples: reloaded.map((s) => s.delayUs.max) },
        { name: 'gap-max-alone', unit: 'us', samples: quiet.map((s) => s.gapUsMax) },
        { name: 'gap-max-reloaded', unit: 'us', samples: reloaded.map((s) => s.gapUsMax) },
        { name: 'reload', unit: 'ms', samples: tookMs },
      ],
      targets: [
        { text: 'datagrams lost while reloading', value: sum(reloaded, lost), limit: 1, sense: 'below' },
        { text: 'repeated or out of order', value: sum(reloaded, (s) => s.twice + s.late), limit: 1, sense: 'below' },
        {
          text: 'p99 of the delay, reloaded over left alone',
          value: median(reloaded.map((s) => s.delayUs.p99)) / median(quiet.map((s) => s.delayUs.p99)),
          limit: 2,
          sense: 'below',
        },
      ],
      notes: [
        'Delay and gap are from the send call to the kernel of the receiver; the sender shares the cores with all else.',
      ],
    };
  },
};
