// Wrong arguments: an error that names them, or -EINVAL; never a crash, never a byte outside of what was bound.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type IoLayout, type Tun, tun, type UdpSocket } from '../../src/native/tun.js';
import { describeWith } from '../rig/requirements.js';
import { ARENA_BYTES, BURST, EXTENTS, IO_WORDS, LAYOUT, MESSAGES, makeBinding, thrownBy } from './binding.js';

const EINVAL = -22;
const WRONG = [undefined, null, 'x', {}, [], true, 1n, Symbol('s'), () => 0, Number.NaN, -1, 1.5, 2 ** 31, 1e300];

describeWith(['addon'], 'wrong arguments', () => {
  let addon: Tun;
  let anything: Record<string, (...args: unknown[]) => unknown>;
  let socket: UdpSocket;

  beforeAll(() => {
    addon = tun();
    anything = addon as unknown as typeof anything;
    socket = addon.udpOpen({ family: 4, address: '127.0.0.1', port: 0 });
  });
  afterAll(() => addon.close(socket.fd));

  it('throws a TypeError or RangeError from control functions', () => {
    const expectRefusal = (body: () => unknown) => {
      const error = thrownBy(body);
      expect(error instanceof TypeError || error instanceof RangeError).toBe(true);
      expect(['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE']).toContain(error.code);
      expect(error.message).toMatch(/must be|missing|must have|leaves no room|ends at word/);
    };
    const functions = [
      'openTap',
      'linkGet',
      'linkSet',
      'linkDelete',
      'addressAdd',
      'udpOpen',
      'rawOpen',
      'close',
      'setAffinity',
    ];
    const binds = ['bindTapRx', 'bindTapTx', 'bindUdpRx', 'bindRawRx', 'bindUdpTx', 'bindErrorQueue', 'bindPoll'];
    for (const name of [...functions, ...binds]) {
      expectRefusal(() => anything[name]());
      for (const value of WRONG) expectRefusal(() => anything[name](value, value, value, value, value, value));
    }
    for (const value of WRONG.filter(
      (value) => value != null && typeof value !== 'object' && typeof value !== 'function',
    )) {
      expectRefusal(() => anything.linkList(value));
      expectRefusal(() => anything.addressList(value));
      expectRefusal(() => anything.routeList(value));
      expectRefusal(() => anything.neighbourList(value));
    }
  });

  it('checks every field of options', () => {
    const good: Record<string, Record<string, unknown>> = {
      openTap: {
        name: 'wtx',
        create: false,
        queues: 1,
        vnetHdr: true,
        offloads: 0,
        kind: 'tap',
        owner: 0,
        group: 0,
        persist: false,
      },
      udpOpen: {
        family: 4,
        address: '127.0.0.1',
        port: 0,
        reusePort: true,
        gro: true,
        recvTos: true,
        rcvbuf: 0,
        sndbuf: 0,
        device: 'lo',
        ttl: 1,
        tos: 0,
      },
      rawOpen: { family: 4, address: '127.0.0.1', protocol: 47, device: 'lo', ttl: 1, tos: 0 },
      linkSet: {
        name: 'wtx',
        mtu: 1500,
        up: true,
        mac: '02:00:00:00:00:01',
        gsoMaxSize: 65536,
        txQueueLen: 1,
        newName: 'wty',
        moveTo: '/x',
      },
      addressAdd: { name: 'wtx', address: '10.0.0.1/8', noDad: true },
    };
    good.addressDelete = good.addressAdd;
    good.routeAdd = { prefix: '10.0.0.0/8', device: 'wtx', via: '10.0.0.1', metric: 0, table: 1 };
    good.routeDelete = good.routeAdd;
    good.routeGet = { address: '10.0.0.1' };
    good.routeList = { table: 0 };
    good.neighbourList = { device: 'lo' };
    const bad: Record<string, unknown[]> = {
      name: ['', 'sixteen-bytes-xx', 'a/b', 'a b', '.', '..', 5],
      kind: ['bridge', 1],
      queues: [0, 257, 1.5, '1'],
      offloads: [-1, 65536],
      family: [5, 0, '4'],
      address: ['', '::1', '1.2.3', '10.0.0.1/33', 4],
      port: [-1, 65536, '80'],
      protocol: [0, 255, -1, '47'],
      ttl: [0, 256],
      tos: [-1, 256],
      prefix: ['', '10.0.0.0', '10.0.0.1/8', 'fd00::1/64', '10.0.0.0/33', 'x/8', '::/129', 8],
      via: ['', '10.0.0', 'fd00::1', '10.0.0.1/8', 7],
      metric: [-1, 2 ** 32, '5'],
      table: [-1, 2 ** 32, '5'],
      mac: ['', '02:00', '02:00:00:00:00:0g', '02:00:00:00:00:01:02', '+2:00:00:00:00:01'],
      mtu: [-1, 2 ** 32],
      up: [1, 'yes'],
      netns: [5, 'a\0b'],
      device: [''],
    };
    for (const [name, options] of Object.entries(good)) {
      for (const [field, values] of Object.entries(bad)) {
        if (!(field in options) && field !== 'netns') continue;
        if (field === 'address' && name.endsWith('Open')) values.push('127.0.0.1/8');
        for (const value of values) {
          if (field === 'address' && name.startsWith('address') && value === '127.0.0.1/8') continue;
          if (field === 'address' && name === 'routeGet' && value === '::1') continue;
          const error = thrownBy(() => anything[name]({ ...options, [field]: value }));
          expect(error.message, `${name} ${field} ${String(value)}`).toContain(field);
          expect(error instanceof TypeError || error instanceof RangeError, `${name} ${field} ${String(value)}`).toBe(
            true,
          );
        }
      }
    }
  });

  it('does not swallow what a getter throws', () => {
    const error = thrownBy(() =>
      addon.linkGet({
        get name(): string {
          throw new Error('from the getter');
        },
      }),
    );
    expect(error.message).toBe('from the getter');
  });

  it('refuses arrays that could move or are of the wrong kind', () => {
    const { arena, io } = makeBinding();
    const plainArena = new Uint8Array(ARENA_BYTES);
    const plainIo = new Int32Array(IO_WORDS);
    const message = /over a SharedArrayBuffer/;
    expect(() => addon.bindTapRx(plainArena, io, LAYOUT, socket.fd, 0, 12)).toThrow(message);
    expect(() => addon.bindTapRx(arena, plainIo, LAYOUT, socket.fd, 0, 12)).toThrow(message);
    expect(() => addon.bindUdpTx(arena, io, LAYOUT, [socket.fd], new Int32Array(64))).toThrow(message);
    expect(() => addon.bindPoll(plainIo, LAYOUT, 0, 8)).toThrow(message);
    const { buffer } = io;
    const views = [new Int8Array(buffer), new Int16Array(buffer), new Uint32Array(buffer), new DataView(buffer)];
    for (const wrong of [...views, buffer]) {
      expect(() => addon.bindPoll(wrong as unknown as Int32Array, LAYOUT, 0, 8)).toThrow(message);
    }
  });

  it('refuses a layout that leaves io or the arena', () => {
    const { arena, io, destinations } = makeBinding();
    const binds: [(layout: IoLayout) => unknown, (keyof IoLayout)[]][] = [
      [(l) => addon.bindTapRx(arena, io, l, socket.fd, 0, 12), ['burst', 'rxAt', 'rxCap', 'rxLen', 'rxFlags']],
      [
        (l) => addon.bindTapTx(arena, io, l, socket.fd),
        ['messages', 'extents', 'msgFirst', 'msgCount', 'msgResult', 'extAt', 'extLen', 'counters'],
      ],
      [
        (l) => addon.bindUdpRx(arena, io, l, socket.fd),
        ['burst', 'rxAt', 'rxCap', 'rxLen', 'rxGso', 'rxSrc', 'rxPort', 'rxTos', 'rxFlags', 'counters'],
      ],
      [
        (l) => addon.bindUdpTx(arena, io, l, [socket.fd], destinations),
        ['messages', 'extents', 'msgDest', 'msgSocket', 'msgGso', 'msgTos', 'extAt', 'counters'],
      ],
      [
        (l) => addon.bindErrorQueue(undefined, io, l, [socket.fd]),
        ['burst', 'rxSrc', 'rxPort', 'rxLen', 'rxGso', 'rxFlags'],
      ],
      [(l) => addon.bindPoll(io, l, 0, 8), ['clock']],
    ];
    for (const [bind, fields] of binds) {
      bind(LAYOUT);
      for (const field of fields) {
        const isSize = ['burst', 'messages', 'extents'].includes(field);
        for (const value of isSize ? [0, 65_537] : [IO_WORDS, IO_WORDS - 1, 2 ** 31 - 1]) {
          expect(() => bind({ ...LAYOUT, [field]: value }), `${field} ${value}`).toThrow(field);
        }
        for (const value of [undefined, -1, 1.5, '0']) {
          expect(() => bind({ ...LAYOUT, [field]: value } as IoLayout), `${field} ${value}`).toThrow(field);
        }
      }
    }
    for (const [vnetAt, vnetHdrLen] of [
      [ARENA_BYTES - 16 * BURST + 1, 12],
      [2 ** 31 - 1, 12],
      [-1, 12],
      [0, 17],
      [0, -1],
    ]) {
      expect(() => addon.bindTapRx(arena, io, LAYOUT, socket.fd, vnetAt, vnetHdrLen)).toThrow(RangeError);
    }
    addon.bindTapRx(arena, io, LAYOUT, socket.fd, ARENA_BYTES - 16 * BURST, 12);
    expect(() => addon.bindUdpTx(arena, io, LAYOUT, [socket.fd], destinations.subarray(0, 7))).toThrow(RangeError);
    expect(() => addon.bindPoll(io, LAYOUT, IO_WORDS - 7, 8)).toThrow(RangeError);
    expect(() => addon.bindPoll(io, { clock: LAYOUT.clock + 1 }, 0, 8)).toThrow(/multiple of 8/);
  });

  it('gives -EINVAL for wrong numbers of bound functions', () => {
    const { arena, io, columns, destinations } = makeBinding();
    const bound = {
      tapRx: addon.bindTapRx(arena, io, LAYOUT, socket.fd, 0, 12),
      tapTx: addon.bindTapTx(arena, io, LAYOUT, socket.fd),
      udpRx: addon.bindUdpRx(arena, io, LAYOUT, socket.fd),
      udpTx: addon.bindUdpTx(arena, io, LAYOUT, [socket.fd], destinations),
      wake: addon.wake,
      drain: addon.drain,
    } as unknown as Record<string, (...args: unknown[]) => number>;
    for (const [name, call] of Object.entries(bound)) {
      expect(call(), name).toBe(EINVAL);
      for (const value of WRONG) expect(call(value, 0), `${name} ${String(value)}`).toBe(EINVAL);
    }
    expect(bound.tapRx(BURST + 1, 1e6)).toBe(EINVAL);
    expect(bound.udpRx(BURST + 1)).toBe(EINVAL);
    for (const [first, n] of [
      [0, MESSAGES + 1],
      [1, MESSAGES],
      [MESSAGES, 1],
      [MESSAGES + 1, 0],
      [0, -1],
      [0.5, 1],
    ]) {
      expect(bound.tapTx(first, n)).toBe(EINVAL);
      expect(bound.udpTx(first, n)).toBe(EINVAL);
    }
    expect(bound.udpTx(MESSAGES, 0)).toBe(0);
    // A range that is refused as a whole touches no result.
    columns.msgResult.fill(77);
    expect(bound.udpTx(0, MESSAGES + 1)).toBe(EINVAL);
    expect(new Set(columns.msgResult)).toEqual(new Set([77]));
  });

  it('gives -EINVAL for places outside of the arena, and leaves the memory around alone', () => {
    const { arena, io, columns } = makeBinding();
    const tapRx = addon.bindTapRx(arena, io, LAYOUT, socket.fd, 0, 12);
    const udpRx = addon.bindUdpRx(arena, io, LAYOUT, socket.fd);
    const wrong: [number, number][] = [
      [-1, 10],
      [0, -1],
      [ARENA_BYTES, 1],
      [ARENA_BYTES - 9, 10],
      [2 ** 31 - 1, 2 ** 31 - 1],
      [-(2 ** 31), 2 ** 31 - 1],
      [0, ARENA_BYTES + 1],
    ];
    for (const [at, cap] of wrong) {
      for (const lane of [0, BURST - 1]) {
        const keep: [number, number] = [columns.rxAt[lane], columns.rxCap[lane]];
        [columns.rxAt[lane], columns.rxCap[lane]] = [at, cap];
        expect(tapRx(BURST, 1e6), `${at} ${cap}`).toBe(EINVAL);
        expect(udpRx(BURST), `${at} ${cap}`).toBe(EINVAL);
        [columns.rxAt[lane], columns.rxCap[lane]] = keep;
      }
    }
    expect(udpRx(BURST)).toBe(0);
    columns.rxAt[0] = ARENA_BYTES - 10;
    columns.rxCap[0] = 10;
    expect(udpRx(1)).toBe(0);
  });

  it('gives -EINVAL to a message with anything outside of its range, and sends the others', () => {
    const binding = makeBinding();
    const { arena, io, columns, destinations } = binding;
    const receiver = addon.udpOpen({ family: 4, address: '127.0.0.1', port: 0 });
    const udpTx = addon.bindUdpTx(arena, io, LAYOUT, [socket.fd], destinations);
    binding.destination(0, '127.0.0.1', receiver.port);
    binding.destination(1, '127.0.0.1', receiver.port);
    destinations[8] = 5;
    binding.destination(2, '127.0.0.1', receiver.port);
    destinations[16 + 1] = 65_536;
    const whole = [{ at: 5000, len: 10 }];
    const spoils: ((m: number) => void)[] = [
      (m) => (columns.msgFirst[m] = -1),
      (m) => (columns.msgFirst[m] = EXTENTS),
      (m) => (columns.msgFirst[m] = 2 ** 31 - 1),
      (m) => (columns.msgCount[m] = 0),
      (m) => (columns.msgCount[m] = -1),
      (m) => (columns.msgCount[m] = EXTENTS + 1),
      (m) => (columns.msgCount[m] = 2 ** 31 - 1),
      (m) => (columns.msgDest[m] = -1),
      (m) => (columns.msgDest[m] = 8),
      (m) => (columns.msgDest[m] = 2 ** 31 - 1),
      (m) => (columns.msgDest[m] = 1),
      (m) => (columns.msgDest[m] = 2),
      (m) => (columns.msgSocket[m] = -1),
      (m) => (columns.msgSocket[m] = 1),
      (m) => (columns.msgGso[m] = -1),
      (m) => (columns.msgGso[m] = 65_536),
      (m) => (columns.msgTos[m] = -2),
      (m) => (columns.msgTos[m] = 256),
      (m) => (columns.extAt[columns.msgFirst[m]] = -1),
      (m) => (columns.extAt[columns.msgFirst[m]] = ARENA_BYTES - 9),
      (m) => (columns.extAt[columns.msgFirst[m]] = 2 ** 31 - 1),
      (m) => (columns.extLen[columns.msgFirst[m]] = -1),
      (m) => (columns.extLen[columns.msgFirst[m]] = 2 ** 31 - 1),
    ];
    // A good message on either side of each spoilt one.
    spoils.forEach((spoil, i) => {
      binding.describe(2 * i, whole);
      binding.describe(2 * i + 1, whole);
      spoil(2 * i + 1);
    });
    const total = spoils.length * 2;
    expect(udpTx(0, total)).toBe(spoils.length);
    expect([...columns.msgResult.subarray(0, total)]).toEqual(spoils.flatMap(() => [10, EINVAL]));
    addon.close(receiver.fd);
  });

  it('gives -EINVAL to spoilt TAP messages', () => {
    const binding = makeBinding();
    const tapTx = addon.bindTapTx(binding.arena, binding.io, LAYOUT, socket.fd);
    binding.describe(0, [{ at: ARENA_BYTES - 1, len: 2 }]);
    binding.describe(1, []);
    expect(tapTx(0, 2)).toBe(0);
    expect([...binding.columns.msgResult.subarray(0, 2)]).toEqual([EINVAL, EINVAL]);
  });

  it('reports a descriptor that is none', () => {
    const { arena, io, columns, destinations } = makeBinding();
    const fd = addon.eventfd();
    addon.close(fd);
    expect(addon.bindTapRx(arena, io, LAYOUT, fd, 0, 12)(1, 1e6)).toBe(-9);
    expect(addon.bindUdpRx(arena, io, LAYOUT, fd)(1)).toBe(-9);
    expect(addon.bindErrorQueue(arena, io, LAYOUT, [fd])()).toBe(0);
    columns.msgCount[0] = 1;
    expect(addon.bindTapTx(arena, io, LAYOUT, fd)(0, 1)).toBe(0);
    expect(columns.msgResult[0]).toBe(-9);
    destinations[0] = 4;
    columns.msgTos[0] = -1;
    expect(addon.bindUdpTx(arena, io, LAYOUT, [fd], destinations)(0, 1)).toBe(0);
    expect(columns.msgResult[0]).toBe(-9);
    expect(columns.counters[2]).toBe(9);
  });
});
