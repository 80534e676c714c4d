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

function open(path: string, flags: 'r' | 'w', name: string): number {
  try {
    return openSync(path, flags);
  } catch (cause) {
    const { message, errno } = cause as NodeJS.ErrnoException;
    throw new WeftError('CAPTURE', `port ${name}: ${message}`, {
      object: `port ${name}`,
      syscall: 'open',
      errno,
      cause,
    });
  }
}

export interface PcapPort {
  readonly port: Port;
  /** Time of the last frame that came in: seconds and nanoseconds since 1970. Written to what goes out. */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** The input has been read to its end. */
  readonly isAtEnd: boolean;
}

export function openPcapPort(options: PcapPortOptions): PcapPort {
  const { arena, burst, outbox, pool, name } = options;
  const { slot, at, len, packets, gsoType, flags, drop } = burst;
  const { msgFirst, msgCount, msgResult, extAt, extLen } = outbox;
  const inputFd = options.input ? open(options.input, 'r', name) : -1;
  const outputFd = options.output ? open(options.output, 'w', name) : -1;
  const reader = new CaptureReader();
  const chunk = new Uint8Array(CHUNK_BYTES);
  const record = new Uint8Array(SNAP_LENGTH + 256);
  let seconds = 0;
  let nanoseconds = 0;
  let isAtEnd = inputFd < 0;

  if (outputFd >= 0) {
    const sectionEnd = Pcapng.write(record, 0, 'weft');
    const end = Pcapng.writeInterface(record, sectionEnd, Pcap.LINK_ETHERNET, SNAP_LENGTH, name);
    writeSync(outputFd, record, 0, end);
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
    return true;
  }

  function rx(): number {
    let n = 0;
    while (n < LANES && !isAtEnd && pool.free() > 0 && nextRecord()) {
      const bytes = reader.capturedBytes;
      const s = pool.take();
      slot[n] = s;
      at[n] = slotStart(arena, s);
      len[n] = bytes;
      packets[n] = 1;
      gsoType[n] = 0;
      flags[n] = 0;
      // A frame that the capture cut, or that no slot holds, cannot go on.
      drop[n] = bytes > pool.capacity || bytes < reader.originalBytes ? DROP.truncated : 0;
      if (bytes <= pool.capacity) arena.bytes.set(reader.bytes.subarray(reader.dataAt, reader.dataAt + bytes), at[n]);
      seconds = reader.seconds;
      nanoseconds = reader.nanoseconds;
      n++;
    }
    return n;
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
    writeSync(outputFd, record, 0, end);
    return bytes;
  }

  const port = definePort({
    id: options.id,
    name,
    rx,
    hasMore: () => !isAtEnd,
    tx(n) {
      for (let m = 0; m < n; m++) msgResult[m] = outputFd < 0 ? 0 : writeMessage(m);
      return n;
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
  };
}

const NO_COMMENT = new Uint8Array(0);
