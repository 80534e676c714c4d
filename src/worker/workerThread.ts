import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import { breakLock } from '../forward/macTable.js';
import { tun } from '../native/tun.js';
import { LANES } from '../packet/burst.js';
import { account, COPIED, DROP_BASE, makeCounterBlock } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { WeftError } from '../packet/error.js';
import { bringHome, countHeld } from '../packet/slots.js';
import { MAC_HOLDER } from '../pipeline/pipeline.js';
import type { Plan, WorkerDevices } from '../pipeline/plan.js';
import type { Steps } from '../pipeline/walk.js';
import type { NodeMemory } from './nodeMemory.js';
import { CONTROL_WORDS, type FromWorker, MAIL, STOP, type ToWorker, type WorkerTask } from './protocol.js';

/** What a dead worker left: packets that it had received and not sent, and slots that were not on its stacks. */
export interface Loss {
  message: string;
  packetsLost: number;
  slotsHeld: number;
}

/** What all workers of a node do: the plan, what each of them reads and writes, and where the routes lie. */
export interface Duty {
  plan: Plan;
  devices: WorkerDevices[];
  routesAt: number;
}

/** One worker across its incarnations: descriptors, counters and memory stay, the thread may change. */
export interface WorkerThread {
  readonly index: number;
  readonly control: Int32Array;
  readonly counters: Float64Array;
  state: 'starting' | 'running' | 'replacing' | 'stopped';
  threadId: number;
  restarts: number;
  lastError: string | null;
  launchedAt: number;
  /** Runs the task in the pool; resolves when the worker is warm and polls, rejects when it ended before. */
  launch(pool: Piscina, duty: Duty, faultyStep: keyof Steps | null): Promise<void>;
  /** Resolves when the thread's task has ended, whichever way. */
  ended(): Promise<void>;
  post(message: ToWorker): void;
  /** Posts a plan; resolves when the worker has taken it over, or has ended: its successor starts with it. */
  apply(duty: Duty): Promise<void>;
  askToStop(): void;
  /** Ends the thread wherever it is. */
  terminate(): void;
  /** After the end of the thread: slots home, lock free, what was in flight counted as `worker-lost`. */
  cleanUp(): Loss;
  /** Gives the descriptors back, once. */
  close(): void;
}

const READY_TIMEOUT_MS = 10_000;

