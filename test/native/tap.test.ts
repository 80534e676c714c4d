// TAP devices in namespaces of the test's own: open, read, write, move, lose.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type Tap, type TapRequest, TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, type Tun, tun } from '../../src/native/tun.js';
import { makeNamespace, namespacePath, removeNamespaces, runIn } from '../rig/namespaces.js';
import { describeWith } from '../rig/requirements.js';
import { type Binding, eventually, LAYOUT, makeBinding, OUT_AT, thrownBy, VNET_AT } from './binding.js';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

/** RFC 826: who has 10.9.0.1? Tell 10.9.0.2, at 02:00:00:00:00:02. */
const ARP_REQUEST = hex(`ffffffffffff 020000000002 0806
  0001 0800 06 04 0001 020000000002 0a090002 000000000000 0a090001`);
const VNET_BYTES = 12;
const PLAIN_HEADER = new Uint8Array(VNET_BYTES);

describeWith(['root', 'tun', 'addon', 'ip'], 'a TAP device', () => {
  let addon: Tun;
  let netns: string;
  let other: string;
  let names: [string, string];
  const open: number[] = [];
  let serial = 0;

  beforeAll(() => {
    addon = tun();
    names = [makeNamespace('tapA'), makeNamespace('tapB')];
    [netns, other] = names.map(namespacePath);
  });
  afterEach(() => {
    for (const fd of open.splice(0)) addon.close(fd);
  });
  afterAll(removeNamespaces);

  const deviceName = () => `wt${serial++}`;
  function openTap(settings: Partial<TapRequest> = {}): Tap {
    const tap = addon.openTap({
      netns,
      name: deviceName(),
      create: true,
      queues: 1,
      vnetHdr: true,
      offloads: 0,
      ...settings,
    });
    open.push(...tap.fds);
    return tap;
  }
  /** A TAP with 10.9.0.1 that is up. IPv6 is off, so that it sends nothing by itself. */
  function openUp(settings: Partial<TapRequest> = {}): Tap {
    const tap = openTap(settings);
    runIn(names[0], 'sysctl', '-qw', `net.ipv6.conf.${tap.name}.disable_ipv6=1`);
    addon.linkSet({ netns, name: tap.name, up: true, mac: '02:00:00:00:00:01' });
    addon.addressAdd({ netns, name: tap.name, address: '10.9.0.1/24' });
    return tap;
  }
  function bind(
    tap: Tap,
  ): Binding & { rx: (max: number, limit: number) => number; tx: (first: number, n: number) => number } {
    const binding = makeBinding();
    const rx = addon.bindTapRx(binding.arena, binding.io, LAYOUT, tap.fds[0], VNET_AT, tap.vnetHdrLen);
    const tx = addon.bindTapTx(binding.arena, binding.io, LAYOUT, tap.fds[0]);
    return { ...binding, rx, tx };
  }
  const isReply = (frame: Uint8Array) => {
    const reply = hex(
      `020000000002 020000000001 0806 0001 0800 06 04 0002 020000000001 0a090001 020000000002 0a090002`,
    );
    expect([...frame.subarray(0, 42)]).toEqual([...reply]);
  };

  it('is made with what was asked for', () => {
    const tap = openTap({ offloads: TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 });
    expect(tap).toMatchObject({ vnetHdrLen: 12, offloads: 7, multiQueue: false });
    expect(tap.fds).toHaveLength(1);
    const link = addon.linkGet({ netns, name: tap.name });
    expect(link).toMatchObject({ index: tap.ifindex, kind: 'tap', mtu: 1500, up: false, name: tap.name });
    expect(openTap({ vnetHdr: false, offloads: 7 })).toMatchObject({ vnetHdrLen: 0, offloads: 0 });
    const tunnel = openTap({ kind: 'tun' });
    expect(addon.linkGet({ netns, name: tunnel.name })).toMatchObject({ kind: 'tun', mac: '' });
  });

  it('gives one descriptor per queue', () => {
    const tap = openTap({ queues: 4 });
    expect(tap.multiQueue).toBe(true);
    expect(new Set(tap.fds).size).toBe(4);
    // Attaching follows what the device is.
    expect(openTap({ name: tap.name, create: false, queues: 2 })).toMatchObject({
      multiQueue: true,
      ifindex: tap.ifindex,
    });
    expect(openTap({ name: tap.name, create: false, queues: 1 }).fds).toHaveLength(1);
    const single = openTap({ persist: true });
    for (const fd of open.splice(open.indexOf(single.fds[0]), 1)) addon.close(fd);
    expect(openTap({ name: single.name, create: false, queues: 3, persist: false })).toMatchObject({
      multiQueue: false,
      ifindex: single.ifindex,
      fds: [expect.any(Number)],
    });
  });

  it('belongs to whom it was given, and stays when asked to', () => {
    const { name, fds } = openTap({ owner: 1234, group: 4321, persist: true });
    const [shown] = JSON.parse(runIn(names[0], 'ip', '-d', '-j', 'link', 'show', name));
    expect(shown.linkinfo.info_data).toMatchObject({ type: 'tap', vnet_hdr: true, persist: true, multi_queue: false });
    expect([shown.linkinfo.info_data.user, shown.linkinfo.info_data.owner]).toContain(1234);
    addon.close(fds[0]);
    open.pop();
    expect(addon.linkGet({ netns, name })).not.toBeNull();
    addon.linkDelete({ netns, name });
    expect(addon.linkGet({ netns, name })).toBeNull();
  });

  it('says what is in the way', () => {
    const tap = openTap();
    const failures: [Partial<TapRequest>, object][] = [
      [{ name: tap.name }, { code: 'EEXIST', errno: 17, syscall: 'ioctl TUNSETIFF' }],
      [
        { name: tap.name, create: false },
        { code: 'EBUSY', errno: 16, syscall: 'ioctl TUNSETIFF' },
      ],
      [
        { name: 'wtmissing', create: false },
        { code: 'ENODEV', errno: 19 },
      ],
      [
        { name: 'lo', create: false },
        { code: 'EINVAL', message: expect.stringContaining('no tap but of kind') },
      ],
      [
        { name: tap.name, create: false, kind: 'tun' },
        { code: 'EINVAL', message: expect.stringContaining('of kind tap') },
      ],
      [{ netns: '/run/netns/wt-missing' }, { code: 'ENOENT', syscall: 'open' }],
      [{ netns: '/dev/null' }, { code: 'EINVAL', syscall: 'setns' }],
    ];
    for (const [settings, expected] of failures) expect(thrownBy(() => openTap(settings))).toMatchObject(expected);
  });

  it('carries frames in and out', async () => {
    const tap = openUp();
    const { rx, tx, place, describe, columns, received, arena } = bind(tap);
    expect(rx(16, 1e6)).toBe(0);
    // The header is an extent of its own, the frame comes in two pieces.
    const header = place(OUT_AT, PLAIN_HEADER);
    const first = place(OUT_AT + 100, ARP_REQUEST.subarray(0, 20));
    const second = place(OUT_AT + 200, ARP_REQUEST.subarray(20));
    for (let m = 0; m < 5; m++) describe(m, [header, first, second]);
    arena.fill(0xee, VNET_AT, VNET_AT + 16 * 16);
    expect(tx(0, 5)).toBe(5);
    expect([...columns.msgResult.subarray(0, 5)]).toEqual([54, 54, 54, 54, 54]);
    // A small limit ends after the frame that reached it.
    expect(rx(16, 43)).toBe(2);
    expect(rx(1, 1e6)).toBe(1);
    expect(rx(16, 0)).toBe(0);
    expect(rx(16, 1e6)).toBe(2);
    for (const lane of [0, 1]) {
      isReply(received(lane));
      expect(columns.rxFlags[lane]).toBe(0);
      expect([...arena.subarray(VNET_AT + 16 * lane, VNET_AT + 16 * lane + 10)]).toEqual(Array(10).fill(0));
      // Between the headers nothing is written.
      expect([...arena.subarray(VNET_AT + 16 * lane + 12, VNET_AT + 16 * lane + 16)]).toEqual(Array(4).fill(0xee));
    }
    expect(rx(16, 1e6)).toBe(0);
  });

  it('carries frames without virtio-net headers too', () => {
    const { rx, tx, place, describe, received } = bind(openUp({ vnetHdr: false }));
    describe(0, [place(OUT_AT, ARP_REQUEST)]);
    expect(tx(0, 1)).toBe(1);
    expect(rx(16, 1e6)).toBe(1);
    isReply(received(0));
  });

  it('flags a frame that does not fit its place, and writes nothing behind it', () => {
    const { rx, tx, place, describe, columns, arena } = bind(openUp());
    const message = [place(OUT_AT, PLAIN_HEADER), place(OUT_AT + 100, ARP_REQUEST)];
    for (const [cap, len, flags] of [
      [41, 41, 1],
      [42, 42, 0],
      [43, 42, 0],
      [0, 0, 1],
      [1, 1, 1],
    ]) {
      describe(0, message);
      expect(tx(0, 1)).toBe(1);
      columns.rxCap[0] = cap;
      arena.fill(0xee, columns.rxAt[0], columns.rxAt[0] + 60);
      expect(rx(1, 1e6)).toBe(1);
      expect([columns.rxLen[0], columns.rxFlags[0]]).toEqual([len, flags]);
      expect(arena[columns.rxAt[0] + cap]).toBe(0xee);
    }
  });

  it('refuses what is no frame, message by message', () => {
    const tap = openUp();
    const { tx, place, describe, columns } = bind(tap);
    const header = place(OUT_AT, PLAIN_HEADER);
    const frame = place(OUT_AT + 100, ARP_REQUEST);
    const brokenHeader = place(OUT_AT + 200, hex('01 01 0000 0000 ffff ffff 0000'));
    describe(0, [header, frame]);
    describe(1, [header, { at: frame.at, len: 5 }]);
    describe(2, [brokenHeader, frame]);
    describe(3, [{ at: header.at, len: 3 }]);
    describe(4, [header, frame]);
    expect(tx(0, 5)).toBe(2);
    expect([...columns.msgResult.subarray(0, 5)]).toEqual([54, -22, -22, -22, 54]);
    addon.linkSet({ netns, name: tap.name, up: false });
    expect(tx(0, 1)).toBe(0);
    expect(columns.msgResult[0]).toBe(-5);
    expect(columns.counters[2]).toBe(5);
  });

  it('goes on working after it was moved to another namespace', () => {
    const tap = openTap();
    addon.linkSet({
      netns,
      name: tap.name,
      newName: 'wtmoved',
      moveTo: other,
      up: true,
      mtu: 1400,
      mac: '02:00:00:00:00:01',
    });
    expect(addon.linkGet({ netns, name: 'wtmoved' })).toBeNull();
    expect(addon.linkGet({ netns: other, name: 'wtmoved' })).toMatchObject({
      up: true,
      mtu: 1400,
      mac: '02:00:00:00:00:01',
    });
    runIn(names[1], 'sysctl', '-qw', 'net.ipv6.conf.wtmoved.disable_ipv6=1');
    addon.addressAdd({ netns: other, name: 'wtmoved', address: '10.9.0.1/24' });
    const { rx, tx, place, describe, received } = bind(tap);
    describe(0, [place(OUT_AT, PLAIN_HEADER), place(OUT_AT + 100, ARP_REQUEST)]);
    expect(tx(0, 1)).toBe(1);
    for (;;) {
      expect(rx(1, 1e6)).toBe(1);
      // IPv6 may have said something before it was turned off.
      if (received(0)[12] === 0x08) break;
    }
    isReply(received(0));
  });

  it('reports a device that was deleted', () => {
    const tap = openUp();
    const { rx, tx, place, describe, columns } = bind(tap);
    addon.linkDelete({ netns, name: tap.name });
    expect(rx(1, 1e6)).toBe(-77); // EBADFD
    describe(0, [place(OUT_AT, PLAIN_HEADER), place(OUT_AT + 100, ARP_REQUEST)]);
    expect(tx(0, 1)).toBe(0);
    expect(columns.msgResult[0]).toBe(-77);
  });

  it('is gone with a process that was killed', async () => {
    const script = fileURLToPath(new URL('holdTap.mjs', import.meta.url));
    const child = spawn(process.execPath, [script, netns, 'wtkilled'], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    expect(addon.linkGet({ netns, name: 'wtkilled' })).toMatchObject({ kind: 'tap' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await eventually(() => (addon.linkGet({ netns, name: 'wtkilled' }) === null ? true : undefined));
    openTap({ name: 'wtkilled' });
  });
});
