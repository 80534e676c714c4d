import { beforeEach, describe, expect, it } from 'vitest';
import { TO_PEER } from '../../../src/packet/burst.js';
import { createClock } from '../../../src/packet/clock.js';
import { DROP_REASONS } from '../../../src/packet/drop.js';
import * as Gre from '../../../src/tunnel/gre.js';
import { bindSequence, RESTART_SEC } from '../../../src/tunnel/greSequence.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { join, u32, udp } from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';

const ORDERED = 7;
const LOOSE = 8;
const lanes = makeLanes();
const { burst, arena } = lanes;
const clock = createClock(100);
const decap = Gre.bindDecap(arena, burst, lanes.kernel);
const order = bindSequence(arena, burst, clock);
const inner = udp({ payload: 20 });
order.configure(ORDERED, tunnelPlan('gre', 0, { sequence: true }));
order.configure(LOOSE, tunnelPlan('gre', 0));

/** A packet of RFC 2890 section 2, with a sequence number, or without for null. */
const numbered = (number: number | null) =>
  number === null ? join('00006558', inner) : join('10006558', u32(number), inner);

/** No two tests share a peer. */
let peer = 20;

function check(numbers: (number | null)[], network = ORDERED, origin = (_: number) => TO_PEER | peer): boolean[] {
  lanes.lay(numbers.map(numbered), { network });
  burst.tunnel.fill(3);
  numbers.forEach((_, i) => {
    burst.origin[i] = origin(i);
  });
  decap(numbers.length);
  order.check(numbers.length);
  return numbers.map((_, i) => {
    const { name } = DROP_REASONS[burst.drop[i]];
    expect(['none', 'tunnel-sequence']).toContain(name);
    return name === 'none';
  });
}

beforeEach(() => {
  peer++;
});

describe('sequence numbers', () => {
  it('go up, with gaps; old and repeated ones are dropped', () => {
    expect(check([0, 1, 2, 5, 3, 5, 6, 4, 7])).toEqual([true, true, true, true, false, false, true, false, true]);
    expect(check([7, 8])).toEqual([false, true]);
  });

  it('are compared modulo 2^32 (RFC 2890 section 2.2)', () => {
    expect(check([0xfffffffe, 0xffffffff, 0, 0xffffffff, 1])).toEqual([true, true, true, false, true]);
    expect(check([0x7fffffff, 0x80000000, 0x7fffffff])).toEqual([true, true, false]);
  });

  it('are old in a range of the last one and the 2^31 - 1 values before it', () => {
    const last = 0x90000000;
    for (const [number, isInOrder] of [
      [last, false],
      [last - 1, false],
      [last - (2 ** 31 - 1), false],
      [last - 2 ** 31, true],
      [last + 1, true],
      [last + (2 ** 31 - 1), true],
    ] as const) {
      peer++;
      expect(check([last, number % 2 ** 32]), `${number}`).toEqual([true, isInOrder]);
    }
  });

  it('begin anywhere, with what is heard first', () => {
    expect(check([0x90000000, 0x8fffffff])).toEqual([true, false]);
  });

  it('may be missing in between', () => {
    expect(check([5, null, 5, null, 6])).toEqual([true, true, false, true, true]);
  });

  it('are those of each peer', () => {
    const two = (i: number) => TO_PEER | (i % 2 === 0 ? 3 : 4);
    expect(check([9, 1, 9, 2, 8, 2, 10, 3], ORDERED, two)).toEqual([true, true, false, true, false, false, true, true]);
  });

  it('say nothing in networks that do not ask for order, and of peers that are not configured', () => {
    expect(check([5, 5, 4], LOOSE)).toEqual([true, true, true]);
    expect(check([5, 5, 4], ORDERED, () => 0)).toEqual([true, true, true]);
    order.configure(ORDERED + 2, tunnelPlan('gre', 0, { sequence: true }));
    order.configure(ORDERED + 2, null);
    expect(check([5, 5, 4], ORDERED + 2)).toEqual([true, true, true]);
  });

  it('begin again when a sender was started again', () => {
    expect(check([1000])).toEqual([true]);
    clock.seconds += RESTART_SEC - 1;
    expect(check([0, 1])).toEqual([false, false]);
    clock.seconds += 1;
    expect(check([2, 3, 2])).toEqual([true, true, false]);
  });

  it('of lanes that are dropped or of another kind do not count', () => {
    lanes.lay([numbered(9), numbered(9)], { network: ORDERED });
    burst.tunnel.fill(3);
    burst.origin.fill(TO_PEER | peer);
    decap(2);
    burst.drop[0] = 1;
    burst.tunnel[1] = 2;
    order.check(2);
    expect([burst.drop[0], burst.drop[1]]).toEqual([1, 0]);
    expect(check([1])).toEqual([true]);
  });
});
