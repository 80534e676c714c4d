import { readFileSync } from 'node:fs';
import type { ForwardKernel } from '../forward/kernel.js';
import type { MacTable } from '../forward/macTable.js';
import type { Arena } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import { PORTS_MAX } from '../packet/counters.js';
import type { Tables } from './tables.js';

/**
 * Loads the walk's kernel (walk.as.ts) and hands it the addresses of the columns, which must lie in the arena. Nothing else calls the
 * bind functions: addresses never change afterwards.
 */
export interface WalkKernel extends ForwardKernel {
  /** Parses lanes 0..n; returns the number of lanes that `careful` then names, for the form in TypeScript. */
  parse(this: void, n: number): number;
  /** Lanes 0..n are of `network` and came from `origin`. */
  arriveFrom(this: void, n: number, network: number, origin: number): void;
}

type Exports = WalkKernel & {
  bindLanes(...addresses: number[]): void;
  bindForward(...addresses: number[]): void;
};

/** Addresses of columns for a kernel over `memory`. */
export function bindAddresses(memory: WebAssembly.Memory) {
  const address = (column: Int32Array) => {
    if (column.buffer !== memory.buffer) throw new RangeError('a column of the walk kernel lies outside of the arena');
    return column.byteOffset;
  };
  /** The first of columns that must follow one another without a gap, as the kernel's offsets have it. */
  const run = (columns: Int32Array[]) => {
    columns.reduce((at, column) => {
      if (address(column) !== at) throw new RangeError('the columns of the walk kernel are not in its order');
      return at + column.byteLength;
    }, address(columns[0]));
    return address(columns[0]);
  };
  return { address, run };
}

export function instantiateWalk(arena: Arena, burst: Burst, tables: Tables, macTable: MacTable): WalkKernel {
  const module = new WebAssembly.Module(readFileSync(new URL('./walk.wasm', import.meta.url)));
  const { memory } = arena;
  const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  const { address, run } = bindAddresses(memory);
  exports.bindLanes(run(Object.values(burst)));
  const { ageingSec, peerUnderlay } = tables;
  const { entries, entryMask } = macTable;
  exports.bindForward(address(ageingSec), address(entries), entryMask, address(peerUnderlay), PORTS_MAX);
  const { parse, prefetch, learn, lookup, arriveFrom } = exports;
  return { parse, prefetch, learn, lookup, arriveFrom };
}
