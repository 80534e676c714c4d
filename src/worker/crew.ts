import { Piscina } from 'piscina';
import { makeCounterBlock } from '../packet/counters.js';
import { WeftError } from '../packet/error.js';
import type { Steps } from '../pipeline/walk.js';
import { type Estate, giveOverflow, takeOverflow } from './estate.js';
import type { NodeMemory } from './nodeMemory.js';
import type { FromWorker } from './protocol.js';
import { createWorkerThread, type Duty, READY_TIMEOUT_MS, type WorkerThread } from './workerThread.js';

/** One of the node's workers: the part of the plan that a thread has, whichever thread. */
export interface Role {
  readonly index: number;
  /** The last one that had it. */
  thread: WorkerThread;
  /** That one works no more. Its place may have been given to a thread of another worker, or to the spare: `thread` is theirs then. */
  isVacant: boolean;
  /** `replacing`: its thread works no more, and another one has not taken its devices over yet. */
  state: 'starting' | 'running' | 'replacing' | 'stopped';
  restarts: number;
  lastError: string | null;
  /** When its thread began: a fault soon after that is a quick one. */
  since: number;
  quickFaults: number;
}

/** A worker goes on with another thread. */
export interface Replacement {
  index: number;
  /** Since it was known that the one before works no more. */
  afterMs: number;
  /** The thread stood by, warm; otherwise it had to warm up first. */
  stoodBy: boolean;
}

/** What a dead thread leaves to the next one. */
interface Vacancy {
  role: Role;
  /** Its place, which may be taken again once its thread has `ended`. */
  place: number;
  ended: Promise<void>;
  /** What the kernel had counted on its devices, once it has ended. */
  overflow: Int32Array | null;
  lostAt: number;
}

export interface CrewOptions {
  workers: number;
  faultyStep: keyof Steps | null;
  onReport(m: FromWorker): void;
  onLost(loss: { index: number; message: string } & Estate): void;
  onReplaced(replacement: Replacement, thread: WorkerThread): void;
}

const STOP_TIMEOUT_MS = 2_000;
const RESTART_DELAY_MAX_MS = 5_000;
const QUICK_FAULT_MS = 5_000;
/** A node that has just started has better things to do than to warm a spare thread up. */
const SPARE_DELAY_MS = 2_000;

export type Crew = ReturnType<typeof createCrew>;

/**
 * The threads of a node, in a piscina pool, each with one long task: a thread for each worker, and one more that stands by, warm. It takes the
 * devices of a worker that dies within milliseconds. Without one a thread has to be started first, which takes most of a second, nearly
 * all of it for V8 to compile the walk.
 */
