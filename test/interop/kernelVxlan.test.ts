// weft and the kernel's VXLAN device, both ways, over a veth that behaves like a wire.
import { hash } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { MacDocument } from '../../src/observe/documents.js';
import { readFrames } from '../rig/captureFiles.js';
import { addKernelVxlan, KERNEL_DEVICE, macOf, makeHosts, pinOffloads, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { describeWith, isMet } from '../rig/requirements.js';
import { ping, sendFrames, sendTcp, sendUdp } from '../rig/traffic.js';
import { record } from '../rig/tshark.js';
import { until } from '../rig/waiting.js';

const WEFT = '10.1.0.1';
const KERNEL = '10.1.0.2';
const WEFT6 = 'fd00:1::1';
const KERNEL6 = 'fd00:1::2';
const TAP = 'weft0';
const BYTES = 30_000_000;

const wires = [
  { checksum: true, udpPort: 4789 },
  { checksum: false, udpPort: 4789 },
  { checksum: true, udpPort: 8472 },
  { checksum: false, udpPort: 8472 },
];

const macBytes = (mac: string) => Buffer.from(mac.replaceAll(':', ''), 'hex');
/** Frames as short texts, in an order of their own: where two lists differ, the difference can be read. */
const digests = (frames: Uint8Array[]) =>
  frames.map((f) => `${Buffer.from(f).toString('hex', 0, 24)} ${f.length} ${hash('sha1', f).slice(0, 8)}`).sort();

/** Station n of a crowd behind one side. */
const station = (side: number, n: number) => `02:00:${hexByte(side)}:00:${hexByte(n >> 8)}:${hexByte(n & 255)}`;
const hexByte = (n: number) => n.toString(16).padStart(2, '0');

const EXPERIMENT = 0x88b5;
/** EtherType behind all tags: devices with IPv6 have something to say of their own, and their MACs are at random. */
function innerType(bytes: Buffer): number {
  let at = 12;
  while ([0x8100, 0x88a8].includes(bytes.readUInt16BE(at))) at += 4;
  return bytes.readUInt16BE(at);
}

/** A frame of experimental type 0x88b5 with an optional run of tags in front of the type. */
function frame(destination: string, source: string, tags: string, payload: Uint8Array): Buffer {
  return Buffer.concat([macBytes(destination), macBytes(source), Buffer.from(`${tags}88b5`, 'hex'), payload]);
}

for (const { checksum, udpPort } of wires) {
  const name = `weft and the kernel's VXLAN, UDP checksums ${checksum ? 'on' : 'off'}, port ${udpPort}`;
  describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'tcpdump', 'python3', 'vxlan'], name, () => {
    let a: string;
    let b: string;
    let node: WeftNode;

    beforeAll(async () => {
      const hosts = makeHosts();
      pinOffloads(hosts);
      a = hosts.a.namespace;
      b = hosts.b.namespace;
      const ends = { local: UNDERLAY_B, remote: UNDERLAY_A };
      addKernelVxlan({ host: hosts.b, ...ends, udpPort, checksum, addresses: [`${KERNEL}/24`] });
      const config: ConfigInput = {
        underlays: [{ name: 'veth', address: UNDERLAY_A, udpPort, checksum }],
        networks: [
          {
            name: 'blue',
            vni: 42,
            underlay: 'veth',
            peers: [UNDERLAY_B],
            ports: [{ type: 'tap', name: TAP, addresses: [`${WEFT}/24`] }],
          },
        ],
      };
      node = await up(a, config);
    });
    afterAll(async () => {
      await node?.end();
      await removeNamespaces();
    });

    it('answers pings, small and of 1400 bytes, both ways', async () => {
      expect(await ping(a, KERNEL, { count: 5 })).toBe(5);
      expect(await ping(b, WEFT, { count: 5 })).toBe(5);
      expect(await ping(a, KERNEL, { count: 5, size: 1400 })).toBe(5);
      expect(await ping(b, WEFT, { count: 5, size: 1400 })).toBe(5);
      await expectQuiet(node);
    });

    it('carries TCP both ways without changing a byte', async () => {
      const toKernel = await sendTcp(a, b, KERNEL, BYTES);
      expect(toKernel.received).toEqual(toKernel.sent);
      const toWeft = await sendTcp(b, a, WEFT, BYTES);
      expect(toWeft.received).toEqual(toWeft.sent);
      await expectQuiet(node);
      const { account, ports, underlays } = await node.stats();
      expect(account.dropped).toBe(0);
      // The fast ways were in use: superframes from the TAP, cut by the kernel where it can, and segments joined for the TAP.
      expect([ports[0].rxSuperframes > 50, ports[0].txSuperframes > 50]).toEqual([true, true]);
      expect(underlays[0].txSuperframes > 50).toBe(checksum);
    });

    it('carries UDP datagrams of every length both ways', async () => {
      const all = { datagrams: 600, damaged: 0 };
      expect(await sendUdp(a, b, KERNEL, 600, 1400)).toEqual(all);
      expect(await sendUdp(b, a, WEFT, 600, 1400)).toEqual(all);
      await expectQuiet(node);
    });

    it('carries TCP over IPv6', async () => {
      for (const [namespace, device, address] of [
        [a, TAP, WEFT6],
        [b, KERNEL_DEVICE, KERNEL6],
      ]) {
        runIn(namespace, 'sh', '-c', `echo 0 >/proc/sys/net/ipv6/conf/${device}/disable_ipv6`);
        runIn(namespace, 'ip', 'address', 'add', `${address}/64`, 'dev', device, 'nodad');
      }
      const toKernel = await sendTcp(a, b, KERNEL6, BYTES / 2);
      expect(toKernel.received).toEqual(toKernel.sent);
      const toWeft = await sendTcp(b, a, WEFT6, BYTES / 2);
      expect(toWeft.received).toEqual(toWeft.sent);
    });

    it('carries VLAN tags, one and two, both ways', async () => {
      const sides = [
        { from: a, out: TAP, to: b, in: KERNEL_DEVICE },
        { from: b, out: KERNEL_DEVICE, to: a, in: TAP },
      ];
      for (const side of sides) {
        const [source, destination] = [macOf(side.from, side.out), macOf(side.to, side.in)];
        const tags = ['81000007', '8100e123', '88a8006481002fff', '88a8a005', ''];
        const sent = [46, 47, 500, 1400].flatMap((bytes) =>
          tags.map((tag) => frame(destination, source, tag, Buffer.alloc(bytes, bytes & 255))),
        );
        const recording = await record(side.to, side.in, { direction: 'in' });
        await sendFrames(side.from, side.out, sent);
        const got = async () => readFrames(recording.path).filter((bytes) => innerType(bytes) === EXPERIMENT);
        await until(`${sent.length} tagged frames`, async () => (await got()).length >= sent.length).catch(() => {});
        await recording.stop();
        expect(digests(await got())).toEqual(digests(sent));
      }
      await expectQuiet(node);
    });

    it('carries TCP between VLAN devices', async ({ skip }) => {
      skip(!isMet('vlan'), 'needs VLAN devices (802.1Q) in this kernel');
      for (const [namespace, device, address] of [
        [a, TAP, '10.7.0.1/24'],
        [b, KERNEL_DEVICE, '10.7.0.2/24'],
      ]) {
        const ip = (...args: string[]) => runIn(namespace, 'ip', ...args);
        ip('link', 'add', 'link', device, 'name', 'tagged', 'mtu', '1446', 'type', 'vlan', 'id', '7');
        ip('address', 'add', address, 'dev', 'tagged');
        ip('link', 'set', 'tagged', 'up');
      }
      const toKernel = await sendTcp(a, b, '10.7.0.2', BYTES);
      expect(toKernel.received).toEqual(toKernel.sent);
      const toWeft = await sendTcp(b, a, '10.7.0.1', BYTES);
      expect(toWeft.received).toEqual(toWeft.sent);
    });

    it('learns hundreds of stations on both sides', async () => {
      const crowd = (side: number) => Array.from({ length: 400 }, (_, n) => station(side, n));
      const hello = (macs: string[]) => macs.map((mac) => frame('ff:ff:ff:ff:ff:ff', mac, '', Buffer.alloc(50)));
      await sendFrames(b, KERNEL_DEVICE, hello(crowd(0xb)));
      await sendFrames(a, TAP, hello(crowd(0xa)));

      const where = async () => new Map((await node.read<MacDocument[]>('mac')).map((mac) => [mac.mac, mac]));
      const known = await until('800 stations', async () => {
        const macs = await where();
        return [...crowd(0xa), ...crowd(0xb)].every((mac) => macs.has(mac)) && macs;
      });
      for (const mac of crowd(0xb))
        expect(known.get(mac)).toMatchObject({ network: 'blue', port: null, peer: UNDERLAY_B });
      for (const mac of crowd(0xa)) expect(known.get(mac)).toMatchObject({ network: 'blue', port: TAP, peer: null });

      const learned = () =>
        runIn(b, 'bridge', 'fdb', 'show', 'dev', KERNEL_DEVICE)
          .split('\n')
          .filter((line) => line.startsWith('02:00:0a:00:') && line.includes(`dst ${UNDERLAY_A}`));
      await until('400 stations in the kernel', () => learned().length === 400);

      // Each of them is reached by unicast: from the kernel's side to the TAP, and from the TAP to the kernel's side.
      const toAll = (macs: string[], source: string) => macs.map((mac) => frame(mac, source, '', Buffer.alloc(50, 1)));
      const atWeft = await record(a, TAP, { direction: 'in', filter: 'ether proto 0x88b5' });
      const atKernel = await record(b, KERNEL_DEVICE, { direction: 'in', filter: 'ether proto 0x88b5' });
      await sendFrames(b, KERNEL_DEVICE, toAll(crowd(0xa), station(0xb, 0)));
      await sendFrames(a, TAP, toAll(crowd(0xb), station(0xa, 0)));
      const count = (path: string) => readFrames(path).length;
      await until('400 frames each way', () => count(atWeft.path) >= 400 && count(atKernel.path) >= 400).catch(
        () => {},
      );
      expect([count(await atWeft.stop()), count(await atKernel.stop())]).toEqual([400, 400]);
      await expectQuiet(node);
      expect((await node.stats()).account.dropped).toBe(0);
    });

    it('ends with status 0 and takes its TAP along', async () => {
      expect(await node.end()).toBe(0);
      expect(runIn(a, 'ip', '-o', 'link')).not.toContain(TAP);
    });
  });
}
