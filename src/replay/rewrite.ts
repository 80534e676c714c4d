/**
 * Captures rewritten without a configuration: fields set, tunnels taken off, tunnels put on, in this order. Each step is a replay of its
 * own through the pipeline; captures between two steps are temporary files.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import { WeftError } from '../packet/error.js';
import type { Plan } from '../pipeline/plan.js';
import { compileEdits } from './edits.js';
import type { DeviceReport, PacketEdit, ReplayOptions, ReplayReport } from './options.js';
import { IN, OUT, passPlan, popPlan, pushPlan } from './push.js';
import { replay } from './replay.js';

export interface RewriteOptions
  extends Pick<ReplayOptions, 'out' | 'outDir' | 'limit' | 'durationSec' | 'signal' | 'onProgress'> {
  /** Files; '-' is the standard input. Several need `outDir`, where each has a file of its name. */
  inputs: readonly string[];
  /** Fields of the packets as they are read. */
  set?: readonly PacketEdit[];
  /** `auto`, `auto:depth=N`: tunnels of every kind are taken off. */
  pop?: string;
  /** `vxlan:vni=42,remote=198.18.0.2` and others, put on from the left to the right: the last one is outermost. */
  push?: readonly string[];
}

type Run = typeof replay;

/** Rewrites each input. Throws a WeftError when the options are wrong, before anything is written. */
export async function rewrite(options: RewriteOptions, run: Run = replay): Promise<ReplayReport> {
  const plans = plansOf(options);
  const outputs = outputsOf(options);
  if (options.outDir !== undefined) await mkdir(options.outDir, { recursive: true });
  const reports: ReplayReport[] = [];
  let next = 0;
  async function work(): Promise<void> {
    while (next < options.inputs.length) {
      const i = next++;
      reports[i] = await rewriteOne(plans, options, options.inputs[i], outputs[i], run);
    }
  }
  await Promise.all(Array.from({ length: Math.min(options.inputs.length, availableParallelism()) }, work));
  return reports.reduce(sideBySide);
}

function plansOf({ set = [], pop, push = [] }: RewriteOptions): Plan[] {
  compileEdits(set, IN);
  const plans = [...(pop === undefined ? [] : [popPlan(pop)]), ...push.map(pushPlan)];
  return plans.length > 0 ? plans : [passPlan()];
}

function outputsOf({ inputs, out, outDir }: RewriteOptions): (string | undefined)[] {
  if (inputs.length === 0) throw new WeftError('USAGE', 'no capture to rewrite is named');
  if (outDir === undefined) {
    if (inputs.length === 1) return [out];
    if (out === undefined) return inputs.map(() => undefined);
    throw new WeftError('USAGE', `${inputs.length} captures are rewritten to one file`, {
      remedy: 'Name a folder for the results instead.',
    });
  }
  const names = inputs.map((file) => (file === '-' ? 'stdin' : basename(file, extname(file))));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new WeftError('USAGE', `two captures have the name ${twice}`, { object: twice });
  return names.map((name) => join(outDir, `${name}.pcapng`));
}

async function rewriteOne(
  plans: readonly Plan[],
  options: RewriteOptions,
  input: string,
  out: string | undefined,
  run: Run,
): Promise<ReplayReport> {
  const { set = [], limit, durationSec, signal, onProgress } = options;
  const folder = plans.length > 1 ? await mkdtemp(join(tmpdir(), 'weft-replay-')) : null;
  try {
    let total: ReplayReport | null = null;
    let file = input;
    for (const [i, plan] of plans.entries()) {
      const isFirst = i === 0;
      const target = i === plans.length - 1 ? out : join(folder as string, `${i}.pcapng`);
      const report: ReplayReport = await run({
        plan,
        inputs: [inputOf(plan, file)],
        outOnly: [OUT],
        keepInterfaces: true,
        ...(target === undefined ? {} : { out: target }),
        ...(isFirst
          ? { edits: set.map(({ field, value }) => ({ field, value, device: IN })), limit, durationSec }
          : {}),
        // What a step has written before a signal goes through the steps behind it.
        ...(!isFirst && signal?.aborted ? {} : { signal }),
        onProgress,
      });
      total = total === null ? report : afterEachOther(total, report, i);
      file = target as string;
    }
    return total as ReplayReport;
  } finally {
    if (folder !== null) await rm(folder, { recursive: true, force: true });
  }
}

function inputOf(plan: Plan, file: string) {
  return plan.underlays.some(({ name }) => name === IN) ? { file, underlay: IN } : { file, port: IN };
}

/** Two steps over one capture: what the first one wrote is what the second one read. */
function afterEachOther(first: ReplayReport, second: ReplayReport, step: number): ReplayReport {
  const named = (device: DeviceReport) => ({ ...device, name: `${device.name}#${step + 1}` });
  return {
    ...second,
    ...sums(first, second),
    inputs: first.inputs,
    read: first.read,
    forwarded: second.forwarded,
    written: second.written,
    unwritten: second.unwritten,
    ports: [...first.ports, ...second.ports.map(named)],
    underlays: [...first.underlays, ...second.underlays.map(named)],
    flows: first.flows,
    flowsAreMore: first.flowsAreMore,
    captureSeconds: first.captureSeconds,
    seconds: first.seconds + second.seconds,
    mpps: mppsOf(first.read, first.seconds + second.seconds),
    stopped: first.stopped || second.stopped,
  };
}

/** Two captures rewritten apart from each other. */
function sideBySide(a: ReplayReport, b: ReplayReport): ReplayReport {
  const seconds = Math.max(a.seconds, b.seconds);
  return {
    ...a,
    ...sums(a, b),
    inputs: [...a.inputs, ...b.inputs],
    read: a.read + b.read,
    forwarded: a.forwarded + b.forwarded,
    written: a.written + b.written,
    unwritten: a.unwritten + b.unwritten,
    outputs: [...a.outputs, ...b.outputs],
    ports: sameDevices(a.ports, b.ports),
    underlays: sameDevices(a.underlays, b.underlays),
    flows: a.flows + b.flows,
    flowsAreMore: a.flowsAreMore || b.flowsAreMore,
    captureSeconds: Math.max(a.captureSeconds, b.captureSeconds),
    seconds,
    mpps: mppsOf(a.read + b.read, seconds),
    stopped: a.stopped || b.stopped,
  };
}

function sums(a: ReplayReport, b: ReplayReport) {
  return {
    dropped: addDrops(a.dropped, b.dropped),
    copied: a.copied + b.copied,
    made: a.made + b.made,
    received: a.received + b.received,
    consumed: a.consumed + b.consumed,
    held: a.held + b.held,
  };
}

function addDrops(a: ReplayReport['dropped'], b: ReplayReport['dropped']): ReplayReport['dropped'] {
  const sum: Record<string, number> = { ...a };
  for (const [reason, packets] of Object.entries(b)) sum[reason] = (sum[reason] ?? 0) + packets;
  return sum;
}

function sameDevices(a: readonly DeviceReport[], b: readonly DeviceReport[]): DeviceReport[] {
  return a.map((device) => {
    const other = b.find(({ name }) => name === device.name);
    if (other === undefined) return device;
    return {
      name: device.name,
      rxPackets: device.rxPackets + other.rxPackets,
      rxBytes: device.rxBytes + other.rxBytes,
      txPackets: device.txPackets + other.txPackets,
      txBytes: device.txBytes + other.txBytes,
      dropped: addDrops(device.dropped, other.dropped),
    };
  });
}

function mppsOf(packets: number, seconds: number): number {
  return seconds > 0 ? packets / seconds / 1e6 : 0;
}
