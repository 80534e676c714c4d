import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bindLearn } from '../../../src/forward/learn.js';
import { bindLookup } from '../../../src/forward/lookup.js';
import { flushMacs, macHash, macKey, setStatic } from '../../../src/forward/macTable.js';
import { createBurst, SUMMARY_EGRESS, sharedInts, TO_PEER, TO_PORT } from '../../../src/packet/burst.js';
import { type Clock, createClock } from '../../../src/packet/clock.js';
import { makeCounterBlock } from '../../../src/packet/counters.js';
import { instantiateEgress } from '../../../src/pipeline/egressKernel.js';
import { instantiateWalk } from '../../../src/pipeline/walkKernel.js';
import { idleKernel, makeKernelRig } from '../../rig/walkKernel.js';

/** Learn and lookup over a table of their own, with the kernel or without it. */
function makeSteps(hasKernel: boolean, clock: Clock) {
  const rig = makeKernelRig();
  const { burst, macTable, tables } = rig;
  const kernel = hasKernel ? rig.kernel : idleKernel(burst, macTable);
  macTable.limits.fill(8);
  tables.ageingSec.fill(20);
  const counters = new Float64Array(makeCounterBlock());
  const learn = bindLearn(burst, macTable, tables.ageingSec, clock, counters, kernel);
  const lookup = bindLookup(burst, macTable, clock, kernel, new Int32Array(2048));
  return {
    burst,
    macTable,
    counters,
    run(n: number) {
      kernel.prefetch(n);
      learn(n);
      lookup(n);
    },
  };
}

/** MACs whose probes begin in three neighbouring entries, and a few that do not. */
const macs = (() => {
  const out: { lo: number; hi: number }[] = [
    { lo: -1, hi: 0xffff },
    { lo: 0, hi: 0 },
    { lo: 0x00c28001, hi: 0 },
    { lo: 0x5e0001, hi: 9 },
    { lo: 0x1002, hi: 3 },
    { lo: 0x80000002 | 0, hi: 0x8003 },
  ];
  for (let n = 0; out.length < 14; n++) {
    const lo = 4 | (n << 8);
    if (macHash(lo, macKey(7, 1), 1023 * 4) >> 2 < 3) out.push({ lo, hi: 7 });
  }
  return out;
})();

const lane = fc.record({
  src: fc.nat(macs.length - 1),
  dst: fc.nat(macs.length - 1),
  network: fc.constantFrom(1, 1, 1, 2),
  origin: fc.constantFrom(TO_PORT | 1, TO_PORT | 2, TO_PEER | 1, TO_PEER | 2, 0),
  drop: fc.constantFrom(0, 0, 0, 0, 17),
});
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.array(lane, { minLength: 1, maxLength: 30 }).map((lanes) => ({ kind: 'burst' as const, lanes })),
  },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 25 }).map((seconds) => ({ kind: 'pass' as const, seconds })) },
  { weight: 1, arbitrary: fc.nat(macs.length - 1).map((mac) => ({ kind: 'static' as const, mac })) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(TO_PORT | 1, TO_PEER | 1).map((value) => ({ kind: 'flush' as const, value })),
  },
);

const bytesOf = (a: Int32Array | Float64Array) => Buffer.from(a.buffer, a.byteOffset, a.byteLength);
const sameBytes = (a: Int32Array | Float64Array, b: Int32Array | Float64Array) => bytesOf(a).equals(bytesOf(b));

