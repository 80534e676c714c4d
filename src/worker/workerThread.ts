import { MessageChannel, type MessagePort, receiveMessageOnPort, type Worker } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import { tun } from '../native/tun.js';
import { addCounters, makeCounterBlock } from '../packet/counters.js';
import { WeftError } from '../packet/error.js';
import { bringHome } from '../packet/slots.js';
import type { Plan, WorkerDevices } from '../pipeline/plan.js';
import { closeStandIns, openStandIns, type StandIns } from '../pipeline/standIns.js';
import type { Steps } from '../pipeline/walk.js';
import { type Estate, settleEstate } from './estate.js';
import type { NodeMemory } from './nodeMemory.js';
import { BEGUN, CONTROL_WORDS, type FromWorker, MAIL, STOP, type ToWorker, type WorkerTask } from './protocol.js';

/** What all workers of a node do: the plan, what each of them reads and writes, and where the routes lie. */
export interface Duty {
  plan: Plan;
  devices: WorkerDevices[];
  routesAt: number;
}

/**
 * A place for a thread: a partition of the arena, counters and a doorbell. The thread in it is one of the node's workers, or stands by, warm, to
 * become one. Threads come and go; the place stays.
 */
export interface WorkerThread {
  readonly place: number;
  readonly control: Int32Array;
  readonly counters: Float64Array;
  /** `free`: no thread. `warming`, then `warm`: it takes plans. `ending`: it said that it failed. */
  state: 'free' | 'warming' | 'warm' | 'ending';
  threadId: number;
  lastError: string | null;
  /** It has a plan, or had one: what its counters say is about real packets. Those of a thread that warms up are not. */
  serves: boolean;
  /** It was ended from outside. */
  isTerminated: boolean;
  /** Runs the task in the pool; resolves when the thread is warm and polls, rejects when it ended before. */
  launch(pool: Piscina, faultyStep: keyof Steps | null): Promise<void>;
  /** Resolves with the first sign that the thread works no more: its last words, or its end. */
  lost(): Promise<void>;
  /** Resolves when the thread's task has ended, whichever way. */
  ended(): Promise<void>;
  /** Frames of a port are copied from when this resolves, by a thread that does not end before; -1: of none. */
  capture(key: number, snapLen: number): Promise<void>;
  /** Posts a plan to the thread, as worker `role` of it; resolves when it was taken over, or when the thread has ended. */
  apply(duty: Duty, role: number): Promise<void>;
  askToStop(): void;
  /** Ends the thread wherever it is; one that still loads its modules ends by itself when it has. */
  terminate(): void;
  /** It has a thread that has not begun its task yet. */
  isLoading(): boolean;
  /** After the end of the thread: everything that it held is home or counted, its figures are added to `past`, and the place is free. */
  cleanUp(past: Float64Array): Estate;
  /** Gives the descriptors back, once. */
  close(): void;
}

/** V8 needs seconds for the walk where many wait for a CPU, as when a machine starts. */
export const READY_TIMEOUT_MS = 20_000;
const ANSWER_TIMEOUT_MS = 10_000;

const exitOf = (own: Worker | undefined): Promise<void> | undefined =>
  own && new Promise((resolve) => own.once('exit', () => resolve()));

/**
 * Gives the task to the pool. Throws when the system has no thread for it. The pool keeps such a task for its next thread, and ending it there
 * would leave a rejection that nobody can see: so it becomes one that does nothing.
 */
function begin(pool: Piscina, task: WorkerTask, signal: AbortSignal): Promise<void> {
  const given: Partial<WorkerTask> = task;
  const transferList = [task.port];
  try {
    return pool.run(given, { transferList, signal });
  } catch (cause) {
    for (const key of Object.keys(given)) delete given[key as keyof WorkerTask];
    transferList.length = 0;
    throw new WeftError('WORKER', `no thread could be started: ${(cause as Error).message}`, {
      remedy: 'raise the number of threads that the service may have (TasksMax of systemd, ulimit -u), or its memory',
      cause,
    });
  }
}

