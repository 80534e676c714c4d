import { describe, expect, it } from 'vitest';
import { pinsOf } from '../../../../src/control/devices/pinning.js';
import { faultsOf } from '../faultsOf.js';

describe('pinning', () => {
  it('is none unless asked for, the allowed CPUs in turn, or a list', () => {
    expect(pinsOf({ pinning: 'none', workers: 2 } as never, [0, 1])).toBeUndefined();
    expect(pinsOf({ pinning: 'auto', workers: 3 } as never, [2, 5])).toEqual([2, 5, 2]);
    expect(pinsOf({ pinning: [5, 2, 2], workers: 2 } as never, [2, 5])).toEqual([5, 2]);
  });

  it('to a CPU that is not allowed is refused, with those that are', () => {
    expect(() => pinsOf({ pinning: [0, 7], workers: 2 } as never, [0, 1])).toThrow(
      expect.objectContaining({
        code: 'CONFIG',
        message: 'node.pinning: weft may not run on CPU 7',
        remedy: expect.stringContaining('0, 1'),
      }),
    );
  });

  it('by a list needs a CPU for each worker', () => {
    expect(faultsOf({ vni: 7 }, { node: { workers: 2, pinning: [1] } })).toEqual([
      'node.pinning: 1 CPU for 2 workers (name a CPU for each worker, or give `auto`)',
    ]);
    expect(faultsOf({ vni: 7 }, { node: { workers: 2, pinning: [1, 1] } })).toEqual([]);
    expect(faultsOf({ vni: 7 }, { node: { pinning: 'all' } })[0]).toMatch(/^node.pinning/);
    expect(faultsOf({ vni: 7 }, { node: { pinning: [-1] } })[0]).toMatch(/^node.pinning/);
  });
});
