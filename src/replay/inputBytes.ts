import { statSync } from 'node:fs';
import type { ReplayInput } from './options.js';

/** Bytes of all inputs together; null while one of them is no file, or is not there. */
export function totalBytes(inputs: readonly ReplayInput[]): number | null {
  let sum = 0;
  for (const { file } of inputs) {
    if (file === '-') return null;
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat === undefined || !stat.isFile()) return null;
    sum += stat.size;
  }
  return sum;
}
