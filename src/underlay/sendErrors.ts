import type { ErrorQueue } from '../native/tun.js';
import { LANES } from '../packet/burst.js';

/** Bounded, because a hostile path may send errors without end. */
const BATCHES_MAX = 16;

/**
 * Reads the ICMP errors that came back to sending sockets, and tells each: where the destination that was meant stands in rxSrc (words), and the
 * errno. The errnos come in rxLen.
 */
export function readSendErrors(
  queue: ErrorQueue,
  rxLen: Int32Array,
  onError: (addressAt: number, errno: number) => void,
): void {
  for (let batch = 0; batch < BATCHES_MAX; batch++) {
    const n = queue();
    for (let e = 0; e < n; e++) onError(e * 4, rxLen[e]);
    // A full batch means that more wait.
    if (n < LANES) return;
  }
}
