// UDP sockets: open, send gathered extents, receive, have messages cut and merged.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { UdpRequest } from '../../src/native/tun.js';
import { removeNamespaces } from '../rig/namespaces.js';
import { describeWith } from '../rig/requirements.js';
import { BURST, OUT_AT, pattern, thrownBy } from './binding.js';
import { type Datagram, openUdpRig, SIDES, type UdpRig } from './udpRig.js';

const [A, B] = SIDES;

/** The datagrams that were on the wire. */
function cut({ bytes, gso }: Datagram): Uint8Array[] {
  const size = gso || bytes.length || 1;
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

describeWith(['root', 'addon', 'ip', 'ethtool'], 'a UDP socket', () => {
  let rig: UdpRig;

  beforeAll(() => {
    rig = openUdpRig('udp');
  });
  afterEach(() => rig.reset());
  afterAll(removeNamespaces);

  it('says what was opened', () => {
    const socket = rig.open(0, { gro: true, rcvbuf: 3 << 20, sndbuf: 2 << 20, reusePort: true });
    expect(socket).toMatchObject({ gro: true, segment: true, rcvbuf: 6 << 20, sndbuf: 4 << 20 });
    expect(socket.port).toBeGreaterThan(1023);
    expect(rig.open(0, { port: socket.port, reusePort: true })).toMatchObject({ port: socket.port, gro: false });
    expect(rig.open(0, { noChecksum: true }).segment).toBe(false);
  });

  it('says what is in the way', () => {
    const { port } = rig.open(0);
    const failures: [Partial<UdpRequest>, object][] = [
      [
        { port },
        { code: 'EADDRINUSE', errno: 98, syscall: 'bind', message: expect.stringContaining(`${A} port ${port}`) },
      ],
      [{ address: '198.18.9.9' }, { code: 'EADDRNOTAVAIL', errno: 99, syscall: 'bind' }],
      [
        { device: 'wtmissing' },
        { code: 'ENODEV', syscall: 'setsockopt', message: expect.stringContaining('wtmissing') },
      ],
      [
        { family: 6, address: 'fe80::1%wtmissing' },
        { code: 'ENODEV', syscall: 'if_nametoindex' },
      ],
      [{ netns: '/run/netns/wt-missing' }, { code: 'ENOENT', syscall: 'open' }],
      [{ netns: '/proc/self/ns/mnt' }, { code: 'EINVAL', syscall: 'setns' }],
    ];
    for (const [settings, expected] of failures) expect(thrownBy(() => rig.open(0, settings))).toMatchObject(expected);
  });

  it('sends extents gathered, and receives with sender, port and TOS', async () => {
    const [sender, second] = [rig.open(0), rig.open(0, { tos: 0x48 })];
    const receiver = rig.open(1, { recvTos: true });
    const tx = rig.bindTx(sender, second);
    const rx = rig.bindRx(receiver);
    rig.out.destination(0, B, receiver.port);
    rig.out.destination(3, B, receiver.port);
    const [head, body] = [rig.out.place(OUT_AT, pattern(50)), rig.out.place(OUT_AT + 501, pattern(700, 2))];
    rig.out.describe(0, [head, body], { tos: 0xb9 });
    rig.out.describe(1, [body], { socket: 1, dest: 3 });
    rig.out.describe(2, [body, { at: 0, len: 0 }, head], { dest: 3 });
    expect(tx(0, 3)).toBe(3);
    expect([...rig.out.columns.msgResult.subarray(0, 3)]).toEqual([750, 700, 750]);
    const got = await rig.receive(rx, 2200);
    const whole = [...pattern(50), ...pattern(700, 2)];
    expect(got.map(({ bytes }) => [...bytes])).toEqual([
      whole,
      whole.slice(50),
      [...whole.slice(50), ...whole.slice(0, 50)],
    ]);
    expect(got.map(({ port }) => port)).toEqual([sender.port, second.port, sender.port]);
    expect(got.map(({ tos }) => tos)).toEqual([0xb9, 0x48, 0]);
    expect(got.map(({ source, gso, flags }) => [source, gso, flags])).toEqual(Array(3).fill([A, 0, 0]));
    expect(rx(BURST)).toBe(0);
  });

  it('does the same over IPv6', async () => {
    const settings: Partial<UdpRequest> = { netns: rig.path(1), family: 6, address: '::1', recvTos: true, gro: true };
    const [sender, receiver] = [rig.open(1, settings), rig.open(1, settings)];
    const tx = rig.bindTx(sender);
    rig.out.destinations.set([6, receiver.port, 0, 0, 0, 0x01000000, 0, 0]);
    rig.out.describe(0, [rig.out.place(OUT_AT, pattern(2500))], { tos: 0x2e << 2, gso: 1000 });
    expect(tx(0, 1)).toBe(1);
    const [got] = await rig.receive(rig.bindRx(receiver), 2500);
    expect(got).toMatchObject({ source: '0:0:0:0:0:0:0:1', port: sender.port, tos: 0xb8, gso: 1000 });
    expect([...got.bytes]).toEqual([...pattern(2500)]);
    // IPv6 sockets take no IPv4, so both can have the same port.
    rig.open(1, { ...settings, address: '::', port: 4789 });
    rig.open(1, { address: '0.0.0.0', port: 4789 });
  });

  it('has a message cut by the kernel, and its segments merged again with their size', async () => {
    const sender = rig.open(0);
    const receiver = rig.open(1, { gro: true });
    const tx = rig.bindTx(sender);
    rig.out.destination(0, B, receiver.port);
    const bytes = pattern(1400 * 20 + 600);
    // Extents end in the middle of segments.
    rig.out.place(OUT_AT, bytes);
    rig.out.describe(
      0,
      [
        { at: OUT_AT, len: 2000 },
        { at: OUT_AT + 2000, len: bytes.length - 2000 },
      ],
      { gso: 1400 },
    );
    expect(tx(0, 1)).toBe(1);
    expect(rig.out.columns.msgResult[0]).toBe(bytes.length);
    expect(rig.out.columns.counters[1]).toBe(0);
    const got = await rig.receive(rig.bindRx(receiver), bytes.length);
    expect(got.length).toBeLessThan(21);
    expect(Math.max(...got.map(({ gso }) => gso))).toBe(1400);
    const wire = got.flatMap(cut);
    expect(wire.map(({ length }) => length)).toEqual([...Array(20).fill(1400), 600]);
    expect(Buffer.concat(wire).equals(bytes)).toBe(true);
  });

  it('is never given merged datagrams from a sender without checksums', async () => {
    const sender = rig.open(0, { noChecksum: true });
    const receiver = rig.open(1, { gro: true });
    const tx = rig.bindTx(sender);
    rig.out.destination(0, B, receiver.port);
    const extent = rig.out.place(OUT_AT, pattern(1000));
    for (let m = 0; m < 12; m++) rig.out.describe(m, [extent]);
    expect(tx(0, 12)).toBe(12);
    const got = await rig.receive(rig.bindRx(receiver), 12_000);
    expect(got.map(({ gso, bytes }) => [gso, bytes.length])).toEqual(Array(12).fill([0, 1000]));
  });

  it('cuts messages itself where the kernel does not, and remembers it', async () => {
    // UDP_SEGMENT on a socket without checksums: EINVAL.
    const sender = rig.open(0, { noChecksum: true });
    const receiver = rig.open(1, { recvTos: true });
    const tx = rig.bindTx(sender);
    rig.out.destination(0, B, receiver.port);
    const bytes = pattern(1000 * 64 + 1);
    rig.out.place(OUT_AT, bytes);
    const pieces = [17, 1983, 1000, 500, 500, 1, 30_000, 30_000];
    const extents: { at: number; len: number }[] = [];
    for (let i = 0, at = OUT_AT; i < pieces.length; at += pieces[i++]) extents.push({ at, len: pieces[i] });
    const single = { at: OUT_AT, len: 100 };
    rig.out.describe(0, [single]);
    rig.out.describe(1, extents, { gso: 1000, tos: 0x28 });
    rig.out.describe(2, [single], { gso: 1000 });
    rig.out.describe(3, [{ at: OUT_AT, len: 2500 }], { gso: 1000 });
    expect(tx(0, 4)).toBe(4);
    expect([...rig.out.columns.msgResult.subarray(0, 4)]).toEqual([100, 64_001, 100, 2500]);
    expect(rig.out.columns.counters[1]).toBe(2);
    const got = await rig.receive(rig.bindRx(receiver), 100 + 64_001 + 100 + 2500);
    const lengths = [100, ...Array(64).fill(1000), 1, 100, 1000, 1000, 500];
    expect(got.map(({ bytes: { length } }) => length)).toEqual(lengths);
    expect(Buffer.concat(got.slice(1, 66).map(({ bytes }) => bytes)).equals(bytes)).toBe(true);
    expect(new Set(got.slice(1, 66).map(({ tos }) => tos))).toEqual(new Set([0x28]));
    expect(got[0].tos).toBe(0);
  });
});
