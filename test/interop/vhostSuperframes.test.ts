// Superframes of machines, byte for byte: testpmd has them cut by its card (TSO), which is a port of type vhost-user. They stay whole up to who
// takes them whole, and are cut for everybody else.
import { statSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import type { PortInput } from '../../src/control/config/config.js';
import type { Node } from '../../src/control/node.js';
import { readFrames, writePcap } from '../rig/captureFiles.js';
import { decode, pseudoOf } from '../rig/decode.js';
import { ACK, onesSum, PSH, tcp, toHex, u16, udp } from '../rig/frames.js';
import { addKernelVxlan, KERNEL_DEVICE, makeHosts, pinOffloads, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, scratchFile, up } from '../rig/node.js';
import { isComplete, type PcapGuest, type PcapGuests, pcapGuests } from '../rig/pcapGuests.js';
import { describeWith } from '../rig/requirements.js';
import { segmentTwin } from '../rig/segmentTwin.js';
import { type RawFrame, sendFrames } from '../rig/traffic.js';
import { record } from '../rig/tshark.js';
import { until } from '../rig/waiting.js';

const BUILT = new URL('../../dist/control/node.js', import.meta.url).href;
const MSS = 1400;
/** testpmd asks for what its card may do for guest `i` of a process. */
const cuts = (i: number) => {
  const card = 2 * i + 1;
  return [`csum set tcp hw ${card}`, `csum set udp hw ${card}`, `tso set ${MSS} ${card}`, `csum mac-swap off ${card}`];
};
const takesWhole = (i: number) =>
  ['tcp_cksum', 'udp_cksum', 'tcp_lro'].map((offload) => `port config ${2 * i + 1} rx_offload ${offload} on`);

/** TCP of every sort of length, IPv4 and IPv6 in turn, and UDP with a checksum that is left to the card. */
function framesTo(dst: number): Uint8Array[] {
  const lengths = [MSS - 1, MSS + 1, 2 * MSS, 7777, 33 * MSS, 60_000, 12 * MSS + 1];
  const streams = lengths.map((payload, i) =>
    tcp({ src: 1, dst, family: i % 2 === 0 ? 4 : 6, sport: 1000 + i, seq: 0xfffff000, flags: ACK | PSH, payload }),
  );
  return [...streams, udp({ src: 1, dst, payload: 1000 }), udp({ src: 1, dst, family: 6, payload: 33 })];
}
const isSuper = (frame: Uint8Array) => frame.length > (frame[12] === 0x86 ? 74 : 54) + MSS;
const asCut = (frames: Uint8Array[]) => frames.flatMap((frame) => (isSuper(frame) ? segmentTwin(frame, MSS) : [frame]));
/** What a machine that takes it has in its memory: the checksum field holds the sum of the pseudo header (virtio 1.2, section 5.1.6.2). */
function unfinished(frame: Uint8Array): Uint8Array {
  const f = frame.slice();
  const d = decode(f)!;
  f.set(u16(onesSum(pseudoOf(f, d, d.end - d.l4))), d.l4 + (d.protocol === 6 ? 16 : 6));
  return f;
}
/**
 * A worker hears what a machine takes when it next reads from it or sends to it: what it sends just then may be cut. So the machine that takes
 * superframes says something first.
 */
const hello = (src: number, dst: number) => {
  const [frame, path] = [udp({ src, dst, payload: 20 }), scratchFile('hello.pcap')];
  writePcap(path, [frame]);
  return { frame, path };
};
const hex = (frames: Uint8Array[]) => frames.map(toHex);

let node: Node | null = null;
const machines: PcapGuests[] = [];

afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.end();
  await node?.stop();
  node = null;
});

function start(guests: PcapGuest[], commands: string[], forward: string, mbufBytes: number): PcapGuests {
  const machine = pcapGuests({ guests, mtu: 1500, mbufBytes, mbufs: 1200, forward, commands });
  machines.push(machine);
  return machine;
}

