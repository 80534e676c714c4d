/**
 * What a service manager is told (sd_notify): that the node is ready, reloads, stops, how it is, and that it lives. Without NOTIFY_SOCKET
 * nothing is sent.
 */
import type { WorkerState } from '../observe/dataplane.js';

/** A worker sleeps for a second at most, so one that does not turn for longer than this is stuck. */
export const STUCK_MS = 3000;

export interface ServiceManager {
  /** Frames move; from now on the watchdog is fed. */
  ready(status: string): void;
  /** A reload begins; `ready` follows, whether it went well or not. */
  reloading(): void;
  status(text: string): void;
  stopping(): void;
}

interface Surroundings {
  env: NodeJS.ProcessEnv;
  pid: number;
  send(notice: { socket: string; message: string }): void;
  /** Monotonic milliseconds. */
  now(): number;
  workers(): readonly Pick<WorkerState, 'index' | 'turns' | 'threadId'>[];
  warn(message: string): void;
}

export function createServiceManager({ env, pid, send, now, workers, warn }: Surroundings): ServiceManager {
  const socket = env.NOTIFY_SOCKET ?? '';
  const watch = createWatch(now);
  let feeding: NodeJS.Timeout | null = null;
  let isDeaf = false;
  let stuckBefore = '';

  /** Lines of one datagram. A manager that cannot be reached is said once; the node goes on. */
  function tell(...lines: string[]): void {
    if (socket === '') return;
    try {
      send({ socket, message: lines.join('\n') });
      isDeaf = false;
    } catch (error) {
      if (!isDeaf) warn(`the service manager at NOTIFY_SOCKET was not reached: ${(error as Error).message}`);
      isDeaf = true;
    }
  }

  function feed(): void {
    const stuck = watch(workers()).join(' and ');
    if (stuck === '') tell('WATCHDOG=1');
    else if (stuck !== stuckBefore)
      warn(`the watchdog is not fed: no turn for ${STUCK_MS / 1000} s of worker ${stuck}`);
    stuckBefore = stuck;
  }

  return {
    ready(status) {
      tell('READY=1', `STATUS=${status}`);
      const everyMs = watchdogMs(env, pid) / 2;
      if (everyMs > 0) feeding ??= setInterval(feed, everyMs).unref();
    },
    reloading: () => tell('RELOADING=1', `MONOTONIC_USEC=${Math.floor(now() * 1000)}`),
    status: (text) => tell(`STATUS=${text}`),
    stopping() {
      if (feeding !== null) clearInterval(feeding);
      tell('STOPPING=1');
    },
  };
}

/** The time within which the manager wants to hear of this process, 0 for none. */
function watchdogMs(env: NodeJS.ProcessEnv, pid: number): number {
  const usec = Number(env.WATCHDOG_USEC);
  const isOurs = env.WATCHDOG_PID === undefined || Number(env.WATCHDOG_PID) === pid;
  return isOurs && Number.isSafeInteger(usec) && usec > 0 ? usec / 1000 : 0;
}

/** Workers whose turns have stood still for too long. One that is being replaced has the same time to come back. */
function createWatch(now: () => number) {
  const seen = new Map<number, { turns: number; threadId: number; at: number }>();
  return (workers: ReturnType<Surroundings['workers']>): number[] =>
    workers.flatMap(({ index, turns, threadId }) => {
      const before = seen.get(index);
      if (before?.turns === turns && before.threadId === threadId) return now() - before.at >= STUCK_MS ? [index] : [];
      seen.set(index, { turns, threadId, at: now() });
      return [];
    });
}
