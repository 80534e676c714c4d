// The real clock with a clock of the test's own: when packets go, counted by hand.
import { describe, expect, it } from 'vitest';
import type { CaptureInput } from '../../../src/port/captureInput.js';
import { type Source, sourceGate } from '../../../src/replay/merge.js';
import type { Pace } from '../../../src/replay/options.js';
import { createPacer } from '../../../src/replay/pacer.js';
import { type RealWorld, runReal } from '../../../src/replay/realRun.js';
import type { RunLimits } from '../../../src/replay/virtualRun.js';

/** Packets of 125 bytes, a thousand bits, at these microseconds. */
const BYTES = 125;

function fakeSource(micros: number[], log: (micros: number) => void): Source {
  const gate = sourceGate();
  let next = 0;
  let due = 0;
  const isAtEnd = () => next >= micros.length;
  const split = (t: number) => ({ seconds: Math.floor(t / 1e6), nanoseconds: (t % 1e6) * 1e3 });
  const input = {
    peek() {
      if (!isAtEnd()) due = Math.max(due, micros[next]);
      return !isAtEnd();
    },
    get seconds() {
      return split(due).seconds;
    },
    get nanoseconds() {
      return split(due).nanoseconds;
    },
    get isAtEnd() {
      return isAtEnd();
    },
    rewind() {
      next = 0;
      due = 0;
    },
  } as CaptureInput;
  return {
    input,
    gate,
    walk() {
      let n = 0;
      const bound = gate.boundSeconds * 1e6 + gate.boundNanoseconds / 1e3;
      while (n < gate.open() && input.peek() && due < bound) {
        log(due);
        next++;
        n++;
      }
      return n;
    },
  };
}

interface Sent {
  at: number;
  micros: number;
}

/** `costUs`: what a burst takes. */
function run(
  captures: number[][],
  pace: Pace,
  options: { loops?: number; limits?: Partial<RunLimits>; costUs?: number; oversleepUs?: number } = {},
) {
  const { loops = 1, limits = {}, costUs = 0, oversleepUs = 0 } = options;
  let now = 5_000_000;
  const start = now;
  const sent: Sent[] = [];
  const bytes = captures.map(() => 0);
  const sources = captures.map((micros, i) => {
    const source = fakeSource(micros, (due) => {
      sent.push({ at: now - start, micros: due });
      bytes[i] += BYTES;
    });
    return {
      ...source,
      walk() {
        const n = source.walk();
        now += costUs;
        return n;
      },
    };
  });
  const world: RealWorld = {
    nowUs: () => now,
    turn(sleepUs) {
      if (sleepUs > 0) now += Math.ceil(sleepUs) + oversleepUs;
    },
    bytesOf: (source) => bytes[source],
  };
  const end = runReal(sources, world, createPacer(pace), loops, { packets: 0, seconds: 0, ...limits }, () => false);
  return { sent, end, took: now - start };
}

const every = (micros: number, count: number, from = 1_000_000_000) =>
  Array.from({ length: count }, (_, i) => from + i * micros);

describe('original timing', () => {
  it('sends each packet when it is due, and not the one behind it', () => {
    const { sent } = run([[1e9, 1e9 + 3, 1e9 + 1000, 1e9 + 2_500_000]], {});
    expect(sent.map((s) => s.at)).toEqual([0, 3, 1000, 2_500_000]);
  });

  it('does not drift: what comes late does not make the next late', () => {
    const { sent } = run([every(1000, 500)], {}, { costUs: 300, oversleepUs: 200 });
    expect(sent.every(({ at }, i) => at >= i * 1000 && at <= i * 1000 + 600)).toBe(true);
  });

  it('is multiplied', () => {
    const { sent } = run([every(1000, 5)], { multiplier: 4 });
    expect(sent.map((s) => s.at)).toEqual([0, 250, 500, 750, 1000]);
  });

  it('merges captures', () => {
    const { sent } = run(
      [
        [100, 300],
        [200, 400],
      ],
      {},
    );
    expect(sent.map((s) => s.micros)).toEqual([100, 200, 300, 400]);
    expect(sent.map((s) => s.at)).toEqual([0, 100, 200, 300]);
  });

  it('begins again for each loop', () => {
    const { sent, end } = run([every(1000, 3)], {}, { loops: 3 });
    expect(sent.map((s) => s.at)).toEqual([0, 1000, 2000, 2000, 3000, 4000, 4000, 5000, 6000]);
    expect(end.stopped).toBe(false);
  });
});

describe('packets a second', () => {
  it('come at their rate, whatever their timestamps', () => {
    const { sent } = run([[5, 4, 3e9, 3e9, 7]], { pps: 1000 });
    expect(sent.map((s) => s.at)).toEqual([0, 1000, 2000, 3000, 4000]);
  });

  it('catch up in bursts when a turn took long', () => {
    const { sent, took } = run([every(1, 10_000)], { pps: 1_000_000 }, { costUs: 50 });
    expect(sent).toHaveLength(10_000);
    expect(took).toBeGreaterThanOrEqual(9_950);
    expect(took).toBeLessThan(10_200);
  });
});

it('bits a second: a million of them are a thousand packets of a thousand', () => {
  const { took, sent } = run([every(1, 5000)], { mbps: 1 });
  expect(sent).toHaveLength(5000);
  expect(took).toBeGreaterThanOrEqual(4_990_000);
  expect(took).toBeLessThanOrEqual(5_000_000);
});

it('top speed waits for nothing', () => {
  expect(run([every(1_000_000, 500)], { topspeed: true }).took).toBe(0);
});

describe('limits', () => {
  it('of packets and of seconds end a run that would go on for ever', () => {
    const forPackets = run([every(1000, 10)], {}, { loops: 0, limits: { packets: 25 } });
    expect([forPackets.sent.length, forPackets.end.stopped]).toEqual([25, true]);
    const forSeconds = run([every(1000, 10)], {}, { loops: 0, limits: { seconds: 0.5 } });
    expect(forSeconds.end.stopped).toBe(true);
    expect(forSeconds.took).toBe(500_000);
  });

  it('an empty capture is not read for ever', () => {
    expect(run([[]], {}, { loops: 0 }).sent).toEqual([]);
  });
});
