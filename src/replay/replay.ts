import { Piscina } from 'piscina';
import { checkValue, requireConfig } from '../control/check.js';
import { WeftError } from '../packet/error.js';
import type { Plan } from '../pipeline/plan.js';
import { capturePlan } from './captureConfig.js';
import { devicesOf } from './captureDevices.js';
import { totalBytes } from './inputBytes.js';
import { resolveInputs } from './inputs.js';
import type { ReplayOptions, ReplayReport } from './options.js';
import {
  PROGRESS_BYTES,
  PROGRESS_PACKETS,
  PROGRESS_STOP,
  PROGRESS_WORDS,
  type ReplayTask,
  type TaskResult,
} from './task.js';
import { virtualGate } from './virtualRun.js';

export type * from './options.js';

const PROGRESS_MS = 200;

/**
 * Runs captures through the pipeline of a node, with files in place of its ports and underlays, in a thread of its own. Resolves also when an
 * input is damaged or cut off: the report says so. Throws a WeftError when the options do not fit each other, or an output cannot be written.
 */
export async function replay(options: ReplayOptions): Promise<ReplayReport> {
  const progress = new SharedArrayBuffer(PROGRESS_WORDS * 8);
  const task = makeTask(options, progress);
  const words = new Float64Array(progress);
  const { signal, onProgress } = options;
  const bytesTotal = totalBytes(options.inputs);
  const report = () => onProgress?.({ packets: words[PROGRESS_PACKETS], bytes: words[PROGRESS_BYTES], bytesTotal });
  const stop = () => {
    words[PROGRESS_STOP] = 1;
  };
  // A thread for each replay: V8 compiles the walk for one instance of its closures, and what is compiled for one replay fits no other.
  const pool = new Piscina({
    filename: new URL('./task.js', import.meta.url).href,
    minThreads: 1,
    maxThreads: 1,
    trackUnmanagedFds: true,
  });
  const timer = onProgress && setInterval(report, PROGRESS_MS);
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  try {
    const result = (await pool.run(task)) as TaskResult;
    if ('error' in result) throw new WeftError(result.error.code, result.error.message, result.error.details);
    onProgress?.({
      packets: result.report.read,
      bytes: result.report.inputs.reduce((sum, input) => sum + input.bytes, 0),
      bytesTotal,
    });
    return result.report;
  } finally {
    clearInterval(timer);
    signal?.removeEventListener('abort', stop);
    await pool.destroy();
  }
}

/** Checks options against each other and the plan. */
export function makeTask(options: ReplayOptions, progress: SharedArrayBuffer): ReplayTask {
  const plan = planOf(options);
  if (options.out !== undefined && options.outDir !== undefined)
    throw new WeftError('USAGE', 'out and outDir are both given', { remedy: 'give one of them' });
  const devices = devicesOf(plan, virtualGate);
  for (const name of options.outOnly ?? [])
    if (!devices.some((device) => device.name === name))
      throw new WeftError('USAGE', `outOnly: there is no port or underlay ${name}`, { object: name });
  const clock = options.clock ?? 'virtual';
  const isPaced = Object.values(options.pace ?? {}).some((value) => value !== undefined && value !== false);
  if (clock === 'virtual' && (isPaced || (options.loop ?? 1) !== 1))
    throw new WeftError('USAGE', 'speed and loops belong to the real clock', { remedy: "say clock: 'real'" });
  return {
    plan,
    inputs: resolveInputs(options.inputs, devices),
    out: options.out ?? null,
    outDir: options.outDir ?? null,
    outOnly: options.outOnly ?? null,
    keepInterfaces: options.keepInterfaces ?? false,
    edits: options.edits ?? [],
    clock,
    pace: options.pace ?? {},
    loop: options.loop ?? 1,
    limit: options.limit ?? 0,
    durationSec: options.durationSec ?? 0,
    progress,
  };
}

function planOf({ config, plan }: ReplayOptions): Plan {
  if (plan !== undefined && config === undefined) return plan;
  if (config !== undefined && plan === undefined) return capturePlan(requireConfig(checkValue(config)));
  throw new WeftError('USAGE', 'a replay needs a configuration or a plan, and not both');
}
