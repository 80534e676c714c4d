import type { Allocate, Arena } from './arena.js';
import { LANES } from './burst.js';
import { UNDERLAYS_MAX } from './counters.js';

/**
 * The io block: the columns through which TypeScript and native code talk, one Int32Array in the arena per worker.
 *
 * Rx: TypeScript says where frame i may go (rxAt, rxCap), native code says what came (rxLen, rxGso, rxSrc, ...).
 * Tx: a message is a run of extents (offset and length in the arena); native code writes msgResult: bytes, or a negative errno.
 */
export const MESSAGES = 2048;
export const EXTENTS = 8192;
export const READY_MAX = 256;

/**
 * Where a worker's columns lie in its io words: offsets and sizes in words of 4 bytes. A function needs only the
 * entries that it uses. in: written by JavaScript; out: by the addon.
 */
export interface NativeColumns {
  /** Lanes of the rx columns, 1 to 65536. */
  burst: number;
  /** Rows of the msg columns, 1 to 65536. */
  messages: number;
  /** Rows of the ext columns, 1 to 65536. */
  extents: number;
  /** [burst] in: byte offset in the arena where the frame goes. */
  rxAt: number;
  /** [burst] in: bytes of room there. */
  rxCap: number;
  /** [burst] out: bytes of the frame, without virtio-net header. */
  rxLen: number;
  /** [burst] out: segment size of a UDP_GRO super-datagram, 0 for a plain one. */
  rxGso: number;
  /** [burst * 4] out: source address, network order as raw bytes; IPv4 as ::ffff:a.b.c.d. */
  rxSrc: number;
  /** [burst] out: source port, host order. */
  rxPort: number;
  /** [burst] out: outer TOS or traffic class, -1 unknown. */
  rxTos: number;
  /** [burst] out: RX_TRUNCATED. */
  rxFlags: number;
  /** [messages] in: index of the first extent. */
  msgFirst: number;
  /** [messages] in: extents, 1 to 1024. */
  msgCount: number;
  /** [messages] in: row in the destination table. */
  msgDest: number;
  /** [messages] in: index into the sockets bound. */
  msgSocket: number;
  /** [messages] in: bytes of a segment for UDP_SEGMENT, 0 = one datagram. */
  msgGso: number;
  /** [messages] in: TOS or traffic class, -1 = the socket's own. */
  msgTos: number;
  /** [messages] out: bytes sent or -errno. */
  msgResult: number;
  /** [extents] in: byte offset in the arena. */
  extAt: number;
  /** [extents] in: bytes. */
  extLen: number;
  /** [4] out, by every wait: seconds, milliseconds (wrapping at 2^31), and a double of seconds at clock + 2. */
  clock: number;
  /** [16] out: see COUNTER_*. */
  counters: number;
  /**
   * [burst] out, raw sockets alone: bytes in front of the payload, counted in rxLen. IPv4 options; the IPv4 header itself
   * never reaches the arena. 0 over IPv6; -1: the header contradicts the length.
   */
  rxOff: number;
}

/** The whole io block: what native code uses, and columns that only TypeScript and WASM see. */
export interface IoLayout extends NativeColumns {
  /** [burst] rxAt and rxCap for datagrams, which start in the headroom: socket bindings get these in their place. */
  rxDatagramAt: number;
  rxDatagramCap: number;
  /** [messages] For the account: packets, frame bytes and the peer's counter row (0: none). */
  msgPackets: number;
  msgBytes: number;
  msgPeerRow: number;
  /** [READY_MAX] ids that the poll found ready. */
  ready: number;
  /** [16] What the worker has in its hands: see IN_HAND_*. */
  inHand: number;
  /** [OVERFLOW_WORDS] By carrier and socket: its descriptor, and its last count of COUNTER_RXQ_OVFL (underlay/overflow.ts). */
  overflow: number;
}

/**
 * Words of `inHand`. A worker can end at any call and any round of a loop; what native code had received or sent by then, and counters do not
 * know yet, stands here for whoever comes after it (worker/estate.ts). Each word changes in one breath with the counters that it is about.
 */
