import type { ErrorQueue } from '../native/tun.js';
import { LANES } from '../packet/burst.js';
import type { Outbox } from '../packet/outbox.js';

/** Bounded, because a hostile path may send errors without end. */
const BATCHES_MAX = 16;
const EMSGSIZE = 90;
/** ee_origin of linux/errqueue.h: this machine said it, not a router. */
const ORIGIN_LOCAL = 1;

/**
 * Takes one error: where the destination that was meant stands in rxSrc (words), the errno, the MTU that came with it (0 for none), and whether
 * this machine said so itself.
 */
export type OnSendError = (addressAt: number, errno: number, mtu: number, isLocal: boolean) => void;

/** Reads the errors that came back to sending sockets: those of ICMP, and packets that were too long for the device. */
export function readSendErrors(queue: ErrorQueue, outbox: Outbox, onError: OnSendError): void {
  const { rxLen, rxGso, rxFlags } = outbox;
  for (let batch = 0; batch < BATCHES_MAX; batch++) {
    const n = queue();
    for (let e = 0; e < n; e++) {
      const mtu = rxLen[e] === EMSGSIZE ? rxGso[e] : 0;
      onError(e * 4, rxLen[e], mtu, rxFlags[e] === ORIGIN_LOCAL);
    }
    // A full batch means that more wait.
    if (n < LANES) return;
  }
}
