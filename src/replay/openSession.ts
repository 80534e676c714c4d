import { macTableBytes, setStatic } from '../forward/macTable.js';
import { neighbourTableBytes } from '../forward/neighbourTable.js';
import { tun } from '../native/tun.js';
import { type ArenaShape, createArenaMemory, DEFAULT_SHAPE } from '../packet/arena.js';
import { LANES, TO_PEER, TO_PORT } from '../packet/burst.js';
import { type Clock, createClock } from '../packet/clock.js';
import { makeCounterBlock, PEERS_MAX } from '../packet/counters.js';
import { WeftError } from '../packet/error.js';
import { countHeld, createSlotState } from '../packet/slots.js';
import { createPipeline, type Pipeline } from '../pipeline/pipeline.js';
import type { Plan } from '../pipeline/plan.js';
import { placeRoutes, routeTableBytes } from '../pipeline/routes.js';
import { closeStandIns, openStandIns } from '../pipeline/standIns.js';
import { nextHopSources } from '../pipeline/tables.js';
import { createTurnLoop, type TurnLoop } from '../pipeline/turn.js';
import { warmUp } from '../pipeline/warmup.js';
import type { CaptureNow } from '../port/captureKernel.js';
import { installNextHops } from '../underlay/nextHops.js';
import * as Ethernet from '../wire/ethernet.js';
import { installNeighbours } from '../worker/neighbourRows.js';
import { devicesOf, type OpenedCaptures, openCaptures, outputPaths, pieceSlots } from './captureDevices.js';
import { bindFlowCount, type FlowCount } from './flows.js';
import { type Source, type SourceGate, sourceGate } from './merge.js';
import type { ReplayTask } from './task.js';

/** One replay in this thread: a pipeline, and the captures around it. */
export interface Session {
  task: ReplayTask;
  pipeline: Pipeline;
  clock: Clock;
  /** Virtual clock: time of the captures, for what the node makes itself. */
  now: CaptureNow;
  flows: FlowCount;
  captures: OpenedCaptures;
  sources: Source[];
  /** Real clock: turns for real devices. */
  loop: TurnLoop | null;
  /** Slots that are not home beside the rx window: 0 once all is closed. */
  slotsHeld(): number;
}

const MACS_MIN = 16384;
const NEIGHBOURS_MIN = 64;
const CONTROL_WORDS = 4;

function shapeOf(plan: Plan, files: number): ArenaShape {
  const macs = plan.networks.reduce((sum, network) => sum + network.macLimit, 0);
  const neighbours = plan.networks.reduce((sum, n) => sum + n.neighbourLimit, plan.staticNeighbours.length);
  return {
    ...DEFAULT_SHAPE,
    workers: 1,
    largeSlots: LANES + pieceSlots(files).total,
    // Nobody watches a replay's ports.
    captureBytes: 4096,
    macBytes: macTableBytes(Math.max(MACS_MIN, macs)),
    neighbourBytes: neighbourTableBytes(Math.max(NEIGHBOURS_MIN, neighbours)),
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

/**
 * On the real clock the pipeline is warmed up, as a live one is: it must be quick from the first packet on. On the virtual clock that costs a
 * quarter of a second and gains nothing: a gigabyte takes as long with it as without.
 */
function openLoop(pipeline: Pipeline, clock: Clock, doorbell: number): TurnLoop {
  const words = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
  const loop = createTurnLoop(pipeline, tun(), clock, doorbell, words, 0);
  const standIns = openStandIns(tun());
  warmUp(pipeline, clock, loop, standIns);
  closeStandIns(tun(), standIns);
  loop.readClock();
  return loop;
}

/** Makes a pipeline and takes the plan over, which opens the captures. */
export function openSession(task: ReplayTask): Session {
  const { plan, real } = task;
  const devices = devicesOf(plan, sourceGate);
  const files = task.inputs.length + outputPaths(task, devices).length;
  const shape = shapeOf(plan, files);
  const slots = createSlotState(shape);
  const clock = createClock();
  const now: CaptureNow = { seconds: 0, nanoseconds: 0 };
  let flows: FlowCount | undefined;
  let captures: OpenedCaptures | undefined;
  const pipeline = createPipeline({
    worker: 0,
    memory: {
      arena: createArenaMemory(shape),
      shape,
      slots,
      counters: makeCounterBlock(),
      sequences: new SharedArrayBuffer(PEERS_MAX * 4),
    },
    clock,
    tun: real && tun(),
    preciseSeconds: () => now.seconds,
    wrapSteps: (steps) => ({
      ...steps,
      parse(n) {
        const heartbeats = steps.parse(n);
        flows?.add(n);
        return heartbeats;
      },
    }),
    bindCaptures(context) {
      captures = openCaptures(context, devices, task, task.edits, pieceSlots(files).each, (kernel) => {
        kernel.isRealTime = real !== null;
        if (real === null) kernel.now = () => now;
      });
      return captures.open;
    },
  });
  const loop = real && openLoop(pipeline, clock, real.doorbell);
  flows = bindFlowCount(pipeline.burst);
  try {
    installNextHops(pipeline.nextHops, nextHopSources(plan));
    pipeline.apply(plan, real?.devices ?? { ports: [], underlays: [] }, placeRoutes(pipeline.arena, plan, 0));
    installStatics(pipeline, plan);
    installNeighbours(pipeline.neighbours, plan.staticNeighbours);
    if (real !== null) loop?.watch(real.devices);
  } catch (error) {
    captures?.abandon();
    throw error;
  }
  if (captures === undefined) throw new WeftError('USAGE', 'the plan has no port or underlay that could be a capture');
  return {
    ...{ task, pipeline, clock, now, flows, captures, loop },
    sources: sourcesOf(pipeline, captures),
    slotsHeld: () => countHeld(shape, slots, 0) - LANES,
  };
}

function sourcesOf({ walk }: Pipeline, { inputs }: OpenedCaptures): Source[] {
  return inputs.map(({ device, input }) => ({
    input,
    gate: device.gate as SourceGate,
    walk() {
      if (device.kind === 'port') return walk.fromPort(walk.ports[device.id]!);
      return walk.fromUnderlay(walk.underlays[device.id]!);
    },
  }));
}