/** Counter row of the device of the last receive. */
export const IN_HAND_RX_ROW = 0;
/** Frames or datagrams that it brought. */
export const IN_HAND_RX = 1;
/** Packets of them that are counted. */
export const IN_HAND_COUNTED = 2;
/** Counter row of the egress of the last send. */
export const IN_HAND_TX_ROW = 3;
/** Messages whose result is known and not counted: 0..n. */
export const IN_HAND_TX = 4;
/** Messages of them that are counted at their peers. */
export const IN_HAND_SETTLED = 5;
/** 1: native code filled the lanes itself, and they say what it brought. */
export const IN_HAND_LANES = 6;

/**
 * In front of a native receive, for the port or carrier of a counter row. Directly behind it `inHand[IN_HAND_RX]` is set to what it brought: in the
 * same function, for at a call the worker may end, and what has come would be nobody's.
 */
export function beginReceive(inHand: Int32Array, row: number): void {
  inHand[IN_HAND_RX_ROW] = row;
  inHand[IN_HAND_RX] = 0;
  inHand[IN_HAND_COUNTED] = 0;
  inHand[IN_HAND_LANES] = 0;
}

/** The same of a receive that fills the lanes. */
export function beginReceiveLanes(inHand: Int32Array, row: number): void {
  beginReceive(inHand, row);
  inHand[IN_HAND_LANES] = 1;
}

/** In front of a native send. Directly behind it `inHand[IN_HAND_TX]` is set to the number of messages, as with a receive. */
export function beginSend(inHand: Int32Array, row: number): void {
  inHand[IN_HAND_TX_ROW] = row;
}

/** Receiving sockets of a carrier: raw carriers have up to two. */
export const OVERFLOW_SOCKETS = 2;
export const OVERFLOW_WORDS = UNDERLAYS_MAX * OVERFLOW_SOCKETS * 2;

/**
 * Words of `counters`: datagrams that the socket's full receive buffer has lost (its own count, wrapping at 32 bits),
 * messages cut here because the kernel refused, and the last errno in a msgResult. A binding may have counters of its
 * own: the same layout with another offset.
 */
export const COUNTER_RXQ_OVFL = 0;
export const COUNTER_GSO_FALLBACKS = 1;
export const COUNTER_LAST_ERRNO = 2;

/** Bit of rxFlags: the frame or datagram was longer than its place and has been cut. */
export const RX_TRUNCATED = 1;

function layOut(): { layout: IoLayout; words: number } {
  let next = 0;
  const column = (count: number) => {
    const at = next;
    next += Math.ceil(count / 16) * 16;
    return at;
  };
  const layout: IoLayout = {
    burst: LANES,
    messages: MESSAGES,
    extents: EXTENTS,
    rxAt: column(LANES),
    rxCap: column(LANES),
    rxDatagramAt: column(LANES),
    rxDatagramCap: column(LANES),
    rxLen: column(LANES),
    rxGso: column(LANES),
    rxSrc: column(LANES * 4),
    rxPort: column(LANES),
    rxTos: column(LANES),
    rxFlags: column(LANES),
    msgFirst: column(MESSAGES),
    msgCount: column(MESSAGES),
    msgPackets: column(MESSAGES),
    msgBytes: column(MESSAGES),
    msgPeerRow: column(MESSAGES),
    msgDest: column(MESSAGES),
    msgSocket: column(MESSAGES),
    msgGso: column(MESSAGES),
    msgTos: column(MESSAGES),
    msgResult: column(MESSAGES),
    extAt: column(EXTENTS),
    extLen: column(EXTENTS),
    clock: column(4),
    counters: column(16),
    ready: column(READY_MAX),
    rxOff: column(LANES),
    inHand: column(16),
    overflow: column(OVERFLOW_WORDS),
  };
  return { layout, words: next };
}

export const { layout: IO_LAYOUT, words: IO_WORDS } = layOut();

