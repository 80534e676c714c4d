import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must, sleep } from '../../dist/cli/lab/commands.js';
import { quantile } from '../report/statistics.js';
import type { ProbeSettings } from './stepProbe.js';

/** What stepProbe.ts found in a worker. */
export interface Probed {
  /** Nanoseconds a packet: of whole turns, and of every native call and kernel by name. */
  wholeNs: number;
  ns: Record<string, number>;
  /** Of the V8 heap of the thread, and packets so far, at each look. */
  heap: { bytes: number; packets: number }[];
}

export const STEPS = [
  'rx',
  'decap',
  'parse',
  'decap and parse',
  'forward',
  'encap',
  'tx',
  'the rest of the turn',
  'all',
] as const;
export type Step = (typeof STEPS)[number];

/** Of native calls and kernels. Messages are made by `hand` and `sentAlike` where nothing is encapsulated. */
const STEP_OF: Record<string, Step> = {
  rx: 'rx',
  outer: 'decap',
  decap: 'decap',
  admit: 'decap',
  head: 'decap',
  parse: 'parse',
  arriveFrom: 'parse',
  prefetch: 'forward',
  learn: 'forward',
  lookup: 'forward',
  encap: 'encap',
  writeHeaders: 'encap',
  hand: 'tx',
  sentAlike: 'tx',
  tx: 'tx',
  release: 'tx',
};
/** The short way's kernels: several steps in one. What each begins and ends with. */
export const SHORT: Record<string, [Step, Step]> = { straight: ['parse', 'encap'], inward: ['decap and parse', 'tx'] };
/** Those of them that end after parse, and after forward. */
export const UP_TO_PARSE = 'up to parse';
export const UP_TO_FORWARD = 'up to forward';

/** Nanoseconds a packet of each step that took any. */
export function stepTimes({ wholeNs, ns }: Probed): Map<Step, number> {
  const times = new Map<Step, number>();
  const add = (step: Step, more: number) => times.set(step, (times.get(step) ?? 0) + more);
  for (const [name, took] of Object.entries(ns)) {
    if (SHORT[name] !== undefined) {
      const [first, last] = SHORT[name];
      add(first, ns[UP_TO_PARSE]);
      add('forward', ns[UP_TO_FORWARD] - ns[UP_TO_PARSE]);
      add(last, took - ns[UP_TO_FORWARD]);
    } else if (STEP_OF[name] !== undefined) add(STEP_OF[name], took);
  }
  const known = [...times.values()].reduce((sum, took) => sum + took, 0);
  add('the rest of the turn', wholeNs - known);
  add('all', wholeNs);
  return times;
}

/**
 * Bytes that the heap of a thread grows by with a packet, where it grows least: what is done once a second is in some of the stretches. With a
 * collection in between it shrinks, which says nothing.
 */
export function bytesPerPacket({ heap }: Probed): number {
  const growth = heap.slice(1).map((look, k) => (look.bytes - heap[k].bytes) / (look.packets - heap[k].packets));
  return quantile(
    growth.filter((bytes) => bytes >= 0),
    0,
  );
}

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const PROBE = at('dist-bench/dpdk/stepProbe.js');
const ASC = at('node_modules/assemblyscript/bin/asc.js');

/** Kernels of the short way that end after parse and after forward. */
async function buildPartial(folder: string, signal: AbortSignal): Promise<[string, string]> {
  const build = async (last: number) => {
    const file = join(folder, `straight-${last}.wasm`);
    const source = [at('src/pipeline/straight.as.ts'), '--config', at('asconfig.json'), '--use', `STEPS_END=${last}`];
    await must([process.execPath, ASC, ...source, '--outFile', file], signal);
    return file;
  };
  return [await build(1), await build(2)];
}

const PROBE_MS = 60_000;

export interface Probe {
  /** A Node, and its arguments, whose worker is probed. */
  program: string[];
  result(): Promise<Probed>;
}

export async function prepareProbe(folder: string, node: string, signal: AbortSignal): Promise<Probe> {
  const file = join(folder, 'steps.json');
  const settings: ProbeSettings = { file, partial: await buildPartial(folder, signal) };
  return {
    program: ['env', `STEP_PROBE=${JSON.stringify(settings)}`, node, '--import', PROBE],
    async result() {
      for (let waited = 0; waited < PROBE_MS; waited += 50) {
        signal.throwIfAborted();
        if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Probed;
        await sleep(50);
      }
      throw new Error('the steps of weft were not timed: it moves too few frames');
    },
  };
}
