// The time of day jumps. It is written into captures and lines of the log, and decides nothing: ages, pauses and limits are of a monotonic clock.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

/** What tells the time of day, in TypeScript and Rust. */
const TIME_OF_DAY = /\bDate\.now\b|\bnew Date\b|\btimeOrigin\b|\bCLOCK_REALTIME\b|\bSystemTime\b|\bgettimeofday\b/;

const root = fileURLToPath(new URL('../..', import.meta.url));

function filesWithTimeOfDay(folder: string): string[] {
  return readdirSync(`${root}/${folder}`, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|rs)$/.test(name))
    .map((name) => `${folder}/${name}`)
    .filter((path) => TIME_OF_DAY.test(readFileSync(`${root}/${path}`, 'utf8')))
    .sort();
}

it('the time of day is written, and decides nothing', () => {
  expect([...filesWithTimeOfDay('native/tun/src'), ...filesWithTimeOfDay('src')]).toEqual([
    'src/cli/log.ts',
    'src/observe/capture.ts',
    'src/port/captureKernel.ts',
  ]);
});