export function createWorkerThread(index: number, node: NodeMemory, onStranger: (m: FromWorker) => void): WorkerThread {
  const control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
  const counterBlock = makeCounterBlock();
  const counters = new Float64Array(counterBlock);
  const doorbell = tun().eventfd();
  let port: MessagePort | null = null;
  let abort = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let isClosed = false;

  /** Resolves with the first message that `wanted` picks; rejects after the time or when it throws. */
  function expect(from: MessagePort, what: string, wanted: (m: FromWorker) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: Error) => {
        clearTimeout(timer);
        from.off('message', onMessage);
        if (error) reject(error);
        else resolve();
      };
      const onMessage = (m: FromWorker) => {
        try {
          if (wanted(m)) settle();
        } catch (error) {
          settle(error as Error);
        }
      };
      const timer = setTimeout(() => {
        settle(new WeftError('WORKER', `worker ${index} ${what} in time`, { object: `worker ${index}` }));
      }, READY_TIMEOUT_MS);
      timer.unref();
      from.on('message', onMessage);
    });
  }

  function onReady(m: FromWorker): boolean {
    if (m.type === 'failed')
      throw new WeftError('WORKER', `worker ${index}: ${m.message}`, { object: `worker ${index}` });
    if (m.type === 'ready') worker.threadId = m.threadId;
    return m.type === 'ready';
  }

  const worker: WorkerThread = {
    index,
    control,
    counters,
    state: 'starting',
    threadId: 0,
    restarts: 0,
    lastError: null,
    launchedAt: 0,
    async launch(pool, { plan, devices, routesAt }, faultyStep) {
      const channel = new MessageChannel();
      const { port1 } = channel;
      port = port1;
      abort = new AbortController();
      control.fill(0);
      worker.launchedAt = performance.now();
      let hasFailed = false;
      const onMessage = (m: FromWorker) => {
        if (m.type === 'failed') {
          hasFailed = true;
          worker.lastError = m.message;
        }
        if (m.type === 'unknown-peer' || m.type === 'path-mtu') onStranger(m);
      };
      port.on('message', onMessage);
      let exited: Promise<void> | undefined;
      const ready = expect(port, 'was not ready', (m) => {
        if (!onReady(m)) return false;
        const thread = pool.threads.find((t) => t.threadId === worker.threadId);
        exited = thread && new Promise((resolve) => thread.once('exit', () => resolve()));
        return true;
      });
      const { memory, shape, slots, sequences } = node;
      const task: WorkerTask = {
        index,
        workers: shape.workers,
        memory: { arena: memory, shape, slots, sequences, counters: counterBlock, heartbeats: node.heartbeats[index] },
        control: control.buffer as SharedArrayBuffer,
        doorbell,
        port: channel.port2,
        plan,
        devices: devices[index],
        routesAt,
        faultyStep,
      };

      running = pool.run(task, { transferList: [channel.port2], signal: abort.signal }).then(
        () => undefined,
        (error: Error) => {
          // The pool may hear of the thread's end before the thread's last words come in here.
          for (let m = receiveMessageOnPort(port1); m !== undefined; m = receiveMessageOnPort(port1))
            onMessage(m.message);
          if (!hasFailed) worker.lastError = error.message;
          // The pool gives a task up before the thread that it ends has stopped; until then what it holds is not ours to bring home.
          return exited;
        },
      );
      void running.then(() => {
        port1.close();
        if (port === port1) port = null;
      });
      let hasEnded = false;
      const endedEarly = running.then(() => {
        hasEnded = true;
        throw new Error(worker.lastError ?? 'ended at once');
      });
      try {
        await Promise.race([ready, endedEarly]);
      } catch (error) {
        // One that failed ends its own thread; only one that does not answer is ended. (Node 20 aborts when terminate() meets an exit.)
        if (!hasEnded && !hasFailed) worker.terminate();
        throw error;
      }
      worker.state = 'running';
    },
    ended: () => running,
    post(message) {
      port?.postMessage(message);
      Atomics.add(control, MAIL, 1);
      tun().wake(doorbell);
    },
    async apply({ plan, devices, routesAt }) {
      if (port === null || worker.state !== 'running') return;
      const taken = expect(port, 'did not take the change over', (m) => {
        if (m.type !== 'applied' || m.generation !== plan.generation) return false;
        if (m.error !== undefined) throw new WeftError('WORKER', `worker ${index} refused the change: ${m.error}`);
        return true;
      });
      worker.post({ type: 'plan', plan, devices: devices[index], routesAt });
      await Promise.race([taken, running]);
    },
    askToStop() {
      Atomics.store(control, STOP, 1);
      tun().wake(doorbell);
    },
    terminate() {
      abort.abort();
      // A thread inside the poll notices its end only when the poll returns.
      tun().wake(doorbell);
    },
    cleanUp() {
      const slotsHeld = Math.max(0, countHeld(node.shape, node.slots, index) - LANES);
      bringHome(node.shape, node.slots, index);
      breakLock(node.macTable, MAC_HOLDER + index);
      const { held } = account([counters]);
      // The row of no port takes it. Less than nothing is held when it died between sending copies and counting them.
      if (held > 0) counters[DROP_BASE + DROP['worker-lost']] += held;
      else counters[COPIED] -= held;
      return { message: worker.lastError ?? 'ended', packetsLost: Math.max(0, held), slotsHeld };
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      bringHome(node.shape, node.slots, index);
      tun().close(doorbell);
      worker.state = 'stopped';
    },
  };
  return worker;
}
