import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ArenaShape,
  attachArena,
  createArenaMemory,
  LARGE_DATA,
  SMALL_DATA,
  slotStart,
} from '../../../src/packet/arena.js';
import { bindSlots, bringHome, countHeld, createSlotState, fillWindow, HOME } from '../../../src/packet/slots.js';

const shape: ArenaShape = {
  workers: 2,
  smallSlots: 5,
  largeSlots: 3,
  headerBytes: 4096,
  captureBytes: 4096,
  macBytes: 4096,
  neighbourBytes: 0,
  routeBytes: 0,
};
const PER_WORKER = 8;

function takeAll(pool: { take(): number }): number[] {
  const out: number[] = [];
  for (let s = pool.take(); s >= 0; s = pool.take()) out.push(s);
  return out;
}

const sorted = (list: number[]) => [...list].sort((a, b) => a - b);

describe('a fresh state', () => {
  it('has every slot home, each worker its own', () => {
    const state = createSlotState(shape);
    expect(countHeld(shape, state, 0)).toBe(0);
    const one = bindSlots(shape, state, 0);
    const two = bindSlots(shape, state, 1);
    expect(sorted(takeAll(one.small))).toEqual([0, 1, 2, 3, 4]);
    expect(sorted(takeAll(one.large))).toEqual([5, 6, 7]);
    expect(sorted(takeAll(two.small))).toEqual([8, 9, 10, 11, 12]);
    expect(sorted(takeAll(two.large))).toEqual([13, 14, 15]);
  });

  it('says how much fits a slot', () => {
    const { small, large } = bindSlots(shape, createSlotState(shape), 0);
    expect([small.capacity, small.total, large.capacity, large.total]).toEqual([SMALL_DATA, 5, LARGE_DATA, 3]);
  });
});

describe('taking and giving', () => {
  it('says -1 when none is free, and goes on when one comes home', () => {
    const { large } = bindSlots(shape, createSlotState(shape), 0);
    const slots = takeAll(large);
    expect(large.free()).toBe(0);
    large.give(slots[1]);
    expect(large.take()).toBe(slots[1]);
    expect(large.take()).toBe(-1);
  });

  it('gives the slot that was used last first: its lines are in the cache', () => {
    const { small } = bindSlots(shape, createSlotState(shape), 0);
    const a = small.take();
    const b = small.take();
    small.give(a);
    small.give(b);
    expect([small.take(), small.take()]).toEqual([b, a]);
  });

  it('writes who holds a slot at every hand-over', () => {
    const state = createSlotState(shape);
    const holders = new Int32Array(state.holders);
    const { small } = bindSlots(shape, state, 1);
    const s = small.take();
    expect(holders[s]).toBe(2);
    expect(countHeld(shape, state, 1)).toBe(1);
    expect(countHeld(shape, state, 0)).toBe(0);
    small.give(s);
    expect(holders[s]).toBe(HOME);
    expect(countHeld(shape, state, 1)).toBe(0);
  });

  it('never gives a slot to two, whatever the order (model)', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.boolean(), fc.nat(20)), { maxLength: 80 }), (steps) => {
        const state = createSlotState(shape);
        const pools = bindSlots(shape, state, 0);
        const held = { small: [] as number[], large: [] as number[] };
        for (const [isSmall, isTake, which] of steps) {
          const kind = isSmall ? 'small' : 'large';
          const mine = held[kind];
          if (isTake) {
            const s = pools[kind].take();
            if (mine.length === pools[kind].total) expect(s).toBe(-1);
            else {
              expect(s).toBeGreaterThanOrEqual(isSmall ? 0 : 5);
              expect(s).toBeLessThan(isSmall ? 5 : 8);
              expect(mine).not.toContain(s);
              mine.push(s);
            }
          } else if (mine.length > 0) pools[kind].give(mine.splice(which % mine.length, 1)[0]);
          expect(pools[kind].free()).toBe(pools[kind].total - mine.length);
          expect(countHeld(shape, state, 0)).toBe(held.small.length + held.large.length);
        }
      }),
    );
  });
});

describe('bringing home what a dead worker held', () => {
  it('counts it, frees all of it, and leaves the other worker alone', () => {
    const state = createSlotState(shape);
    const dead = bindSlots(shape, state, 0);
    const alive = bindSlots(shape, state, 1);
    dead.small.take();
    dead.large.take();
    dead.large.take();
    const kept = alive.small.take();
    expect(bringHome(shape, state, 0)).toBe(3);
    expect(countHeld(shape, state, 0)).toBe(0);
    const heir = bindSlots(shape, state, 0);
    expect(sorted(takeAll(heir.small))).toEqual([0, 1, 2, 3, 4]);
    expect(sorted(takeAll(heir.large))).toEqual([5, 6, 7]);
    expect(countHeld(shape, state, 1)).toBe(1);
    expect(takeAll(alive.small)).not.toContain(kept);
  });

  it('heals stacks that the worker left half written', () => {
    const state = createSlotState(shape);
    const { small } = bindSlots(shape, state, 0);
    takeAll(small);
    new Int32Array(state.stacks).fill(0x7777, 0, PER_WORKER + 2);
    bringHome(shape, state, 0);
    expect(sorted(takeAll(bindSlots(shape, state, 0).small))).toEqual([0, 1, 2, 3, 4]);
  });

  it('is the same after a hundred deaths', () => {
    const state = createSlotState(shape);
    for (let death = 0; death < 100; death++) {
      const { small, large } = bindSlots(shape, state, 0);
      for (let n = 0; n <= death % 4; n++) small.take();
      large.take();
      bringHome(shape, state, 0);
    }
    const { small, large } = bindSlots(shape, state, 0);
    expect([small.free(), large.free()]).toEqual([5, 3]);
  });
});

describe('the rx window', () => {
  it('holds slots and their frame starts', () => {
    const arena = attachArena(createArenaMemory(shape), shape);
    const state = createSlotState(shape);
    const { large } = bindSlots(shape, state, 0);
    const window = fillWindow(arena, large, 2);
    expect(Array.from(window.starts)).toEqual(Array.from(window.slots, (s) => slotStart(arena, s)));
    expect(new Set(window.slots).size).toBe(2);
    expect(large.free()).toBe(1);
  });

  it('says when the arena is too small for a burst', () => {
    const arena = attachArena(createArenaMemory(shape), shape);
    const { large } = bindSlots(shape, createSlotState(shape), 0);
    expect(() => fillWindow(arena, large, 4)).toThrow(/arena too small: 3 slots, 4 needed/);
  });
});
