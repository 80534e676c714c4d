/**
 * What a dead worker leaves: messages that had gone and were not counted, packets that it had received and nobody will send, slots, locks.
 * Afterwards its account balances: received is sent, or dropped under a reason, or `worker-lost`.
 */
import { breakLock } from '../forward/macTable.js';
import { dpdk } from '../native/dpdk.js';
import { type Arena, columnAllocator, VNET_STRIDE } from '../packet/arena.js';
import { createBurst, HAS_GSO, LANES } from '../packet/burst.js';
import {
  account,
  COPIED,
  DROP_BASE,
  ROW_WIDTH,
  RX_PACKETS,
  TX_BYTES,
  TX_PACKETS,
  UNDERLAY_ROW,
} from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import {
  columnsBehindIo,
  IN_HAND_COUNTED,
  IN_HAND_LANES,
  IN_HAND_RX,
  IN_HAND_RX_ROW,
  IN_HAND_SETTLED,
  IN_HAND_TX,
  IN_HAND_TX_ROW,
  IO_LAYOUT,
  ioBlock,
  OVERFLOW_WORDS,
} from '../packet/outbox.js';
import { isAway } from '../packet/rxWindow.js';
import { bringHome, countHeld } from '../packet/slots.js';
import { MAC_HOLDER } from '../pipeline/pipeline.js';
import { reasonOf } from '../pipeline/settle.js';
import type { NodeMemory } from './nodeMemory.js';

/** `gso_type` of UDP superframes (virtio_net.h). */
const VNET_GSO_UDP_L4 = 5;

/** Packets that were received and not sent, and slots that were not on the worker's stacks. */
export interface Estate {
  packetsLost: number;
  slotsHeld: number;
}

/** Only after the thread of place `place` has ended. */
export function settleEstate(node: NodeMemory, place: number, counters: Float64Array): Estate {
  const { shape, slots, arena, macTable, neighbours } = node;
  const io = ioBlock(arena, place);
  countSent(io, counters);
  countReceived(arena, place, io, counters);
  io.fill(0, IO_LAYOUT.inHand, IO_LAYOUT.inHand + 16);
  const ofDpdk = node.dpdkFrames === 0 ? 0 : dpdk().sweep(node.dpdkFrames, place);
  const slotsHeld = Math.max(0, countHeld(shape, slots, place) - LANES) + ofDpdk;
  bringHome(shape, slots, place, (slot) => isAway(arena, slot));
  breakLock(macTable, MAC_HOLDER + place);
  if (neighbours !== null) breakLock(neighbours, MAC_HOLDER + place);
  const { held } = account([counters]);
  // The row of no port takes it. Less than nothing would be held if copies of a flood had gone out uncounted.
  if (held > 0) counters[DROP_BASE + DROP['worker-lost']] += held;
  else counters[COPIED] -= held;
  return { packetsLost: Math.max(0, held), slotsHeld };
}

/** Messages whose result stands in the io block: gone, or refused under a reason. */
function countSent(io: Int32Array, counters: Float64Array): void {
  const l = IO_LAYOUT;
  const row = io[l.inHand + IN_HAND_TX_ROW];
  const add = (to: number, counter: number, n: number) => {
    counters[to * ROW_WIDTH + counter] += n;
  };
  for (let m = 0; m < io[l.inHand + IN_HAND_TX]; m++) {
    const packets = io[l.msgPackets + m];
    const peerRow = io[l.msgPeerRow + m];
    const result = io[l.msgResult + m];
    if (result < 0) {
      add(peerRow === 0 ? row : peerRow, DROP_BASE + reasonOf(result), packets);
      continue;
    }
    const rows = peerRow !== 0 && m >= io[l.inHand + IN_HAND_SETTLED] ? [row, peerRow] : [row];
    for (const r of rows) {
      add(r, TX_PACKETS, packets);
      add(r, TX_BYTES, io[l.msgBytes + m]);
    }
  }
}

/** Packets of the last receive that did not come to be counted. */
function countReceived(arena: Arena, place: number, io: Int32Array, counters: Float64Array): void {
  const l = IO_LAYOUT;
  const row = io[l.inHand + IN_HAND_RX_ROW];
  const counted = io[l.inHand + IN_HAND_COUNTED];
  const isSocket = row >= UNDERLAY_ROW;
  // A burst of a port is counted at once.
  if (!isSocket && counted > 0) return;
  const n = io[l.inHand + IN_HAND_RX];
  const isOfLanes = io[l.inHand + IN_HAND_LANES] !== 0;
  let came = isOfLanes ? packetsOfLanes(arena, place, n) : 0;
  for (let i = 0; i < n && !isOfLanes; i++)
    came += isSocket ? datagramsOf(io, i) : segmentsOf(arena, arena.partitions[place].vnetAt + i * VNET_STRIDE, io, i);
  counters[row * ROW_WIDTH + RX_PACKETS] += Math.max(0, came - counted);
}

/** Packets in lanes 0..n as a device of DPDK has filled them: superframes of TCP are more than one. */
function packetsOfLanes(arena: Arena, place: number, n: number): number {
  const { at, len, flags, gsoSize, csumStart } = createBurst(
    columnAllocator(arena, place, columnsBehindIo(arena, place), true),
  );
  let packets = 0;
  for (let i = 0; i < Math.min(n, LANES); i++) {
    const isSuper = (flags[i] & HAS_GSO) !== 0 && gsoSize[i] > 0;
    const dataOffset = at[i] + csumStart[i] + 12;
    const headers = isSuper ? csumStart[i] + ((arena.bytes[dataOffset] >>> 4) << 2) : 0;
    packets += isSuper ? Math.max(1, Math.ceil((len[i] - headers) / gsoSize[i])) : 1;
  }
  return packets;
}

/** Datagrams in what came as one: UDP_GRO joins them. */
function datagramsOf(io: Int32Array, i: number): number {
  const size = io[IO_LAYOUT.rxGso + i];
  return size > 0 ? Math.max(1, Math.ceil(io[IO_LAYOUT.rxLen + i] / size)) : 1;
}

/** Packets in a frame of a TAP, by its virtio-net header (`gso_type` at 1, `gso_size` at 4, `csum_start` at 6) and its transport header. */
function segmentsOf(arena: Arena, vnetAt: number, io: Int32Array, i: number): number {
  const { view } = arena;
  const size = view.getUint16(vnetAt + 4, true);
  const type = view.getUint8(vnetAt + 1);
  if (type === 0 || size === 0) return 1;
  const l4 = view.getUint16(vnetAt + 6, true);
  const frame = io[IO_LAYOUT.rxAt + i];
  const headers = l4 + (type === VNET_GSO_UDP_L4 ? 8 : (view.getUint8(frame + l4 + 12) >>> 4) << 2);
  return Math.max(1, Math.ceil((io[IO_LAYOUT.rxLen + i] - headers) / size));
}

/** What the kernel has counted so far on the devices of a place (underlay/overflow.ts), taken out of it: they are another's from now on, or nobody's. */
export function takeOverflow(arena: Arena, place: number): Int32Array {
  const { overflow } = IO_LAYOUT;
  const words = ioBlock(arena, place).subarray(overflow, overflow + OVERFLOW_WORDS);
  const left = words.slice();
  words.fill(0);
  return left;
}

/** The next thread with these devices goes on with it. */
export function giveOverflow(arena: Arena, place: number, left: Int32Array): void {
  ioBlock(arena, place).set(left, IO_LAYOUT.overflow);
}
