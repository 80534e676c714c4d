import { type Case, MANY, sink } from './cases.js';

export const CALIBRATION = 'calibration: multiply, xor, shift';

/** Work that no change of weft changes: other figures are read beside it. */
export function calibrationCase(): Case {
  return {
    name: CALIBRATION,
    operations: MANY,
    run() {
      let x = sink.value | 1;
      for (let i = 0; i < MANY; i++) {
        x = Math.imul(x, 0x9e3779b1) ^ i;
        x ^= x >>> 15;
      }
      sink.value = x;
    },
  };
}
