/**
 * A matcher for vitest, as the package entry `weft/vitest`:
 *
 * ```ts
 * import 'weft/vitest';
 * import { replay } from 'weft';
 *
 * await expect(replay({ config, inputs: [{ file: 'in.pcap' }], out: 'out.pcapng' })).toMatchCapture('golden.pcapng', {
 *   ignore: ['ip.id'],
 * });
 * ```
 *
 * A report with several outputs is compared with a folder that has a capture for each. A string is the path of a capture.
 */
import { expect } from 'vitest';
import type { CompareOptions } from './replay/compare.js';
import { comparisonText } from './replay/comparisonText.js';
import type { ReplayReport } from './replay/options.js';
import { totals } from './replay/report.js';
import { judge } from './replay/verdict.js';

export type { CompareOptions } from './replay/compare.js';

declare module 'vitest' {
  // biome-ignore lint/suspicious/noExplicitAny: the declaration that is extended says any
  interface Matchers<T = any> {
    /** The packets that a replay wrote, or those of a capture file, are those of the expected capture. */
    toMatchCapture(expected: string, options?: CompareOptions): Promise<void>;
  }
}

/** What `expect` was given: a report, the promise of one, or the path of a capture. */
type Received = ReplayReport | string | PromiseLike<ReplayReport | string>;

export async function toMatchCapture(received: Received, expected: string, options: CompareOptions = {}) {
  const value = await received;
  const report = typeof value === 'string' ? outputOf(value) : value;
  const problem = problemOf(report);
  // Thrown, so that it fails under `.not` too.
  if (problem !== null) throw new Error(problem);
  const verdict = await judge(report, { ...options, capture: expected });
  const failed = verdict.captures.filter((comparison) => !comparison.ok);
  return {
    pass: verdict.ok,
    message: () =>
      verdict.ok ? `expected the packets not to be those of ${expected}` : failed.map(comparisonText).join('\n\n'),
  };
}

/** Why there is nothing to compare, or nothing that could be trusted. */
function problemOf(report: ReplayReport): string | null {
  if (!Array.isArray(report?.outputs)) return 'expected a report of replay(), or the path of a capture';
  const damaged = report.inputs.find(({ error }) => error !== null);
  if (damaged) return `${damaged.file} is damaged: ${damaged.error}`;
  if (!totals(report).addUp) return 'the totals of the replay do not add up';
  return report.outputs.length > 0 ? null : 'the replay wrote no capture: give it `out` or `outDir`';
}

/** A capture that is there, as the report of a replay that wrote it. */
function outputOf(file: string): ReplayReport {
  return {
    version: 1,
    inputs: [],
    read: 0,
    received: 0,
    forwarded: 0,
    written: 0,
    unwritten: 0,
    dropped: {},
    copied: 0,
    made: 0,
    consumed: 0,
    held: 0,
    outputs: [{ file, device: '', packets: 0, bytes: 0 }],
    ports: [],
    underlays: [],
    flows: 0,
    flowsAreMore: false,
    captureSeconds: 0,
    seconds: 0,
    mpps: 0,
    stopped: false,
  };
}

expect.extend({ toMatchCapture });
