import { DROP_BASE, LAST_ERRNO, ROW_WIDTH, TX_BYTES, TX_PACKETS, TX_SUPERFRAMES } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { NEXT_EXTENT, NEXT_HEADER, NEXT_MESSAGE, type Outbox } from '../packet/outbox.js';

/** Drop reason of a failed send, from the negative errno (asm-generic/errno.h). */
function reasonOf(result: number): number {
  switch (-result) {
    case 11: // EAGAIN
    case 105: // ENOBUFS
      return DROP['tx-full'];
    case 90: // EMSGSIZE
      return DROP['tx-too-big'];
    case 5: // EIO: a TAP that is down
    case 9: // EBADF
    case 19: // ENODEV
    case 77: // EBADFD: a TAP that was deleted
    case 100: // ENETDOWN
      return DROP['device-gone'];
    default:
      return DROP['tx-error'];
  }
}

export interface Settlement {
  /** Counts what became of messages 0..n for the egress row and empties the outbox. */
  settle(n: number, row: number): void;
  /** Counts packets that were refused before they became a message. */
  refuse(row: number, reason: number, packets: number): void;
}

/** After tx: every message went and is counted as sent, or did not and is counted under a reason. */
export function bindSettlement(outbox: Outbox, counters: Float64Array): Settlement {
  const { msgResult, msgPackets, msgBytes, msgPeerRow, cursor, headersAt } = outbox;

  function refuse(row: number, reason: number, packets: number): void {
    counters[row * ROW_WIDTH + DROP_BASE + reason] += packets;
  }

  function settle(n: number, row: number): void {
    const base = row * ROW_WIDTH;
    let packets = 0;
    let bytes = 0;
    for (let m = 0; m < n; m++) {
      const count = msgPackets[m];
      const peerRow = msgPeerRow[m];
      if (msgResult[m] < 0) {
        const failed = peerRow === 0 ? row : peerRow;
        refuse(failed, reasonOf(msgResult[m]), count);
        counters[failed * ROW_WIDTH + LAST_ERRNO] = -msgResult[m];
        continue;
      }
      packets += count;
      bytes += msgBytes[m];
      if (count > 1) counters[base + TX_SUPERFRAMES]++;
      if (peerRow === 0) continue;
      counters[peerRow * ROW_WIDTH + TX_PACKETS] += count;
      counters[peerRow * ROW_WIDTH + TX_BYTES] += msgBytes[m];
    }
    counters[base + TX_PACKETS] += packets;
    counters[base + TX_BYTES] += bytes;
    cursor[NEXT_MESSAGE] = 0;
    cursor[NEXT_EXTENT] = 0;
    cursor[NEXT_HEADER] = headersAt;
  }

  return { settle, refuse };
}