export function createCrew(node: NodeMemory, options: CrewOptions) {
  const { shape, arena } = node;
  const threads: WorkerThread[] = [];
  const roles: Role[] = [];
  let pool: Piscina | null = null;
  let duty: Duty | null = null;
  let warm: Promise<unknown> = Promise.resolve();
  /** The thread that stands by or will; `standing` once it is warm. */
  let spare: Promise<WorkerThread> | null = null;
  let standing: WorkerThread | null = null;
  let spareTimer: NodeJS.Timeout | undefined;
  /** Whose the threads were that are on their way out. */
  const dying = new Map<WorkerThread, Role>();
  /** Threads that are taking over what another one had. */
  const takeovers = new Set<Promise<void>>();
  /** Figures of the threads that are gone. */
  const past = new Float64Array(makeCounterBlock());
  let isStopping = false;

  function place(): WorkerThread {
    const free = threads.find((thread) => thread.state === 'free');
    if (free !== undefined) return free;
    if (threads.length === shape.workers) throw new WeftError('LIMIT', 'the arena has no place for another worker');
    threads.push(createWorkerThread(threads.length, node, options.onReport));
    return threads[threads.length - 1];
  }

  /** Warms a thread up in a free place, which is taken when this returns. */
  async function launch(faultyStep: keyof Steps | null = null): Promise<WorkerThread> {
    if (pool === null || isStopping) throw new WeftError('WORKER', 'the node does not run');
    const thread = place();
    const launched = thread.launch(pool, faultyStep);
    void thread.lost().then(() => onLost(thread));
    void thread.ended().then(() => onEnded(thread));
    await launched;
    return thread;
  }

  function keepSpare(delayMs: number): void {
    if (spareTimer !== undefined && delayMs > 0) return;
    clearTimeout(spareTimer);
    spareTimer = setTimeout(() => {
      spareTimer = undefined;
      if (isStopping || spare !== null || roles.length >= shape.workers) return;
      const launched = launch();
      spare = launched;
      launched.then(
        (thread) => {
          if (spare === launched) standing = thread;
        },
        () => {
          if (spare !== launched) return;
          spare = null;
          keepSpare(RESTART_DELAY_MAX_MS);
        },
      );
    }, delayMs);
    spareTimer.unref();
  }

  /** The thread that stands by, or one that is started now. */
  function warmThread(): Promise<WorkerThread> {
    const taken = spare ?? launch();
    spare = null;
    standing = null;
    return taken;
  }

  /** A warm thread that was meant for a worker which is gone by now. */
  function standBy(thread: WorkerThread): void {
    if (isStopping || spare !== null) {
      thread.terminate();
      return;
    }
    spare = Promise.resolve(thread);
    standing = thread;
  }

  const roleOf = (thread: WorkerThread) => roles.find((role) => role.thread === thread && !role.isVacant);

  function onLost(thread: WorkerThread): void {
    const role = roleOf(thread);
    if (isStopping || role === undefined || role.state === 'starting') return;
    replace(role, performance.now());
  }

  function onEnded(thread: WorkerThread): void {
    if (isStopping) return;
    onLost(thread);
    const role = dying.get(thread);
    const message = thread.lastError ?? 'ended';
    const estate = thread.cleanUp(past);
    if (role !== undefined) options.onLost({ index: role.index, message, ...estate });
    dying.delete(thread);
    if (thread !== standing) return;
    standing = null;
    spare = null;
    keepSpare(RESTART_DELAY_MAX_MS);
  }

  /** A worker that fails soon after its start is started again more and more slowly. One that was ended from outside is not at fault. */
  function replace(role: Role, lostAt: number): void {
    const dead = role.thread;
    const isQuick = !dead.isTerminated && lostAt - role.since < QUICK_FAULT_MS;
    role.state = 'replacing';
    role.isVacant = true;
    role.restarts++;
    role.lastError = dead.lastError ?? 'ended';
    role.quickFaults = isQuick ? role.quickFaults + 1 : 0;
    dying.set(dead, role);
    const vacancy: Vacancy = { role, place: dead.place, ended: dead.ended(), overflow: null, lostAt };
    void vacancy.ended.then(() => {
      vacancy.overflow = takeOverflow(arena, vacancy.place);
    });
    if (role.quickFaults < 3) void fill(vacancy);
    else fillLater(vacancy, Math.min(RESTART_DELAY_MAX_MS, 50 * 2 ** role.quickFaults));
  }

  function fillLater(vacancy: Vacancy, delayMs: number): void {
    setTimeout(() => void fill(vacancy), delayMs).unref();
  }

  async function fill(vacancy: Vacancy): Promise<void> {
    const { role, ended } = vacancy;
    const hasSpare = spare !== null;
    const stoodBy = standing !== null;
    let thread: WorkerThread;
    try {
      // Without a spare the dead thread's own place may be the only one.
      if (!hasSpare) await ended;
      thread = await warmThread();
    } catch {
      fillLater(vacancy, RESTART_DELAY_MAX_MS);
      return;
    }
    if (isStopping || !roles.includes(role)) standBy(thread);
    else await takeOver(vacancy, thread, { hasSpare, stoodBy });
  }

  async function takeOver(
    vacancy: Vacancy,
    thread: WorkerThread,
    { hasSpare, stoodBy }: { hasSpare: boolean; stoodBy: boolean },
  ): Promise<void> {
    const { role, place: from, ended, lostAt } = vacancy;
    giveOverflow(arena, thread.place, vacancy.overflow ?? takeOverflow(arena, from));
    try {
      await give(role, thread);
    } catch {
      // It cannot take the plan, and ends: that comes back through onLost.
      return;
    }
    // It may have ended on the way, and be replaced itself.
    if (role.isVacant || role.thread !== thread) return;
    role.state = 'running';
    const afterMs = performance.now() - lostAt;
    // Where none stood by the node has just started, or falls over again and again.
    keepSpare(hasSpare ? 0 : SPARE_DELAY_MS);
    // What was lost is told before.
    await ended;
    if (!isStopping) options.onReplaced({ index: role.index, afterMs, stoodBy }, thread);
  }

  /** Gives a warm thread the devices of a worker. */
  async function give(role: Role, thread: WorkerThread): Promise<void> {
    role.thread = thread;
    role.isVacant = false;
    role.since = performance.now();
    if (duty === null) return;
    const given = thread.apply(duty, role.index);
    const settled = given.catch(() => {});
    takeovers.add(settled);
    await settled;
    takeovers.delete(settled);
    await given;
  }

  /** Starts the threads and warms them up without a port, which takes most of a start: meanwhile the caller opens devices. */
  function prepare(): void {
    if (pool !== null) return;
    pool = new Piscina({
      filename: new URL('./task.js', import.meta.url).href,
      // The pool keeps up such a number of threads even when it is destroyed and one of them ends only then.
      minThreads: 0,
      maxThreads: shape.workers,
      // What a worker opened itself (capture files) is closed when its thread ends, however it ends.
      trackUnmanagedFds: true,
    });
    // A thread that cannot begin, for want of descriptors or memory: whoever waits for it gives up, and tries again later.
    pool.on('error', () => {});
    const launched = Array.from({ length: options.workers }, async (_, index) => {
      const thread = launch(index === 0 ? options.faultyStep : null);
      roles.push(newRole(index, threads[threads.length - 1]));
      await thread;
    });
    warm = Promise.all(launched);
    // start() reports it; a caller that never comes to start() stops.
    warm.catch(() => {});
  }

  return {
    threads,
    roles,
    plan: () => duty?.plan ?? null,
    /** Blocks of the threads that are gone, and of those that serve. */
    counters: () => [past, ...threads.flatMap((thread) => (thread.serves ? [thread.counters] : []))],
    prepare,
    /** Every thread is warm and without a plan. */
    warm: () => warm,
    /** No thread reads the plan before the last one. */
    async settled(): Promise<void> {
      await Promise.all(takeovers);
    },
    /** Threads for so many workers. Those that are new have no plan yet. */
    async grow(workers: number): Promise<void> {
      const missing = Math.max(0, workers - roles.length);
      const launched = await Promise.allSettled(Array.from({ length: missing }, warmThread));
      const failed = launched.find((one) => one.status === 'rejected');
      for (const one of launched) {
        if (one.status === 'rejected') continue;
        if (failed === undefined) roles.push(newRole(roles.length, one.value));
        else standBy(one.value);
      }
      if (failed !== undefined) throw failed.reason;
    },
    /** Ends the threads of workers that the plan does not have any more, once they have served what had come. */
    async shrink(workers: number): Promise<void> {
      const gone = roles.splice(workers).flatMap((role) => (role.isVacant ? [] : [role.thread]));
      for (const thread of gone) if (thread.state === 'warm') thread.askToStop();
      await Promise.all(gone.map((thread) => thread.ended()));
      for (const { place } of gone) takeOverflow(arena, place);
    },
    async apply(next: Duty): Promise<void> {
      duty = next;
      await Promise.all(
        roles.slice(0, next.plan.workers).map(async (role) => {
          // Whoever fills the vacancy begins with this one.
          if (role.isVacant) return;
          await role.thread.apply(next, role.index);
          if (role.state !== 'starting') return;
          role.state = 'running';
          // It has ended while it waited for its first plan.
          if (role.thread.state !== 'warm') onLost(role.thread);
        }),
      );
      keepSpare(SPARE_DELAY_MS);
    },
    async stop(): Promise<void> {
      isStopping = true;
      clearTimeout(spareTimer);
      for (const thread of threads) {
        if (roleOf(thread) !== undefined) thread.askToStop();
        else if (thread.state !== 'free') thread.terminate();
      }
      await endOf(threads, STOP_TIMEOUT_MS);
      // The pool terminates what is left, which a thread that loads its modules must not be.
      await endOf(
        threads.filter((thread) => thread.isLoading()),
        READY_TIMEOUT_MS,
      );
      await pool?.destroy();
      pool = null;
      for (const thread of threads) thread.close();
      for (const role of roles) role.state = 'stopped';
    },
  };
}

/** Resolves when all of them have ended, or when time is up. */
async function endOf(threads: WorkerThread[], withinMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, withinMs);
  });
  await Promise.race([Promise.all(threads.map((thread) => thread.ended())), late]);
  clearTimeout(timer);
}

function newRole(index: number, thread: WorkerThread): Role {
  return {
    index,
    thread,
    isVacant: false,
    state: 'starting',
    restarts: 0,
    lastError: null,
    since: performance.now(),
    quickFaults: 0,
  };
}
