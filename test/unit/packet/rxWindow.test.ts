import { describe, expect, it } from 'vitest';
import {
  attachArena,
  createArenaMemory,
  DEFAULT_SHAPE,
  HEADROOM,
  slotStart,
  slotsPerWorker,
} from '../../../src/packet/arena.js';
import { LANES } from '../../../src/packet/burst.js';
import { createRxWindow } from '../../../src/packet/rxWindow.js';
import { bindSlots, bringHome, createSlotState, WITH_DEVICE } from '../../../src/packet/slots.js';

const shape = { ...DEFAULT_SHAPE, workers: 2, largeSlots: LANES + 8, smallSlots: 4, captureBytes: 64 };
const WORKER = 1;

function make() {
  const arena = attachArena(createArenaMemory(shape), shape);
  const state = createSlotState(shape);
  const holders = new Int32Array(state.holders);
  /** As DPDK counts: the owner's reference, and one for each mbuf. */
  const setReferences = (slot: number, count: number) =>
    arena.view.setUint16(slotStart(arena, slot) - HEADROOM - 192 + 16, count, true);
  for (let slot = 0; slot < 2 * slotsPerWorker(shape); slot++) setReferences(slot, 1);
  function open() {
    const pool = bindSlots(shape, state, WORKER).large;
    const columns = { rxAt: new Int32Array(LANES), rxDatagramAt: new Int32Array(LANES) };
    return { pool, columns, window: createRxWindow(arena, state, WORKER, pool, columns) };
  }
  return { arena, state, holders, setReferences, open };
}

describe('the rx window', () => {
  it('puts spare slots in the places of those that a device keeps, and takes them back', () => {
    const { arena, holders, setReferences, open } = make();
    const { window, pool, columns } = open();
    const told: number[] = [];
    window.keepSpares((spares) => told.push(spares));
    expect(pool.free()).toBe(4);
    const [kept, other] = [window.slots[5], window.slots[9]];
    setReferences(kept, 2);
    window.worn[0] = 1;
    window.renew();
    expect(window.worn[0]).toBe(0);
    expect(window.slots[5]).not.toBe(kept);
    expect(window.slots[9]).toBe(other);
    expect(holders[kept]).toBe(WITH_DEVICE);
    expect(window.starts[5]).toBe(slotStart(arena, window.slots[5]));
    expect([columns.rxAt[5], columns.rxDatagramAt[5]]).toEqual([window.starts[5], window.starts[5] - HEADROOM]);
    setReferences(kept, 1);
    window.renew();
    // Spare, and nobody's.
    expect(holders[kept]).toBe(0);
    expect(holders[window.slots[5]]).toBe(WORKER + 1);
    expect(told).toEqual([4, 3, 4]);
    expect(new Set(window.slots).size).toBe(LANES);
  });

  it('goes back to its first places for capture files, and keeps no spare slots from then on', () => {
    const { arena, holders, setReferences, open } = make();
    const { window, pool, columns } = open();
    const first = [...window.slots];
    const told: number[] = [];
    window.keepSpares((spares) => told.push(spares));
    // Four slots are kept; when they are home again, they take the places of four others.
    for (const lanes of [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ]) {
      for (const lane of lanes) setReferences(window.slots[lane], 2);
      window.renew();
      for (const lane of lanes) setReferences(first[lane], 1);
    }
    expect(first.slice(0, 4)).toContain(window.slots[4]);
    // One that has never been in its place is kept now: it stays away.
    const kept = window.slots[0];
    setReferences(kept, 2);
    window.fix();
    expect([...window.slots]).toEqual(first);
    expect([...columns.rxAt]).toEqual(first.map((slot) => slotStart(arena, slot)));
    expect([pool.free(), holders[kept]]).toEqual([7, WITH_DEVICE]);
    setReferences(kept, 1);
    window.renew();
    expect(pool.free()).toBe(8);
    window.keepSpares((spares) => told.push(spares));
    expect(told.slice(-2)).toEqual([0, 0]);
    expect(pool.free()).toBe(8);
  });

  it.each(['in its place', 'elsewhere'])(
    'is not read into by capture files while a device keeps a slot: %s',
    (where) => {
      const { setReferences, open } = make();
      const { window } = open();
      const first = [...window.slots];
      window.keepSpares(() => {});
      setReferences(first[9], 2);
      if (where === 'elsewhere') window.renew();
      expect(() => window.fix()).toThrow(expect.objectContaining({ code: 'WORKER' }));
      setReferences(first[9], 1);
      window.fix();
      expect([...window.slots]).toEqual(first);
    },
  );

  it('leaves to the next thread of the place what a device keeps', () => {
    const { arena, state, holders, setReferences, open } = make();
    const { window } = open();
    window.keepSpares(() => {});
    const kept = window.slots[7];
    setReferences(kept, 2);
    bringHome(
      shape,
      state,
      WORKER,
      (slot) => arena.view.getUint16(slotStart(arena, slot) - HEADROOM - 192 + 16, true) > 1,
    );
    expect(holders[kept]).toBe(WITH_DEVICE);
    const heir = open();
    expect([...heir.window.slots]).not.toContain(kept);
    setReferences(kept, 1);
    heir.window.renew();
    expect(heir.pool.free()).toBe(8);
    expect(holders[kept]).toBe(0);
  });
});
