import { DROP_BASE, LAST_ERRNO, MADE, ROW_WIDTH, TX_BYTES, TX_PACKETS, TX_SUPERFRAMES } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { IN_HAND_SETTLED, IN_HAND_TX, NEXT_EXTENT, NEXT_HEADER, NEXT_MESSAGE, type Outbox } from '../packet/outbox.js';
import type { EgressKernel } from './egressKernel.js';

/** Drop reason of a failed send, from the negative errno (asm-generic/errno.h). */
export function reasonOf(result: number): number {
  switch (-result) {
    case 11: // EAGAIN
    case 12: // ENOMEM
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
  /** Counts packets that came into being because one was cut. */
  cut(row: number, packets: number): void;
}

/** After tx: every message went and is counted as sent, or did not and is counted under a reason. */
export function bindSettlement(
  outbox: Outbox,
  counters: Float64Array,
  kernel: Pick<EgressKernel, 'sentAlike'>,
): Settlement {
  const { msgResult, msgPackets, msgBytes, msgPeerRow, cursor, inHand, headersAt } = outbox;

  function refuse(row: number, reason: number, packets: number): void {
    counters[row * ROW_WIDTH + DROP_BASE + reason] += packets;
  }

  // Imported constants are cells that V8 loads and checks at every use; local ones are folded into the code.
  const rowWidth = ROW_WIDTH;
  const txPackets = TX_PACKETS;
  const txBytes = TX_BYTES;
  const txSuperframes = TX_SUPERFRAMES;
  const inHandTx = IN_HAND_TX;
  const inHandSettled = IN_HAND_SETTLED;

  function countFailure(m: number, row: number): void {
    const failed = msgPeerRow[m] === 0 ? row : msgPeerRow[m];
    refuse(failed, reasonOf(msgResult[m]), msgPackets[m]);
    counters[failed * ROW_WIDTH + LAST_ERRNO] = -msgResult[m];
    // Counted: a worker that ends here has it in its hands no more.
    msgPackets[m] = 0;
  }

  function addSent(row: number, packets: number, bytes: number): void {
    counters[row * rowWidth + txPackets] += packets;
    counters[row * rowWidth + txBytes] += bytes;
  }

  /** The last of a settlement, without a call in it: all of it happens or nothing, wherever the worker ends. */
  function finish(row: number, packets: number, bytes: number, supers: number): void {
    counters[row * rowWidth + txPackets] += packets;
    counters[row * rowWidth + txBytes] += bytes;
    counters[row * rowWidth + txSuperframes] += supers;
    inHand[inHandTx] = 0;
    inHand[inHandSettled] = 0;
    cursor[NEXT_MESSAGE] = 0;
    cursor[NEXT_EXTENT] = 0;
    cursor[NEXT_HEADER] = headersAt;
  }

  /** Sums runs of messages to the same peer before it touches counters: a row is 512 bytes, and doubles are read, added, written. */
  function settleEach(n: number, row: number): void {
    let packets = 0;
    let bytes = 0;
    let supers = 0;
    let peerRow = msgPeerRow[0];
    let peerPackets = 0;
    let peerBytes = 0;
    for (let m = 0; m < n; m++) {
      if (msgResult[m] < 0) {
        countFailure(m, row);
        continue;
      }
      if (msgPeerRow[m] !== peerRow) {
        if (peerRow !== 0) addSent(peerRow, peerPackets, peerBytes);
        inHand[inHandSettled] = m;
        packets += peerPackets;
        bytes += peerBytes;
        peerPackets = 0;
        peerBytes = 0;
        peerRow = msgPeerRow[m];
      }
      peerPackets += msgPackets[m];
      peerBytes += msgBytes[m];
      if (msgPackets[m] > 1) supers++;
    }
    if (peerRow !== 0) addSent(peerRow, peerPackets, peerBytes);
    inHand[inHandSettled] = n;
    finish(row, packets + peerPackets, bytes + peerBytes, supers);
  }

  /** Most bursts go to one peer or port, and all of them go: one sum of the kernel's. */
  function settle(n: number, row: number): void {
    const bytes = kernel.sentAlike(n);
    if (bytes < 0) {
      settleEach(n, row);
      return;
    }
    if (msgPeerRow[0] !== 0) addSent(msgPeerRow[0], n, bytes);
    inHand[inHandSettled] = n;
    finish(row, n, bytes, 0);
  }

  function cut(row: number, packets: number): void {
    counters[row * ROW_WIDTH + MADE] += packets;
  }

  return { settle, refuse, cut };
}
