// dpdk-testpmd as a virtual machine would be: two virtio-user devices, frames of each sent on by the other.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Testpmd {
  kill(signal: NodeJS.Signals): Promise<void>;
  output(): string;
}

export interface VirtioUser {
  path: string;
  /** As devargs: `packed_vq=1`, `queues=2`, `server=1`, `mrg_rxbuf=0`. */
  settings?: string;
}

const MACS = ['52:54:00:00:00:01', '52:54:00:00:00:02'];
let started = 0;

/** Frames of `frameLen` bytes run in circles: out of one device, through the node, into the other, and again. */
export function circle(devices: [VirtioUser, VirtioUser], frameLen = 64, queues = 1): Testpmd {
  const vdevs = devices.flatMap(({ path, settings = '' }, i) => [
    '--vdev',
    `net_virtio_user${i},path=${path},queue_size=256,mac=${MACS[i]}${settings === '' ? '' : `,${settings}`}`,
  ]);
  const child: ChildProcess = spawn(
    'dpdk-testpmd',
    [
      ...['--lcores', '0@(0-1),1@(0-1)', '--no-huge', '-m', '192', '--no-shconf', '--no-pci', '--no-telemetry'],
      ...[`--file-prefix=wt-${process.pid}-${++started}`, ...vdevs, '--'],
      ...['--auto-start', '--tx-first', '--forward-mode=mac', '--total-num-mbufs=4096', '--stats-period=1'],
      ...[`--rxq=${queues}`, `--txq=${queues}`, `--txpkts=${frameLen}`],
      ...[`--eth-peer=0,${MACS[1]}`, `--eth-peer=1,${MACS[0]}`],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-10_000);
    });
  const ended = once(child, 'exit');
  return {
    async kill(signal) {
      child.kill(signal);
      await ended;
    },
    output: () => output,
  };
}
