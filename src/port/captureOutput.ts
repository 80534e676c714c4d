import { closeSync, openSync } from 'node:fs';
import type { WeftError } from '../packet/error.js';
import type { SlotPool } from '../packet/slots.js';
import { CAPTURED_BYTES_MAX, INTERFACES_MAX } from '../wire/capture.js';
import { ticks, toTicks } from '../wire/captureTime.js';
import * as Pcap from '../wire/pcap.js';
import * as Pcapng from '../wire/pcapng.js';
import { fileError } from './captureInput.js';
import { type CaptureKernel, PIECE_AT, PIECE_END } from './captureKernel.js';
import { givePiece, type Piece, takePiece, writeWhole } from './filePiece.js';

/**
 * One capture file that messages are appended to, in pieces: the kernel writes runs of plain records into large slots, and one system call
 * takes the whole piece. Records with options, or of interfaces that come from an input, are written here.
 *
 * Every record has the time of the record in whose slot its last extent lies; what the node made of a burst has that of the burst's last,
 * and what no capture brought has that of the clock.
 */
export interface CaptureOutputOptions {
  /** What errors name. */
  object: string;
  path: string;
  format: 'pcap' | 'pcapng';
  /** Times in microseconds; nanoseconds otherwise. */
  isMicro: boolean;
  pool: SlotPool;
  pieceSlots: number;
  /**
   * Live: every call ends with a write, the piece is borrowed for the call, and a message that could not be written says so. Otherwise pieces
   * are written when they are full, and a file that cannot be written ends the run by an exception.
   */
  isLive: boolean;
}

export interface CaptureOutput {
  readonly path: string;
  /** Makes an interface, and returns its number for `write`. */
  addInterface(linkType: number, name: string): number;
  readonly format: 'pcap' | 'pcapng';
  /** Records of messages 0..n of the outbox; sets msgResult. */
  write(n: number, to: RecordTarget): number;
  /** What has been written into pieces goes to the file. */
  flush(): void;
  /** Why nothing more can be written. */
  readonly error: WeftError | null;
  close(): void;
}

/** Where records stand. */
export interface RecordTarget {
  /** Number of an interface. */
  readonly id: number;
  /** Each record stands at the interface of its input instead, with this link type. */
  readonly keepsInterfaces: boolean;
  readonly linkType: number;
}

const STANDARD_OUTPUT = 1;
const EIO = -5;
const ENOBUFS = -105;
/** Room for the headers of a file and for the description of an interface. */
const HEADER_ROOM = 4096;

interface KeptInterface {
  id: number;
  /** An if_tsresol: that of the input from 10^0 to 10^-6, nanoseconds for all others. */
  resolution: number;
}

function open(path: string, object: string): number {
  if (path === '-') return STANDARD_OUTPUT;
  try {
    return openSync(path, 'w');
  } catch (cause) {
    throw fileError(object, path, 'open', cause);
  }
}