describeWith(['addon', 'dpdk', 'testpmd'], 'superframes between machines', () => {
  it.each([
    ['split rings', 'server', ''],
    ['packed rings, and the machines listen', 'client', 'packed_vq=1,server=1'],
  ] as const)(
    'stay whole for who takes them, and are cut for others: %s',
    {
      timeout: 180_000,
    },
    async (_what, mode, settings) => {
      const paths = [0, 1, 2].map((i) => scratchFile(`vm${i}.sock`));
      const [input, whole, cut] = ['in', 'whole', 'cut'].map((name) => scratchFile(`${name}.pcap`));
      // To one of them, to the other, and flooded.
      const frames = [framesTo(2), framesTo(3), framesTo(9)];
      writePcap(input, frames.flat());
      const { createNode } = (await import(BUILT)) as typeof import('../../src/control/node.js');
      const ports = paths.map((path, i): PortInput => ({ type: 'vhost-user', name: `vm${i}`, path, queues: 1, mode }));
      const staticMacs = [2, 3].map((n) => ({ mac: `02:00:00:00:00:0${n}`, port: `vm${n - 1}` }));
      node = createNode(
        {
          node: { name: 'super' },
          networks: [{ name: 'blue', broadcastLimit: 0, suppressNeighbours: false, staticMacs, ports }],
        },
        { control: false },
      );
      await node.start();
      const sender = start([{ path: paths[0], inputs: [input], settings }], cuts(0), 'csum', 9728);
      const greeting = hello(2, 3);
      const receiver = start(
        [
          { path: paths[1], inputs: [greeting.path], outputs: [whole], settings },
          { path: paths[2], outputs: [cut], settings },
        ],
        [...takesWhole(0), 'set verbose 1'],
        'io',
        // What net_pcap writes has to be in one piece.
        65_535,
      );
      await Promise.all([sender.ready(), receiver.ready()]);
      await until('the machines are there', () => node!.status().ports.every(isComplete));
      await receiver.start();
      await until('the first frame is through', async () => (await receiver.written(1)) === 1);
      await sender.start();
      const [toWhole, toCut] = [
        [...frames[0], ...frames[2]],
        [greeting.frame, ...frames[1], ...frames[2]],
      ];
      await until('all frames are through', async () => {
        const written = [await receiver.written(0), await receiver.written(1)];
        return written[0] >= toWhole.length && written[1] >= asCut(toCut).length;
      });
      // The machine may have a frame before the worker has counted it.
      await until('all frames are counted', () => {
        const { account } = node!.stats();
        return account.held === 0;
      });
      const [vm0, vm1, vm2] = node.stats().ports;
      expect(node.drops().total).toBe(0);
      const superframes = frames[0].filter(isSuper).length;
      expect([vm0.rxSuperframes, vm1.txSuperframes, vm2.txSuperframes]).toEqual([3 * superframes, 2 * superframes, 0]);
      for (const machine of machines.splice(0)) await machine.end();
      expect(hex(readFrames(cut))).toEqual(hex(asCut(toCut)));
      // A checksum that a card has left to weft is finished where a frame is flooded.
      const left = (frame: Uint8Array, i: number) => isSuper(frame) || i < frames[0].length;
      const expected = toWhole.map((frame, i) => (left(frame, i) ? unfinished(frame) : frame));
      expect(hex(readFrames(whole))).toEqual(hex(expected));
      // What the card said of them: a superframe, whose checksum nobody has looked at.
      expect(receiver.output().match(/RTE_MBUF_F_RX_L4_CKSUM_NONE.*RTE_MBUF_F_RX_LRO/g)).toHaveLength(2 * superframes);
    },
  );
});

/** Through a tunnel the frames of one flow stay in order, those of several may overtake each other. */
const flowOf = (frame: Uint8Array) => {
  const { l4, protocol, family } = decode(frame)!;
  return `${family} ${protocol} ${toHex(frame.subarray(l4, l4 + 4))}`;
};
const byFlow = (frames: Uint8Array[]) =>
  [...frames].sort((a, b) => (flowOf(a) < flowOf(b) ? -1 : flowOf(a) > flowOf(b) ? 1 : 0));

/** A frame as the kernel is to cut it: its virtio-net header has the fields of <linux/virtio_net.h>. */
function uncut(frame: Uint8Array): RawFrame {
  const { l4, family } = decode(frame)!;
  const vnet = Buffer.alloc(10);
  vnet.writeUInt8(1, 0);
  vnet.writeUInt8(family === 4 ? 1 : 4, 1);
  for (const [i, word] of [l4 + 20, MSS, l4, 16].entries()) vnet.writeUInt16LE(word, 2 + 2 * i);
  return { frame: unfinished(frame), vnet };
}

