import { EventEmitter } from 'node:events';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import {
  attachMacTable,
  breakLock,
  createMacTableBuffer,
  flushMacs,
  forEachMac,
  type MacTable,
  setStatic,
} from '../forward/macTable.js';
import { tun } from '../native/tun.js';
import {
  type Arena,
  type ArenaShape,
  attachArena,
  createArenaMemory,
  DEFAULT_SHAPE,
  slotsPerWorker,
} from '../packet/arena.js';
import { ID_MASK, LANES, TO_PEER, TO_PORT } from '../packet/burst.js';
import { account, COPIED, DROP_BASE, makeCounterBlock } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { WeftError } from '../packet/error.js';
import { createIoBlock, IO_GSO_FALLBACKS, IO_LAYOUT } from '../packet/outbox.js';
import { bringHome, countHeld, createSlotState, type SlotState } from '../packet/slots.js';
import { type CaptureRecord, drainCapture, missedRecords } from '../pipeline/capture.js';
import { MAC_HOLDER } from '../pipeline/pipeline.js';
import type { Plan, WorkerDevices } from '../pipeline/plan.js';
import type { Steps } from '../pipeline/walk.js';
import * as Ethernet from '../wire/ethernet.js';
import {
  CONTROL_WORDS,
  type FromWorker,
  MAIL,
  SLEEPING,
  STOP,
  type ToWorker,
  TURNS,
  type WorkerTask,
} from './protocol.js';

export interface MacRow {
  network: number;
  mac: string;
  /** Exactly one of the two is not 0. */
  port: number;
  peer: number;
  isStatic: boolean;
  expiresInSec: number;
  isHeld: boolean;
}

export interface WorkerState {
  index: number;
  threadId: number;
  state: 'starting' | 'running' | 'replacing' | 'stopped';
  restarts: number;
  turns: number;
  isSleeping: boolean;
  lastError: string | null;
}

export interface SupervisorEvents {
  'worker-lost': [{ index: number; message: string; packetsLost: number; slotsHeld: number }];
  'worker-replaced': [{ index: number; afterMs: number }];
  'unknown-peer': [{ underlay: number; network: number; address: Int32Array }];
}

export interface SupervisorOptions {
  workers: number;
  /** MACs that the table has room for, over all networks. */
  macs?: number;
  shape?: Partial<Omit<ArenaShape, 'workers'>>;
  /** Tests: the first incarnation of worker 0 throws in this step. */
  faultyStep?: keyof Steps;
}

interface WorkerRecord {
  index: number;
  control: Int32Array;
  doorbell: number;
  io: SharedArrayBuffer;
  counters: Float64Array;
  state: WorkerState['state'];
  threadId: number;
  restarts: number;
  launchedAt: number;
  /** Deaths in a row that came soon after the start. */
  quickDeaths: number;
  lastError: string | null;
  port: MessagePort | null;
  abort: AbortController;
  /** Settles when the task has ended, whichever way. */
  ended: Promise<void>;
}

const READY_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 2_000;
const CAPTURE_POLL_MS = 10;
const RESTART_DELAY_MAX_MS = 5_000;
const QUICK_DEATH_MS = 5_000;

export type Supervisor = ReturnType<typeof createSupervisor>;

/**
 * The workers of a node: starts one long task per worker in a piscina pool, posts plans to them, replaces those that die. It owns all
 * shared memory, so whatever a dead worker held is still here: its slots go home, what it had received and not sent is counted.
 */
