// A dead worker's account, settled from what it had in its hands.
import { beforeEach, describe, expect, it } from 'vitest';
import { columnAllocator, VNET_STRIDE } from '../../../src/packet/arena.js';
import { createBurst, HAS_GSO, NEEDS_CSUM } from '../../../src/packet/burst.js';
import {
  account,
  makeCounterBlock,
  PEER_ROW,
  PORT_ROW,
  ROW_WIDTH,
  RX_PACKETS,
  readRow,
  UNDERLAY_ROW,
} from '../../../src/packet/counters.js';
import {
  beginReceive,
  beginReceiveLanes,
  columnsBehindIo,
  IN_HAND_COUNTED,
  IN_HAND_RX,
  IN_HAND_RX_ROW,
  IN_HAND_SETTLED,
  IN_HAND_TX,
  IN_HAND_TX_ROW,
  IO_LAYOUT,
  ioBlock,
} from '../../../src/packet/outbox.js';
import { giveOverflow, settleEstate, takeOverflow } from '../../../src/worker/estate.js';
import { createNodeMemory, type NodeMemory } from '../../../src/worker/nodeMemory.js';

const EAGAIN = -11;
const [PORT, PEER, CARRIER] = [PORT_ROW + 3, PEER_ROW + 5, UNDERLAY_ROW + 2];
const l = IO_LAYOUT;
let node: NodeMemory;
let io: Int32Array;
let counters: Float64Array;

beforeEach(() => {
  node = createNodeMemory(1);
  io = ioBlock(node.arena, 0);
  counters = new Float64Array(makeCounterBlock());
});

const row = (r: number) => readRow([counters], r);
const inHand = (word: number, value: number) => {
  io[l.inHand + word] = value;
};

function message(m: number, packets: number, result: number, peerRow: number): void {
  io[l.msgPackets + m] = packets;
  io[l.msgBytes + m] = packets * 100;
  io[l.msgPeerRow + m] = peerRow;
  io[l.msgResult + m] = result;
}

describe('what a dead worker had sent', () => {
  it('is counted once, at its egress and at its peers; what was refused, under its reason', () => {
    counters[PORT * ROW_WIDTH + RX_PACKETS] = 20;
    inHand(IN_HAND_TX_ROW, CARRIER);
    inHand(IN_HAND_TX, 4);
    // The first message is counted at its peer already.
    inHand(IN_HAND_SETTLED, 1);
    message(0, 2, 200, PEER);
    message(1, 3, 300, PEER);
    message(2, 4, EAGAIN, PEER);
    // A refusal that was counted has no packets any more.
    message(3, 0, EAGAIN, PEER);
    expect(settleEstate(node, 0, counters)).toEqual({ packetsLost: 11, slotsHeld: 0 });
    expect(row(CARRIER)).toMatchObject({ txPackets: 5, txBytes: 500, drops: {} });
    expect(row(PEER)).toMatchObject({ txPackets: 3, txBytes: 300, drops: { 'tx-full': 4 } });
    expect(row(0).drops).toEqual({ 'worker-lost': 11 });
    expect(account([counters]).held).toBe(0);
    // It is nobody's any more.
    expect(settleEstate(node, 0, counters).packetsLost).toBe(0);
    expect(row(CARRIER).txPackets).toBe(5);
  });
});

describe('what a dead worker had received and not counted', () => {
  it('is the rest of the datagrams, joined ones by their parts', () => {
    inHand(IN_HAND_RX_ROW, CARRIER);
    inHand(IN_HAND_RX, 3);
    io.set([1000, 80, 0], l.rxLen);
    io.set([300, 0, 0], l.rxGso);
    // Four, one, and an empty one; two of them are counted and sent.
    inHand(IN_HAND_COUNTED, 2);
    expect(settleEstate(node, 0, counters).packetsLost).toBe(4);
    expect(row(CARRIER).rxPackets).toBe(4);
  });

  it('is the frames of a burst of a port, superframes by their segments', () => {
    const { view, partitions } = node.arena;
    const frame = partitions[0].largeAt;
    inHand(IN_HAND_RX_ROW, PORT);
    inHand(IN_HAND_RX, 3);
    io.set([frame, frame, frame], l.rxAt);
    // Ethernet 14, IPv4 20, then TCP with 32 bytes of header; UDP has 8.
    io.set([66 + 2500, 42 + 2000, 60], l.rxLen);
    view.setUint8(frame + 34 + 12, 8 << 4);
    for (const [i, type] of [1, 5].entries()) {
      const at = partitions[0].vnetAt + i * VNET_STRIDE;
      view.setUint8(at + 1, type);
      view.setUint16(at + 4, 1000, true);
      view.setUint16(at + 6, 34, true);
    }
    expect(settleEstate(node, 0, counters).packetsLost).toBe(3 + 2 + 1);
    expect(row(PORT).rxPackets).toBe(6);
  });

  it('is the lanes that a device of DPDK has filled, superframes by their segments', () => {
    const { arena } = node;
    const lanes = createBurst(columnAllocator(arena, 0, columnsBehindIo(arena, 0)));
    const frame = arena.partitions[0].largeAt;
    beginReceiveLanes(io.subarray(l.inHand), PORT);
    inHand(IN_HAND_RX, 3);
    // Left by a socket that was served before.
    io.fill(9, l.rxGso, l.rxGso + 3);
    lanes.at.fill(frame);
    lanes.len.set([60, 66 + 2500, 66 + 1000]);
    lanes.flags.set([0, HAS_GSO | NEEDS_CSUM, HAS_GSO | NEEDS_CSUM]);
    lanes.gsoSize.set([1000, 1000, 1000]);
    lanes.csumStart.fill(34);
    arena.view.setUint8(frame + 34 + 12, 8 << 4);
    expect(settleEstate(node, 0, counters).packetsLost).toBe(1 + 3 + 1);
    expect(row(PORT).rxPackets).toBe(5);
  });

  it('is the lanes of a frame underlay that were not counted', () => {
    const words = io.subarray(l.inHand);
    beginReceiveLanes(words, CARRIER);
    words[IN_HAND_RX] = 64;
    words[IN_HAND_COUNTED] = 60;
    expect(settleEstate(node, 0, counters).packetsLost).toBe(4);
    beginReceive(words, CARRIER);
    words[IN_HAND_RX] = 1;
    expect(settleEstate(node, 0, counters).packetsLost).toBe(1);
  });

  it('is nothing once the burst of a port is counted, or the receive failed', () => {
    inHand(IN_HAND_RX_ROW, PORT);
    inHand(IN_HAND_RX, 3);
    inHand(IN_HAND_COUNTED, 1);
    expect(settleEstate(node, 0, counters).packetsLost).toBe(0);
    inHand(IN_HAND_RX_ROW, CARRIER);
    inHand(IN_HAND_RX, EAGAIN);
    expect(settleEstate(node, 0, counters).packetsLost).toBe(0);
  });
});

it('the next thread goes on with what sockets have said, in its own place or in another', () => {
  const next = ioBlock(node.arena, 1);
  io.set([40, 7], l.overflow);
  giveOverflow(node.arena, 0, takeOverflow(node.arena, 0));
  expect([...io.subarray(l.overflow, l.overflow + 2)]).toEqual([40, 7]);
  giveOverflow(node.arena, 1, takeOverflow(node.arena, 0));
  expect([...next.subarray(l.overflow, l.overflow + 2)]).toEqual([40, 7]);
  expect(io[l.overflow]).toBe(0);
});
