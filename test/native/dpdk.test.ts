// The addon over DPDK by itself: pools over an arena, devices without hardware, ownership of every slot.
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { describeWith } from '../rig/requirements.js';
import {
  addon,
  columnsOf,
  EAL,
  FIRST_SLOT,
  frameStart,
  HEADS,
  LARGE,
  LAYOUT,
  layFrames,
  makeArena,
  message,
  SMALL,
} from './dpdkRig.js';

const EFAULT = -14;
const EMSGSIZE = -90;

describeWith(['dpdk'], 'DPDK over an arena', () => {
  const made = makeArena();
  const { memory, arena, holders } = made;
  let frames = 0;
  let port = 0;
  let chains = false;

  beforeAll(() => {
    frames = layFrames(made);
    const device = addon().open({
      devargs: 'net_null0,size=64',
      queues: 1,
      mtu: 1500,
      superframes: false,
      offloads: 0,
      frames,
    });
    port = device.port;
    chains = device.chains;
  });
  afterAll(() => {
    addon().close(port);
    addon().dropFrames(frames);
  });
  beforeEach(() => holders.fill(0));

  function bind(lanes = 64, place = 0) {
    const { io, layout, columns, state } = columnsOf(memory, place, lanes);
    const request = { frames, port, rxQueues: [0], txQueue: 0, vnet: false, chains, place };
    return { ...addon().bindQueue(request, io, LAYOUT, layout, state), io, columns, state };
  }
  const heldSlots = () => holders.filter((holder) => holder !== 0).length;
  const everythingIsHome = () => {
    expect(addon().framesState(frames)).toEqual({
      small: { total: SMALL, free: SMALL },
      large: { total: LARGE, free: LARGE },
      heads: { total: HEADS, free: HEADS },
    });
    expect(holders.every((holder) => holder === 0)).toBe(true);
  };

  it('starts once: the same arguments again are no error, others are', () => {
    expect(() => addon().start(EAL)).not.toThrow();
    expect(() => addon().start([...EAL, '--no-hpet'])).toThrow(expect.objectContaining({ code: 'EBUSY', errno: 16 }));
  });

  it('names what a driver that is not there was asked by', () => {
    const request = { devargs: 'net_nosuch0', queues: 1, mtu: 1500, superframes: false, offloads: 0, frames };
    expect(() => addon().open(request)).toThrow(expect.objectContaining({ syscall: 'rte_dev_probe' }));
    expect(() => addon().open({ ...request, devargs: 'net_null0' })).toThrow(
      expect.objectContaining({ code: 'EEXIST' }),
    );
  });

  it('receives into slots: a lane names its slot, and its frame starts behind the headroom', () => {
    const { rx, release, columns } = bind();
    expect(rx()).toBe(64);
    expect(heldSlots()).toBe(64);
    expect(addon().framesState(frames).small.free).toBe(SMALL - 64);
    for (let i = 0; i < 64; i++) {
      expect(columns.at[i]).toBe(frameStart(columns.slot[i]));
      expect(columns.at[i] % 64).toBe(0);
      expect(columns.len[i]).toBe(64);
      expect([columns.packets[i], columns.drop[i], columns.flags[i], columns.gsoType[i]]).toEqual([1, 0, 0, 0]);
      expect(holders[columns.slot[i]]).toBe(1);
    }
    expect(new Set(columns.slot).size).toBe(64);
    release(64);
    everythingIsHome();
  });

  it('takes a frame that leaves in one piece as it is, with headers in front, and once', () => {
    const { rx, tx, release, io, columns } = bind();
    rx();
    for (let i = 0; i < 64; i++) message(io, i, columns.at[i] - 50, columns.len[i] + 50);
    expect(tx(64, 0)).toBe(64);
    expect([...io.subarray(LAYOUT.msgResult, LAYOUT.msgResult + 64)]).toEqual(Array(64).fill(114));
    expect(heldSlots()).toBe(0);
    expect(tx(1, 0)).toBe(0);
    expect(io[LAYOUT.msgResult]).toBe(EFAULT);
    release(64);
    everythingIsHome();
  });

  it('leaves a shared frame where it is until it is released', () => {
    const { rx, tx, release, io, columns } = bind();
    rx();
    for (let i = 0; i < 64; i++) message(io, i, columns.at[i], columns.len[i]);
    expect(tx(64, 1)).toBe(64);
    expect(tx(64, 1)).toBe(64);
    expect(heldSlots()).toBe(64);
    release(64);
    everythingIsHome();
  });

  it('copies what lies elsewhere in the arena', () => {
    const { tx, io, state } = bind();
    arena.fill(0x5a, 1000, 1100);
    message(io, 0, 1000, 100);
    const copied = state[1];
    expect(tx(1, 0)).toBe(1);
    expect(io[LAYOUT.msgResult]).toBe(100);
    expect(state[1]).toBe(copied + 1);
    everythingIsHome();
  });

  it.each([
    ['an extent behind the arena', arena.length - 10, 20, EFAULT],
    ['a negative offset', -64, 20, EFAULT],
    ['a negative length', 1000, -1, EFAULT],
    ['a slot that nobody holds', frameStart(FIRST_SLOT), 64, EFAULT],
    ['more than one piece, on a device without chains', 1000, 9000, EMSGSIZE],
  ])('refuses %s', (_what, at, len, errno) => {
    const { tx, io } = bind();
    message(io, 0, at, len);
    const result = chains && errno === EMSGSIZE ? 1 : 0;
    expect(tx(1, 0)).toBe(result);
    if (result === 0) expect(io[LAYOUT.msgResult]).toBe(errno);
    everythingIsHome();
  });

  it('refuses arguments and arrays of the wrong kind', () => {
    const { tx, release, io, columns } = bind();
    for (const wrong of [-1, 0.5, Number.NaN, 1e9, '1', undefined]) {
      expect(tx(wrong as number, 0)).toBe(-22);
      expect(release(wrong as number)).toBe(-22);
    }
    expect(tx(0, 0)).toBe(0);
    const { layout, state } = columnsOf(memory);
    const request = { frames, port, rxQueues: [0], txQueue: 0, vnet: false, chains, place: 0 };
    const owned = new Int32Array(1024);
    expect(() => addon().bindQueue(request, owned, LAYOUT, layout, state)).toThrow(TypeError);
    expect(() => addon().bindQueue({ ...request, rxQueues: [7] }, io, LAYOUT, layout, state)).toThrow(RangeError);
    expect(() => addon().bindQueue({ ...request, port: 31 }, io, LAYOUT, layout, state)).toThrow(RangeError);
    expect(() => addon().bindQueue(request, io, LAYOUT, { ...layout, at: arena.length }, state)).toThrow(RangeError);
    expect(columns.slot.length).toBe(64);
  });

  it('lets anybody read a device that is new, whoever read its predecessor', () => {
    const open = () =>
      addon().open({ devargs: 'net_null1,size=64', queues: 1, mtu: 1500, superframes: false, offloads: 0, frames });
    for (const place of [1, 0]) {
      const device = open();
      const { io, layout, state } = columnsOf(memory, place);
      const request = { frames, port: device.port, rxQueues: [0], txQueue: 0, vnet: false, chains: false, place };
      const { rx, release } = addon().bindQueue(request, io, LAYOUT, layout, state);
      expect(rx(), `place ${place}`).toBe(64);
      release(64);
      addon().close(device.port);
    }
    everythingIsHome();
  });

  it('loses nothing when lanes are sent, shared, dropped and released in any mixture, a million bursts long', () => {
    const { rx, tx, release, io, columns } = bind(4);
    let received = 0;
    for (let burst = 0; burst < 1_000_000; burst++) {
      const n = rx();
      received += n;
      const sent = burst % (n + 1);
      for (let i = 0; i < sent; i++) message(io, i, columns.at[i], columns.len[i]);
      if (sent > 0) tx(sent, burst % 7 === 0 ? 1 : 0);
      release(n);
    }
    expect(received).toBe(4_000_000);
    everythingIsHome();
  });

  it('says that nothing is received when the pool is empty, and goes on when slots come back', () => {
    const { rx, columns } = bind();
    let held = 0;
    for (let n = rx(); n > 0; n = rx()) held += n;
    expect(held).toBeGreaterThan(SMALL - 64);
    expect(addon().sweep(frames, 0)).toBe(held);
    everythingIsHome();
    expect(rx()).toBe(64);
    addon().sweep(frames, 0);
    expect(columns.len[0]).toBe(64);
  });
});
