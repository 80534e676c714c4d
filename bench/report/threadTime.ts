import { readFileSync } from 'node:fs';

/** Nanoseconds that the calling thread has stood in a run queue while others ran; 0 where the kernel does not say. */
function queuedNs(): number {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[1]);
  } catch {
    return 0;
  }
}

export interface Elapsed {
  wallNs: number;
  /** Wall time less the time in which another thread had the core: what a quiet machine would have shown. */
  onCoreNs: number;
}

/** Times a synchronous piece of work. Looking at the clock costs some 20 us: let the work take milliseconds. */
export function timeWork(work: () => void): Elapsed {
  const queuedBefore = queuedNs();
  const start = process.hrtime.bigint();
  work();
  const wallNs = Number(process.hrtime.bigint() - start);
  const queued = queuedNs() - queuedBefore;
  // The clocks of two cores differ a little: after a move between them the kernel's figure can be nonsense.
  return { wallNs, onCoreNs: queued > 0 && queued < wallNs ? wallNs - queued : wallNs };
}
