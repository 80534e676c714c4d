import { EventEmitter } from 'node:events';
import { type ArenaShape, slotsPerWorker } from '../packet/arena.js';
import { LANES } from '../packet/burst.js';
import { WeftError } from '../packet/error.js';
import { COUNTER_GSO_FALLBACKS, IO_LAYOUT, ioBlock } from '../packet/outbox.js';
import { countHeld } from '../packet/slots.js';
import { type CaptureRecord, drainCapture, missedRecords } from '../pipeline/capture.js';
import { drainHeartbeats, type HeardHeartbeat } from '../pipeline/heartbeats.js';
import type { Plan, WorkerDevices } from '../pipeline/plan.js';
import { placeRoutes } from '../pipeline/routes.js';
import { nextHopSources } from '../pipeline/tables.js';
import type { Steps } from '../pipeline/walk.js';
import { installNextHops, type NextHopRow, readNextHop, setNextHop } from '../underlay/nextHops.js';
import { createCrew, type Replacement, type Role } from './crew.js';
import { type DpdkSettings, dpdkFramesState, dropDpdkFrames, layDpdkFrames } from './dpdkFrames.js';
import type { Estate } from './estate.js';
import { forgetMacs, installStatics, type MacFilter, type MacRow, readMacs } from './macRows.js';
import {
  forgetNeighbours,
  installNeighbours,
  limitNeighbours,
  type NeighbourRow,
  readNeighbours,
} from './neighbourRows.js';
import { createNodeMemory, nowSec } from './nodeMemory.js';
import { type DeviceFailure, type PathMtuReport, SLEEPING, TURNS } from './protocol.js';
import type { Duty, WorkerThread } from './workerThread.js';

export type { MacRow } from './macRows.js';
export type { NeighbourRow } from './neighbourRows.js';

export interface WorkerState {
  index: number;
  threadId: number;
  state: Role['state'];
  restarts: number;
  turns: number;
  isSleeping: boolean;
  /** CPU that it is tied to (`node.pinning`), null when to none. */
  cpu: number | null;
  lastError: string | null;
}

export interface SupervisorEvents {
  'worker-lost': [{ index: number; message: string } & Estate];
  'worker-replaced': [Replacement];
  'unknown-peer': [{ underlay: number; network: number; address: Int32Array }];
  'path-mtu': [PathMtuReport];
  'device-failed': [DeviceFailure];
}

export interface SupervisorOptions {
  workers: number;
  /** Workers that changes may bring it to; default: `workers`. The arena has a place for each of them, and one for the spare thread. */
  workersMax?: number;
  /** MACs that the table has room for, over all networks. */
  macs?: number;
  shape?: Partial<Omit<ArenaShape, 'workers'>>;
  /** Tests: the first thread of worker 0 throws in this step. */
  faultyStep?: keyof Steps;
}

const CAPTURE_POLL_MS = 10;

export type Supervisor = ReturnType<typeof createSupervisor>;

