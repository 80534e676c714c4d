import { describe, expect, it } from 'vitest';
import { bytesPerPacket, stepTimes } from '../../../../bench/dpdk/steps.js';

describe('steps of a worker', () => {
  it('are what the native calls and kernels took, and what is left of the turn', () => {
    const ns = {
      rx: 20,
      outer: 8,
      decap: 3,
      admit: 1,
      parse: 5,
      prefetch: 2,
      learn: 3,
      lookup: 4,
      hand: 1,
      tx: 9,
      release: 1,
    };
    const times = stepTimes({ wholeNs: 60, ns, heap: [] });
    expect([...times].sort()).toEqual([
      ['all', 60],
      ['decap', 12],
      ['forward', 9],
      ['parse', 5],
      ['rx', 20],
      ['the rest of the turn', 3],
      ['tx', 11],
    ]);
  });

  it('of a kernel that does several are what each end of it takes longer', () => {
    const ns = { rx: 20, straight: 30, 'up to parse': 12, 'up to forward': 22, parse: 0.5, encap: 0.25 };
    const times = stepTimes({ wholeNs: 60, ns, heap: [] });
    expect(times.get('parse')).toBe(12.5);
    expect(times.get('forward')).toBe(10);
    expect(times.get('encap')).toBe(8.25);
    expect(times.get('the rest of the turn')).toBe(60 - 20 - 30.75);
  });

  it('of the short way in begin with decap and end with messages', () => {
    const ns = { rx: 20, inward: 30, 'up to parse': 12, 'up to forward': 22, head: 0.5, tx: 9 };
    const times = stepTimes({ wholeNs: 60, ns, heap: [] });
    expect(times.get('decap and parse')).toBe(12);
    expect(times.get('forward')).toBe(10);
    expect(times.get('tx')).toBe(17);
  });

  it('are told from collections by a heap that grows', () => {
    const heap = [300, 500, 250, 850, 950].map((bytes, k) => ({ bytes, packets: 100 * k }));
    // 2, a collection, 6 and 1.
    expect(bytesPerPacket({ wholeNs: 0, ns: {}, heap })).toBe(1);
  });
});