export function createWorkerThread(place: number, node: NodeMemory, onStranger: (m: FromWorker) => void): WorkerThread {
  const control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
  const counterBlock = makeCounterBlock();
  const counters = new Float64Array(counterBlock);
  const doorbell = tun().eventfd();
  let port: MessagePort | null = null;
  let threadsOfPool = (): Worker[] => [];
  let abort = new AbortController();
  /** Resolves with the end of the thread itself, once it is known which one of the pool it is. */
  let exited: Promise<void> | undefined;
  let running: Promise<void> = Promise.resolve();
  let lost: Promise<void> = running;
  let isClosed = false;
  /** Told when the thread's task has ended. */
  const waiting = new Set<() => void>();
  const object = `worker thread ${place}`;

  /** Resolves with the first message that `wanted` picks; rejects after the time or when it throws. */
  function expect(
    from: MessagePort,
    what: string,
    wanted: (m: FromWorker) => boolean,
    withinMs = ANSWER_TIMEOUT_MS,
  ): Promise<void> {
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
      const timer = setTimeout(
        () => settle(new WeftError('WORKER', `${object} ${what} in time`, { object })),
        withinMs,
      );
      timer.unref();
      from.on('message', onMessage);
    });
  }

  /** As `promise`, or resolves when the thread has ended. A race with `running` would leave something there at every change until that. */
  function untilEnded(promise: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      waiting.add(resolve);
      void promise.then(resolve, reject).finally(() => waiting.delete(resolve));
    });
  }

  function onReady(m: FromWorker): boolean {
    if (m.type === 'failed') throw new WeftError('WORKER', `${object}: ${m.message}`, { object });
    if (m.type === 'ready') thread.threadId = m.threadId;
    return m.type === 'ready';
  }

  function taskOf(own: MessagePort, standIns: StandIns, faultyStep: keyof Steps | null): WorkerTask {
    const { memory, shape, slots, sequences } = node;
    const nextHops = node.nextHops.words.buffer as SharedArrayBuffer;
    return {
      place,
      memory: {
        arena: memory,
        shape,
        slots,
        sequences,
        counters: counterBlock,
        heartbeats: node.heartbeats[place],
        nextHops,
      },
      control: control.buffer as SharedArrayBuffer,
      doorbell,
      standIns,
      port: own,
      faultyStep,
    };
  }

  function post(message: ToWorker): void {
    port?.postMessage(message);
    Atomics.add(control, MAIL, 1);
    tun().wake(doorbell);
  }

  const thread: WorkerThread = {
    place,
    control,
    counters,
    state: 'free',
    threadId: 0,
    lastError: null,
    serves: false,
    isTerminated: false,
    async launch(pool, faultyStep) {
      thread.state = 'warming';
      // Before all else: where descriptors have run out it throws, and nothing may wait then for a thread that never begins.
      const standIns = openStandIns(tun());
      const channel = new MessageChannel();
      const { port1 } = channel;
      port = port1;
      abort = new AbortController();
      exited = undefined;
      threadsOfPool = () => pool.threads;
      control.fill(0);
      thread.lastError = null;
      thread.isTerminated = false;
      let hasFailed = false;
      let sayLost = () => {};
      const failed = new Promise<void>((resolve) => {
        sayLost = resolve;
      });
      const onMessage = (m: FromWorker) => {
        if (m.type === 'failed') {
          hasFailed = true;
          thread.lastError = m.message;
          thread.state = 'ending';
          sayLost();
        } else onStranger(m);
      };
      port.on('message', onMessage);
      const isReady = (m: FromWorker) => {
        if (!onReady(m)) return false;
        exited ??= exitOf(pool.threads.find((t) => t.threadId === thread.threadId));
        return true;
      };
      const task = taskOf(channel.port2, standIns, faultyStep);
      let taskRun: Promise<void>;
      try {
        taskRun = begin(pool, task, abort.signal);
      } catch (error) {
        thread.lastError = (error as Error).message;
        closeStandIns(tun(), standIns.splice(0));
        port1.close();
        port = null;
        throw error;
      }
      const ready = expect(port, 'was not ready', isReady, READY_TIMEOUT_MS);
      running = taskRun.then(
        () => undefined,
        (error: Error) => {
          // The pool may hear of the thread's end before the thread's last words come in here.
          for (let m = receiveMessageOnPort(port1); m !== undefined; m = receiveMessageOnPort(port1))
            onMessage(m.message);
          if (!hasFailed) thread.lastError = error.message;
          // The pool gives a task up before the thread that it ends has stopped; until then what it holds is not ours to bring home.
          return exited;
        },
      );
      lost = Promise.race([failed, running]);
      const giveBack = () => closeStandIns(tun(), standIns.splice(0));
      void ready.then(giveBack, () => {});
      void running.then(giveBack);
      void running.then(() => {
        port1.close();
        if (port === port1) port = null;
        for (const tell of waiting) tell();
      });
      let hasEnded = false;
      const endedEarly = running.then(() => {
        hasEnded = true;
        throw new Error(thread.lastError ?? 'ended at once');
      });
      try {
        await Promise.race([ready, endedEarly]);
      } catch (error) {
        // One that failed ends its own thread; only one that does not answer is ended. (Node 20 aborts when terminate() meets an exit.)
        if (!hasEnded && !hasFailed) thread.terminate();
        throw error;
      }
      thread.state = 'warm';
    },
    lost: () => lost,
    ended: () => running,
    async capture(key, snapLen) {
      if (port === null || thread.state !== 'warm') return;
      const taken = expect(port, 'did not start a capture', (m) => m.type === 'capturing' && m.key === key);
      post({ type: 'capture', key, snapLen });
      await Promise.race([taken, running]);
    },
    async apply({ plan, devices, routesAt }, role) {
      if (port === null || thread.state !== 'warm') return;
      const taken = expect(port, 'did not take the change over', (m) => {
        if (m.type !== 'applied' || m.generation !== plan.generation) return false;
        if (m.error !== undefined) throw new WeftError('WORKER', `worker ${role} refused the change: ${m.error}`);
        return true;
      });
      thread.serves = true;
      post({ type: 'plan', plan, role, devices: devices[role], routesAt });
      await untilEnded(taken);
    },
    askToStop() {
      Atomics.store(control, STOP, 1);
      tun().wake(doorbell);
    },
    isLoading: () => thread.state === 'warming' && Atomics.load(control, BEGUN) === 0,
    terminate() {
      thread.isTerminated = true;
      // Node 20 aborts the process when a thread is terminated while it loads a module by require() (v8::Module::IsGraphAsync). The task says that it
      // begins before it looks for STOP, so one of the two sees the other.
      if (thread.isLoading()) {
        Atomics.store(control, STOP, 1);
        if (thread.isLoading()) return;
      }
      const before = threadsOfPool();
      abort.abort();
      const after = threadsOfPool();
      // One that warms up has not said yet which of the pool's it is: the one that the pool has just let go of.
      exited ??= exitOf(before.find((one) => !after.includes(one)));
      // A thread inside the poll notices its end only when the poll returns.
      tun().wake(doorbell);
    },
    cleanUp(past) {
      const estate = settleEstate(node, place, counters);
      // What a thread counts while it warms up never came from anywhere.
      if (thread.serves) addCounters(past, counters);
      counters.fill(0);
      thread.serves = false;
      thread.state = 'free';
      return estate;
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      bringHome(node.shape, node.slots, place);
      tun().close(doorbell);
      thread.state = 'free';
    },
  };
  return thread;
}
