import { describe, expect, it } from 'vitest';
import * as Burst from '../../../src/packet/burst.js';

const {
  CSUM_VALID,
  createBurst,
  FROM_PEER,
  HAS_OPTIONS,
  HAS_VLAN,
  ID_MASK,
  IS_FRAGMENT,
  IS_TCP,
  IS_UDP,
  IS_V4,
  IS_V6,
} = Burst;

describe('a burst', () => {
  it('has 64 lanes in every column, all of one element kind in shared memory', () => {
    const { summary, ...columns } = createBurst();
    expect(summary).toBeInstanceOf(Int32Array);
    for (const [name, column] of Object.entries(columns)) {
      expect(column, name).toBeInstanceOf(Int32Array);
      expect(column.length, name).toBe(64);
      expect(column.buffer, name).toBeInstanceOf(SharedArrayBuffer);
    }
  });

  it('has flags of one bit each', () => {
    const flags = [
      IS_V4,
      IS_V6,
      IS_TCP,
      IS_UDP,
      IS_FRAGMENT,
      HAS_VLAN,
      Burst.NEEDS_CSUM,
      FROM_PEER,
      CSUM_VALID,
      HAS_OPTIONS,
    ];
    expect(flags.every((f) => f > 0 && (f & (f - 1)) === 0)).toBe(true);
    expect(new Set(flags).size).toBe(flags.length);
  });

  it('tells ports from peers in one word, positive, with the id in the rest', () => {
    const { TO_PORT, TO_PEER } = Burst;
    for (const id of [1, 1023, 2047]) {
      expect((TO_PORT | id) & ID_MASK).toBe(id);
      expect((TO_PEER | id) & ID_MASK).toBe(id);
      expect((TO_PORT | id) & TO_PEER).toBe(0);
      expect(TO_PEER | id).toBeGreaterThan(0);
    }
  });
});
