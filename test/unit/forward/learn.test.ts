import { beforeEach, describe, expect, it } from 'vitest';
import { bindLearn } from '../../../src/forward/learn.js';
import { forEachMac, macHash, macKey, setStatic, tryLock, unlock } from '../../../src/forward/macTable.js';
import { TO_PEER, TO_PORT } from '../../../src/packet/burst.js';
import { createClock } from '../../../src/packet/clock.js';
import { LEARN_REFUSED, MAC_MOVES, makeCounterBlock, NETWORK_ROW, ROW_WIDTH } from '../../../src/packet/counters.js';
import { DROP } from '../../../src/packet/drop.js';
import { macWords, stationMac } from '../../rig/frames.js';
import { makeKernelRig } from '../../rig/walkKernel.js';

const { burst, tables, macTable: table, kernel } = makeKernelRig();
const clock = createClock(100);
const { ageingSec } = tables;
ageingSec.fill(300);
const counters = new Float64Array(makeCounterBlock());
const step = bindLearn(burst, table, ageingSec, clock, counters, kernel);
/** The step with the hashing that comes before it. */
const learn = (n: number) => {
  kernel.prefetch(n);
  step(n);
};

beforeEach(() => {
  clock.seconds = 100;
  for (const part of [table.entries, table.counts, table.control, table.moves]) part.fill(0);
  table.limits.fill(50);
  counters.fill(0);
});

interface Lane {
  src: ArrayLike<number>;
  origin: number;
  network?: number;
  drop?: number;
}

/** Learns the lanes of a burst; returns their drop reasons. */
function run(...lanes: Lane[]): number[] {
  lanes.forEach(({ src, origin, network = 1, drop = 0 }, i) => {
    const { lo, hi } = macWords(src);
    burst.srcLo[i] = lo;
    burst.srcHi[i] = hi;
    burst.srcEntry[i] = macHash(lo, macKey(hi, network), table.entryMask);
    burst.origin[i] = origin;
    burst.network[i] = network;
    burst.drop[i] = drop;
  });
  learn(lanes.length);
  return Array.from(burst.drop.slice(0, lanes.length));
}

function known(): Record<string, [value: number, expiresInSec: number]> {
  const out: Record<string, [number, number]> = {};
  forEachMac(table, clock.seconds, false, (e) => {
    out[`${e.network}/${(e.lo >>> 0).toString(16)}/${e.hi.toString(16)}`] = [e.value, e.expiresInSec];
  });
  return out;
}

// 02:00:00:00:00:05 as words.
const FIVE = '1/2/500';

describe('the learn step', () => {
  it('learns where a MAC is, so that the next lane of the same burst already refreshes it', () => {
    run({ src: stationMac(5), origin: TO_PORT | 1 }, { src: stationMac(5), origin: TO_PORT | 1 });
    expect(known()).toEqual({ [FIVE]: [TO_PORT | 1, 300] });
  });

  it('refreshes once a second', () => {
    run({ src: stationMac(5), origin: TO_PORT | 1 });
    clock.seconds += 7;
    expect(known()[FIVE]).toEqual([TO_PORT | 1, 293]);
    run({ src: stationMac(5), origin: TO_PORT | 1 });
    expect(known()[FIVE]).toEqual([TO_PORT | 1, 300]);
  });

  it('takes no lock for what is known where it is', () => {
    run({ src: stationMac(5), origin: TO_PORT | 1 });
    const other = { ...table, holder: 3 };
    tryLock(other);
    expect(run({ src: stationMac(5), origin: TO_PORT | 1 })).toEqual([0]);
    unlock(other);
  });

  it('lets a frame go on that it could not learn because the table was busy', () => {
    const other = { ...table, holder: 3 };
    tryLock(other);
    expect(run({ src: stationMac(5), origin: TO_PORT | 1 })).toEqual([0]);
    expect(known()).toEqual({});
    unlock(other);
    run({ src: stationMac(5), origin: TO_PORT | 1 });
    expect(Object.keys(known())).toEqual([FIVE]);
  });

  it('follows a station that moves, and counts the move at its network', () => {
    run({ src: stationMac(5), origin: TO_PORT | 1 });
    run({ src: stationMac(5), origin: TO_PEER | 3 });
    expect(known()).toEqual({ [FIVE]: [TO_PEER | 3, 300] });
    expect(counters[(NETWORK_ROW + 1) * ROW_WIDTH + MAC_MOVES]).toBe(1);
  });

  it('drops frames of a MAC that flaps', () => {
    const origins = [1, 2, 1, 2, 1, 2, 1].map((port) => TO_PORT | port);
    const drops = run(...origins.map((origin) => ({ src: stationMac(5), origin })));
    // First sight and four moves; the fifth holds it at port 1, where frames still pass.
    expect(drops).toEqual([0, 0, 0, 0, 0, DROP['mac-flap'], 0]);
    expect(known()[FIVE][0]).toBe(TO_PORT | 1);
  });

  it('drops frames of a MAC that is configured elsewhere', () => {
    const { lo, hi } = macWords(stationMac(5));
    setStatic(table, lo, hi, 1, TO_PORT | 2);
    expect(run({ src: stationMac(5), origin: TO_PORT | 1 })).toEqual([DROP['static-mac']]);
    expect(run({ src: stationMac(5), origin: TO_PORT | 2 })).toEqual([0]);
    expect(known()[FIVE]).toEqual([TO_PORT | 2, Number.POSITIVE_INFINITY]);
  });

  it('drops frames from no station: multicast and zero', () => {
    const zero = new Uint8Array(6);
    const group = Uint8Array.of(0x03, 0, 0, 0, 0, 1);
    const broadcast = new Uint8Array(6).fill(255);
    const bad = [zero, group, broadcast].map((src) => ({ src, origin: TO_PORT | 1 }));
    expect(run(...bad)).toEqual([DROP['invalid-source'], DROP['invalid-source'], DROP['invalid-source']]);
    expect(run({ src: zero, origin: 0 })).toEqual([DROP['invalid-source']]);
    expect(run({ src: Uint8Array.of(0, 0, 0, 0, 0, 1), origin: TO_PORT | 1 })).toEqual([0]);
    expect(Object.keys(known())).toEqual(['1/0/100']);
  });

  it('learns nothing from lanes that are dropped already, nor from strangers', () => {
    run({ src: stationMac(5), origin: TO_PORT | 1, drop: DROP['bad-offload'] }, { src: stationMac(6), origin: 0 });
    expect(known()).toEqual({});
    expect(burst.drop[0]).toBe(DROP['bad-offload']);
  });

  it('keeps networks apart, with their own ageing', () => {
    ageingSec[2] = 20;
    run({ src: stationMac(5), origin: TO_PORT | 1 }, { src: stationMac(5), origin: TO_PORT | 2, network: 2 });
    expect(known()).toEqual({ [FIVE]: [TO_PORT | 1, 300], '2/2/500': [TO_PORT | 2, 20] });
    ageingSec[2] = 300;
  });

  it('counts what a full network could not learn, and lets the frames go on', () => {
    table.limits[1] = 2;
    const lanes = [1, 2, 3, 4].map((n) => ({ src: stationMac(n), origin: TO_PORT | 1 }));
    expect(run(...lanes)).toEqual([0, 0, 0, 0]);
    expect(Object.keys(known())).toHaveLength(2);
    expect(counters[(NETWORK_ROW + 1) * ROW_WIDTH + LEARN_REFUSED]).toBe(2);
  });
});
