import { macTableBytes, setStatic } from '../forward/macTable.js';
import { type ArenaShape, createArenaMemory, DEFAULT_SHAPE } from '../packet/arena.js';
import { LANES, TO_PEER, TO_PORT } from '../packet/burst.js';
import { createClock } from '../packet/clock.js';
import { makeCounterBlock, PEERS_MAX } from '../packet/counters.js';
import { WeftError } from '../packet/error.js';
import { createSlotState } from '../packet/slots.js';
import { createPipeline, type Pipeline } from '../pipeline/pipeline.js';
import type { Plan } from '../pipeline/plan.js';
import type { Steps } from '../pipeline/walk.js';
import { warmUp } from '../pipeline/warmup.js';
import type { CaptureNow } from '../port/captureKernel.js';
import * as Ethernet from '../wire/ethernet.js';
import { devicesOf, type OpenedCaptures, openCaptures, outputPaths, pieceSlots } from './captureDevices.js';
import { bindFlowCount, type FlowCount } from './flows.js';
import type { ReplayReport } from './options.js';
import { summarize } from './summary.js';
import { PROGRESS_BYTES, PROGRESS_PACKETS, PROGRESS_STOP, type ReplayTask } from './task.js';
import { createVirtualClock } from './virtualClock.js';
import { runVirtual, type VirtualGate, virtualGate } from './virtualRun.js';

const MACS_MIN = 16384;

function shapeOf(plan: Plan, files: number): ArenaShape {
  const macs = plan.networks.reduce((sum, network) => sum + network.macLimit, 0);
  return {
    ...DEFAULT_SHAPE,
    workers: 1,
    largeSlots: LANES + pieceSlots(files).total,
    // Nobody watches a replay's ports.
    captureBytes: 4096,
    macBytes: macTableBytes(Math.max(MACS_MIN, macs)),
  };
}

function installStatics(pipeline: Pipeline, plan: Plan): void {
  for (const { mac, network, port, peer } of plan.statics) {
    const bytes = Ethernet.macFromText(mac);
    if (bytes === null) throw new WeftError('CONFIG', `static MAC ${mac} is not a MAC address`);
    const lo = bytes[0] | (bytes[1] << 8) | (bytes[2] << 16) | (bytes[3] << 24);
    setStatic(pipeline.macTable, lo, bytes[4] | (bytes[5] << 8), network, port > 0 ? TO_PORT | port : TO_PEER | peer);
  }
}

/** Runs one replay in this thread, from open files to closed ones. */
export function runSession(task: ReplayTask): ReplayReport {
  const startedAt = performance.now();
  const { plan } = task;
  const devices = devicesOf(plan, virtualGate);
  const files = task.inputs.length + outputPaths(task, devices).length;
  const shape = shapeOf(plan, files);
  const arena = createArenaMemory(shape);
  const memory = {
    arena,
    shape,
    slots: createSlotState(shape),
    counters: makeCounterBlock(),
    sequences: new SharedArrayBuffer(PEERS_MAX * 4),
  };
  const clock = createClock(1);
  const now: CaptureNow = { seconds: 0, nanoseconds: 0 };
  let flows: FlowCount | undefined;
  let captures: OpenedCaptures | undefined;
  const countFlows = (steps: Steps): Steps => ({
    ...steps,
    parse(n) {
      steps.parse(n);
      flows?.add(n);
    },
  });
  const pipeline = createPipeline({
    worker: 0,
    workers: 1,
    memory,
    clock,
    tun: null,
    preciseSeconds: () => now.seconds,
    wrapSteps: countFlows,
    bindCaptures(context) {
      captures = openCaptures(context, devices, task, task.edits, pieceSlots(files).each, (kernel) => {
        kernel.now = () => now;
      });
      return captures.open;
    },
  });
  const progress = new Float64Array(task.progress);
  warmUp(pipeline, clock);
  flows = bindFlowCount(pipeline.burst);
  try {
    pipeline.apply(plan, { ports: [], underlays: [] });
    installStatics(pipeline, plan);
    const opened = captures;
    if (opened === undefined) throw new WeftError('USAGE', 'the plan has no capture device');
    const { walk } = pipeline;
    const sources = opened.inputs.map(({ device, input }) => ({
      input,
      gate: device.gate as VirtualGate,
      walk: () =>
        device.kind === 'port' ? walk.fromPort(walk.ports[device.id]!) : walk.fromUnderlay(walk.underlays[device.id]!),
    }));
    const virtual = createVirtualClock(clock, pipeline.tick);
    let looks = 0;
    const end = runVirtual(
      sources,
      {
        advance(seconds, nanoseconds) {
          now.seconds = seconds;
          now.nanoseconds = nanoseconds;
          virtual.advance(seconds, nanoseconds);
        },
      },
      { packets: task.limit, seconds: task.durationSec },
      (packets) => {
        if ((looks++ & 255) !== 0) return false;
        progress[PROGRESS_PACKETS] = packets;
        progress[PROGRESS_BYTES] = opened.inputs.reduce((sum, { input }) => sum + input.bytesRead, 0);
        return progress[PROGRESS_STOP] !== 0;
      },
    );
    opened.close();
    captures = undefined;
    return summarize({
      counters: pipeline.counters,
      devices,
      inputs: opened.inputs,
      flows,
      captureSeconds:
        end.firstSeconds < 0
          ? 0
          : end.lastSeconds - end.firstSeconds + (end.lastNanoseconds - end.firstNanoseconds) / 1e9,
      seconds: (performance.now() - startedAt) / 1000,
      stopped: end.stopped,
    });
  } finally {
    captures?.close();
  }
}
