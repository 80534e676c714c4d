import { readFileSync } from 'node:fs';

/** What the kernel counts in ticks of 10 ms (USER_HZ, 100 on every machine that Node runs on), as seconds. */
const TICKS_PER_SEC = 100;

/** Seconds in which any core of the machine worked: everything but idle, iowait and what the hypervisor took. `text` is /proc/stat. */
export function busySeconds(text: string): number {
  const fields = /^cpu +(.*)$/m.exec(text)?.[1].split(' ').map(Number);
  if (fields === undefined) throw new Error('/proc/stat has no line of all CPUs');
  const [user, nice, system, , , irq, softirq] = fields;
  return (user + nice + system + irq + softirq) / TICKS_PER_SEC;
}

/** User and system seconds of a process with all of its threads. `text` is /proc/PID/stat. */
export function processSeconds(text: string): number {
  // The name in parentheses may hold anything, spaces and parentheses too.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SEC;
}

export interface Resident {
  rssBytes: number;
  /** Resident part of the arena, null when no mapping has its size. */
  arenaBytes: number | null;
}

/** Resident memory, all of it and that of the one writable mapping of `arenaSize` bytes. `text` is /proc/PID/smaps. */
export function residentMemory(text: string, arenaSize: number): Resident {
  let rssBytes = 0;
  let arenaBytes: number | null = null;
  let isArena = false;
  for (const line of text.split('\n')) {
    const mapping = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line);
    if (mapping !== null) {
      const size = Number.parseInt(mapping[2], 16) - Number.parseInt(mapping[1], 16);
      isArena = size === arenaSize && mapping[3].startsWith('rw');
      continue;
    }
    const kilobytes = /^Rss: +(\d+) kB/.exec(line)?.[1];
    if (kilobytes === undefined) continue;
    rssBytes += Number(kilobytes) * 1024;
    if (isArena) arenaBytes = Number(kilobytes) * 1024;
  }
  return { rssBytes, arenaBytes };
}

/** Times that the threads of a process slept and were woken: sums of the status files below /proc/PID/task. */
export function voluntarySwitches(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(text)?.[1] ?? 0), 0);
}

export const readBusySeconds = () => busySeconds(readFileSync('/proc/stat', 'latin1'));
export const readProcessSeconds = (pid: number) => processSeconds(readFileSync(`/proc/${pid}/stat`, 'latin1'));
