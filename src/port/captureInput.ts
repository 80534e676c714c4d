import { closeSync, openSync } from 'node:fs';
import { LARGE_DATA } from '../packet/arena.js';
import { DROP } from '../packet/drop.js';
import { WeftError } from '../packet/error.js';
import type { SlotPool } from '../packet/slots.js';
import { CaptureReader, FORMAT_PCAP, FORMAT_PCAPNG, INTERFACES_MAX } from '../wire/capture.js';
import { packetOptions } from '../wire/captureOptions.js';
import { BOUND, type CaptureKernel, LAST, PIECE_AT, PIECE_END, PLAIN_INTERFACES } from './captureKernel.js';
import { givePiece, type Piece, readPiece, takePiece } from './filePiece.js';
import { type Conversion, conversionFor, convert, type LinkDevice, linkName } from './linkLayer.js';

/**
 * Frames of one capture file, burst by burst. Pieces of the file are read into large slots; the kernel takes runs of plain records there, and
 * every other record is taken here: one that goes over the end of a piece, with options, cut, odd, of another byte order. Which form takes a
 * record makes no difference to what comes out, and bursts end where records say so and not where pieces do.
 */
export interface CaptureInputOptions {
  /** What errors name: `port web`. */
  object: string;
  path: string;
  device: LinkDevice;
  pool: SlotPool;
  /** Slots of a piece. */
  pieceSlots: number;
}

/** Seconds of a bound that no record reaches. */
export const UNBOUNDED = 0xffffffff;

export interface CaptureInput {
  readonly path: string;
  /** Reads ahead. False at the end of the file; otherwise the next record is due at `seconds` and `nanoseconds`. */
  peek(): boolean;
  /** Lanes 0..n from records that are due before the bound; returns n. */
  fill(lanesMax: number, boundSeconds: number, boundNanoseconds: number): number;
  /** When the last record that was taken or peeked at was due: never before the one in front of it. */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** The file has been read to its end, or to where it is wrong. */
  readonly isAtEnd: boolean;
  readonly format: 'pcap' | 'pcapng' | 'unknown';
  /** The file's times are microseconds. Known after the first `peek`; always false for pcapng. */
  readonly isMicro: boolean;
  readonly packets: number;
  readonly bytesRead: number;
  /** Records that hold only a part of their packet. */
  readonly cut: number;
  readonly error: WeftError | null;
  /** The file ends inside of a record. */
  readonly isCutOff: boolean;
  /** Begins again at the start of the file. */
  rewind(): void;
  close(): void;
}

/** A piece where no slot is left for one: on the heap, where the kernel cannot read. */
const HEAP_PIECE_BYTES = 64 * 1024;
const STANDARD_INPUT = 0;
/** Of an Ethernet header that a packet gets here. */
const HEADER_BYTES_MADE = 14;

export function openInput(path: string, object: string): number {
  if (path === '-') return STANDARD_INPUT;
  try {
    return openSync(path, 'r');
  } catch (cause) {
    throw fileError(object, path, 'open', cause);
  }
}

/** The error of a system call on one of a device's files, or of what stands in it. */
export function fileError(object: string, path: string, syscall: string, cause: unknown): WeftError {
  const { message, errno } = cause as NodeJS.ErrnoException;
  const name = path === '-' ? (syscall === 'write' ? 'standard output' : 'standard input') : path;
  return new WeftError('CAPTURE', `${object}: ${name}: ${message}`, { object, syscall, errno, cause });
}

