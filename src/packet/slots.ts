import { type Arena, type ArenaShape, LARGE_DATA, SMALL_DATA, slotStart, slotsPerWorker } from './arena.js';

/**
 * Free stacks and the holder column, in shared memory so that the supervisor can bring a dead worker's slots home.
 *
 *   holders   one word a slot: HOME on its owner's stack, WITH_DEVICE, or 1 + the worker that holds it. Slots of DPDK stand behind those of
 *             all workers: HOME while a mempool or a device has them (native/dpdk)
 *   stacks    per worker and class: [top, slot, slot, ...]
 *
 * Last in, first out: the slot used last is the one whose lines are still in the cache.
 */
export const HOME = 0;
/** A slot of a worker's that a device of DPDK keeps (rxWindow.ts). */
export const WITH_DEVICE = -1;

export interface SlotState {
  holders: SharedArrayBuffer;
  stacks: SharedArrayBuffer;
}

export interface SlotPool {
  /** Data bytes of a slot of this class. */
  readonly capacity: number;
  /** A slot, or -1 when none is free. */
  take(): number;
  /** Brings a slot of this pool home. */
  give(slot: number): void;
  free(): number;
  readonly total: number;
}

const stackWords = (shape: ArenaShape) => slotsPerWorker(shape) + 2;
const smallStack = (shape: ArenaShape, worker: number) => worker * stackWords(shape);
const largeStack = (shape: ArenaShape, worker: number) => smallStack(shape, worker) + shape.smallSlots + 1;

export function createSlotState(shape: ArenaShape): SlotState {
  const { small, large } = shape.dpdkSlots ?? { small: 0, large: 0 };
  const state = {
    holders: new SharedArrayBuffer((shape.workers * slotsPerWorker(shape) + small + large) * 4),
    stacks: new SharedArrayBuffer(shape.workers * stackWords(shape) * 4),
  };
  for (let w = 0; w < shape.workers; w++) bringHome(shape, state, w);
  return state;
}

/**
 * Everything that a worker owns goes back on its stacks, but what devices keep: the next thread takes that when it is home. Only after its thread
 * has ended. Returns the slots that it held.
 */
export function bringHome(
  shape: ArenaShape,
  state: SlotState,
  worker: number,
  isAway: (slot: number) => boolean = () => false,
): number {
  const holders = new Int32Array(state.holders);
  const stacks = new Int32Array(state.stacks);
  const first = worker * slotsPerWorker(shape);
  let held = 0;
  for (let s = first; s < first + slotsPerWorker(shape); s++) {
    if (holders[s] > HOME) held++;
    holders[s] = isAway(s) ? WITH_DEVICE : HOME;
  }
  const fill = (base: number, from: number, count: number) => {
    let top = 0;
    for (let s = from + count - 1; s >= from; s--) if (holders[s] === HOME) stacks[base + ++top] = s;
    stacks[base] = top;
  };
  fill(smallStack(shape, worker), first, shape.smallSlots);
  fill(largeStack(shape, worker), first + shape.smallSlots, shape.largeSlots);
  return held;
}

/** Slots that one worker holds. What a device keeps is not among them, as with slots of DPDK. */
export function countHeld(shape: ArenaShape, state: SlotState, worker: number): number {
  const holders = new Int32Array(state.holders);
  const first = worker * slotsPerWorker(shape);
  let held = 0;
  for (let s = first; s < first + slotsPerWorker(shape); s++) if (holders[s] > HOME) held++;
  return held;
}

function bindPool(
  stacks: Int32Array,
  holders: Int32Array,
  base: number,
  total: number,
  worker: number,
  capacity: number,
) {
  const holder = worker + 1;
  const pool: SlotPool = {
    capacity,
    total,
    take() {
      const top = stacks[base]!;
      if (top === 0) return -1;
      const slot = stacks[base + top]!;
      holders[slot] = holder;
      stacks[base] = top - 1;
      return slot;
    },
    give(slot) {
      const top = stacks[base]! + 1;
      stacks[base + top] = slot;
      holders[slot] = HOME;
      stacks[base] = top;
    },
    free: () => stacks[base]!,
  };
  return pool;
}

export function bindSlots(shape: ArenaShape, state: SlotState, worker: number): { small: SlotPool; large: SlotPool } {
  const stacks = new Int32Array(state.stacks);
  const holders = new Int32Array(state.holders);
  return {
    small: bindPool(stacks, holders, smallStack(shape, worker), shape.smallSlots, worker, SMALL_DATA),
    large: bindPool(stacks, holders, largeStack(shape, worker), shape.largeSlots, worker, LARGE_DATA),
  };
}

/**
 * The rx window: slots that stand ready for the next receive call, whichever device makes it. Kernel egress is synchronous, so a slot
 * is back in its place when the turn ends and the positions handed to the kernel never change.
 */
export function fillWindow(arena: Arena, pool: SlotPool, count: number): { slots: Int32Array; starts: Int32Array } {
  const slots = new Int32Array(new SharedArrayBuffer(count * 4));
  const starts = new Int32Array(new SharedArrayBuffer(count * 4));
  for (let i = 0; i < count; i++) {
    const slot = pool.take();
    if (slot < 0) throw new RangeError(`arena too small: ${pool.total} slots, ${count} needed for one burst`);
    slots[i] = slot;
    starts[i] = slotStart(arena, slot);
  }
  return { slots, starts };
}
