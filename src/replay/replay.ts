import { Piscina } from 'piscina';
import { checkValue, requireConfig } from '../control/config/check.js';
import { WeftError } from '../packet/error.js';
import type { Plan } from '../pipeline/plan.js';
import { capturePlan } from './captureConfig.js';
import { devicesOf } from './captureDevices.js';
import { totalBytes } from './inputBytes.js';
import { resolveInputs } from './inputs.js';
import { sourceGate } from './merge.js';
import type { Pace, ReplayOptions, ReplayReport } from './options.js';
import { openPlan, openRealDevices, type RealDevices } from './realDevices.js';
import {
  PROGRESS_BYTES,
  PROGRESS_PACKETS,
  PROGRESS_STOP,
  PROGRESS_WORDS,
  type ReplayTask,
  type TaskResult,
} from './task.js';

export type * from './options.js';

const PROGRESS_MS = 200;

/**
 * Runs captures through the pipeline of a node, with files in place of its ports and underlays, in a thread of its own. Resolves also when an
 * input is damaged or cut off: the report says so. Throws a WeftError when the options do not fit each other, or an output cannot be written.
 */
export async function replay(options: ReplayOptions): Promise<ReplayReport> {
  const progress = new SharedArrayBuffer(PROGRESS_WORDS * 8);
  if (options.clock !== 'real') return runInThread(options, makeTask(options, progress));
  const real = openReal(options);
  try {
    return await runInThread(options, makeTask({ ...options, config: undefined, plan: real.plan }, progress, real));
  } finally {
    real.close();
  }
}

async function runInThread(options: ReplayOptions, task: ReplayTask): Promise<ReplayReport> {
  const words = new Float64Array(task.progress);
  const { signal, onProgress } = options;
  const bytesTotal = task.loop === 1 ? totalBytes(options.inputs) : null;
  const tell = () => onProgress?.({ packets: words[PROGRESS_PACKETS], bytes: words[PROGRESS_BYTES], bytesTotal });
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
  const timer = onProgress && setInterval(tell, PROGRESS_MS);
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  try {
    const result = (await pool.run(task)) as TaskResult;
    if ('error' in result) throw new WeftError(result.error.code, result.error.message, result.error.details);
    const { read, inputs } = result.report;
    onProgress?.({ packets: read, bytes: inputs.reduce((sum, input) => sum + input.bytes, 0), bytesTotal });
    return result.report;
  } finally {
    clearInterval(timer);
    signal?.removeEventListener('abort', stop);
    await pool.destroy();
  }
}

/** Opens the real devices of a configuration: all that no capture comes in at, and that is not named to be written. */
function openReal(options: ReplayOptions): RealDevices {
  const { config, plan, inputs, outOnly = [] } = options;
  if (plan !== undefined) return openPlan(planOf(options));
  const checked = requireConfig(checkValue(config));
  // Which of them an input without a name means is found among all ports.
  const resolved = resolveInputs(inputs, devicesOf(capturePlan(checked), sourceGate));
  const captured = new Set([...resolved.map(({ device }) => device), ...outOnly]);
  return openRealDevices(checked, (name) => captured.has(name));
}

/** Checks options against each other and the plan. */
export function makeTask(
  options: ReplayOptions,
  progress: SharedArrayBuffer,
  real: ReplayTask['real'] = null,
): ReplayTask {
  const plan = planOf(options);
  const { out, outDir, outOnly, inputs, limit = 0, durationSec = 0 } = options;
  if (out !== undefined && outDir !== undefined)
    throw new WeftError('USAGE', 'out and outDir are both given', { remedy: 'give one of them' });
  const devices = devicesOf(plan, sourceGate);
  for (const name of outOnly ?? [])
    if (!devices.some((device) => device.name === name))
      throw new WeftError('USAGE', `outOnly: there is no port or underlay ${name}`, { object: name });
  return {
    plan,
    inputs: resolveInputs(inputs, devices),
    ...{ out: out ?? null, outDir: outDir ?? null, outOnly: outOnly ?? null },
    keepInterfaces: options.keepInterfaces ?? false,
    edits: options.edits ?? [],
    real: real && { devices: real.devices, doorbell: real.doorbell },
    ...{ pace: paceOf(options), loop: loopsOf(options), limit, durationSec },
    progress,
  };
}

function paceOf({ clock, pace = {} }: ReplayOptions): Pace {
  const given = Object.entries(pace).filter(([, value]) => value !== undefined && value !== false);
  if (given.length > 0 && clock !== 'real')
    throw new WeftError('USAGE', 'a speed belongs to the real clock', { remedy: "say clock: 'real'" });
  if (given.length > 1)
    throw new WeftError('USAGE', `${given.map(([name]) => name).join(' and ')} are both given`, {
      remedy: 'give one of them',
    });
  for (const [name, value] of given)
    if (value !== true && !(Number(value) > 0 && Number(value) < Number.POSITIVE_INFINITY))
      throw new WeftError('USAGE', `${name} is a number above 0, not ${value}`, { object: name });
  return pace;
}

function loopsOf({ clock, loop = 1, inputs }: ReplayOptions): number {
  if (loop !== 1 && clock !== 'real')
    throw new WeftError('USAGE', 'loops belong to the real clock', { remedy: "say clock: 'real'" });
  if (loop !== 1 && inputs.some(({ file }) => file === '-'))
    throw new WeftError('USAGE', 'the standard input cannot be read again', { remedy: 'give a file' });
  return loop;
}

function planOf({ config, plan }: ReplayOptions): Plan {
  if (plan !== undefined && config === undefined) return plan;
  if (config !== undefined && plan === undefined) return capturePlan(requireConfig(checkValue(config)));
  throw new WeftError('USAGE', 'a replay needs a configuration or a plan, and not both');
}
