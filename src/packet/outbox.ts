import type { Allocate, Arena } from './arena.js';
import { LANES } from './burst.js';

/**
 * The io block: the columns through which TypeScript and native code talk, one Int32Array in the arena per worker.
 *
 * Rx: TypeScript says where frame i may go (rxAt, rxCap), native code says what came (rxLen, rxGso, rxSrc, ...).
 * Tx: a message is a run of extents (offset and length in the arena); native code writes msgResult: bytes, or a negative errno.
 */
export const MESSAGES = 2048;
export const EXTENTS = 8192;
export const READY_MAX = 256;

/** Word offsets into the io block. Native code gets this object at bind time. */
export interface IoLayout {
  burst: number;
  messages: number;
  extents: number;
  rxAt: number;
  rxCap: number;
  /** The same for datagrams, which start in the headroom: socket bindings get these in place of rxAt and rxCap. */
  rxDatagramAt: number;
  rxDatagramCap: number;
  rxLen: number;
  rxGso: number;
  rxSrc: number;
  rxPort: number;
  rxTos: number;
  rxFlags: number;
  msgFirst: number;
  msgCount: number;
  /** For the account, not for native code: packets, frame bytes and the peer's counter row (0: none). */
  msgPackets: number;
  msgBytes: number;
  msgPeerRow: number;
  msgDest: number;
  msgSocket: number;
  msgGso: number;
  msgTos: number;
  msgResult: number;
  extAt: number;
  extLen: number;
  clock: number;
  counters: number;
  ready: number;
}

/** rxFlags: the frame was longer than its slot. */
export const RX_TRUNCATED = 1;

/** io counters. */
export const IO_RXQ_OVFL = 0;
export const IO_GSO_FALLBACKS = 1;
export const IO_LAST_ERRNO = 2;

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
  };
  return { layout, words: next };
}

export const { layout: IO_LAYOUT, words: IO_WORDS } = layOut();

/** Cursor words. */
export const NEXT_MESSAGE = 0;
export const NEXT_EXTENT = 1;
export const NEXT_HEADER = 2;

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
    cursor,
    headersAt,
    headersEnd,
  };
}
