// Which queue of a TAP the kernel puts a packet on.
import { readSync, writeSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type Tap, type Tun, tun } from '../../src/native/tun.js';
import { makeNamespace, namespacePath, removeNamespaces, runIn } from '../rig/namespaces.js';
import { describeWith } from '../rig/requirements.js';
import { LAYOUT, makeBinding, OUT_AT, thrownBy } from './binding.js';

const QUEUES = 4;
const FLOWS = 64;
const DEVICE = 'wt0';
const OWN_MAC = '02:00:00:00:00:01';
const FAR_MAC = '02:00:00:00:00:02';
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

describeWith(['root', 'tun', 'addon', 'ip'], 'queues of a TAP', () => {
  let addon: Tun;
  let netns: string;
  let tap: Tap;
  let sockets: number[] = [];

  beforeAll(() => {
    addon = tun();
    const name = makeNamespace('steer');
    netns = namespacePath(name);
    tap = addon.openTap({ netns, name: DEVICE, create: true, queues: QUEUES, vnetHdr: false, offloads: 0 });
    addon.linkSet({ netns, name: DEVICE, mac: OWN_MAC, up: true });
    for (const address of ['10.9.0.1/24', 'fd09::1/64'])
      addon.addressAdd({ netns, name: DEVICE, address, noDad: true });
    for (const far of ['10.9.0.2', 'fd09::2'])
      runIn(name, 'ip', 'neighbour', 'add', far, 'lladdr', FAR_MAC, 'dev', DEVICE);
  });
  afterEach(() => {
    for (const fd of sockets.splice(0)) addon.close(fd);
  });
  afterAll(async () => {
    for (const fd of tap.fds) addon.close(fd);
    await removeNamespaces();
  });

  function openFlows(family: 4 | 6): void {
    const address = family === 4 ? '10.9.0.1' : 'fd09::1';
    const first = 20_000;
    sockets = Array.from({ length: FLOWS }, (_, k) => addon.udpOpen({ netns, family, address, port: first + k }).fd);
  }

  /** One datagram of each flow. */
  function send(family: 4 | 6): void {
    const binding = makeBinding();
    const tx = addon.bindUdpTx(binding.arena, binding.io, LAYOUT, sockets, binding.destinations);
    binding.destination(0, family === 4 ? '10.9.0.2' : 'fd09:0:0:0:0:0:0:2', 9000);
    for (let k = 0; k < FLOWS; k++) binding.describe(k, [binding.place(OUT_AT, hex('aabb'))], { socket: k });
    expect(tx(0, FLOWS)).toBe(FLOWS);
  }

  /** Source ports of the UDP packets to port 9000 that wait on each queue. */
  function waiting(): number[][] {
    const frame = new Uint8Array(2000);
    return tap.fds.map((fd) => {
      const ports: number[] = [];
      for (;;) {
        try {
          readSync(fd, frame);
        } catch {
          return ports;
        }
        const view = new DataView(frame.buffer);
        const l4 = view.getUint16(12) === 0x0800 ? 34 : 54;
        if (view.getUint8(l4 === 34 ? 23 : 20) === 17 && view.getUint16(l4 + 2) === 9000)
          ports.push(view.getUint16(l4));
      }
    });
  }

  /** An answer to a flow, written on a queue: by it the kernel would move the flow there. */
  function answer(flow: number, queue: number): void {
    const port = (20_000 + flow).toString(16).padStart(4, '0');
    const packet = hex(`4500 001c 0000 0000 40 11 0000 0a090002 0a090001  2328 ${port} 0008 0000`);
    const view = new DataView(packet.buffer);
    let sum = 0;
    for (let at = 0; at < 20; at += 2) sum += view.getUint16(at);
    view.setUint16(10, ~((sum & 0xffff) + (sum >>> 16)));
    writeSync(tap.fds[queue], Buffer.concat([hex('020000000001 020000000002 0800'), packet]));
  }

  it.each([4, 6] as const)('take flows by addresses and ports, spread over all of them (IPv%i)', (family) => {
    addon.tapSteer(tap.fds[0], QUEUES);
    openFlows(family);
    send(family);
    const first = waiting();
    expect(first.flat().length).toBe(FLOWS);
    for (const ports of first) expect(ports.length).toBeGreaterThan(FLOWS / QUEUES / 3);
    send(family);
    expect(waiting()).toEqual(first);
    // Fewer than there are, as when the last is to be given up.
    addon.tapSteer(tap.fds[0], 2);
    send(family);
    const fewer = waiting();
    expect(fewer.map((ports) => ports.length > 0)).toEqual([true, true, false, false]);
  });

  it('keep a flow wherever its answers are written; without steering it moves there', () => {
    const flow = 5;
    const queueOf = () => waiting().findIndex((ports) => ports.includes(20_000 + flow));
    openFlows(4);
    addon.tapSteer(tap.fds[0], QUEUES);
    send(4);
    const home = queueOf();
    const other = (home + 1) % QUEUES;
    answer(flow, other);
    send(4);
    expect(queueOf()).toBe(home);
    addon.tapSteer(tap.fds[0], 0);
    answer(flow, other);
    send(4);
    expect(queueOf()).toBe(other);
  });

  it('are steered on devices alone', () => {
    const doorbell = addon.eventfd();
    expect(thrownBy(() => addon.tapSteer(doorbell, 2))).toMatchObject({ syscall: 'ioctl TUNSETSTEERINGEBPF' });
    addon.close(doorbell);
    expect(thrownBy(() => addon.tapSteer(tap.fds[0], 257))).toBeInstanceOf(RangeError);
  });
});
