// dpdk-testpmd as virtual machines that send the frames of capture files, and write what they get to others.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { until } from './waiting.js';

export interface PcapGuest {
  path: string;
  /** A file for each of its queues; without them it only listens. */
  inputs?: string[];
  outputs?: string[];
  /** Its files are read again and again. */
  isEndless?: boolean;
  /** As devargs of net_virtio_user: `packed_vq=1`. */
  settings?: string;
}

export interface PcapGuestOptions {
  guests: PcapGuest[];
  mtu: number;
  queues?: number;
  /** Of each buffer that a machine has for frames, 128 of them in front. Longer frames are several buffers. */
  mbufBytes?: number;
  mbufs?: number;
  /** testpmd's forwarding mode. */
  forward?: string;
  /** Commands before the devices start. Guest `i` has ports 2i, its files, and 2i + 1, its card. */
  commands?: string[];
}

export interface PcapGuests {
  /**
   * The cards are as they stay: each may have been up before, and down again. The node hears of it a moment later, and what is sent before that is
   * lost: first this, then `isComplete` of its ports, then `start`.
   */
  ready(): Promise<unknown>;
  /** The frames set off. */
  start(): Promise<unknown>;
  /** Frames of a guest's input files so far, those of them that its card took, and what is in its output files. */
  read(guest: number): Promise<number>;
  sent(guest: number): Promise<number>;
  written(guest: number): Promise<number>;
  writtenBytes(guest: number): Promise<number>;
  /** No more frames set off, or are taken from its cards. */
  stop(): Promise<void>;
  /** Ends it; the output files are complete then. */
  end(): Promise<void>;
  output(): string;
}

/** Whether the machine behind a port has started its card, with all queues. */
export const isComplete = (port: { deviceState: string | null; queues: number; queuesEnabled: number | null }) =>
  port.deviceState === 'up' && port.queuesEnabled === port.queues;

let started = 0;

export function pcapGuests(options: PcapGuestOptions): PcapGuests {
  const { guests, mtu, queues = 1, mbufBytes = 9728, mbufs = 4096, forward = 'io', commands = [] } = options;
  const files = (kind: string, paths: string[] = []) => paths.map((path) => `,${kind}_pcap=${path}`).join('');
  const vdevs = guests.flatMap(({ path, inputs, outputs, isEndless, settings = '' }, i) => [
    ...['--vdev', `net_pcap${i}${files('rx', inputs)}${files('tx', outputs)}${isEndless ? ',infinite_rx=1' : ''}`],
    ...[
      '--vdev',
      `net_virtio_user${i},path=${path},queues=${queues},queue_size=256${settings === '' ? '' : `,${settings}`}`,
    ],
  ]);
  const child: ChildProcess = spawn(
    // It is to say at once what it says.
    'stdbuf',
    [
      ...[
        '--output=L',
        'dpdk-testpmd',
        '--lcores',
        '0@(0-1),1@(0-1)',
        '--no-huge',
        '-m',
        '256',
        '--no-shconf',
        '--no-pci',
        '--no-telemetry',
      ],
      ...[`--file-prefix=wt-pcap-${process.pid}-${++started}`, ...vdevs, '--'],
      // Ports 0 to 1 and 2 to 3. Flushing would throw the files away.
      ...['-i', '--no-flush-rx', '--port-topology=paired', '--disable-device-start', `--max-pkt-len=${mtu + 18}`],
      ...[`--rxq=${queues}`, `--txq=${queues}`, `--total-num-mbufs=${mbufs}`, `--mbuf-size=${mbufBytes}`],
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  let heard = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (chunk: Buffer) => {
      heard += chunk.toString();
    });
  const say = (...lines: string[]) => child.stdin!.write(`${lines.join('\n')}\n`);
  const ended = once(child, 'exit');
  say(...commands, 'port start all', `set fwd ${forward}`);
  const heardFrom = (from: number, what: RegExp) =>
    until(`testpmd says ${what}`, () => what.exec(heard.slice(from)) ?? undefined);
  async function figure(name: string, port: number): Promise<number> {
    const from = heard.length;
    say(`show port stats ${port}`);
    return Number((await heardFrom(from, new RegExp(`statistics for port ${port} [^]*?${name}: +(\\d+)`)))[1]);
  }
  return {
    ready: () => heardFrom(0, /Checking link statuses[\s\S]*Done/),
    start() {
      say('start');
      return heardFrom(0, /packet forwarding.* - ports/);
    },
    async stop() {
      const from = heard.length;
      say('stop');
      await heardFrom(from, /Telling cores to stop[\s\S]*Done\./);
    },
    read: (guest) => figure('RX-packets', 2 * guest),
    sent: (guest) => figure('TX-packets', 2 * guest + 1),
    written: (guest) => figure('TX-packets', 2 * guest),
    writtenBytes: (guest) => figure('TX-bytes', 2 * guest),
    async end() {
      say('stop', 'quit');
      await ended;
    },
    output: () => heard,
  };
}
