import { EventEmitter } from 'node:events';
import { Piscina } from 'piscina';
import { type ArenaShape, slotsPerWorker } from '../packet/arena.js';
import { LANES } from '../packet/burst.js';
import { WeftError } from '../packet/error.js';
import { COUNTER_GSO_FALLBACKS, IO_LAYOUT, ioBlock } from '../packet/outbox.js';
import { countHeld } from '../packet/slots.js';
import { type CaptureRecord, drainCapture, missedRecords } from '../pipeline/capture.js';
import { drainHeartbeats, type HeardHeartbeat } from '../pipeline/heartbeats.js';
import type { Plan, WorkerDevices } from '../pipeline/plan.js';
import { placeRoutes } from '../pipeline/routes.js';
import type { Steps } from '../pipeline/walk.js';
import { forgetMacs, installStatics, type MacFilter, type MacRow, readMacs } from './macRows.js';
import { createNodeMemory, nowSec } from './nodeMemory.js';
import { type FromWorker, type PathMtuReport, SLEEPING, TURNS } from './protocol.js';
import { createWorkerThread, type Duty, type Loss, type WorkerThread } from './workerThread.js';

export type { MacRow } from './macRows.js';

export interface WorkerState {
  index: number;
  threadId: number;
  state: WorkerThread['state'];
  restarts: number;
  turns: number;
  isSleeping: boolean;
  lastError: string | null;
}

export interface SupervisorEvents {
  'worker-lost': [{ index: number } & Loss];
  'worker-replaced': [{ index: number; afterMs: number }];
  'unknown-peer': [{ underlay: number; network: number; address: Int32Array }];
  'path-mtu': [PathMtuReport];
}

export interface SupervisorOptions {
  workers: number;
  /** MACs that the table has room for, over all networks. */
  macs?: number;
  shape?: Partial<Omit<ArenaShape, 'workers'>>;
  /** Tests: the first incarnation of worker 0 throws in this step. */
  faultyStep?: keyof Steps;
}

const STOP_TIMEOUT_MS = 2_000;
const CAPTURE_POLL_MS = 10;
const RESTART_DELAY_MAX_MS = 5_000;
const QUICK_DEATH_MS = 5_000;

const EMPTY_PLAN: Plan = {
  generation: 0,
  node: '',
  workers: 0,
  busyPollUs: 0,
  underlays: [],
  networks: [],
  ports: [],
  peers: [],
  statics: [],
  routes: [],
};

export type Supervisor = ReturnType<typeof createSupervisor>;

