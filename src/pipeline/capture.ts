import type { Arena, Partition } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import type { ChecksumKernel } from '../packet/checksum.js';
import type { Outbox } from '../packet/outbox.js';

/**
 * The capture tap: copies the frames of one port into the capture ring, a byte ring in the arena with one writer (the worker) and one reader
 * (the control thread). A full ring loses records and counts them; the walk never waits.
 *
 *   ring header:  [ head | tail | missed ]                                    words; head and tail run on, in bytes, to `runLength`
 *   record:       [ bytes of record | flags | captured | original ] [ seconds, double ] [ frame ]     padded to 8 bytes
 */
export const RING_HEADER = 64;
export const RING_HEAD = 0;
export const RING_TAIL = 1;
export const RING_MISSED = 2;
export const RECORD_HEADER = 24;
/** Record flags: direction as pcapng's epb_flags have it. */
export const CAPTURED_IN = 1;
export const CAPTURED_OUT = 2;
/** The rest of the ring up to its end is unused. */
export const RECORD_SKIP = 0;

/** Where head and tail begin anew: a whole number of rounds, so that their places in the ring go on without a jump. */
export function runLength(partition: Partition): number {
  const ringBytes = partition.captureBytes - RING_HEADER;
  return ringBytes * Math.floor(2 ** 31 / ringBytes);
}

export interface CaptureTap {
  /** Port id that is captured, -1 for none. The walk compares it once per burst. */
  key: number;
  snapLen: number;
  lanes(n: number): void;
  /** Messages 0..n of the outbox, without their virtio-net header when `hasVnet`. */
  messages(n: number, hasVnet: boolean): void;
}

export function bindCapture(
  arena: Arena,
  partition: Partition,
  burst: Burst,
  outbox: Outbox,
  kernel: ChecksumKernel,
  nowSec: () => number,
): CaptureTap {
  const { words, doubles } = arena;
  const { at, len, drop } = burst;
  const { msgFirst, msgCount, extAt, extLen } = outbox;
  const header = partition.captureAt >> 2;
  const ringAt = partition.captureAt + RING_HEADER;
  const ringBytes = partition.captureBytes - RING_HEADER;
  const run = runLength(partition);
  let writeAt = 0;

  /** Room for a record of `captured` bytes: its position, or -1. Publishing happens in `publish`. */
  function open(flags: number, captured: number, original: number): number {
    const bytes = (RECORD_HEADER + captured + 7) & ~7;
    const head = words[header + RING_HEAD];
    const held = head - Atomics.load(words, header + RING_TAIL);
    const free = ringBytes - (held < 0 ? held + run : held);
    const offset = head % ringBytes;
    const toEnd = ringBytes - offset;
    const skip = toEnd < bytes ? toEnd : 0;
    if (bytes + skip > free) {
      words[header + RING_MISSED]++;
      return -1;
    }
    if (skip > 0) words[(ringAt + offset) >> 2] = RECORD_SKIP;
    const record = ringAt + (skip > 0 ? 0 : offset);
    const w = record >> 2;
    words[w] = bytes;
    words[w + 1] = flags;
    words[w + 2] = captured;
    words[w + 3] = original;
    doubles[(record + 16) >> 3] = nowSec();
    writeAt = head + skip + bytes;
    if (writeAt >= run) writeAt -= run;
    return record + RECORD_HEADER;
  }

  function publish(): void {
    Atomics.store(words, header + RING_HEAD, writeAt);
  }

  const tap: CaptureTap = {
    key: -1,
    snapLen: 65535,
    lanes(n) {
      for (let i = 0; i < n; i++) {
        if (drop[i] !== 0 && len[i] <= 0) continue;
        const captured = Math.min(len[i], tap.snapLen);
        const to = open(CAPTURED_IN, captured, len[i]);
        if (to < 0) continue;
        kernel.copy(to, at[i], captured);
        publish();
      }
    },
    messages(n, hasVnet) {
      for (let m = 0; m < n; m++) {
        const first = msgFirst[m] + (hasVnet ? 1 : 0);
        const end = msgFirst[m] + msgCount[m];
        let original = 0;
        for (let e = first; e < end; e++) original += extLen[e];
        let left = Math.min(original, tap.snapLen);
        let to = open(CAPTURED_OUT, left, original);
        if (to < 0) continue;
        for (let e = first; e < end && left > 0; e++) {
          const bytes = Math.min(extLen[e], left);
          kernel.copy(to, extAt[e], bytes);
          to += bytes;
          left -= bytes;
        }
        publish();
      }
    },
  };
  return tap;
}

export interface CaptureRecord {
  direction: 'in' | 'out';
  /** Monotonic seconds. */
  seconds: number;
  originalLength: number;
  /** Valid during the call only. */
  bytes: Uint8Array;
}

/** Reads every waiting record of one worker's ring; returns their number. */
export function drainCapture(arena: Arena, partition: Partition, onRecord: (record: CaptureRecord) => void): number {
  const { words, doubles, bytes } = arena;
  const header = partition.captureAt >> 2;
  const ringAt = partition.captureAt + RING_HEADER;
  const ringBytes = partition.captureBytes - RING_HEADER;
  const run = runLength(partition);
  const head = Atomics.load(words, header + RING_HEAD);
  let tail = words[header + RING_TAIL];
  let count = 0;
  while (tail !== head) {
    const offset = tail % ringBytes;
    const record = ringAt + offset;
    const w = record >> 2;
    if (words[w] === RECORD_SKIP) {
      tail = (tail + ringBytes - offset) % run;
      continue;
    }
    const from = record + RECORD_HEADER;
    onRecord({
      direction: words[w + 1] === CAPTURED_IN ? 'in' : 'out',
      seconds: doubles[(record + 16) >> 3],
      originalLength: words[w + 3],
      bytes: bytes.subarray(from, from + words[w + 2]),
    });
    tail = (tail + words[w]) % run;
    count++;
  }
  Atomics.store(words, header + RING_TAIL, tail);
  return count;
}

/** Records lost because the ring was full. */
export function missedRecords(arena: Arena, partition: Partition): number {
  return arena.words[(partition.captureAt >> 2) + RING_MISSED];
}
