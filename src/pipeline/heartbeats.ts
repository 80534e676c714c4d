import type { Arena } from '../packet/arena.js';
import { type Burst, DONE, ID_MASK, IS_HEARTBEAT, TO_PEER } from '../packet/burst.js';
import { CONSUMED, ROW_WIDTH } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import type { Outbox } from '../packet/outbox.js';
import type { Underlay } from '../underlay/underlay.js';
import * as Heartbeat from '../wire/heartbeat.js';
import { MODE_L3, type Tables } from './tables.js';

/**
 * Heartbeats that came in (wire/heartbeat.ts): the walk takes them out of the traffic and leaves copies for the control thread, which knows the
 * keys, in a ring in shared memory with one writer (the worker) and one reader.
 *
 *   words    [ head | tail | missed ]     they run on, modulo 2^32
 *   record   [ network peer carrier port | source address 4 | length - | seconds, double | message, 72 bytes and 8 unused ]
 *
 * A full ring loses records and counts them: heartbeats are few, and who floods a node with them gets no more of its time than this.
 */
const RING_HEAD = 0;
const RING_TAIL = 1;
const RING_MISSED = 2;
const RING_HEADER_WORDS = 16;
const RECORDS = 256;
const RECORD_WORDS = 32;
const SECONDS = 10;
const MESSAGE = 12;

export function makeHeartbeatRing(): SharedArrayBuffer {
  return new SharedArrayBuffer((RING_HEADER_WORDS + RECORDS * RECORD_WORDS) * 4);
}

export interface HeartbeatStep {
  /** Lanes that parse marked: those for networks with heartbeats end here, others are dropped. */
  take(n: number, underlay: Underlay, row: number): void;
  /** The same for what stations sent: none of theirs is one. */
  refuse(n: number): void;
  /** Lanes of unknown senders, which admit dropped: a copy of those that look like heartbeats is left. */
  overhear(n: number, carrier: number): void;
}

const ETHERNET = 14;
const IPV4 = 20;

