import { OVERFLOW_SOCKETS } from '../packet/outbox.js';

/**
 * What the kernel has said that a socket lost (SO_RXQ_OVFL). It counts in 32 bits from the opening of the socket, and the socket outlives its
 * worker: so the last count stands in the io block, with the descriptor that it is about.
 */

/** Where the last count of a carrier's socket stands. It starts at 0 unless it is about the same descriptor. */
export function overflowAt(overflow: Int32Array, carrier: number, socket: number, fd: number): number {
  const at = (carrier * OVERFLOW_SOCKETS + socket) * 2;
  if (overflow[at] !== fd) {
    overflow[at] = fd;
    overflow[at + 1] = 0;
  }
  return at + 1;
}
