import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createBurst, LANES, sharedInts, TO_PEER } from '../../../src/packet/burst.js';
import { bindByOuterFlow } from '../../../src/pipeline/outerFlows.js';

const SOCKETS = 16;

it('gives every lane once, each outer flow in its order and, where they are few, in one piece', () => {
  const burst = createBurst(sharedInts);
  const byOuterFlow = bindByOuterFlow(burst);
  const lane = fc.record({
    peer: fc.integer({ min: 1, max: 3 }),
    flow: fc.constantFrom(3, 0x4000_0000, -1, -0x7000_0000),
  });
  fc.assert(
    fc.property(fc.array(lane, { minLength: 1, maxLength: LANES }), (lanes) => {
      const list = sharedInts(LANES);
      lanes.forEach(({ peer, flow }, k) => {
        // Backwards: a list need not be the burst.
        const i = LANES - 1 - k;
        list[k] = i;
        burst.dst[i] = TO_PEER | peer;
        burst.flow[i] = flow;
      });
      const given = Array.from(list.subarray(0, lanes.length));
      const taken = Array.from(byOuterFlow(list, lanes.length, SOCKETS).subarray(0, lanes.length));
      expect(taken.toSorted((a, b) => a - b)).toEqual(given.toSorted((a, b) => a - b));
      const keyOf = (i: number) => `${burst.dst[i]} ${burst.flow[i]}`;
      const pieces = taken.filter((i, k) => k === 0 || keyOf(i) !== keyOf(taken[k - 1])).map(keyOf);
      expect(pieces).toEqual([...new Set(pieces)]);
      for (const key of pieces)
        expect(taken.filter((i) => keyOf(i) === key)).toEqual(given.filter((i) => keyOf(i) === key));
    }),
  );
});
