import { describe, expect, it } from 'vitest';
import { DEFAULT_SHAPE, LARGE_STRIDE } from '../../../src/packet/arena.js';
import { shapeWithinReach } from '../../../src/worker/nodeMemory.js';

/** Three places of 8,192 large slots are 1.6 GB: 8,192 of DPDK's beside them are past 2^31 bytes, beside two they are not. */
const LARGE = 8192;
const shapeOf = (largeSlots: number, isSpare: boolean) =>
  shapeWithinReach(2, { ...DEFAULT_SHAPE, largeSlots, dpdkSlots: { small: 512, large: LARGE, isSpare } });

describe('the memory of a node with two workers', () => {
  it('has a place for a spare thread and slots of DPDK while positions stay below 2^31', () => {
    expect(4 * LARGE * LARGE_STRIDE).toBeGreaterThan(2 ** 31);
    const { workers, dpdkSlots } = shapeOf(72, true);
    expect([workers, dpdkSlots?.large]).toEqual([3, LARGE]);
  });

  it('goes without slots of DPDK that no device needs yet before it goes without the place', () => {
    const { workers, dpdkSlots } = shapeOf(LARGE, true);
    expect([workers, dpdkSlots]).toEqual([3, undefined]);
  });

  it('goes without the place before it goes without slots of DPDK that a device needs', () => {
    const { workers, dpdkSlots } = shapeOf(LARGE, false);
    expect([workers, dpdkSlots?.large]).toEqual([2, LARGE]);
  });
});