/** Cursor words. */
export const NEXT_MESSAGE = 0;
export const NEXT_EXTENT = 1;
export const NEXT_HEADER = 2;
/** 1 while the frames of a port's messages go to other receivers as well: a device that keeps frames must not take them over. */
export const IS_SHARED = 3;

export interface Outbox {
  readonly io: Int32Array;
  readonly rxAt: Int32Array;
  readonly rxCap: Int32Array;
  readonly rxDatagramAt: Int32Array;
  readonly rxDatagramCap: Int32Array;
  readonly rxLen: Int32Array;
  readonly rxGso: Int32Array;
  readonly rxSrc: Int32Array;
  readonly rxPort: Int32Array;
  readonly rxTos: Int32Array;
  readonly rxFlags: Int32Array;
  readonly rxOff: Int32Array;
  readonly msgFirst: Int32Array;
  readonly msgCount: Int32Array;
  readonly msgDest: Int32Array;
  readonly msgSocket: Int32Array;
  readonly msgGso: Int32Array;
  readonly msgTos: Int32Array;
  readonly msgResult: Int32Array;
  readonly extAt: Int32Array;
  readonly extLen: Int32Array;
  readonly clock: Int32Array;
  readonly counters: Int32Array;
  readonly ready: Int32Array;
  readonly msgPackets: Int32Array;
  readonly msgBytes: Int32Array;
  readonly msgPeerRow: Int32Array;
  readonly inHand: Int32Array;
  readonly overflow: Int32Array;
  /** NEXT_MESSAGE, NEXT_EXTENT, NEXT_HEADER: an outbox holds the messages of one egress at a time. */
  readonly cursor: Int32Array;
  readonly headersAt: number;
  readonly headersEnd: number;
}

/** A worker's io block: the first of its columns. Native code gets it as one array. */
export function ioBlock(arena: Arena, worker: number): Int32Array {
  return new Int32Array(arena.memory.buffer, arena.partitions[worker].columnsAt, IO_WORDS);
}

/** Where the columns behind the io block begin. */
export function columnsBehindIo(arena: Arena, worker: number): number {
  return arena.partitions[worker].columnsAt + IO_WORDS * 4;
}

export function bindOutbox(io: Int32Array, allocate: Allocate, headersAt: number, headersEnd: number): Outbox {
  const column = (at: number, count: number) => io.subarray(at, at + count);
  const l = IO_LAYOUT;
  const cursor = allocate(4);
  cursor[NEXT_HEADER] = headersAt;
  return {
    io,
    rxAt: column(l.rxAt, LANES),
    rxCap: column(l.rxCap, LANES),
    rxDatagramAt: column(l.rxDatagramAt, LANES),
    rxDatagramCap: column(l.rxDatagramCap, LANES),
    rxLen: column(l.rxLen, LANES),
    rxGso: column(l.rxGso, LANES),
    rxSrc: column(l.rxSrc, LANES * 4),
    rxPort: column(l.rxPort, LANES),
    rxTos: column(l.rxTos, LANES),
    rxFlags: column(l.rxFlags, LANES),
    rxOff: column(l.rxOff, LANES),
    msgFirst: column(l.msgFirst, MESSAGES),
    msgCount: column(l.msgCount, MESSAGES),
    msgDest: column(l.msgDest, MESSAGES),
    msgSocket: column(l.msgSocket, MESSAGES),
    msgGso: column(l.msgGso, MESSAGES),
    msgTos: column(l.msgTos, MESSAGES),
    msgResult: column(l.msgResult, MESSAGES),
    extAt: column(l.extAt, EXTENTS),
    extLen: column(l.extLen, EXTENTS),
    clock: column(l.clock, 4),
    counters: column(l.counters, 16),
    ready: column(l.ready, READY_MAX),
    msgPackets: column(l.msgPackets, MESSAGES),
    msgBytes: column(l.msgBytes, MESSAGES),
    msgPeerRow: column(l.msgPeerRow, MESSAGES),
    inHand: column(l.inHand, 16),
    overflow: column(l.overflow, OVERFLOW_WORDS),
    cursor,
    headersAt,
    headersEnd,
  };
}
