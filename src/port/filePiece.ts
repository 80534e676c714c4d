import { readSync, writeSync } from 'node:fs';
import { type Arena, HEADROOM, LARGE_STRIDE, PREAMBLE, slotStart } from '../packet/arena.js';
import type { SlotPool } from '../packet/slots.js';

/** A part of the arena that holds a piece of a file: large slots that follow one another. */
export interface Piece {
  readonly at: number;
  /** Less than the slots have: kernels may copy a few bytes too many. */
  readonly bytes: number;
  readonly slots: readonly number[];
}

/** What a kernel may read or write behind the end. */
const SLACK = 64;

/** Takes up to `count` slots; null when there is none. */
export function takePiece(arena: Arena, pool: SlotPool, count: number): Piece | null {
  const slots: number[] = [];
  for (let s = pool.take(); s >= 0; s = slots.length < count ? pool.take() : -1) {
    if (slots.length > 0 && s !== slots[slots.length - 1] + 1) {
      pool.give(s);
      break;
    }
    slots.push(s);
  }
  if (slots.length === 0) return null;
  const at = slotStart(arena, slots[0]) - HEADROOM - PREAMBLE;
  return { at, bytes: slots.length * LARGE_STRIDE - SLACK, slots };
}

/** Backwards, so that they follow one another again when they are taken. */
export function givePiece(pool: SlotPool, piece: Piece): void {
  for (let i = piece.slots.length - 1; i >= 0; i--) pool.give(piece.slots[i]);
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));
const RETRY_MS = 1;

/** A pipe that someone made non-blocking is waited for. */
function retrying(call: () => number): number {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(sleeper, 0, 0, RETRY_MS);
    }
  }
}

export function readPiece(fd: number, bytes: Uint8Array, at: number, len: number): number {
  return retrying(() => readSync(fd, bytes, at, len, null));
}

export function writeWhole(fd: number, bytes: Uint8Array, at: number, end: number): void {
  for (let from = at; from < end; ) from += retrying(() => writeSync(fd, bytes, from, end - from));
}
