// A device that hands on what it was given: mbufs of other pools, windows and chains come in, and have to become slots.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeWith } from '../rig/requirements.js';
import { addon, columnsOf, FIRST_SLOT, HEADS, LARGE, LAYOUT, layFrames, makeArena, message, SMALL } from './dpdkRig.js';

/** Somewhere in the arena that is no slot, behind io blocks and columns. */
const ELSEWHERE = 3 * 65536;
const SHARED = 1;

describeWith(['dpdk'], 'mbufs of others that a device brings', () => {
  const made = makeArena();
  const { memory, arena } = made;
  let frames = 0;
  let port = 0;
  let queue: ReturnType<typeof bind>;

  beforeAll(() => {
    frames = layFrames(made);
    const request = { devargs: 'net_ring0', queues: 1, mtu: 1500, superframes: false, offloads: 0, frames };
    port = addon().open(request).port;
    queue = bind();
    for (let i = 0; i < 20_000; i++) arena[ELSEWHERE + i] = (i * 7) % 251;
  });
  afterAll(() => {
    addon().close(port);
    addon().dropFrames(frames);
  });

  function bind() {
    const { io, layout, columns, state } = columnsOf(memory);
    const request = { frames, port, rxQueues: [0], txQueue: 0, vnet: false, chains: true, place: 0 };
    return { ...addon().bindQueue(request, io, LAYOUT, layout, state), io, columns };
  }
  const bytesOfLane = (lane: number) => {
    const at = queue.columns.at[lane];
    return arena.slice(at, at + queue.columns.len[lane]);
  };
  const everythingIsHome = () =>
    expect(addon().framesState(frames)).toEqual({
      small: { total: SMALL, free: SMALL },
      large: { total: LARGE, free: LARGE },
      heads: { total: HEADS, free: HEADS },
    });
  function expectSlots(lanes: number) {
    const slots = [...queue.columns.slot.subarray(0, lanes)];
    expect(new Set(slots).size).toBe(lanes);
    for (const slot of slots) expect(made.holders[slot]).toBe(1);
    expect(Math.min(...slots)).toBeGreaterThanOrEqual(FIRST_SLOT);
  }

  it('copies of weft, in one mbuf or a chain of them, come back byte for byte in slots', () => {
    const { tx, rx, release, io } = queue;
    const lengths = [14, 60, 1514, 1600, 2000, 9000, 16_000];
    for (const [m, length] of lengths.entries()) message(io, m, ELSEWHERE + m, length);
    expect(tx(lengths.length, 0)).toBe(lengths.length);
    expect(rx()).toBe(lengths.length);
    expectSlots(lengths.length);
    for (const [lane, length] of lengths.entries())
      expect(Buffer.compare(bytesOfLane(lane), arena.slice(ELSEWHERE + lane, ELSEWHERE + lane + length))).toBe(0);
    release(lengths.length);
    everythingIsHome();
  });

  it('windows into slots that are still held come back in slots of their own', () => {
    const { tx, rx, release, io, columns } = queue;
    message(io, 0, ELSEWHERE, 900);
    tx(1, 0);
    expect(rx()).toBe(1);
    const [slot, at] = [columns.slot[0], columns.at[0]];
    message(io, 0, at, 900);
    message(io, 1, at + 100, 800);
    expect(tx(2, SHARED)).toBe(2);
    release(1);
    expect(rx()).toBe(2);
    expectSlots(2);
    expect([...columns.slot.subarray(0, 2)]).not.toContain(slot);
    expect(Buffer.compare(bytesOfLane(0), arena.slice(ELSEWHERE, ELSEWHERE + 900))).toBe(0);
    expect(Buffer.compare(bytesOfLane(1), arena.slice(ELSEWHERE + 100, ELSEWHERE + 900))).toBe(0);
    release(2);
    everythingIsHome();
  });

  it('a slot of the pool goes round as itself', () => {
    const { tx, rx, release, io, columns } = queue;
    message(io, 0, ELSEWHERE, 200);
    tx(1, 0);
    rx();
    const slot = columns.slot[0];
    for (let round = 0; round < 3; round++) {
      message(io, 0, columns.at[0], 200);
      expect(tx(1, 0)).toBe(1);
      expect(rx()).toBe(1);
      expect(columns.slot[0]).toBe(slot);
    }
    expect(Buffer.compare(bytesOfLane(0), arena.slice(ELSEWHERE, ELSEWHERE + 200))).toBe(0);
    release(1);
    everythingIsHome();
  });
});