export function openCaptureOutput(kernel: CaptureKernel, options: CaptureOutputOptions): CaptureOutput {
  const { arena, writing, lanes, outbox } = kernel;
  const { msgResult } = outbox;
  const { object, path, pool, isLive, isMicro, format } = options;
  const fd = open(path, object);
  const nanos = isMicro ? 1000 : 1;
  const resolution = isMicro ? 6 : 9;
  const kept = new Map<string, KeptInterface>();
  let interfaces = 0;
  let piece: Piece | null = null;
  let end = 0;
  /** Headers wait here until there is a piece, so that an output that is never written to takes none. */
  let headers = new Uint8Array(0);
  let failure: WeftError | null = null;
  let failedErrno = 0;
  /** Messages of this call that are in the file. */
  let flushed = 0;

  function addHeader(bytes: number, write: (into: Uint8Array) => number): void {
    const into = new Uint8Array(bytes);
    const len = write(into);
    const joined = new Uint8Array(headers.length + len);
    joined.set(headers);
    joined.set(into.subarray(0, len), headers.length);
    headers = joined;
  }

  if (format === 'pcapng') addHeader(HEADER_ROOM, (into) => Pcapng.write(into, 0, 'weft'));

  /** All that waits goes to the file: the piece, then headers that came after it. */
  function flush(): void {
    if (failure !== null) return;
    try {
      if (piece !== null && end > piece.at) writeWhole(fd, arena.bytes, piece.at, end);
      if (piece !== null) end = piece.at;
      if (headers.length > 0) writeWhole(fd, headers, 0, headers.length);
      headers = new Uint8Array(0);
    } catch (cause) {
      failure = fileError(object, path, 'write', cause);
      failedErrno = (cause as NodeJS.ErrnoException).errno ?? EIO;
      if (piece !== null) end = piece.at;
      if (!isLive) throw failure;
    }
  }

  function describe(linkType: number, snapLength: number, name: string, unit: number, more: Uint8Array | null): number {
    addHeader(HEADER_ROOM + name.length * 3 + (more?.length ?? 0), (into) =>
      Pcapng.writeInterface(into, 0, linkType, snapLength, name, unit, more),
    );
    return interfaces++;
  }

  /** The interface that a lane's record stood at, described here as it was there, but for what packets have become. */
  function keptInterface(source: number, linkType: number): KeptInterface {
    const key = `${source} ${linkType}`;
    const known = kept.get(key);
    if (known !== undefined) return known;
    const described = kernel.sections?.[Math.floor(source / INTERFACES_MAX)].interfaces[source % INTERFACES_MAX];
    const isExact = described !== undefined && described.resolution <= 6;
    const unit = isExact ? described.resolution : 9;
    const id = describe(
      linkType,
      described?.snapLength ?? CAPTURED_BYTES_MAX,
      described?.name ?? '',
      unit,
      described?.options ?? null,
    );
    const made = { id, resolution: unit };
    kept.set(key, made);
    flush();
    return made;
  }

  function fail(from: number, n: number, errno: number): void {
    for (let m = from; m < n; m++) msgResult[m] = errno;
  }

  const spareLane = () => (lanes.count > 0 ? lanes.count - 1 : 0);

  /** A pcapng record of message m with all that it keeps; false when the piece has no room. */
  function writeRecord(m: number, id: number, unit: number, room: number): boolean {
    const lane = kernel.laneOf(m);
    const kept = lane >= 0 && lanes.hasOptions ? lanes.options[lane] : null;
    const bytes = kernel.messageBytes(m);
    const all = Pcapng.packetBytes(bytes, Pcapng.DIRECTION_UNKNOWN, 0, NO_COMMENT) + (kept ? kept.length + 4 : 0);
    if (end + all > room) return false;
    kernel.gather(m, end + Pcapng.PACKET_DATA_OFF);
    const timeOf = 2 * (lane < 0 ? spareLane() : lane);
    laneTicks(lanes.times[timeOf + 1] >>> 0, lanes.times[timeOf], unit);
    end = Pcapng.writeKept(arena.bytes, end, id, ticks[0], ticks[1], bytes, bytes, kept);
    msgResult[m] = bytes;
    return true;
  }

  /** Messages from..n as far as the piece has room; returns the first that it has none for. */
  function writeRun(from: number, n: number, id: number, unit: number, room: number): number {
    if (format === 'pcapng' && (lanes.hasOptions || (unit !== 9 && unit !== 6))) {
      let m = from;
      while (m < n && writeRecord(m, id, unit, room)) m++;
      return m;
    }
    writing[PIECE_AT] = end;
    writing[PIECE_END] = room;
    const at = writing.byteOffset;
    const spare = spareLane();
    const next =
      format === 'pcap'
        ? kernel.writePcap(at, from, n, nanos, spare)
        : kernel.writePcapng(at, from, n, unit === 6 ? 1000 : 1, spare, id);
    end = writing[PIECE_AT];
    return next;
  }

  /** The messages from m on that stand at one interface: the first behind them. */
  function sameSource(m: number, n: number, source: number): number {
    if (lanes.isOneSource) return n;
    let next = m + 1;
    while (next < n && sourceOf(next) === source) next++;
    return next;
  }

  function sourceOf(m: number): number {
    const lane = kernel.laneOf(m);
    return lanes.sources[lane < 0 ? spareLane() : lane];
  }

  function writeAll(n: number, to: RecordTarget): void {
    const keep = to.keepsInterfaces;
    let m = 0;
    while (m < n && failure === null) {
      const target = piece as Piece;
      const room = target.at + target.bytes;
      const source = keep ? keptInterface(sourceOf(m), to.linkType) : null;
      const until = keep ? sameSource(m, n, sourceOf(m)) : n;
      const next = writeRun(m, until, source?.id ?? to.id, source?.resolution ?? resolution, room);
      m = next;
      if (next === until) continue;
      const isEmpty = end === target.at;
      flush();
      if (failure === null) flushed = m;
      // Longer than a whole piece: no message is, but for one of a chain of superframes.
      if (isEmpty && failure === null) msgResult[m++] = ENOBUFS;
    }
    if (isLive) flush();
  }

  /** No capture brought this burst, and whatever lanes say is of an older one; or their times are not wanted. */
  function stampLanes(): void {
    const { seconds, nanoseconds } = kernel.now();
    if (lanes.count === 0) lanes.hasOptions = false;
    for (let i = 0; i < lanes.times.length; i += 2) {
      lanes.times[i] = nanoseconds;
      lanes.times[i + 1] = seconds;
    }
  }

  return {
    path,
    format,
    addInterface(linkType, name) {
      if (format === 'pcapng') return describe(linkType, CAPTURED_BYTES_MAX, name, resolution, null);
      if (interfaces++ === 0)
        addHeader(HEADER_ROOM, (into) => Pcap.write(into, 0, linkType, CAPTURED_BYTES_MAX, !isMicro));
      return 0;
    },
    write(n, to) {
      flushed = 0;
      if (lanes.count === 0 || kernel.isRealTime) stampLanes();
      if (failure === null && piece === null) {
        piece = takePiece(arena, pool, options.pieceSlots);
        if (piece !== null) end = piece.at;
        // Headers stand in front of the first record.
        if (headers.length > 0) flush();
      }
      if (failure === null && piece !== null) writeAll(n, to);
      if (failure !== null) fail(flushed, n, failedErrno);
      else if (piece === null) fail(0, n, ENOBUFS);
      if (isLive && piece !== null) {
        givePiece(pool, piece);
        piece = null;
      }
      let sent = 0;
      for (let m = 0; m < n; m++) if (msgResult[m] >= 0) sent++;
      return sent;
    },
    flush,
    get error() {
      return failure;
    },
    close() {
      try {
        flush();
      } finally {
        if (piece !== null) givePiece(pool, piece);
        piece = null;
        if (fd !== STANDARD_OUTPUT) closeSync(fd);
      }
    },
  };
}

const NO_COMMENT = new Uint8Array(0);

/** Leaves a time in `ticks`, counted in steps of 10^-resolution seconds. */
function laneTicks(seconds: number, nanoseconds: number, resolution: number): void {
  if (resolution === 9) {
    toTicks(seconds, nanoseconds);
    return;
  }
  // Below 2^53: microseconds at most, and seconds of 32 bits.
  const perSecond = 10 ** resolution;
  const count = seconds * perSecond + Math.floor(nanoseconds / 10 ** (9 - resolution));
  ticks[0] = Math.floor(count / 2 ** 32);
  ticks[1] = count % 2 ** 32;
}