export function createSupervisor(options: SupervisorOptions) {
  const shape: ArenaShape = { ...DEFAULT_SHAPE, ...options.shape, workers: options.workers };
  const memory = createArenaMemory(shape);
  const arena: Arena = attachArena(memory, shape);
  const slots: SlotState = createSlotState(shape);
  const macBuffer = createMacTableBuffer(options.macs ?? 16384);
  const macTable: MacTable = attachMacTable(macBuffer, 1);
  const events = new EventEmitter<SupervisorEvents>();
  const records: WorkerRecord[] = [];
  let pool: Piscina | null = null;
  let plan: Plan | null = null;
  let devices: WorkerDevices[] = [];
  let isStopping = false;
  let capture: { timer: NodeJS.Timeout; key: number; snapLen: number } | null = null;
  const nowSec = () => Math.floor(tun().monotonicNs() / 1e9);

  function makeRecord(index: number): WorkerRecord {
    return {
      index,
      control: new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4)),
      doorbell: tun().eventfd(),
      io: createIoBlock(),
      counters: new Float64Array(makeCounterBlock()),
      state: 'starting',
      threadId: 0,
      restarts: 0,
      launchedAt: 0,
      quickDeaths: 0,
      lastError: null,
      port: null,
      abort: new AbortController(),
      ended: Promise.resolve(),
    };
  }

  function post(record: WorkerRecord, message: ToWorker): void {
    record.port?.postMessage(message);
    Atomics.add(record.control, MAIL, 1);
    tun().wake(record.doorbell);
  }

  function onMessage(record: WorkerRecord, message: FromWorker): void {
    if (message.type === 'failed') record.lastError = message.message;
    if (message.type === 'unknown-peer') {
      const { underlay, network, address } = message;
      events.emit('unknown-peer', { underlay, network, address });
    }
  }

  /** Runs the task of a worker; resolves when it polls, rejects when it ended before. */
  function launch(record: WorkerRecord): Promise<void> {
    const { port1, port2 } = new MessageChannel();
    const { index } = record;
    record.control.fill(0);
    record.launchedAt = performance.now();
    record.port = port1;
    record.abort = new AbortController();
    const task: WorkerTask = {
      index,
      workers: shape.workers,
      memory: {
        arena: memory,
        shape,
        slots,
        macTable: macBuffer,
        counters: record.counters.buffer as SharedArrayBuffer,
        io: record.io,
      },
      control: record.control.buffer as SharedArrayBuffer,
      doorbell: record.doorbell,
      port: port2,
      plan: plan as Plan,
      devices: devices[index],
      faultyStep: index === 0 && record.restarts === 0 ? (options.faultyStep ?? null) : null,
    };
    const ready = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('not ready in time')), READY_TIMEOUT_MS);
      port1.on('message', (message: FromWorker) => {
        if (message.type === 'ready') {
          clearTimeout(timer);
          record.threadId = message.threadId;
          record.state = 'running';
          resolve();
        } else if (message.type === 'failed') {
          clearTimeout(timer);
          record.lastError = message.message;
          reject(new Error(message.message));
        } else onMessage(record, message);
      });
    });
    const run = (pool as Piscina).run(task, { transferList: [port2], signal: record.abort.signal });
    record.ended = run.then(
      () => undefined,
      (error: Error) => {
        record.lastError ??= error.message;
      },
    );
    void record.ended.then(() => onEnded(record, port1));
    return ready;
  }

  function onEnded(record: WorkerRecord, port: MessagePort): void {
    port.close();
    record.port = null;
    if (isStopping) {
      record.state = 'stopped';
      return;
    }
    const slotsHeld = countHeld(shape, slots, record.index) - LANES;
    bringHome(shape, slots, record.index);
    breakLock(macTable, MAC_HOLDER + record.index);
    const packetsLost = writeOff(record.counters);
    events.emit('worker-lost', { index: record.index, message: record.lastError ?? 'ended', packetsLost, slotsHeld });
    replace(record);
  }

  /** Packets that the dead worker had received and not accounted for become `worker-lost`, on the row of no port. */
  function writeOff(counters: Float64Array): number {
    const { held } = account([counters]);
    if (held > 0) counters[DROP_BASE + DROP['worker-lost']] += held;
    // It died between sending copies and counting them.
    else counters[COPIED] -= held;
    return held;
  }

  /** A worker that dies soon after its start is started again more and more slowly. */
  function replace(record: WorkerRecord): void {
    const lostAt = performance.now();
    record.state = 'replacing';
    record.restarts++;
    record.quickDeaths = lostAt - record.launchedAt < QUICK_DEATH_MS ? record.quickDeaths + 1 : 0;
    const delay = record.quickDeaths < 2 ? 0 : Math.min(RESTART_DELAY_MAX_MS, 50 * 2 ** record.quickDeaths);
    const relaunch = () => {
      if (isStopping) return;
      launch(record).then(
        () => {
          if (capture !== null) post(record, { type: 'capture', key: capture.key, snapLen: capture.snapLen });
          events.emit('worker-replaced', { index: record.index, afterMs: performance.now() - lostAt });
        },
        // A task that failed has ended and comes back through onEnded; one that hangs is made to.
        () => record.abort.abort(),
      );
    };
    if (delay === 0) relaunch();
    else setTimeout(relaunch, delay).unref();
  }

  function rememberPlan(next: Plan, nextDevices: WorkerDevices[]): void {
    plan = next;
    devices = nextDevices;
    for (const n of next.networks) macTable.limits[n.id] = n.macLimit;
  }

  function installStatics(next: Plan): void {
    flushMacs(macTable, (e) => e.expiresInSec === Number.POSITIVE_INFINITY, nowSec());
    for (const s of next.statics) {
      const mac = Ethernet.macFromText(s.mac) as Uint8Array;
      const lo = mac[0] | (mac[1] << 8) | (mac[2] << 16) | (mac[3] << 24);
      const hi = mac[4] | (mac[5] << 8);
      if (!setStatic(macTable, lo, hi, s.network, s.port > 0 ? TO_PORT | s.port : TO_PEER | s.peer)) {
        throw new WeftError('LIMIT', `static MAC ${s.mac}: the MAC table is full`, { remedy: 'lower the mac limits' });
      }
    }
  }

  async function start(first: Plan, firstDevices: WorkerDevices[]): Promise<void> {
    rememberPlan(first, firstDevices);
    installStatics(first);
    pool = new Piscina({
      filename: new URL('./task.js', import.meta.url).href,
      minThreads: shape.workers,
      maxThreads: shape.workers,
      // Workers print nothing and read no environment; what they may allocate is bounded by their burst columns.
      trackUnmanagedFds: false,
    });
    for (let w = 0; w < shape.workers; w++) records.push(makeRecord(w));
    try {
      await Promise.all(records.map(launch));
    } catch (cause) {
      await stop();
      throw new WeftError('WORKER', `a worker did not start: ${(cause as Error).message}`, { cause });
    }
  }

  /** Posts a plan and resolves when every live worker has taken it over; one that dies meanwhile starts with it. */
  async function apply(next: Plan, nextDevices: WorkerDevices[]): Promise<void> {
    rememberPlan(next, nextDevices);
    installStatics(next);
    await Promise.all(records.map((record) => applyTo(record, next, nextDevices[record.index])));
  }

  function applyTo(record: WorkerRecord, next: Plan, own: WorkerDevices): Promise<void> {
    const { port } = record;
    if (port === null || record.state !== 'running') return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onReply = (message: FromWorker) => {
        if (message.type !== 'applied' || message.generation !== next.generation) return;
        finish();
        if (message.error === undefined) resolve();
        else reject(new WeftError('WORKER', `worker ${record.index} refused the change: ${message.error}`));
      };
      const finish = () => {
        port.off('message', onReply);
        clearTimeout(timer);
      };
      const timer = setTimeout(() => {
        finish();
        reject(new WeftError('WORKER', `worker ${record.index} did not take the change over in time`));
      }, READY_TIMEOUT_MS);
      void record.ended.then(() => {
        finish();
        resolve();
      });
      port.on('message', onReply);
      post(record, { type: 'plan', plan: next, devices: own });
    });
  }

  async function stop(): Promise<void> {
    isStopping = true;
    stopCapture();
    for (const record of records) {
      Atomics.store(record.control, STOP, 1);
      tun().wake(record.doorbell);
    }
    const all = Promise.all(records.map((r) => r.ended));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, STOP_TIMEOUT_MS);
    });
    await Promise.race([all, late]);
    clearTimeout(timer);
    await pool?.destroy();
    pool = null;
    for (const record of records) {
      record.state = 'stopped';
      bringHome(shape, slots, record.index);
      if (record.doorbell >= 0) tun().close(record.doorbell);
      record.doorbell = -1;
    }
  }

  function stopCapture(): void {
    if (capture === null) return;
    clearInterval(capture.timer);
    capture = null;
    for (const record of records) if (record.port !== null) post(record, { type: 'capture', key: -1, snapLen: 0 });
  }

  function startCapture(portId: number, snapLen: number, onRecord: (record: CaptureRecord) => void) {
    if (capture !== null) {
      throw new WeftError('LIMIT', 'another capture is running on this node', {
        remedy: 'stop it first: one port is captured at a time',
      });
    }
    const drain = () => {
      for (const record of records) drainCapture(arena, arena.partitions[record.index], onRecord);
    };
    const missed = () => records.reduce((n, r) => n + missedRecords(arena, arena.partitions[r.index]), 0);
    const missedBefore = missed();
    for (const record of records) drainCapture(arena, arena.partitions[record.index], () => {});
    capture = { timer: setInterval(drain, CAPTURE_POLL_MS), key: portId, snapLen };
    for (const record of records) post(record, { type: 'capture', key: portId, snapLen });
    return {
      missed: () => missed() - missedBefore,
      stop() {
        drain();
        stopCapture();
      },
    };
  }

  function macs(): MacRow[] {
    const rows: MacRow[] = [];
    const bytes = new Uint8Array(6);
    forEachMac(macTable, nowSec(), false, (e) => {
      for (let b = 0; b < 4; b++) bytes[b] = e.lo >>> (8 * b);
      bytes[4] = e.hi;
      bytes[5] = e.hi >>> 8;
      const id = e.value & ID_MASK;
      rows.push({
        network: e.network,
        mac: Ethernet.macToText(bytes, 0),
        port: (e.value & TO_PORT) !== 0 ? id : 0,
        peer: (e.value & TO_PEER) !== 0 ? id : 0,
        isStatic: e.expiresInSec === Number.POSITIVE_INFINITY,
        expiresInSec: e.expiresInSec,
        isHeld: e.isHeld,
      });
    });
    return rows;
  }

  /** Forgets learned MACs behind a port or peer, or of a network; returns how many. */
  function forget(filter: { network?: number; port?: number; peer?: number }): number {
    const value = filter.port ? TO_PORT | filter.port : filter.peer ? TO_PEER | filter.peer : 0;
    const matches = (e: { network: number; value: number; expiresInSec: number }) =>
      (value === 0 || e.value === value) &&
      (filter.network === undefined || e.network === filter.network) &&
      e.expiresInSec !== Number.POSITIVE_INFINITY;
    return flushMacs(macTable, matches, nowSec());
  }

  return {
    start,
    apply,
    stop,
    macs,
    flushMacs: forget,
    capture: startCapture,
    events,
    /** Monotonic seconds, the clock of the counters' gauges. */
    nowSec,
    get counters(): readonly Float64Array[] {
      return records.map((r) => r.counters);
    },
    workers: (): WorkerState[] =>
      records.map((r) => ({
        index: r.index,
        threadId: r.threadId,
        state: r.state,
        restarts: r.restarts,
        turns: r.control[TURNS],
        isSleeping: r.control[SLEEPING] === 1,
        lastError: r.lastError,
      })),
    /** Slots of each worker. The rx window counts as home: it stands ready for the next receive. */
    slots: () =>
      records.map((r) => {
        const total = slotsPerWorker(shape);
        const isRunning = r.state === 'running';
        const held = Math.max(0, countHeld(shape, slots, r.index) - (isRunning ? LANES : 0));
        return { total, free: total - held, held };
      }),
    /** Messages that the kernel refused to cut and the addon sent as single datagrams, per worker. */
    gsoFallbacks: () => records.map((r) => new Int32Array(r.io)[IO_LAYOUT.counters + IO_GSO_FALLBACKS]),
    arenaBytes: memory.buffer.byteLength,
    /** Ends a worker as a crash would: for tests of the replacement. */
    terminate(index: number): Promise<void> {
      const record = records[index];
      record.abort.abort();
      tun().wake(record.doorbell);
      return record.ended;
    },
  };
}
