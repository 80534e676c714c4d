// Frames that a machine has no room for: it loses them, and nothing else.
import { afterEach, expect, it } from 'vitest';
import type { Node } from '../../src/control/node.js';
import { readFrames, writePcap } from '../rig/captureFiles.js';
import { toHex, udp } from '../rig/frames.js';
import { scratchFile } from '../rig/node.js';
import { isComplete, type PcapGuests, pcapGuests } from '../rig/pcapGuests.js';
import { describeWith } from '../rig/requirements.js';
import { until } from '../rig/waiting.js';

const BUILT = new URL('../../dist/control/node.js', import.meta.url).href;
const HEADERS = 42;
/** Of each buffer of the machines: a frame of more needs several, and a machine without mergeable buffers gives one. */
const ROOM = 2048;
/** Large ones between small ones, first and last, alone and in a row. */
const SIZES = [
  3000,
  64,
  1500,
  9014,
  9000,
  60,
  2049,
  61,
  ...Array.from({ length: 40 }, (_, i) => 62 + i),
  3001,
  1514,
  5000,
];
let node: Node | null = null;
let machines: PcapGuests | null = null;

afterEach(async () => {
  await machines?.end();
  machines = null;
  await node?.stop();
  node = null;
});

describeWith(['addon', 'dpdk', 'testpmd'], 'frames that a machine has no room for', () => {
  it.each([
    ['split rings', 'mrg_rxbuf=0', 'tx-too-big'],
    // DPDK does not say whether one of these is full.
    ['packed rings', 'packed_vq=1,mrg_rxbuf=0,in_order=0', 'tx-full'],
  ])(
    'are dropped and counted, and those between them arrive: %s',
    {
      timeout: 120_000,
    },
    async (_what, settings, reason) => {
      const frames = SIZES.map((size, i) => udp({ src: 1, dst: 2, sport: 1000 + i, payload: size - HEADERS }));
      const [input, output] = [scratchFile('in.pcap'), scratchFile('out.pcap')];
      const paths = [scratchFile('vm0.sock'), scratchFile('vm1.sock')];
      writePcap(input, frames);
      const { createNode } = (await import(BUILT)) as typeof import('../../src/control/node.js');
      const ports = paths.map((path, i) => ({
        type: 'vhost-user' as const,
        name: `vm${i}`,
        path,
        queues: 1,
        mtu: 9000,
      }));
      node = createNode(
        {
          node: { name: 'large' },
          networks: [{ name: 'blue', mtu: 9000, broadcastLimit: 0, suppressNeighbours: false, ports }],
        },
        { control: false },
      );
      await node.start();
      machines = pcapGuests({
        guests: [
          { path: paths[0], inputs: [input] },
          { path: paths[1], outputs: [output], settings },
        ],
        mtu: 1500,
        mbufBytes: ROOM + 128,
      });
      await machines.ready();
      await until('both machines are there', () => node!.status().ports.every(isComplete));
      await machines.start();
      const fitting = frames.filter(({ length }) => length <= ROOM);
      const portOf = (name: string) => node!.status().ports.find((port) => port.name === name)!;
      await until('all frames have come and gone', () => {
        const [from, to] = [portOf('vm0'), portOf('vm1')];
        return from.rxPackets === frames.length && to.txPackets + to.dropped >= frames.length;
      });
      await until('all frames are written', async () => (await machines!.written(1)) === portOf('vm1').txPackets);
      await machines.end();
      machines = null;
      expect(node.drops().reasons.map((drop) => [drop.reason, drop.packets])).toEqual([
        [reason, frames.length - fitting.length],
      ]);
      expect(readFrames(output).map(toHex)).toEqual(fitting.map(toHex));
    },
  );
});
