import { macTableBytes, setStatic } from '../forward/macTable.js';
import { type ArenaShape, createArenaMemory, DEFAULT_SHAPE } from '../packet/arena.js';
import { LANES, TO_PEER, TO_PORT } from '../packet/burst.js';
import { type Clock, createClock } from '../packet/clock.js';
import { makeCounterBlock, PEERS_MAX } from '../packet/counters.js';
import { WeftError } from '../packet/error.js';
import { countHeld, createSlotState } from '../packet/slots.js';
import { createPipeline, type Pipeline } from '../pipeline/pipeline.js';
import type { Plan } from '../pipeline/plan.js';
import { placeRoutes, routeTableBytes } from '../pipeline/routes.js';
import { warmUp } from '../pipeline/warmup.js';
import type { CaptureNow } from '../port/captureKernel.js';
import * as Ethernet from '../wire/ethernet.js';
import { devicesOf, type OpenedCaptures, openCaptures, outputPaths, pieceSlots } from './captureDevices.js';
import { bindFlowCount, type FlowCount } from './flows.js';
import type { ReplayReport } from './options.js';
import { summarize } from './summary.js';
import { PROGRESS_BYTES, PROGRESS_PACKETS, PROGRESS_STOP, type ReplayTask } from './task.js';
import { createVirtualClock } from './virtualClock.js';
import { runVirtual, type VirtualGate, type VirtualSource, virtualGate } from './virtualRun.js';

/** One replay in this thread: a pipeline, and the captures around it. */
interface Session {
  task: ReplayTask;
  pipeline: Pipeline;
  clock: Clock;
  /** Time of the captures. */
  now: CaptureNow;
  flows: FlowCount;
  captures: OpenedCaptures;
  /** Slots that are not home beside the rx window: 0 once all is closed. */
  slotsHeld: () => number;
  sources: VirtualSource[];
}

const MACS_MIN = 16384;
/** Bursts between two looks at whether to stop. */
const LOOK_MASK = 255;

function shapeOf(plan: Plan, files: number): ArenaShape {
  const macs = plan.networks.reduce((sum, network) => sum + network.macLimit, 0);
  return {
    ...DEFAULT_SHAPE,
    workers: 1,
    largeSlots: LANES + pieceSlots(files).total,
    // Nobody watches a replay's ports.
    captureBytes: 4096,
    macBytes: macTableBytes(Math.max(MACS_MIN, macs)),
    // Two halves, of which the second is never needed.
    routeBytes: 2 * routeTableBytes(plan),
  };
}

function installStatics(pipeline: Pipeline, plan: Plan): void {
  for (const { mac, network, port, peer } of plan.statics) {
    const words = Ethernet.macWords(mac);
    if (words === null) throw new WeftError('CONFIG', `static MAC ${mac} is not a MAC address`);
    setStatic(pipeline.macTable, words[0], words[1], network, port > 0 ? TO_PORT | port : TO_PEER | peer);
  }
}

/** Makes a pipeline and takes the plan over, which opens the captures. */
function openSession(task: ReplayTask): Session {
  const { plan } = task;
  const devices = devicesOf(plan, virtualGate);
  const files = task.inputs.length + outputPaths(task, devices).length;
  const shape = shapeOf(plan, files);
  const slots = createSlotState(shape);
  const clock = createClock();
  const now: CaptureNow = { seconds: 0, nanoseconds: 0 };
  let flows: FlowCount | undefined;
  let captures: OpenedCaptures | undefined;
  const pipeline = createPipeline({
    worker: 0,
    workers: 1,
    memory: {
      arena: createArenaMemory(shape),
      shape,
      slots,
      counters: makeCounterBlock(),
      sequences: new SharedArrayBuffer(PEERS_MAX * 4),
    },
    clock,
    tun: null,
    preciseSeconds: () => now.seconds,
    wrapSteps: (steps) => ({
      ...steps,
      parse(n) {
        steps.parse(n);
        flows?.add(n);
      },
    }),
    bindCaptures(context) {
      captures = openCaptures(context, devices, task, task.edits, pieceSlots(files).each, (kernel) => {
        kernel.now = () => now;
      });
      return captures.open;
    },
  });
  warmUp(pipeline, clock);
  flows = bindFlowCount(pipeline.burst);
  try {
    pipeline.apply(plan, { ports: [], underlays: [] }, placeRoutes(pipeline.arena, plan, 0));
    installStatics(pipeline, plan);
  } catch (error) {
    captures?.abandon();
    throw error;
  }
  if (captures === undefined) throw new WeftError('USAGE', 'the plan has no port or underlay that could be a capture');
  const slotsHeld = () => countHeld(shape, slots, 0) - LANES;
  return { task, pipeline, clock, now, flows, captures, slotsHeld, sources: sourcesOf(pipeline, captures) };
}

function sourcesOf({ walk }: Pipeline, { inputs }: OpenedCaptures): VirtualSource[] {
  return inputs.map(({ device, input }) => ({
    input,
    gate: device.gate as VirtualGate,
    walk() {
      if (device.kind === 'port') return walk.fromPort(walk.ports[device.id]!);
      return walk.fromUnderlay(walk.underlays[device.id]!);
    },
  }));
}

/** Tells progress, and hears whether to stop. */
function bindLook({ task, captures }: Session): (packets: number) => boolean {
  const progress = new Float64Array(task.progress);
  let looks = 0;
  return (packets) => {
    if ((looks++ & LOOK_MASK) !== 0) return false;
    progress[PROGRESS_PACKETS] = packets;
    progress[PROGRESS_BYTES] = captures.inputs.reduce((sum, { input }) => sum + input.bytesRead, 0);
    return progress[PROGRESS_STOP] !== 0;
  };
}

/** Runs one replay from open files to closed ones. */
export function runSession(task: ReplayTask): ReplayReport {
  const startedAt = performance.now();
  const session = openSession(task);
  const { pipeline, clock, now, captures, flows, sources } = session;
  const virtual = createVirtualClock(clock, pipeline.tick);
  let isClosed = false;
  try {
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
      bindLook(session),
    );
    isClosed = true;
    captures.close();
    if (session.slotsHeld() !== 0) throw new Error(`${session.slotsHeld()} slots did not come home`);
    return summarize({
      counters: pipeline.counters,
      devices: captures.devices,
      inputs: captures.inputs,
      flows,
      captureSeconds:
        end.firstSeconds < 0
          ? 0
          : end.lastSeconds - end.firstSeconds + (end.lastNanoseconds - end.firstNanoseconds) / 1e9,
      seconds: (performance.now() - startedAt) / 1000,
      stopped: end.stopped,
    });
  } finally {
    if (!isClosed) captures.abandon();
  }
}
