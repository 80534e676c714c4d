import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPathProbe, type PathProbe } from '../../../../src/control/peers/pathProbe.js';

const LIMITS = { floor: 576, full: 1500 };
const WAIT = 200;

interface Path {
  /** Largest packet that passes. */
  takes: number;
  /** Whether the n-th heartbeat is lost whatever its size. */
  loses?: (n: number) => boolean;
}

/** Runs a probe over a path from `from` to `to`; what it sent, and what it found. */
function run(probe: PathProbe, path: Path, from: number, to: number) {
  const sizes: number[] = [];
  const found: (number | 'whole')[] = [];
  let n = 0;
  for (let now = from; now < to; now += 50) {
    const size = probe.next(now, WAIT);
    if (size !== null) {
      sizes.push(size);
      // The answers come before the next look; the small one may come first.
      if (!path.loses?.(n++)) probe.noteAnswer(false, now + 2);
      if (size <= path.takes && !path.loses?.(n++)) probe.noteAnswer(true, now + 3);
    }
    const result = probe.take();
    if (result !== null) found.push(result.kind === 'whole' ? 'whole' : result.bytes);
  }
  return { sizes, found };
}

describe('a path that takes full packets', () => {
  it('costs one pair every ten minutes', () => {
    const probe = createPathProbe(LIMITS, 0);
    const { sizes, found } = run(probe, { takes: 1500 }, 0, 1_300_000);
    expect([sizes, found, probe.hole]).toEqual([[1500, 1500, 1500], ['whole', 'whole', 'whole'], null]);
  });

  it('may lose two of three', () => {
    const probe = createPathProbe(LIMITS, 0);
    let n = 0;
    // The padded one of the first two pairs.
    const { found } = run(probe, { takes: 1500, loses: () => [1, 3].includes(n++) }, 0, 60_000);
    expect(found).toEqual(['whole']);
  });

  it('is looked at when told to', () => {
    const probe = createPathProbe(LIMITS, 5000);
    expect(run(probe, { takes: 1500 }, 0, 5000).sizes).toEqual([]);
    expect(run(probe, { takes: 1500 }, 5000, 6000).sizes).toEqual([1500]);
  });
});

describe('a hole', () => {
  it('is found to the byte', () => {
    fc.assert(
      fc.property(fc.integer({ min: 576, max: 1499 }), (takes) => {
        const probe = createPathProbe(LIMITS, 0);
        const { sizes, found } = run(probe, { takes }, 0, 60_000);
        expect(found).toEqual([takes]);
        expect(probe.hole).toBe(takes);
        // Three tries of the full size, then at most two of ten sizes.
        expect(sizes.slice(0, 3)).toEqual([1500, 1500, 1500]);
        expect(sizes.length).toBeLessThanOrEqual(3 + 20);
      }),
    );
  });

  it('is found in seconds', () => {
    const probe = createPathProbe(LIMITS, 0);
    expect(run(probe, { takes: 1400 }, 0, 4000).found).toEqual([1400]);
  });

  it('below what every path takes is none of ours', () => {
    const probe = createPathProbe(LIMITS, 0);
    expect(run(probe, { takes: 300 }, 0, 60_000).found).toEqual([576]);
  });

  it('that stays is looked at with four sizes at most, every five minutes', () => {
    const probe = createPathProbe(LIMITS, 0);
    run(probe, { takes: 1400 }, 0, 290_000);
    const { sizes, found } = run(probe, { takes: 1400 }, 290_000, 320_000);
    expect(found).toEqual([1400]);
    expect(sizes).toEqual([1500, 1500, 1500, 1400, 1401, 1401]);
  });

  it('that is gone, is larger or smaller is seen then', () => {
    for (const [takes, expected] of [
      [1500, 'whole'],
      [1450, 1450],
      [1300, 1300],
    ] as const) {
      const probe = createPathProbe(LIMITS, 0);
      run(probe, { takes: 1400 }, 0, 290_000);
      expect(run(probe, { takes }, 290_000, 320_000).found, `${takes}`).toEqual([expected]);
      expect(probe.hole).toBe(expected === 'whole' ? null : expected);
    }
  });
});

it('a path that loses everything for a while has no hole', () => {
  const probe = createPathProbe(LIMITS, 0);
  expect(run(probe, { takes: 1500, loses: () => true }, 0, 20_000).found).toEqual([]);
  expect(run(probe, { takes: 1500 }, 20_000, 60_000).found).toEqual(['whole']);
});

it('a path that loses a third of all packets is not taken for a hole more than it must', () => {
  const probe = createPathProbe(LIMITS, 0);
  const { found } = run(probe, { takes: 1500, loses: (n) => n % 3 === 2 }, 0, 60_000);
  expect(found).toEqual(['whole']);
});

it('what the kernel refuses is not waited for', () => {
  const probe = createPathProbe(LIMITS, 0);
  const sizes: number[] = [];
  for (let now = 0; probe.hole === null; now += 50) {
    const size = probe.next(now, WAIT)!;
    sizes.push(size);
    if (size > 1400) probe.noteRefused(now);
    else probe.noteAnswer(true, now);
  }
  expect(probe.hole).toBe(1400);
  expect(sizes.length).toBeLessThanOrEqual(11);
});

it('answers that come late change nothing', () => {
  const probe = createPathProbe(LIMITS, 0);
  probe.noteAnswer(true, 0);
  probe.noteRefused(0);
  expect([probe.hole, probe.take()]).toEqual([null, null]);
});