describe('the kernel', () => {
  it('learns and looks up as the forms in TypeScript alone do, entry by entry', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const clock = createClock(100);
        const both = [makeSteps(true, clock), makeSteps(false, clock)];
        for (const s of steps) {
          if (s.kind === 'pass') clock.seconds += s.seconds;
          for (const side of both) {
            if (s.kind === 'static') setStatic(side.macTable, macs[s.mac].lo, macs[s.mac].hi, 1, TO_PORT | 2);
            else if (s.kind === 'flush') flushMacs(side.macTable, (e) => e.value === s.value, clock.seconds);
            else if (s.kind === 'burst') {
              const { burst } = side;
              // Lanes of one burst that disagree about a station are another matter: see forward/learn.ts.
              const originOf = new Map<string, number>();
              s.lanes.forEach((l, i) => {
                const station = `${l.network}/${l.src}`;
                originOf.set(station, originOf.get(station) ?? l.origin);
                burst.srcLo[i] = macs[l.src].lo;
                burst.srcHi[i] = macs[l.src].hi;
                burst.dstLo[i] = macs[l.dst].lo;
                burst.dstHi[i] = macs[l.dst].hi;
                burst.network[i] = l.network;
                burst.origin[i] = originOf.get(station) as number;
                burst.drop[i] = l.drop;
                burst.dst[i] = 999;
              });
              side.run(s.lanes.length);
            }
          }
          const [kernel, alone] = both;
          const n = s.kind === 'burst' ? s.lanes.length : 0;
          expect(Array.from(kernel.burst.drop.slice(0, n))).toEqual(Array.from(alone.burst.drop.slice(0, n)));
          const destinations = (side: typeof kernel) =>
            Array.from(side.burst.dst.slice(0, n), (dst, i) => (side.burst.drop[i] === 0 ? dst : -1));
          expect(destinations(kernel)).toEqual(destinations(alone));
          // Compared as bytes: an assertion over 230,400 doubles takes seconds.
          expect(sameBytes(kernel.macTable.entries, alone.macTable.entries)).toBe(true);
          expect(sameBytes(kernel.counters, alone.counters)).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('leaves nothing of what is known where it is, whatever its bits', () => {
    const { burst, macTable, kernel, tables } = makeKernelRig();
    tables.ageingSec.fill(20);
    const stations = [0x00000002, 0x7f000002, -0x7ffffffe, -2];
    stations.forEach((lo, i) => {
      setStatic(macTable, lo, 0xfff0 + i, 1, TO_PORT | 1);
      setStatic(macTable, lo, 0x7ff0 + i, 1, TO_PORT | 2);
      burst.srcLo[i] = lo;
      burst.srcHi[i] = 0xfff0 + i;
      burst.dstLo[i] = lo;
      burst.dstHi[i] = 0x7ff0 + i;
      burst.network[i] = 1;
      burst.origin[i] = TO_PORT | 1;
    });
    kernel.prefetch(4);
    expect([kernel.learn(4, 100), kernel.lookup(4, 100)]).toEqual([0, 0]);
    expect([...burst.dst.subarray(0, 4)]).toEqual(Array(4).fill(TO_PORT | 2));
    expect(burst.summary[SUMMARY_EGRESS]).toBe(2);
  });

  it('hashes as the table does', () => {
    const { burst, macTable, kernel } = makeKernelRig();
    macs.forEach(({ lo, hi }, i) => {
      burst.srcLo[i] = lo;
      burst.srcHi[i] = hi;
      burst.dstLo[i] = ~lo;
      burst.dstHi[i] = hi ^ 0xffff;
      burst.network[i] = i * 36;
    });
    kernel.prefetch(macs.length);
    macs.forEach(({ lo, hi }, i) => {
      expect(burst.srcEntry[i]).toBe(macHash(lo, macKey(hi, i * 36), macTable.entryMask));
      expect(burst.dstEntry[i]).toBe(macHash(~lo, macKey(hi ^ 0xffff, i * 36), macTable.entryMask));
    });
  });

  it('is not bound to columns outside of its arena, or in another order', () => {
    const { arena, burst, outbox, tables, macTable } = makeKernelRig();
    expect(() => instantiateWalk(arena, createBurst(sharedInts), tables, macTable)).toThrow(/outside of the arena/);
    const { slot, at, ...rest } = burst;
    expect(() => instantiateWalk(arena, { at, slot, ...rest }, tables, macTable)).toThrow(/not in its order/);
    const swapped = { ...outbox, msgCount: outbox.msgPackets };
    expect(() => instantiateEgress(arena, burst, swapped, tables)).toThrow(/not in its order/);
  });
});
