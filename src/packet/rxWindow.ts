import { type Arena, HEADROOM, PREAMBLE, slotStart, slotsPerWorker } from './arena.js';
import { LANES, sharedInts } from './burst.js';
import { WeftError } from './error.js';
import type { Outbox } from './outbox.js';
import { fillWindow, HOME, type SlotPool, type SlotState, WITH_DEVICE } from './slots.js';

/**
 * The rx window of a worker, with a place for every lane. A device of DPDK may keep slots of it past the end of the turn; before the next
 * receive, spare slots take their places, and what has come home is spare.
 */
export interface RxWindow {
  readonly slots: Int32Array;
  readonly starts: Int32Array;
  /** [1] Not 0: a device keeps slots of the window, or would if there were more spare ones. Whoever receives calls `renew` first. */
  readonly worn: Int32Array;
  renew(): void;
  /** The first device that may keep slots calls this; it is told how many may be away until the next renewal. */
  keepSpares(told: (spares: number) => void): void;
  /** From now on every lane has the place that it had first: the kernel of capture files computes it. Throws while a device keeps one of them. */
  fix(): void;
}

/** In the shared info of DPDK at the begin of a slot, how many mbufs point into it; one more while it is home (native/dpdk, external.h). */
const REFERENCES_AT = 16;

/** A device of DPDK has mbufs that point into this slot. */
export function isAway(arena: Arena, slot: number): boolean {
  return arena.view.getUint16(slotStart(arena, slot) - HEADROOM - PREAMBLE + REFERENCES_AT, true) > 1;
}

export function createRxWindow(
  arena: Arena,
  state: SlotState,
  worker: number,
  pool: SlotPool,
  { rxAt, rxDatagramAt }: Pick<Outbox, 'rxAt' | 'rxDatagramAt'>,
): RxWindow {
  const { slots, starts } = fillWindow(arena, pool, LANES);
  const first = slots.slice();
  const holders = new Int32Array(state.holders);
  const worn = sharedInts(1);
  const begin = worker * slotsPerWorker(arena.shape);
  /** On no stack, and HOME: nobody holds them. */
  const spares: number[] = [];
  /** Slots that a device keeps, those that it kept when a former thread of this place ended among them. */
  const away: number[] = [];
  for (let slot = begin; slot < begin + slotsPerWorker(arena.shape); slot++)
    if (holders[slot] === WITH_DEVICE) away.push(slot);
  let isFixed = false;
  let tell: ((spares: number) => void) | null = null;

  function put(lane: number, slot: number): void {
    slots[lane] = slot;
    holders[slot] = worker + 1;
    starts[lane] = slotStart(arena, slot);
    rxAt[lane] = starts[lane];
    rxDatagramAt[lane] = starts[lane] - HEADROOM;
  }

  /** A slot has no place any more. */
  function leave(slot: number): void {
    const isKept = isAway(arena, slot);
    holders[slot] = isKept ? WITH_DEVICE : HOME;
    (isKept ? away : spares).push(slot);
  }

  function collect(): void {
    for (let k = away.length - 1; k >= 0; k--) {
      const slot = away[k];
      if (isAway(arena, slot)) continue;
      away.splice(k, 1);
      holders[slot] = HOME;
      if (tell === null) pool.give(slot);
      else spares.push(slot);
    }
  }

  for (let lane = 0; lane < LANES; lane++) put(lane, slots[lane]);
  collect();
  return {
    slots,
    starts,
    worn,
    renew() {
      worn[0] = 0;
      collect();
      // Never more than there are spare slots: native code copies what would be.
      for (let lane = 0; lane < LANES && spares.length > 0; lane++) {
        if (!isAway(arena, slots[lane])) continue;
        leave(slots[lane]);
        put(lane, spares.pop()!);
      }
      tell?.(spares.length);
    },
    keepSpares(told) {
      if (isFixed) return told(0);
      for (let n = tell === null ? pool.free() >> 1 : 0; n > 0; n--) {
        const slot = pool.take();
        holders[slot] = HOME;
        spares.push(slot);
      }
      tell = told;
      collect();
      told(spares.length);
    },
    fix() {
      if (isFixed) return;
      collect();
      if (first.some((slot) => isAway(arena, slot)))
        throw new WeftError(
          'WORKER',
          'a device of DPDK has not yet sent frames that lie where capture files are read to',
        );
      isFixed = true;
      for (let lane = 0; lane < LANES; lane++) if (slots[lane] !== first[lane]) leave(slots[lane]);
      for (let lane = 0; lane < LANES; lane++) {
        if (slots[lane] === first[lane]) continue;
        spares.splice(spares.indexOf(first[lane]), 1);
        put(lane, first[lane]);
      }
      for (const slot of spares.splice(0)) pool.give(slot);
      tell?.(0);
      tell = null;
    },
  };
}
