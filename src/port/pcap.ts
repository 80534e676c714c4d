import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { type Arena, slotStart } from '../packet/arena.js';
import { type Burst, LANES } from '../packet/burst.js';
import { DROP } from '../packet/drop.js';
import { WeftError } from '../packet/error.js';
import type { Outbox } from '../packet/outbox.js';
import type { SlotPool } from '../packet/slots.js';
import { CaptureReader } from '../wire/capture.js';
import * as Pcap from '../wire/pcap.js';
import * as Pcapng from '../wire/pcapng.js';
import { definePort, type Port } from './port.js';

/**
 * A port over capture files: frames of `input` come in as fast as they are taken, what goes out is appended to `output` (pcapng, Ethernet).
 * Files are read and written in pieces; memory stays constant.
 */
export interface PcapPortOptions {
  id: number;
  name: string;
  arena: Arena;
  burst: Burst;
  outbox: Outbox;
  pool: SlotPool;
  input?: string | null;
  output?: string | null;
}

const CHUNK_BYTES = 256 * 1024;
const SNAP_LENGTH = 262144;
const EIO = -5;

/** The error of a system call on one of the port's files. */
function failed(name: string, path: string, syscall: string, cause: unknown): WeftError {
  const { message, errno } = cause as NodeJS.ErrnoException;
  const object = `port ${name}`;
  return new WeftError('CAPTURE', `${object}: ${path}: ${message}`, { object, syscall, errno, cause });
}

/** Opens a file; when that fails, what was opened before for the same port is closed. */
function open(path: string, flags: 'r' | 'w', name: string, openedBefore = -1): number {
  try {
    return openSync(path, flags);
  } catch (cause) {
    if (openedBefore >= 0) closeSync(openedBefore);
    throw failed(name, path, 'open', cause);
  }
}

export interface PcapPort {
  readonly port: Port;
  /** Time of the last frame that came in: seconds and nanoseconds since 1970. Written to what goes out. */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** The input has been read to its end, or to where it is wrong. */
  readonly isAtEnd: boolean;
  /** What is wrong with the input; null while nothing is. */
  readonly error: WeftError | null;
  /** The input has been read, and ends inside of a record. */
  readonly isCutOff: boolean;
}

export function openPcapPort(options: PcapPortOptions): PcapPort {
  const { arena, burst, outbox, pool, name } = options;
  const { slot, at, len, packets, gsoType, flags, drop } = burst;
  const { msgFirst, msgCount, msgResult, extAt, extLen } = outbox;
  const inputFd = options.input ? open(options.input, 'r', name) : -1;
  const outputFd = options.output ? open(options.output, 'w', name, inputFd) : -1;
  const reader = new CaptureReader();
  const chunk = new Uint8Array(CHUNK_BYTES);
  const record = new Uint8Array(SNAP_LENGTH + 256);
  let seconds = 0;
  let nanoseconds = 0;
  let isAtEnd = inputFd < 0;
  let error: WeftError | null = null;

  if (outputFd >= 0) {
    const sectionEnd = Pcapng.write(record, 0, 'weft');
    const end = Pcapng.writeInterface(record, sectionEnd, Pcap.LINK_ETHERNET, SNAP_LENGTH, name);
    try {
      write(end);
    } catch (cause) {
      for (const fd of [inputFd, outputFd]) if (fd >= 0) closeSync(fd);
      throw failed(name, options.output as string, 'write', cause);
    }
  }

  function nextRecord(): boolean {
    while (!reader.next()) {
      const bytes = readSync(inputFd, chunk);
      if (bytes === 0) {
        isAtEnd = true;
        return false;
      }
      reader.feed(chunk.subarray(0, bytes));
    }
    if (reader.linkType !== Pcap.LINK_ETHERNET) throw new Error(`link type ${reader.linkType} is not Ethernet`);
    return true;
  }

  /** What stands in a file is input like any other: a wrong one ends here, and the frames before it are still good. */
  function readRecord(): boolean {
    try {
      return nextRecord();
    } catch (cause) {
      isAtEnd = true;
      error = failed(name, options.input as string, 'read', cause);
      return false;
    }
  }

  function rx(): number {
    let n = 0;
    while (n < LANES && !isAtEnd && pool.free() > 0 && readRecord()) {
      const bytes = reader.capturedBytes < pool.capacity ? reader.capturedBytes : pool.capacity;
      const s = pool.take();
      slot[n] = s;
      at[n] = slotStart(arena, s);
      len[n] = bytes;
      packets[n] = 1;
      gsoType[n] = 0;
      flags[n] = 0;
      // A frame that the capture cut, or that no slot holds, cannot go on.
      drop[n] = bytes < reader.originalBytes ? DROP.truncated : 0;
      arena.bytes.set(reader.bytes.subarray(reader.dataAt, reader.dataAt + bytes), at[n]);
      seconds = reader.seconds;
      nanoseconds = reader.nanoseconds;
      n++;
    }
    return n;
  }

  function write(end: number): void {
    for (let written = 0; written < end; ) written += writeSync(outputFd, record, written, end - written);
  }

  function writeMessage(m: number): number {
    let bytes = 0;
    for (let e = msgFirst[m], end = e + msgCount[m]; e < end; e++) {
      record.set(arena.bytes.subarray(extAt[e], extAt[e] + extLen[e]), Pcapng.PACKET_DATA_OFF + bytes);
      bytes += extLen[e];
    }
    const end = Pcapng.writePacket(
      record,
      0,
      0,
      seconds,
      nanoseconds,
      bytes,
      bytes,
      Pcapng.DIRECTION_OUT,
      0,
      NO_COMMENT,
    );
    try {
      write(end);
    } catch (failure) {
      return (failure as NodeJS.ErrnoException).errno ?? EIO;
    }
    return bytes;
  }

  const port = definePort({
    id: options.id,
    name,
    rx,
    hasMore: () => !isAtEnd,
    tx(n) {
      let sent = 0;
      for (let m = 0; m < n; m++) {
        msgResult[m] = outputFd < 0 ? 0 : writeMessage(m);
        if (msgResult[m] >= 0) sent++;
      }
      return sent;
    },
    release(n) {
      for (let i = 0; i < n; i++) pool.give(slot[i]);
    },
    vnetHdrLen: 0,
    takesPartialChecksum: false,
    takesTso4: false,
    takesTso6: false,
    close() {
      if (inputFd >= 0) closeSync(inputFd);
      if (outputFd >= 0) closeSync(outputFd);
    },
  });
  return {
    port,
    get seconds() {
      return seconds;
    },
    get nanoseconds() {
      return nanoseconds;
    },
    get isAtEnd() {
      return isAtEnd;
    },
    get error() {
      return error;
    },
    get isCutOff() {
      return isAtEnd && error === null && reader.truncated;
    },
  };
}

const NO_COMMENT = new Uint8Array(0);
