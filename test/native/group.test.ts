// Which socket of an SO_REUSEPORT group gets a packet.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { tun } from '../../src/native/tun.js';
import { describeWith } from '../rig/requirements.js';
import { BURST, LAYOUT, makeBinding, thrownBy } from './binding.js';

const FLOWS = 64;
const senders: Socket[] = [];
const sockets: number[] = [];

afterEach(() => {
  for (const socket of senders.splice(0)) socket.close();
  for (const fd of sockets.splice(0)) tun().close(fd);
});

async function openSenders(family: 4 | 6, address: string): Promise<void> {
  for (let k = 0; k < FLOWS; k++) {
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    socket.bind(0, address);
    await once(socket, 'listening');
    senders.push(socket);
  }
}

/** One datagram of each flow: its number. */
async function send(port: number, address: string): Promise<void> {
  const sent = senders.map(
    (socket, k) => new Promise((resolve) => socket.send(Uint8Array.of(k), port, address, resolve)),
  );
  await Promise.all(sent);
}

/** A function that takes all that waits in a socket: the numbers in it. */
function receiver(fd: number): () => number[] {
  const binding = makeBinding();
  const rx = tun().bindUdpRx(binding.arena, binding.io, LAYOUT, fd);
  return () => {
    const found: number[] = [];
    for (let n = rx(BURST); n > 0; n = rx(BURST)) for (let i = 0; i < n; i++) found.push(binding.received(i)[0]);
    return found.sort((a, b) => a - b);
  };
}

describeWith(['root', 'addon'], 'sockets of a group', () => {
  it.each([
    [4, '127.0.0.9', {}],
    [6, '::1', { device: 'lo' }],
  ] as const)('over IPv%i get flows as they are told, and keep what they have', async (family, address, settings) => {
    const addon = tun();
    const open = (port: number) => {
      const opened = addon.udpOpen({ family, address, port, reusePort: true, ...settings });
      sockets.push(opened.fd);
      return opened;
    };
    const { fd, port } = open(0);
    const read = [fd, open(port).fd, open(port).fd].map(receiver);
    const take = () => read.map((one) => one());
    await openSenders(family, address);
    addon.udpSteer(fd, [0, 1, 2]);
    await send(port, address);
    const before = take();
    expect(before.flat().length).toBe(FLOWS);
    for (const flows of before) expect(flows.length).toBeGreaterThan(FLOWS / 10);
    await send(port, address);
    expect(take()).toEqual(before);

    await send(port, address);
    addon.udpSteer(fd, [0, 2]);
    await send(port, address);
    const [, left] = take();
    expect(left).toEqual(before[1]);
    await send(port, address);
    const fewer = take();
    expect(fewer.map((flows) => flows.length > 0)).toEqual([true, false, true]);
    expect(fewer.flat().length).toBe(FLOWS);

    // The last one takes the place of the one that is closed.
    addon.close(sockets.splice(1, 1)[0]);
    addon.udpSteer(fd, [1]);
    await send(port, address);
    expect([read[0]().length, read[2]().length]).toEqual([0, FLOWS]);
  });

  it('are sockets, and named', () => {
    const doorbell = tun().eventfd();
    sockets.push(doorbell);
    expect(thrownBy(() => tun().udpSteer(doorbell, [0]))).toMatchObject({ code: 'ENOTSOCK' });
    expect(thrownBy(() => tun().udpSteer(doorbell, []))).toBeInstanceOf(RangeError);
  });
});
