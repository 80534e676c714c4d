// dpdk-testpmd as two virtual machines, of which one sends the frames of a capture file and the other writes what it gets to a file.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface PcapGuests {
  /** The frames set off. Only when both ports are up: those that come before are lost. */
  start(): void;
  /** Asks, and says what the last answer was: frames on their way to the output file. */
  written(): number;
  /** Ends it; the output file is complete then. */
  end(): Promise<void>;
  output(): string;
}

export interface PcapGuestOptions {
  paths: [string, string];
  input: string;
  output: string;
  /** As devargs of net_virtio_user: `packed_vq=1`. */
  settings?: string;
  mtu: number;
}

let started = 0;

export function pcapGuests({ paths, input, output, settings = '', mtu }: PcapGuestOptions): PcapGuests {
  const more = settings === '' ? '' : `,${settings}`;
  const vdevs = [
    `net_pcap0,rx_pcap=${input},tx_pcap=${output}.back`,
    ...paths.map((path, i) => `net_virtio_user${i},path=${path},queue_size=256${more}`),
    `net_pcap1,tx_pcap=${output}`,
  ].flatMap((vdev) => ['--vdev', vdev]);
  const child: ChildProcess = spawn(
    'dpdk-testpmd',
    [
      ...['--lcores', '0@(0-1),1@(0-1)', '--no-huge', '-m', '256', '--no-shconf', '--no-pci', '--no-telemetry'],
      ...[`--file-prefix=wt-pcap-${process.pid}-${++started}`, ...vdevs, '--'],
      // Ports 0 to 1 and 2 to 3. Flushing would throw the file away.
      ...[
        '-i',
        '--no-flush-rx',
        '--port-topology=paired',
        '--total-num-mbufs=4096',
        '--mbuf-size=9728',
        `--max-pkt-len=${mtu + 18}`,
      ],
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  let heard = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (chunk: Buffer) => {
      heard = (heard + chunk.toString()).slice(-20_000);
    });
  const ended = once(child, 'exit');
  return {
    start() {
      child.stdin!.write('set fwd io\nstart\n');
    },
    written() {
      child.stdin!.write('show port stats 3\n');
      return Number([...heard.matchAll(/TX-packets: (\d+)/g)].at(-1)?.[1] ?? 0);
    },
    async end() {
      child.stdin!.write('stop\nquit\n');
      await ended;
    },
    output: () => heard,
  };
}
