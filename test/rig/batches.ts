// Random input through the whole walk, batch by batch, with a fresh rig now and then.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Rig } from './pipeline.js';
import { fuzzSeed, makeRandom, type Random } from './random.js';

/** Seconds for each kind of input. */
const SECONDS = 6;
const BATCHES_MIN = 50;
const BATCHES_A_RIG = 40;

/** Memory that belongs to nobody here, or to a capture that is not running. */
function checkMemory(rig: Rig): void {
  const { bytes, words, partitions } = rig.pipeline.arena;
  expect(
    bytes.subarray(0, 65536).every((b) => b === 0),
    'page 0',
  ).toBe(true);
  if (rig.pipeline.capture.key < 0) expect(words[partitions[0].captureAt >> 2], 'the capture ring').toBe(0);
}

/**
 * Makes the `fuzz` of a test file. A test of it runs batches until the time is over; a failure names the seed and the batch. What a batch
 * returns is given to `check`.
 */
export function fuzzWith(makeRig: (r: Random) => Rig, check: (rig: Rig, longest: number) => void) {
  const seed = fuzzSeed();
  let batches = 0;
  beforeAll(() => console.log(`seed ${seed}: WEFT_FUZZ_SEED=${seed} repeats this run`));
  afterAll(() => console.log(`${batches} batches`));
  return function fuzz(name: string, batch: (r: Random, rig: Rig) => number): void {
    it(name, () => {
      const until = performance.now() + SECONDS * 1000;
      const r = makeRandom(seed ^ name.length);
      let rig = makeRig(r);
      for (let n = 0; n < BATCHES_MIN || performance.now() < until; n++, batches++) {
        try {
          if (n % BATCHES_A_RIG === BATCHES_A_RIG - 1) {
            checkMemory(rig);
            rig = makeRig(r);
          }
          check(rig, batch(r, rig));
          rig.check();
        } catch (error) {
          throw new Error(`seed ${seed}, ${name}, batch ${n}: ${(error as Error).message}`, { cause: error });
        }
      }
      checkMemory(rig);
    });
  };
}