export function bindHeartbeats(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  tables: Tables,
  counters: Float64Array,
  ring: SharedArrayBuffer,
  nowSec: () => number,
): HeartbeatStep {
  const { view } = arena;
  const { at, len, l3, drop, flags, network, origin, from, payload } = burst;
  const { rxSrc, rxPort } = outbox;
  const { networkHeartbeats, networkRoams, networkMode, peerNetwork } = tables;
  const words = new Int32Array(ring);
  const doubles = new Float64Array(ring);
  const isHeartbeat = IS_HEARTBEAT;
  const stray = DROP['stray-heartbeat'];
  const unknownPeer = DROP['unknown-peer'];

  function record(i: number, net: number, carrier: number, messageAt: number, length: number): void {
    if (length < Heartbeat.HEADER_BYTES) return;
    const head = words[RING_HEAD];
    if (((head - Atomics.load(words, RING_TAIL)) | 0) >= RECORDS) {
      words[RING_MISSED]++;
      return;
    }
    const w = RING_HEADER_WORDS + (head & (RECORDS - 1)) * RECORD_WORDS;
    const source = from[i] << 2;
    words[w] = net;
    words[w + 1] = (origin[i] & TO_PEER) !== 0 ? origin[i] & ID_MASK : 0;
    words[w + 2] = carrier;
    words[w + 3] = rxPort[from[i]];
    for (let k = 0; k < 4; k++) words[w + 4 + k] = rxSrc[source + k];
    words[w + 8] = length;
    doubles[(w + SECONDS) >> 1] = nowSec();
    for (let k = 0; k < Heartbeat.HEADER_BYTES; k += 4)
      words[w + MESSAGE + (k >> 2)] = view.getInt32(messageAt + k, true);
    Atomics.store(words, RING_HEAD, (head + 1) | 0);
  }

  function overhearPacket(i: number, net: number, carrier: number, o: number, bytes: number): void {
    if (bytes < IPV4 + Heartbeat.HEADER_BYTES || view.getUint8(o) !== 0x45) return;
    if (view.getUint8(o + 9) !== Heartbeat.PROTOCOL || view.getInt32(o + 16) !== Heartbeat.IPV4_DST) return;
    const total = view.getUint16(o + 2);
    if (total <= bytes) record(i, net, carrier, o + IPV4, total - IPV4);
  }

  function isFrame(o: number, bytes: number): boolean {
    return (
      bytes >= ETHERNET + Heartbeat.HEADER_BYTES &&
      view.getUint16(o + 12) === Heartbeat.ETHER_TYPE &&
      view.getInt32(o, true) === Heartbeat.MAC_LO &&
      view.getUint16(o + 4, true) === Heartbeat.MAC_HI
    );
  }

  return {
    take(n, underlay, row) {
      // Where tunnels are popped, what was inside is for whoever reads the capture.
      if (underlay.kind === 'frame' && underlay.popDepth > 0) return;
      let consumed = 0;
      for (let i = 0; i < n; i++) {
        if (drop[i] !== 0 || (flags[i] & isHeartbeat) === 0) continue;
        const peer = (origin[i] & TO_PEER) !== 0 ? origin[i] & ID_MASK : 0;
        const net = peer === 0 ? network[i] : peerNetwork[peer];
        if (networkHeartbeats[net] === 0) {
          drop[i] = stray;
          continue;
        }
        const messageAt = l3[i] === 0 ? at[i] + ETHERNET : l3[i] + IPV4;
        record(i, net, underlay.id, messageAt, at[i] + len[i] - messageAt);
        drop[i] = DONE;
        consumed++;
      }
      counters[row * ROW_WIDTH + CONSUMED] += consumed;
    },
    refuse(n) {
      for (let i = 0; i < n; i++) if (drop[i] === 0 && (flags[i] & isHeartbeat) !== 0) drop[i] = stray;
    },
    overhear(n, carrier) {
      for (let i = 0; i < n; i++) {
        if (drop[i] !== unknownPeer) continue;
        const net = network[i];
        if (networkRoams[net] === 0) continue;
        const o = at[i];
        if (payload[i] === 0x0800) overhearPacket(i, net, carrier, o, len[i]);
        // In front of the packets of a router over VXLAN is an Ethernet header that admit did not get to.
        else if (networkMode[net] === MODE_L3) overhearPacket(i, net, carrier, o + ETHERNET, len[i] - ETHERNET);
        else if (isFrame(o, len[i])) record(i, net, carrier, o + ETHERNET, len[i] - ETHERNET);
      }
    },
  };
}

/** A heartbeat as it came. */
export interface HeardHeartbeat {
  network: number;
  /** 0: the sender's address is that of no peer. */
  peer: number;
  carrier: number;
  /** UDP port that it came from, 0 without UDP. */
  port: number;
  /** Address that it came from, 16 bytes, IPv4-mapped. */
  address: Uint8Array;
  /** Bytes of the message with its padding. */
  length: number;
  /** Monotonic seconds, with a fraction. */
  seconds: number;
  /** The message without its padding. Nothing of it has been checked. */
  message: Uint8Array;
}

/** Reads every waiting record of one worker's ring; returns their number. */
export function drainHeartbeats(ring: SharedArrayBuffer, onHeartbeat: (heard: HeardHeartbeat) => void): number {
  const words = new Int32Array(ring);
  const bytes = new Uint8Array(ring);
  const head = Atomics.load(words, RING_HEAD);
  let count = 0;
  for (let tail = words[RING_TAIL]; tail !== head && count < RECORDS; tail = (tail + 1) | 0, count++) {
    const w = RING_HEADER_WORDS + (tail & (RECORDS - 1)) * RECORD_WORDS;
    onHeartbeat({
      network: words[w],
      peer: words[w + 1],
      carrier: words[w + 2],
      port: words[w + 3],
      address: bytes.slice((w + 4) * 4, (w + 8) * 4),
      length: words[w + 8],
      seconds: new Float64Array(ring, (w + SECONDS) * 4, 1)[0],
      message: bytes.slice((w + MESSAGE) * 4, (w + MESSAGE) * 4 + Heartbeat.HEADER_BYTES),
    });
  }
  Atomics.store(words, RING_TAIL, head);
  return count;
}

/** Heartbeats lost because the ring was full. */
export function missedHeartbeats(ring: SharedArrayBuffer): number {
  return new Int32Array(ring)[RING_MISSED];
}