describeWith(
  ['root', 'addon', 'dpdk', 'testpmd', 'ip', 'ethtool', 'vxlan', 'tcpdump', 'python3'],
  'superframes of machines and VXLAN of the kernel',
  () => {
    afterEach(removeNamespaces);

    it('leave as one send, and what the socket joins reaches a machine as one frame', {
      timeout: 180_000,
    }, async () => {
      const hosts = makeHosts();
      pinOffloads(hosts);
      addKernelVxlan({ host: hosts.b, local: UNDERLAY_B, remote: UNDERLAY_A, addresses: [] });
      for (const { namespace, device } of [hosts.a, hosts.b])
        runIn(namespace, 'ip', 'link', 'set', device, 'mtu', '1600');
      const kernel = hosts.b.namespace;
      runIn(kernel, 'ip', 'link', 'set', KERNEL_DEVICE, 'mtu', '1500');
      // Nothing is joined again before it is seen.
      for (const device of [hosts.b.device, KERNEL_DEVICE]) runIn(kernel, 'ethtool', '-K', device, 'gro', 'off');
      const paths = [0, 1].map((i) => scratchFile(`vm${i}.sock`));
      const [input, output] = [scratchFile('in.pcap'), scratchFile('out.pcap')];
      const frames = framesTo(2);
      writePcap(input, frames);
      const weft = await up(hosts.a.namespace, {
        node: { workers: 1 },
        underlays: [{ name: 'lan', address: UNDERLAY_A }],
        networks: [
          {
            name: 'blue',
            vni: 42,
            underlay: 'lan',
            mtu: 1500,
            peers: [UNDERLAY_B],
            staticMacs: [
              { mac: '02:00:00:00:00:02', peer: UNDERLAY_B },
              { mac: '02:00:00:00:00:03', port: 'vm1' },
            ],
            ports: paths.map((path, i): PortInput => ({ type: 'vhost-user', name: `vm${i}`, path })),
          },
        ],
      });
      const sender = start([{ path: paths[0], inputs: [input] }], cuts(0), 'csum', 9728);
      const greeting = hello(3, 2);
      const guest = { path: paths[1], inputs: [greeting.path], outputs: [output] };
      const receiver = start([guest], takesWhole(0), 'io', 65_535);
      await Promise.all([sender.ready(), receiver.ready()]);
      await until('the machines are there', async () => (await weft.status()).ports.every(isComplete));
      await receiver.start();
      await until('its first frame has left', async () => (await weft.stats()).underlays[0].txPackets >= 1);
      const heard = await record(kernel, KERNEL_DEVICE, { direction: 'in' });
      await sender.start();
      const expected = asCut(frames);
      // A pcap file: a header, and one for each frame.
      const fileBytes = 24 + expected.reduce((sum, { length }) => sum + 16 + length, 0);
      await until('all frames are heard', () => statSync(heard.path).size >= fileBytes);
      expect(hex(byFlow(readFrames(await heard.stop())))).toEqual(hex(byFlow(expected)));
      expect((await weft.stats()).underlays[0].txSuperframes).toBeGreaterThan(0);

      // What the kernel cuts comes in pieces, and how many of them the socket joins is the kernel's choice.
      const answers = framesTo(3).filter(isSuper);
      await sendFrames(kernel, KERNEL_DEVICE, answers.map(uncut));
      await until(
        'all answers are there',
        async () => (await weft.stats()).ports[1].txPackets >= asCut(answers).length,
      );
      const { txSuperframes, txBytes } = (await weft.stats()).ports[1];
      await until('all answers are written', async () => (await receiver.writtenBytes(0)) === txBytes);
      expect(txSuperframes).toBeGreaterThan(0);
      expect(await weft.dropped()).toEqual({});
      for (const machine of machines.splice(0)) await machine.end();
      const got = readFrames(output);
      expect(got.filter(isSuper).length).toBe(txSuperframes);
      expect(hex(byFlow(asCut(got)))).toEqual(hex(byFlow(asCut(answers))));
      await expectQuiet(weft);
      await weft.end();
    });
  },
);
