/*
 * Loads the checksum kernel (checksum.as.ts) over an arena.
 */
import { readFileSync } from 'node:fs';

/** Positions are byte positions in the memory that the kernel was instantiated over. Nothing is checked but the memory's end. */
export interface ChecksumKernel {
  /**
   * RFC 1071 sum of `len` bytes, 16 bits, not inverted, in memory order: the words are read little-endian. To store a checksum
   * write `~sum` little-endian; to join it with sums of wire/checksum.ts, swap its two bytes. Any length and alignment.
   */
  sum(this: void, at: number, len: number): number;
  /** Moves bytes; the ranges may overlap. */
  copy(this: void, to: number, from: number, len: number): void;
}

/**
 * One instance per thread, made before the turn loop starts: hot closures keep the two functions as constants.
 * `memory` must be shared. Takes about 1 ms, most of it compilation.
 */
export function instantiateChecksum(memory: WebAssembly.Memory): ChecksumKernel {
  const module = new WebAssembly.Module(readFileSync(new URL('./checksum.wasm', import.meta.url)));
  const { sum, copy } = new WebAssembly.Instance(module, { env: { memory } }).exports;
  return { sum, copy };
}

/** Swaps the bytes of a number that is added to a sum in memory order: lengths, ports. */
export const bswap16 = (x: number) => ((x & 0xff) << 8) | ((x >>> 8) & 0xff);

/** Folds a sum of 16-bit words to 16 bits (RFC 1071). */
export function fold(sum: number): number {
  let s = (sum & 0xffff) + (sum >>> 16);
  s = (s & 0xffff) + (s >>> 16);
  return s;
}
