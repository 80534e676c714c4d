import type { Scenario } from './scenario.js';

/** Work that no change of weft changes: what moves these figures is the machine, and it moves the others too. */
export interface Calibration {
  /** Nanoseconds for one round of a dependent multiply, shift and xor. */
  integerNs: number;
  /** Nanoseconds to read the first two words of a staged frame and write one into the line before it. */
  touchNs: number;
  /** Nanoseconds to sum all bytes of a staged frame: what reading it costs at all. */
  sumNs: number;
}

const INTEGER_ROUNDS = 1 << 22;
const TOUCH_LAPS = 20;
const SUM_LAPS = 5;

function integerLoop(rounds: number): number {
  let x = 0x2545f491;
  for (let i = 0; i < rounds; i++) {
    x = Math.imul(x, 0x9e3779b1) ^ i;
    x ^= x >>> 15;
  }
  return x;
}

function touchLoop(words: Int32Array, staged: Int32Array): number {
  let sum = 0;
  for (let k = 0; k < staged.length; k++) {
    const w = staged[k] >> 2;
    sum = (sum + words[w] + words[w + 1]) | 0;
    words[w - 14] = sum;
  }
  return sum;
}

function sumLoop(kernelSum: (at: number, len: number) => number, staged: Int32Array, bytes: number): number {
  let sum = 0;
  for (let k = 0; k < staged.length; k++) sum ^= kernelSum(staged[k], bytes);
  return sum;
}

/** Keeps the loops' results alive, so that no compiler leaves them out. */
export const sink = { value: 0 };

export function calibrate(scenario: Scenario, time: (work: () => void) => number): Calibration {
  const { words } = scenario.pipeline.arena;
  const { staged } = scenario;
  const integerNs = time(() => {
    sink.value ^= integerLoop(INTEGER_ROUNDS);
  });
  const touchNs = time(() => {
    for (let lap = 0; lap < TOUCH_LAPS; lap++) sink.value ^= touchLoop(words, staged);
  });
  const { kernel } = scenario.pipeline;
  const sumNs = time(() => {
    for (let lap = 0; lap < SUM_LAPS; lap++) sink.value ^= sumLoop(kernel.sum, staged, scenario.stagedBytes);
  });
  return {
    integerNs: integerNs / INTEGER_ROUNDS,
    touchNs: touchNs / (TOUCH_LAPS * staged.length),
    sumNs: sumNs / (SUM_LAPS * staged.length),
  };
}
