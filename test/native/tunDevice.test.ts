// TUN devices: IP packets without Ethernet headers, in and out, over both families.
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type Tap, type TapRequest, TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, type Tun, tun } from '../../src/native/tun.js';
import { makeNamespace, namespacePath, removeNamespaces, runIn, startIn } from '../rig/namespaces.js';
import { describeWith } from '../rig/requirements.js';
import { BURST, eventually, LAYOUT, makeBinding, OUT_AT, pattern, VNET_AT } from './binding.js';

const EINVAL = -22;
const OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

/** 16 bits, big-endian, at `at`, with `add` to it in the arithmetic of the Internet checksum (RFC 1624). */
function addToSum(bytes: Uint8Array, at: number, add: number): void {
  const sum = ((bytes[at] << 8) | bytes[at + 1]) + add;
  const folded = (sum & 0xffff) + (sum >> 16);
  bytes.set([folded >> 8, folded & 255], at);
}

/** Turns an echo request into its answer; false for anything else. */
function answer(packet: Uint8Array): boolean {
  const v6 = packet[0] >> 4 === 6;
  const [sourceAt, len, icmpAt] = v6 ? [8, 16, 40] : [12, 4, 20];
  const [request, reply] = v6 ? [128, 129] : [8, 0];
  if ((v6 ? packet[6] !== 58 : packet[9] !== 1) || packet[icmpAt] !== request) return false;
  const source = packet.slice(sourceAt, sourceAt + len);
  packet.copyWithin(sourceAt, sourceAt + len, sourceAt + 2 * len);
  packet.set(source, sourceAt + len);
  packet[icmpAt] = reply;
  // ~sum: what the type loses, the checksum gains.
  addToSum(packet, icmpAt + 2, v6 ? 0xffff - 0x100 : 0x800);
  return true;
}