/** The workers of a node and what they share: posts plans to them, has those that die replaced, reads counters, tables and captures. */
export function createSupervisor(options: SupervisorOptions) {
  const node = createNodeMemory(Math.max(options.workers, options.workersMax ?? 0), options.macs, options.shape);
  const { shape, slots, macTable, neighbours, arena } = node;
  const events = new EventEmitter<SupervisorEvents>();
  const crew = createCrew(node, {
    workers: options.workers,
    faultyStep: options.faultyStep ?? null,
    onReport(m) {
      if (m.type === 'unknown-peer') events.emit('unknown-peer', m);
      if (m.type === 'path-mtu') events.emit('path-mtu', m);
      if (m.type === 'device-failed') events.emit('device-failed', m);
    },
    onLost: (loss) => events.emit('worker-lost', loss),
    onReplaced(replacement, thread) {
      void passOn(thread);
      events.emit('worker-replaced', replacement);
    },
  });
  const { threads, roles } = crew;
  /** Half of the arena's route region that the workers read. */
  let routeHalf = 0;
  let capture: { timer: NodeJS.Timeout; key: number; snapLen: number } | null = null;

  /** Resolves when the thread copies what is captured, if anything is, or works no more. */
  async function passOn(thread: WorkerThread): Promise<void> {
    if (capture === null) return;
    // One that does not say so in time is busy, and will.
    await thread.capture(capture.key, capture.snapLen).catch(() => {});
  }

  /** The next route table goes where no worker reads: every one of them has acknowledged the last plan, or starts with this one. */
  function adopt(plan: Plan, devices: WorkerDevices[]): Duty {
    const routesAt = placeRoutes(arena, plan, 1 - routeHalf);
    routeHalf = 1 - routeHalf;
    for (const n of plan.networks) macTable.limits[n.id] = n.macLimit;
    installStatics(macTable, plan.statics);
    limitNeighbours(neighbours, plan.networks);
    installNeighbours(neighbours, plan.staticNeighbours);
    installNextHops(node.nextHops, nextHopSources(plan));
    return { plan, devices, routesAt };
  }

  async function start(plan: Plan, devices: WorkerDevices[]): Promise<void> {
    crew.prepare();
    try {
      await crew.warm();
      await apply(plan, devices);
    } catch (cause) {
      await stop();
      throw new WeftError('WORKER', `a worker did not start: ${(cause as Error).message}`, { cause });
    }
  }

  async function staff(workers: number): Promise<void> {
    await crew.grow(workers);
    await crew.shrink(workers);
  }

  async function apply(plan: Plan, devices: WorkerDevices[]): Promise<void> {
    await crew.grow(plan.workers);
    await crew.settled();
    const fresh = roles.filter(({ state }) => state === 'starting');
    await crew.apply(adopt(plan, devices));
    await Promise.all(fresh.map(({ thread }) => passOn(thread)));
    await crew.shrink(plan.workers);
  }

  /** A thread that warms up has networks of its own in the tables. */
  function isPlanned(): (row: { network: number }) => boolean {
    const planned = new Set(crew.plan()?.networks.map(({ id }) => id));
    return ({ network }) => planned.has(network);
  }

  async function stop(): Promise<void> {
    stopCapture();
    await crew.stop();
  }

  function drainAll(onRecord: (record: CaptureRecord) => void): void {
    for (const { place } of threads) drainCapture(arena, arena.partitions[place], onRecord);
  }

  function stopCapture(): void {
    if (capture === null) return;
    clearInterval(capture.timer);
    capture = null;
    for (const thread of threads) void thread.capture(-1, 0).catch(() => {});
  }

  /** Copies the frames of one port to `onRecord`, in the order of each worker. */
  function startCapture(portId: number, snapLen: number, onRecord: (record: CaptureRecord) => void) {
    if (capture !== null) {
      throw new WeftError('LIMIT', 'another capture is running on this node', {
        remedy: 'stop it first: one port is captured at a time',
      });
    }
    const missed = () => threads.reduce((n, { place }) => n + missedRecords(arena, arena.partitions[place]), 0);
    const missedBefore = missed();
    drainAll(() => {});
    capture = { timer: setInterval(() => drainAll(onRecord), CAPTURE_POLL_MS), key: portId, snapLen };
    const started = Promise.all(roles.map(({ thread }) => passOn(thread)));
    return {
      /** Every worker copies. Frames that passed before may be missing. */
      started: started.then(() => {}),
      missed: () => missed() - missedBefore,
      stop() {
        drainAll(onRecord);
        stopCapture();
      },
    };
  }

  return {
    prepare: crew.prepare,
    start,
    /** Threads for so many workers, warm, so that `apply` takes milliseconds; ends those that no plan came for. */
    staff,
    apply,
    stop,
    capture: startCapture,
    /** Heartbeats that came in since the last call. */
    drainHeartbeats(onHeartbeat: (heard: HeardHeartbeat) => void): void {
      for (const ring of node.heartbeats) drainHeartbeats(ring, onHeartbeat);
    },
    events,
    nowSec,
    macs: (): MacRow[] => readMacs(macTable).filter(isPlanned()),
    neighbours: (): NeighbourRow[] => readNeighbours(neighbours, nowSec()).filter(isPlanned()),
    nextHop: (id: number): NextHopRow => readNextHop(node.nextHops, id),
    /** What the kernel says of a next hop that it finds. */
    setNextHop: (id: number, state: number, mac: number) => setNextHop(node.nextHops, id, state, mac),
    /** Forgets MACs, and the IP neighbours that were heard there; returns how many MACs. */
    flushMacs(filter: MacFilter): number {
      forgetNeighbours(neighbours, filter);
      return forgetMacs(macTable, filter);
    },
    get counters(): readonly Float64Array[] {
      return crew.counters();
    },
    workers: (): WorkerState[] =>
      roles.map(({ index, thread, state, restarts, lastError }) => ({
        index,
        threadId: thread.threadId,
        state,
        restarts,
        turns: thread.control[TURNS],
        isSleeping: thread.control[SLEEPING] === 1,
        cpu: crew.plan()?.cpus?.[index] ?? null,
        lastError,
      })),
    /** Slots of each worker. The rx window counts as home: it stands ready for the next receive. A dead worker's are on their way home. */
    slots: () =>
      roles.map(({ thread, isVacant }) => {
        const total = slotsPerWorker(shape);
        if (isVacant) return { total, free: total, held: 0 };
        const window = thread.state === 'warm' ? LANES : 0;
        const held = Math.max(0, countHeld(shape, slots, thread.place) - window);
        return { total, free: total - held, held };
      }),
    /** Messages that the kernel refused to cut and the addon sent as single datagrams, by place. */
    gsoFallbacks: () => threads.map(({ place }) => ioBlock(arena, place)[IO_LAYOUT.counters + COUNTER_GSO_FALLBACKS]),
    /** Starts DPDK over the node's slots, if there is none yet; returns the number of its pools. */
    dpdkFrames: (settings: DpdkSettings): number => layDpdkFrames(node, settings),
    /** How many slots and heads DPDK has free; null without DPDK. */
    dpdkState: () => dpdkFramesState(node),
    /** After the last device of DPDK is closed. */
    dropDpdk: () => dropDpdkFrames(node),
    arenaBytes: node.memory.buffer.byteLength,
    /** Ends a worker as a crash would, unless it has no thread now: for tests of the replacement. */
    terminate(index: number): Promise<void> {
      const { thread, isVacant } = roles[index];
      if (isVacant) return Promise.resolve();
      thread.terminate();
      return thread.ended();
    },
  };
}
