import { beforeEach, describe, expect, it } from 'vitest';
import { makeCounterBlock, PEER_ROW, PORT_ROW, readRow, UNDERLAY_ROW } from '../../../src/packet/counters.js';
import { DROP } from '../../../src/packet/drop.js';
import { NEXT_EXTENT, NEXT_HEADER, NEXT_MESSAGE } from '../../../src/packet/outbox.js';
import { instantiateEgress } from '../../../src/pipeline/egressKernel.js';
import { bindSettlement } from '../../../src/pipeline/settle.js';
import { makeKernelRig } from '../../rig/walkKernel.js';

const { arena, burst, outbox, tables } = makeKernelRig();
const counters = new Float64Array(makeCounterBlock());
const { settle, refuse } = bindSettlement(outbox, counters, instantiateEgress(arena, burst, outbox, tables));
const row = (n: number) => readRow([counters], n);

beforeEach(() => counters.fill(0));

/** Messages: [result, packets, bytes, peer]. */
function send(messages: [result: number, packets: number, bytes: number, peer: number][], egress: number): void {
  messages.forEach(([result, packets, bytes, peer], m) => {
    outbox.msgResult[m] = result;
    outbox.msgPackets[m] = packets;
    outbox.msgBytes[m] = bytes;
    outbox.msgPeerRow[m] = peer === 0 ? 0 : PEER_ROW + peer;
  });
  outbox.cursor.set([messages.length, 77, outbox.headersAt + 640]);
  settle(messages.length, egress);
}

describe('what became of messages', () => {
  it('is counted at the egress and at each peer, in any order of peers', () => {
    send(
      [
        [10, 1, 100, 1],
        [10, 3, 300, 1],
        [10, 1, 50, 2],
        [10, 1, 60, 1],
        [10, 2, 70, 2],
      ],
      UNDERLAY_ROW + 1,
    );
    expect(row(UNDERLAY_ROW + 1)).toMatchObject({ txPackets: 8, txBytes: 580, txSuperframes: 2, drops: {} });
    expect(row(PEER_ROW + 1)).toMatchObject({ txPackets: 5, txBytes: 460 });
    expect(row(PEER_ROW + 2)).toMatchObject({ txPackets: 3, txBytes: 120 });
  });

  it('is one sum where all went, one packet each, to one peer', () => {
    for (const n of [1, 2, 3, 4, 5, 64, 2048]) {
      counters.fill(0);
      send(
        Array.from({ length: n }, (_, m) => [10, 1, m + 60, 7]),
        UNDERLAY_ROW + 1,
      );
      const sent = { txPackets: n, txBytes: 60 * n + (n * (n - 1)) / 2, txSuperframes: 0, drops: {} };
      expect(row(UNDERLAY_ROW + 1)).toMatchObject(sent);
      expect(row(PEER_ROW + 7)).toMatchObject(sent);
    }
  });

  it('of a port is counted at the port', () => {
    send(
      [
        [10, 1, 100, 0],
        [-77, 4, 400, 0],
        [0, 1, 0, 0],
      ],
      PORT_ROW + 5,
    );
    expect(row(PORT_ROW + 5)).toMatchObject({ txPackets: 2, txBytes: 100, drops: { 'device-gone': 4 }, lastErrno: 77 });
  });

  it('that failed is charged to the peer it was for, also first or last or alone', () => {
    const failures: [number, number, number, number][][] = [
      [
        [-11, 2, 9, 3],
        [5, 1, 8, 4],
      ],
      [
        [5, 1, 8, 4],
        [-11, 2, 9, 3],
      ],
      [
        [5, 1, 4, 4],
        [-11, 2, 9, 3],
        [5, 0, 4, 4],
      ],
    ];
    for (const messages of failures) {
      counters.fill(0);
      send(messages, UNDERLAY_ROW + 1);
      expect(row(PEER_ROW + 3)).toMatchObject({ txPackets: 0, drops: { 'tx-full': 2 }, lastErrno: 11 });
      expect(row(PEER_ROW + 4)).toMatchObject({ txPackets: 1, txBytes: 8, drops: {} });
      expect(row(UNDERLAY_ROW + 1)).toMatchObject({ txPackets: 1, txBytes: 8, drops: {} });
    }
  });

  /** asm-generic/errno.h */
  it.each([
    ['EAGAIN', 11, 'tx-full'],
    ['ENOBUFS', 105, 'tx-full'],
    ['ENOMEM', 12, 'tx-full'],
    ['EMSGSIZE', 90, 'tx-too-big'],
    ['EIO', 5, 'device-gone'],
    ['EBADF', 9, 'device-gone'],
    ['ENODEV', 19, 'device-gone'],
    ['EBADFD', 77, 'device-gone'],
    ['ENETDOWN', 100, 'device-gone'],
    ['EPERM', 1, 'tx-error'],
    ['EINVAL', 22, 'tx-error'],
    ['ENETUNREACH', 101, 'tx-error'],
    ['ECONNREFUSED', 111, 'tx-error'],
    ['EHOSTUNREACH', 113, 'tx-error'],
  ])('%s (%i) is %s', (_name, errno, reason) => {
    send([[-errno, 1, 1, 0]], PORT_ROW + 1);
    expect(row(PORT_ROW + 1).drops).toEqual({ [reason]: 1 });
  });

  it('leaves the outbox empty', () => {
    send([[1, 1, 1, 0]], PORT_ROW + 1);
    const { cursor, headersAt } = outbox;
    expect([cursor[NEXT_MESSAGE], cursor[NEXT_EXTENT], cursor[NEXT_HEADER]]).toEqual([0, 0, headersAt]);
  });
});

it('counts what was refused before it became a message', () => {
  refuse(PEER_ROW + 9, DROP['too-big'], 45);
  refuse(PEER_ROW + 9, DROP['too-big'], 1);
  expect(row(PEER_ROW + 9).drops).toEqual({ 'too-big': 46 });
});