export function openCaptureInput(kernel: CaptureKernel, options: CaptureInputOptions): CaptureInput {
  const { arena, burst, window, reading, tickNanos, lanes } = kernel;
  const { slot, at, len, packets: lanePackets, gsoType, flags, drop } = burst;
  const { object, path, device, pool } = options;
  let fd = openInput(path, object);
  let reader = new CaptureReader();
  let piece: Piece | null = null;
  let heapPiece: Uint8Array | null = null;
  let dueSeconds = 0;
  let dueNanoseconds = 0;
  /** The reader stands at a record that no lane has taken yet. */
  let isPending = false;
  let isAtEnd = false;
  let error: WeftError | null = null;
  let packets = 0;
  let bytesRead = 0;
  let cut = 0;
  let isCutOff = false;
  /** Section whose interfaces are in the kernel's table and in `conversions`. */
  let section = 0;
  let interfaces = 0;
  let conversions: Conversion[] = [];
  let firstSource = 0;

  function readMore(): boolean {
    if (piece === null && heapPiece === null) {
      // The last slot is left to the outputs.
      piece = pool.free() > 1 ? takePiece(arena, pool, Math.min(options.pieceSlots, pool.free() - 1)) : null;
      if (piece === null) heapPiece = new Uint8Array(HEAP_PIECE_BYTES);
    }
    const bytes = heapPiece ?? arena.bytes;
    const from = piece === null ? 0 : piece.at;
    const n = readPiece(fd, bytes, from, piece === null ? HEAP_PIECE_BYTES : piece.bytes);
    if (n === 0) return false;
    bytesRead += n;
    reader.feed(bytes.subarray(from, from + n));
    return true;
  }

  function end(): void {
    isAtEnd = true;
    if (piece !== null) givePiece(pool, piece);
    piece = null;
    heapPiece = null;
  }

  /** Interfaces that the file has described since. */
  function noteInterfaces(): void {
    if (section !== reader.sections) {
      section = reader.sections;
      interfaces = 0;
      conversions = [];
      if (kernel.sections !== null)
        firstSource = (kernel.sections.push({ interfaces: reader.interfaces }) - 1) * INTERFACES_MAX;
    }
    for (; interfaces < reader.interfaces.length; interfaces++)
      conversions.push(conversionFor(reader.interfaces[interfaces].linkType, device));
  }

  function nextRecord(): boolean {
    while (!reader.next()) if (!readMore()) return false;
    noteInterfaces();
    if (conversions[reader.interfaceId] === 'refused') {
      const takes = device.carries === 'ethernet' ? 'Ethernet frames' : 'IP packets';
      throw new Error(`packets of ${linkName(reader.linkType)}, where ${takes} are wanted`);
    }
    return true;
  }

  /** What stands in a file is input like any other: a wrong one ends here, and the frames before it are still good. */
  function peek(): boolean {
    if (isPending) return true;
    if (isAtEnd) return false;
    try {
      isPending = nextRecord();
      if (!isPending && bytesRead === 0) throw new Error('not a pcap or pcapng file: it is empty');
    } catch (cause) {
      error = fileError(object, path, 'read', cause);
    }
    if (!isPending) {
      isCutOff = error === null && reader.truncated;
      end();
      return false;
    }
    const seconds = clampSeconds(reader.seconds);
    if (seconds > dueSeconds || (seconds === dueSeconds && reader.nanoseconds > dueNanoseconds)) {
      dueSeconds = seconds;
      dueNanoseconds = reader.nanoseconds;
    }
    return true;
  }

  /** Takes the pending record, whatever it is. */
  function place(n: number): void {
    const start = window.starts[n];
    const kind = conversions[reader.interfaceId];
    const room = kind === 'none' ? LARGE_DATA : LARGE_DATA - HEADER_BYTES_MADE;
    const fits = reader.capturedBytes < room ? reader.capturedBytes : room;
    const made = convert(kind, reader.linkType, reader.bytes, reader.dataAt, fits, arena, start);
    slot[n] = window.slots[n];
    at[n] = start;
    len[n] = made.bytes;
    lanePackets[n] = 1;
    gsoType[n] = 0;
    flags[n] = 0;
    // A frame that the capture cut, or that no slot holds, cannot go on.
    const isCut = reader.capturedBytes < reader.originalBytes;
    drop[n] = isCut || fits < reader.capturedBytes ? DROP.truncated : made.drop;
    if (isCut) cut++;
    lanes.times[2 * n] = reader.nanoseconds;
    lanes.times[2 * n + 1] = clampSeconds(reader.seconds);
    lanes.sources[n] = firstSource + reader.interfaceId;
    if (lanes.sources[n] !== lanes.sources[0]) lanes.isOneSource = false;
    if (reader.optionsEnd > reader.optionsAt && reader.format === FORMAT_PCAPNG) keepOptions(n);
    else if (lanes.hasOptions) lanes.options[n] = null;
    isPending = false;
  }

  function keepOptions(n: number): void {
    const kept = packetOptions(reader.bytes, reader.optionsAt, reader.optionsEnd, reader.little);
    if (kept.length > 0 && !lanes.hasOptions) {
      lanes.options.fill(null);
      lanes.hasOptions = true;
    }
    if (lanes.hasOptions) lanes.options[n] = kept.length > 0 ? kept : null;
  }

  function fillTicks(count: number): void {
    for (let i = 0; i < count; i++) {
      const { resolution, offsetSeconds } = reader.interfaces[i];
      const nanos = resolution === 9 ? 1 : resolution === 6 ? 1000 : 0;
      tickNanos[i] = conversions[i] === 'none' && offsetSeconds === 0 ? nanos : 0;
    }
  }

  /** The run of plain records from lane n on. */
  function fillPlain(n: number, lanesMax: number, boundSeconds: number, boundNanoseconds: number): number {
    const from = reader.runAt;
    if (piece === null || from < 0 || !reader.little) return n;
    noteInterfaces();
    reading[PIECE_AT] = piece.at + from;
    reading[PIECE_END] = piece.at + reader.runEnd;
    reading[LAST] = dueNanoseconds;
    reading[LAST + 1] = dueSeconds;
    reading[BOUND] = boundNanoseconds;
    reading[BOUND + 1] = boundSeconds;
    let next = n;
    if (reader.format === FORMAT_PCAPNG) {
      const count = interfaces < PLAIN_INTERFACES ? interfaces : PLAIN_INTERFACES;
      fillTicks(count);
      next = kernel.fillPcapng(reading.byteOffset, n, lanesMax, count, LARGE_DATA, firstSource);
      if (count > 1)
        for (let i = n; i < next; i++) if (lanes.sources[i] !== lanes.sources[0]) lanes.isOneSource = false;
    } else if (conversions[0] === 'none') {
      next = kernel.fillPcap(reading.byteOffset, n, lanesMax, reader.isNano ? 1 : 1000, LARGE_DATA, firstSource);
    }
    if (next === n) return n;
    if (lanes.hasOptions) lanes.options.fill(null, n, next);
    reader.ran(reading[PIECE_AT] - piece.at - from);
    dueNanoseconds = reading[LAST];
    dueSeconds = reading[LAST + 1] >>> 0;
    return next;
  }

  const isDueBefore = (seconds: number, nanoseconds: number) =>
    dueSeconds < seconds || (dueSeconds === seconds && dueNanoseconds < nanoseconds);

  return {
    path,
    peek,
    fill(lanesMax, boundSeconds, boundNanoseconds) {
      let n = 0;
      lanes.hasOptions = false;
      lanes.isOneSource = true;
      while (n < lanesMax) {
        if (!isPending && !isAtEnd) n = fillPlain(n, lanesMax, boundSeconds, boundNanoseconds);
        if (n === lanesMax || !peek() || !isDueBefore(boundSeconds, boundNanoseconds)) break;
        place(n++);
      }
      lanes.count = n;
      packets += n;
      return n;
    },
    get seconds() {
      return dueSeconds;
    },
    get nanoseconds() {
      return dueNanoseconds;
    },
    get isAtEnd() {
      return isAtEnd;
    },
    get format() {
      if (reader.format === FORMAT_PCAP) return 'pcap';
      return reader.format === FORMAT_PCAPNG ? 'pcapng' : 'unknown';
    },
    get isMicro() {
      return reader.format === FORMAT_PCAP && !reader.isNano;
    },
    get packets() {
      return packets;
    },
    get bytesRead() {
      return bytesRead;
    },
    get cut() {
      return cut;
    },
    get error() {
      return error;
    },
    get isCutOff() {
      return isCutOff;
    },
    rewind() {
      if (path !== '-') closeSync(fd);
      end();
      fd = openInput(path, object);
      reader = new CaptureReader();
      isPending = false;
      isAtEnd = false;
      section = 0;
      dueSeconds = 0;
      dueNanoseconds = 0;
    },
    close() {
      end();
      if (path !== '-' && fd >= 0) closeSync(fd);
      fd = -1;
    },
  };
}

/** A record of a time that no pcap file can write stands at the last or first that it can. */
function clampSeconds(seconds: number): number {
  return seconds < 0 ? 0 : seconds > UNBOUNDED - 1 ? UNBOUNDED - 1 : seconds;
}
