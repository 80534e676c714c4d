/**
 * Judges a replay: its outputs against captures that were expected, its report against counters that were expected.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { WeftError } from '../packet/error.js';
import { type CompareOptions, type Comparison, compareCaptures } from './compare.js';
import type { ReplayReport } from './options.js';

export interface Expectation extends CompareOptions {
  /** A capture, or a folder with one for each output of the same name. */
  capture?: string;
  /** A JSON file with a part of a report: every value in it must be that of the report. */
  counters?: string;
}

export interface Verdict {
  ok: boolean;
  captures: Comparison[];
  counters: CounterDifference[];
  /** Values of the report that were looked at. */
  countersCompared: number;
}

export interface CounterDifference {
  /** `ports.web.rxPackets` */
  path: string;
  actual: unknown;
  expected: unknown;
}

/** Figures that no two runs have in common, and names of files, which are those of a machine. */
const VOLATILE = new Set(['seconds', 'mpps', 'file', 'verdict']);

/** Throws a WeftError when an expected file cannot be read. */
export async function judge(report: ReplayReport, expectation: Expectation): Promise<Verdict> {
  const pairs = expectation.capture === undefined ? [] : await capturePairs(report, expectation.capture);
  const captures: Comparison[] = [];
  for (const [actual, expected] of pairs) captures.push(await compareCaptures(actual, expected, expectation));
  const expected = expectation.counters === undefined ? {} : await readJson(expectation.counters);
  const { differences, compared } = compareCounters(report, expected);
  const ok = captures.every((comparison) => comparison.ok) && differences.length === 0;
  return { ok, captures, counters: differences, countersCompared: compared };
}

/** Which output is compared with which expected file. */
async function capturePairs(report: ReplayReport, expected: string): Promise<[actual: string, expected: string][]> {
  const outputs = [...new Set(report.outputs.map((output) => output.file))];
  if (!(await isFolder(expected))) {
    if (outputs.length === 1) return [[outputs[0], expected]];
    throw new WeftError('USAGE', `${expected} is one capture, and the replay wrote ${outputs.length}`, {
      object: expected,
      remedy: 'Write one output, or name a folder with a capture for each.',
    });
  }
  const names = (await readdir(expected)).filter((name) => /\.pcap(ng)?$/.test(name)).sort();
  const written = new Set(outputs.map((output) => basename(output)));
  const missing = names.find((name) => !written.has(name));
  if (missing !== undefined)
    throw new WeftError('CAPTURE', `the replay wrote no ${missing}, which ${expected} has`, { object: missing });
  // An output that nobody expected is compared as well: its file is missing, and the error names it.
  return outputs.map((output) => [output, join(expected, basename(output))]);
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() ?? false;
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    const message = (cause as Error).message.replace(/, (open|read).*$/, '');
    throw new WeftError('USAGE', `${path} cannot be read as JSON: ${message}`, { object: path, cause });
  }
}

/**
 * Every value of `expected` against that of the report at the same path. A counter that a report leaves out is 0. Entries of a list are
 * found by their `name` or `device`, where they have one, and by their place otherwise.
 */
export function compareCounters(
  report: unknown,
  expected: unknown,
): { differences: CounterDifference[]; compared: number } {
  const differences: CounterDifference[] = [];
  let compared = 0;
  function walk(path: string, actual: unknown, wanted: unknown): void {
    if (typeof wanted === 'object' && wanted !== null) {
      for (const [key, value] of entries(wanted)) {
        if (VOLATILE.has(key)) continue;
        walk(path === '' ? key : `${path}.${key}`, valueAt(actual, key), value);
      }
      return;
    }
    compared++;
    const isSame = actual === wanted || (actual === undefined && wanted === 0);
    if (!isSame) differences.push({ path, actual, expected: wanted });
  }
  walk('', report, expected);
  return { differences, compared };
}

function entries(value: object): [string, unknown][] {
  if (!Array.isArray(value)) return Object.entries(value);
  return value.map((item, i) => [nameOf(item) ?? String(i), item]);
}

function valueAt(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return entries(value).find(([name]) => name === key)?.[1];
}

function nameOf(item: unknown): string | undefined {
  if (typeof item !== 'object' || item === null) return undefined;
  const { name, device } = item as { name?: unknown; device?: unknown };
  return typeof name === 'string' ? name : typeof device === 'string' ? device : undefined;
}