/** The workers of a node: one long task each in a piscina pool. Posts plans to them, replaces those that die, reads what they share. */
export function createSupervisor(options: SupervisorOptions) {
  const node = createNodeMemory(options.workers, options.macs, options.shape);
  const { shape, slots, macTable, arena } = node;
  const events = new EventEmitter<SupervisorEvents>();
  const workers: WorkerThread[] = [];
  let pool: Piscina | null = null;
  let current: Duty | null = null;
  /** Half of the arena's route region that the workers read. */
  let routeHalf = 0;
  let warm: Promise<unknown> = Promise.resolve();
  let isStopping = false;
  let capture: { timer: NodeJS.Timeout; key: number; snapLen: number } | null = null;

  function onStranger(m: FromWorker): void {
    if (m.type === 'unknown-peer') events.emit('unknown-peer', m);
    if (m.type === 'path-mtu') events.emit('path-mtu', m);
  }

  async function launch(worker: WorkerThread): Promise<void> {
    if (pool === null || current === null) throw new WeftError('WORKER', 'the supervisor has not been started');
    const faultyStep = worker.index === 0 && worker.restarts === 0 ? (options.faultyStep ?? null) : null;
    const launched = worker.launch(pool, current, faultyStep);
    void worker.ended().then(() => onEnded(worker));
    await launched;
  }

  function onEnded(worker: WorkerThread): void {
    if (isStopping) {
      worker.state = 'stopped';
      return;
    }
    const loss = worker.cleanUp();
    events.emit('worker-lost', { index: worker.index, ...loss });
    replace(worker);
  }

  /** A worker that dies soon after its start is started again more and more slowly. */
  const quickDeaths = new Map<WorkerThread, number>();
  function replace(worker: WorkerThread): void {
    const lostAt = performance.now();
    const isQuick = lostAt - worker.launchedAt < QUICK_DEATH_MS;
    const deaths = isQuick ? (quickDeaths.get(worker) ?? 0) + 1 : 0;
    quickDeaths.set(worker, deaths);
    worker.state = 'replacing';
    worker.restarts++;
    const relaunch = () => {
      if (isStopping) return;
      launch(worker).then(
        () => {
          if (capture !== null) worker.post({ type: 'capture', key: capture.key, snapLen: capture.snapLen });
          events.emit('worker-replaced', { index: worker.index, afterMs: performance.now() - lostAt });
        },
        // Its task has ended, or is being ended: that comes back through onEnded.
        () => {},
      );
    };
    if (deaths < 3) relaunch();
    else setTimeout(relaunch, Math.min(RESTART_DELAY_MAX_MS, 50 * 2 ** deaths)).unref();
  }

  /** The next route table goes where no worker reads: every one of them has acknowledged the last plan, or starts with this one. */
  function adopt(plan: Plan, devices: WorkerDevices[]): Duty {
    const routesAt = placeRoutes(arena, plan, 1 - routeHalf);
    routeHalf = 1 - routeHalf;
    current = { plan, devices, routesAt };
    for (const n of plan.networks) macTable.limits[n.id] = n.macLimit;
    installStatics(macTable, plan.statics);
    return current;
  }

  /** Starts the threads and warms them up without a port, which takes most of a start: meanwhile the caller opens devices. */
  function prepare(): void {
    if (pool !== null) return;
    const nothing = Array.from({ length: shape.workers }, () => ({ ports: [], underlays: [] }));
    current = { plan: EMPTY_PLAN, devices: nothing, routesAt: 0 };
    pool = new Piscina({
      filename: new URL('./task.js', import.meta.url).href,
      minThreads: shape.workers,
      maxThreads: shape.workers,
      // What a worker opened itself (capture files) is closed when its thread ends, however it ends.
      trackUnmanagedFds: true,
    });
    for (let w = 0; w < shape.workers; w++) workers.push(createWorkerThread(w, node, onStranger));
    warm = Promise.all(workers.map(launch));
    // start() reports it; a caller that never comes to start() stops.
    warm.catch(() => {});
  }

  async function start(plan: Plan, devices: WorkerDevices[]): Promise<void> {
    prepare();
    try {
      await warm;
      await apply(plan, devices);
    } catch (cause) {
      await stop();
      throw new WeftError('WORKER', `a worker did not start: ${(cause as Error).message}`, { cause });
    }
  }

  async function apply(plan: Plan, devices: WorkerDevices[]): Promise<void> {
    const duty = adopt(plan, devices);
    await Promise.all(workers.map((w) => w.apply(duty)));
  }

  async function stop(): Promise<void> {
    isStopping = true;
    stopCapture();
    for (const w of workers) w.askToStop();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, STOP_TIMEOUT_MS);
    });
    await Promise.race([Promise.all(workers.map((w) => w.ended())), late]);
    clearTimeout(timer);
    await pool?.destroy();
    pool = null;
    for (const w of workers) w.close();
  }

  function drainAll(onRecord: (record: CaptureRecord) => void): void {
    for (const w of workers) drainCapture(arena, arena.partitions[w.index], onRecord);
  }

  function stopCapture(): void {
    if (capture === null) return;
    clearInterval(capture.timer);
    capture = null;
    for (const w of workers) w.post({ type: 'capture', key: -1, snapLen: 0 });
  }

  /** Copies the frames of one port to `onRecord`, in the order of each worker. */
  function startCapture(portId: number, snapLen: number, onRecord: (record: CaptureRecord) => void) {
    if (capture !== null) {
      throw new WeftError('LIMIT', 'another capture is running on this node', {
        remedy: 'stop it first: one port is captured at a time',
      });
    }
    const missed = () => workers.reduce((n, w) => n + missedRecords(arena, arena.partitions[w.index]), 0);
    const missedBefore = missed();
    drainAll(() => {});
    capture = { timer: setInterval(() => drainAll(onRecord), CAPTURE_POLL_MS), key: portId, snapLen };
    for (const w of workers) w.post({ type: 'capture', key: portId, snapLen });
    return {
      missed: () => missed() - missedBefore,
      stop() {
        drainAll(onRecord);
        stopCapture();
      },
    };
  }

  return {
    prepare,
    start,
    apply,
    stop,
    capture: startCapture,
    /** Heartbeats that came in since the last call. */
    drainHeartbeats(onHeartbeat: (heard: HeardHeartbeat) => void): void {
      for (const ring of node.heartbeats) drainHeartbeats(ring, onHeartbeat);
    },
    events,
    nowSec,
    macs: (): MacRow[] => readMacs(macTable),
    flushMacs: (filter: MacFilter) => forgetMacs(macTable, filter),
    get counters(): readonly Float64Array[] {
      return workers.map((w) => w.counters);
    },
    workers: (): WorkerState[] =>
      workers.map((w) => ({
        index: w.index,
        threadId: w.threadId,
        state: w.state,
        restarts: w.restarts,
        turns: w.control[TURNS],
        isSleeping: w.control[SLEEPING] === 1,
        lastError: w.lastError,
      })),
    /** Slots of each worker. The rx window counts as home: it stands ready for the next receive. */
    slots: () =>
      workers.map((w) => {
        const total = slotsPerWorker(shape);
        const window = w.state === 'running' ? LANES : 0;
        const held = Math.max(0, countHeld(shape, slots, w.index) - window);
        return { total, free: total - held, held };
      }),
    /** Messages that the kernel refused to cut and the addon sent as single datagrams, per worker. */
    gsoFallbacks: () => workers.map((w) => ioBlock(arena, w.index)[IO_LAYOUT.counters + COUNTER_GSO_FALLBACKS]),
    arenaBytes: node.memory.buffer.byteLength,
    /** Ends a worker as a crash would: for tests of the replacement. */
    terminate(index: number): Promise<void> {
      workers[index].terminate();
      return workers[index].ended();
    },
  };
}
