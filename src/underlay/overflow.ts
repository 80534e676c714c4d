import { COUNTER_RXQ_OVFL, type Outbox, OVERFLOW_SOCKETS } from '../packet/outbox.js';

/**
 * What the kernel has said that a socket lost (SO_RXQ_OVFL). It counts in 32 bits from the opening of the socket, and the socket outlives its
 * worker: so the last count stands in the io block, with the descriptor that it is about.
 */
export interface Overflow {
  /** In front of a receive. */
  begin(): void;
  /** Packets lost since the last time. Asked when the lanes are done: a worker that dies before leaves them to the next one. */
  take(): number;
}

/** Where the last count of a carrier's socket stands. It starts at 0 unless it is about the same descriptor. */
export function overflowAt(overflow: Int32Array, carrier: number, socket: number, fd: number): number {
  const at = (carrier * OVERFLOW_SOCKETS + socket) * 2;
  if (overflow[at] !== fd) {
    overflow[at] = fd;
    overflow[at + 1] = 0;
  }
  return at + 1;
}

export function bindOverflow(
  { overflow, counters }: Pick<Outbox, 'overflow' | 'counters'>,
  carrier: number,
  socket: number,
  fd: number,
): Overflow {
  const at = overflowAt(overflow, carrier, socket, fd);
  return {
    begin() {
      // All sockets of a worker share the word, and the kernel tells its count only once something was lost.
      counters[COUNTER_RXQ_OVFL] = overflow[at];
    },
    take() {
      const lost = (counters[COUNTER_RXQ_OVFL] - overflow[at]) >>> 0;
      overflow[at] = counters[COUNTER_RXQ_OVFL];
      return lost;
    },
  };
}
