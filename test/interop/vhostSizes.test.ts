// Frames of every size through ports of type vhost-user, byte for byte: files in, files out, testpmd as the machines.
import { afterEach, expect, it } from 'vitest';
import type { Node } from '../../src/control/node.js';
import { readFrames, writePcap } from '../rig/captureFiles.js';
import { udp } from '../rig/frames.js';
import { scratchFile } from '../rig/node.js';
import { isComplete, type PcapGuests, pcapGuests } from '../rig/pcapGuests.js';
import { describeWith } from '../rig/requirements.js';
import { until } from '../rig/waiting.js';

const BUILT = new URL('../../dist/control/node.js', import.meta.url).href;
const MTU = 9000;
/** Around the sizes of a minimal frame, an ordinary one, a small slot, and the largest. */
const SIZES = [
  60, 61, 64, 65, 127, 128, 1500, 1513, 1514, 1515, 2015, 2016, 2017, 2048, 2100, 4095, 4096, 8192, 9013, 9014,
];
const HEADERS = 42;
let node: Node | null = null;
let machines: PcapGuests | null = null;

afterEach(async () => {
  await machines?.end();
  machines = null;
  await node?.stop();
  node = null;
});

async function carry(frames: Uint8Array[], settings: string): Promise<Buffer[]> {
  const [input, output] = [scratchFile('in.pcap'), scratchFile('out.pcap')];
  const paths: [string, string] = [scratchFile('vm0.sock'), scratchFile('vm1.sock')];
  writePcap(input, frames);
  const { createNode } = (await import(BUILT)) as typeof import('../../src/control/node.js');
  const ports = paths.map((path, i) => ({ type: 'vhost-user' as const, name: `vm${i}`, path, queues: 1, mtu: MTU }));
  node = createNode(
    {
      node: { name: 'sizes' },
      networks: [{ name: 'blue', mtu: MTU, broadcastLimit: 0, suppressNeighbours: false, ports }],
    },
    { control: false },
  );
  await node.start();
  machines = pcapGuests({
    guests: [
      { path: paths[0], inputs: [input], settings },
      { path: paths[1], outputs: [output], settings },
    ],
    mtu: MTU,
  });
  await machines.ready();
  await until('both machines are there', () => node!.status().ports.every(isComplete));
  await machines.start();
  await until('all frames are through', async () => (await machines!.written(1)) >= frames.length);
  await machines.end();
  machines = null;
  expect(node.drops().total).toBe(0);
  return readFrames(output);
}

describeWith(['addon', 'dpdk', 'testpmd'], 'frames of 60 to 9014 bytes', () => {
  it.each([
    ['split rings, mergeable buffers', ''],
    ['packed rings, mergeable buffers', 'packed_vq=1'],
    ['split rings, a buffer for each frame', 'mrg_rxbuf=0'],
    ['packed rings, a buffer for each frame, in any order', 'packed_vq=1,mrg_rxbuf=0,in_order=0'],
  ])('over %s', { timeout: 120_000 }, async (_what, settings) => {
    const frames = SIZES.map((size, i) =>
      udp({
        src: 1,
        dst: 2,
        sport: 1000 + i,
        payload: Uint8Array.from({ length: size - HEADERS }, (_, k) => k * 7 + i),
      }),
    );
    const got = await carry(frames, settings);
    expect(got.map((frame) => frame.toString('hex'))).toEqual(
      frames.map((frame) => Buffer.from(frame).toString('hex')),
    );
  });
});
