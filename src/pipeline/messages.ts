import { EXTENTS, MESSAGES, NEXT_EXTENT, NEXT_HEADER, NEXT_MESSAGE, type Outbox } from '../packet/outbox.js';
import type { CaptureTap } from './capture.js';
import { BLOCK_BYTES_MAX } from './segment.js';
import type { Settlement } from './settle.js';

/** Whoever takes messages 0..n of the outbox: a port or an underlay. */
export interface Sender {
  tx(n: number): number;
}

/**
 * Writes messages into the outbox for one egress at a time, and sends them: when the outbox is full, and at the end of a burst.
 * After a flush every message is accounted for and the outbox is empty.
 */
export interface Messages {
  /** The egress of the next messages: its counter row; for ports the id that a capture may ask for (0 for underlays). */
  begin(sender: Sender, row: number, port: number, hasVnet: boolean): void;
  /** Makes room for that many messages and extents and a header block each. True when it had to flush. */
  reserve(messages: number, extents: number): boolean;
  extent(at: number, bytes: number): void;
  /** Ends a message that began with extent `first`. `peerRow` 0: no peer. */
  close(first: number, packets: number, bytes: number, peerRow: number): void;
  flush(): void;
}

export function bindMessages(outbox: Outbox, settlement: Settlement, capture: CaptureTap): Messages {
  const { cursor, msgFirst, msgCount, msgPackets, msgBytes, msgPeerRow, extAt, extLen, headersEnd } = outbox;
  let out: Sender;
  let outRow = 0;
  let outPort = 0;
  let outHasVnet = false;

  function flush(): void {
    const n = cursor[NEXT_MESSAGE];
    if (n === 0) return;
    if (outPort !== 0 && capture.key === outPort) capture.messages(n, outHasVnet);
    out.tx(n);
    settlement.settle(n, outRow);
  }

  return {
    begin(sender, row, port, hasVnet) {
      out = sender;
      outRow = row;
      outPort = port;
      outHasVnet = hasVnet;
    },
    reserve(messages, extents) {
      const fits =
        cursor[NEXT_MESSAGE] + messages <= MESSAGES &&
        cursor[NEXT_EXTENT] + extents <= EXTENTS &&
        cursor[NEXT_HEADER] + messages * BLOCK_BYTES_MAX <= headersEnd;
      if (!fits) flush();
      return !fits;
    },
    extent(at, bytes) {
      const e = cursor[NEXT_EXTENT];
      extAt[e] = at;
      extLen[e] = bytes;
      cursor[NEXT_EXTENT] = e + 1;
    },
    close(first, packets, bytes, peerRow) {
      const m = cursor[NEXT_MESSAGE];
      msgFirst[m] = first;
      msgCount[m] = cursor[NEXT_EXTENT] - first;
      msgPackets[m] = packets;
      msgBytes[m] = bytes;
      msgPeerRow[m] = peerRow;
      cursor[NEXT_MESSAGE] = m + 1;
    },
    flush,
  };
}