describeWith(['root', 'tun', 'addon', 'ip', 'ping'], 'a TUN device', () => {
  let addon: Tun;
  let names: [string, string];
  let netns: string;
  let other: string;
  const open: number[] = [];

  beforeAll(() => {
    addon = tun();
    names = [makeNamespace('tunA'), makeNamespace('tunB')];
    [netns, other] = names.map(namespacePath);
  });
  afterEach(() => {
    for (const fd of open.splice(0)) addon.close(fd);
  });
  afterAll(removeNamespaces);

  function openTun(settings: Partial<TapRequest> = {}): Tap {
    const request = { netns, name: 'wtun', create: true, queues: 1, vnetHdr: true, offloads: OFFLOADS, ...settings };
    const device = addon.openTap({ kind: 'tun', ...request });
    open.push(...device.fds);
    return device;
  }
  function setUp(name = 'wtun', path = netns): void {
    addon.linkSet({ netns: path, name, up: true });
    addon.addressAdd({ netns: path, name, address: '10.9.0.1/24' });
    addon.addressAdd({ netns: path, name, address: 'fd00:9::1/64', noDad: true });
  }
  function bind(device: Tap, queue = 0) {
    const binding = makeBinding();
    const { arena, io, columns } = binding;
    const rx = addon.bindTapRx(arena, io, LAYOUT, device.fds[queue], VNET_AT, device.vnetHdrLen);
    const tx = addon.bindTapTx(arena, io, LAYOUT, device.fds[queue]);
    /** Answers every echo request that has come; how many there were. */
    const answerAll = () => {
      const n = rx(BURST, 1e6);
      expect(n).toBeGreaterThanOrEqual(0);
      let answered = 0;
      for (let lane = 0; lane < n; lane++) {
        const at = columns.rxAt[lane];
        if (!answer(arena.subarray(at, at + columns.rxLen[lane]))) continue;
        const header = { at: VNET_AT + 16 * lane, len: device.vnetHdrLen };
        binding.describe(answered++, [...(header.len > 0 ? [header] : []), { at, len: columns.rxLen[lane] }]);
      }
      expect(tx(0, answered)).toBe(answered);
      return answered;
    };
    return { ...binding, rx, tx, answerAll };
  }
  /** Pings through the device, answered by hand, until ping has ended: what it said. */
  async function ping(namespace: string, address: string, turn: () => number, count = 3, bytes = 56): Promise<number> {
    const child = startIn(
      namespace,
      'ping',
      '-n',
      '-i',
      '0.01',
      '-c',
      `${count}`,
      '-s',
      `${bytes}`,
      '-W',
      '5',
      address,
    );
    const closed = once(child, 'close');
    let over = false;
    closed.then(() => {
      over = true;
    });
    let answered = 0;
    while (!over) {
      answered += turn();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(child.exitCode).toBe(0);
    return answered;
  }

  it.each([true, false])('carries packets of both families, virtio-net header: %s', async (vnetHdr) => {
    const device = openTun({ vnetHdr });
    expect(device).toMatchObject({ vnetHdrLen: vnetHdr ? 12 : 0, offloads: vnetHdr ? OFFLOADS : 0, multiQueue: false });
    setUp();
    const { answerAll } = bind(device);
    // ping checks type, sequence, checksum and every byte of what comes back.
    expect(await ping(names[0], '10.9.0.2', answerAll)).toBe(3);
    expect(await ping(names[0], 'fd00:9::2', answerAll)).toBe(3);
  });

  it('keeps to its MTU, has addresses, moves', async () => {
    const device = openTun();
    addon.linkSet({ netns, name: 'wtun', mtu: 1400, newName: 'wmoved', moveTo: other });
    setUp('wmoved', other);
    expect(addon.linkGet({ netns: other, name: 'wmoved' })).toMatchObject({
      kind: 'tun',
      mtu: 1400,
      mac: '',
      up: true,
    });
    const [shown] = JSON.parse(runIn(names[1], 'ip', '-d', '-j', 'addr', 'show', 'wmoved'));
    expect(shown.addr_info.map(({ local }: { local: string }) => local)).toEqual(
      expect.arrayContaining(['10.9.0.1', 'fd00:9::1']),
    );
    const { answerAll, columns } = bind(device);
    let longest = 0;
    const turn = () => {
      const answered = answerAll();
      longest = Math.max(longest, ...columns.rxLen);
      return answered;
    };
    expect(await ping(names[1], '10.9.0.2', turn, 2, 1372)).toBe(2);
    expect(longest).toBe(1400);
    const addresses = addon.addressList({ netns: other }).filter(({ name }) => name === 'wmoved');
    expect(addresses.map(({ address }) => address)).toEqual(expect.arrayContaining(['10.9.0.1', 'fd00:9::1']));
    addon.routeAdd({ netns: other, prefix: '10.10.0.0/16', device: 'wmoved' });
    expect(await ping(names[1], '10.10.3.4', turn)).toBe(3);
  });

  it('is attached to where it exists already, with or without a header as asked', async () => {
    for (const flags of [['vnet_hdr'], [], ['vnet_hdr', 'multi_queue']]) {
      runIn(names[0], 'ip', 'tuntap', 'add', 'dev', 'wgiven', 'mode', 'tun', ...flags);
      setUp('wgiven');
      const multiQueue = flags.includes('multi_queue');
      const device = openTun({ name: 'wgiven', create: false, queues: 2 });
      expect(device).toMatchObject({ vnetHdrLen: 12, offloads: OFFLOADS, multiQueue });
      expect(device.fds).toHaveLength(multiQueue ? 2 : 1);
      const queues = device.fds.map((_, queue) => bind(device, queue));
      const turn = () => queues.reduce((sum, { answerAll }) => sum + answerAll(), 0);
      expect(await ping(names[0], '10.9.0.2', turn)).toBe(3);
      for (const fd of open.splice(0)) addon.close(fd);
      expect(openTun({ name: 'wgiven', create: false, vnetHdr: false })).toMatchObject({ vnetHdrLen: 0, offloads: 0 });
      addon.linkDelete({ netns, name: 'wgiven' });
      for (const fd of open.splice(0)) addon.close(fd);
    }
  });

  it('has as many queues as asked', async () => {
    const device = openTun({ queues: 3 });
    expect([device.multiQueue, new Set(device.fds).size]).toEqual([true, 3]);
    setUp();
    const queues = device.fds.map((_, queue) => bind(device, queue));
    // Which queue a packet comes to is the kernel's choice.
    const turn = () => queues.reduce((sum, queue) => sum + queue.answerAll(), 0);
    expect(await ping(names[0], '10.9.0.2', turn)).toBe(3);
    expect(await ping(names[0], 'fd00:9::2', turn)).toBe(3);
  });

  it('leaves the checksum of what it sends to its reader, counted from the IP header', async () => {
    const device = openTun();
    setUp();
    const { rx, received, arena } = bind(device);
    const script = `
import socket
for family, address in ((socket.AF_INET, '10.9.0.2'), (socket.AF_INET6, 'fd00:9::2')):
  socket.socket(family, socket.SOCK_DGRAM).sendto(b'payload', (address, 7))`;
    runIn(names[0], 'python3', '-c', script);
    const found: [number, number[], number][] = [];
    await eventually(() => {
      const n = rx(BURST, 1e6);
      for (let lane = 0; lane < n; lane++) {
        const packet = received(lane);
        const v6 = packet[0] >> 4 === 6;
        if (packet[v6 ? 6 : 9] !== 17) continue;
        const header = new DataView(arena.buffer, VNET_AT + 16 * lane, 12);
        const words = [header.getUint8(0), header.getUint8(1), header.getUint16(6, true), header.getUint16(8, true)];
        found.push([v6 ? 6 : 4, words, packet.length]);
      }
      return found.length === 2 ? true : undefined;
    });
    // NEEDS_CSUM, no GSO, csum_start, csum_offset: the UDP header has its checksum at 6.
    expect(found).toEqual([
      [4, [1, 0, 20, 6], 35],
      [6, [1, 0, 40, 6], 55],
    ]);
  });

  it('takes what is longer than its MTU, and refuses what is no IP', () => {
    const device = openTun();
    setUp();
    const { tx, arena, describe, columns } = bind(device);
    const results = (first: number, lengths: number[]) => {
      arena.set(pattern(70_000), OUT_AT + 12);
      arena.fill(0, OUT_AT, OUT_AT + 12);
      arena[OUT_AT + 12] = first;
      const header = { at: OUT_AT, len: 12 };
      for (const [m, len] of lengths.entries()) describe(m, [header, { at: OUT_AT + 12, len }]);
      tx(0, lengths.length);
      return [...columns.msgResult.subarray(0, lengths.length)];
    };
    // The kernel looks at the first nibble and no further: what is cut off or too long is the writer's business.
    for (const first of [0x45, 0x60]) {
      expect(results(first, [1, 20, 1500, 1501, 9000, 66_000])).toEqual([13, 32, 1512, 1513, 9012, 66_012]);
    }
    for (const first of [0x00, 0x35, 0x50, 0x70, 0xf5])
      expect(results(first, [1, 20, 100])).toEqual(Array(3).fill(EINVAL));
    expect(results(0x45, [0])).toEqual([EINVAL]);
  });
});
