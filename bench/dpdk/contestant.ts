import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { sleep } from '../../dist/cli/lab/commands.js';
import type { Undo } from '../../dist/cli/lab/undo.js';

/** A process that forwards frames as fast as it can, with one busy thread. */
export interface Contestant {
  name: string;
  pid: number;
  /** Processes that run only while it does: what sends to it. */
  companions?: readonly number[];
  /** Frames that have left so far. */
  packets(): Promise<number>;
  /** Brings it to where its figures are those of steady traffic; it runs already. */
  prepare?(): Promise<void>;
}

/** What was seen of it in one round. */
export interface Seen {
  /** By the clock. */
  mpps: number;
  /** Processor time of its busiest thread. */
  nsPerPacket: number;
}

/** Nanoseconds that each thread of a process has had a core. */
export function threadTimes(pid: number): Map<string, number> {
  const folder = `/proc/${pid}/task`;
  return new Map(
    readdirSync(folder).map((tid) => [tid, Number(readFileSync(`${folder}/${tid}/schedstat`, 'latin1').split(' ')[0])]),
  );
}

/** The busiest thread between two looks. */
export function busiest(before: Map<string, number>, after: Map<string, number>): number {
  return Math.max(...[...after].map(([tid, ns]) => ns - (before.get(tid) ?? 0)));
}

const SETTLE_MS = 300;

const { PRIORITY_HIGHEST, PRIORITY_NORMAL } = constants.priority;

/** Every thread of a process, and the session that the kernel's scheduler may weigh as a whole (CONFIG_SCHED_AUTOGROUP). */
function setPriorities(pid: number, priority: number): void {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, `${priority}`);
  } catch {
    // A kernel without it.
  }
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    try {
      setPriority(Number(tid), priority);
    } catch {
      // The thread has ended.
    }
  }
}

/**
 * On a machine with other work two threads that wait for each other would mostly wait. Contestants go before it for their seconds; and so does
 * this process, which reads their counters, until the benchmark ends.
 */
export function goFirst(undo: Undo): void {
  setPriorities(process.pid, PRIORITY_HIGHEST);
  undo.add(() => setPriorities(process.pid, PRIORITY_NORMAL));
}

/** Lets one contestant run alone for so long: the others are stopped. */
export async function observe(one: Contestant, seconds: number, signal: AbortSignal): Promise<Seen> {
  for (const pid of [one.pid, ...(one.companions ?? [])]) {
    setPriorities(pid, PRIORITY_HIGHEST);
    process.kill(pid, 'SIGCONT');
  }
  try {
    await one.prepare?.();
    await sleep(SETTLE_MS);
    signal.throwIfAborted();
    const look = async () => {
      const packets = await one.packets();
      return { packets, times: threadTimes(one.pid), at: performance.now() };
    };
    const before = await look();
    await sleep(seconds * 1000);
    const after = await look();
    const packets = after.packets - before.packets;
    if (packets <= 0) throw new Error(`${one.name} moved no frame`);
    return {
      mpps: packets / (after.at - before.at) / 1000,
      nsPerPacket: busiest(before.times, after.times) / packets,
    };
  } finally {
    stop(one);
  }
}

/** Code is compiled, and tables are filled, before anything is counted. */
const WARM_UP_SECONDS = 0.7;

export async function warmUp(entrants: readonly Contestant[], signal: AbortSignal): Promise<void> {
  for (const one of entrants) await observe(one, WARM_UP_SECONDS, signal);
}

/** Takes a contestant off the processor until it is observed. */
export function stop(one: Contestant): void {
  for (const pid of [...(one.companions ?? []), one.pid]) process.kill(pid, 'SIGSTOP');
}

/** Lets a process that may be stopped hear the signal that ends it. */
export function wake(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // It has ended.
  }
}
