import { readFileSync } from 'node:fs';
import type { Allocate, Arena } from '../packet/arena.js';
import { type Burst, LANES } from '../packet/burst.js';

/** Words of a lookup under way (route.as.ts). */
const LOOKUP_WORDS = 8;

interface Exports {
  bindLanes(this: void, first: number, lookupsAt: number): void;
  lookup(this: void, n: number, tableAt: number): void;
}

/** The address of the first column; the kernel knows those that it uses by their place in the order of packet/burst.ts. */
function firstColumn(arena: Arena, burst: Burst): number {
  Object.values(burst).reduce((end: number | null, column) => {
    if (column.buffer !== arena.memory.buffer)
      throw new RangeError('a column of the route kernel lies outside of the arena');
    if (end !== null && column.byteOffset !== end)
      throw new RangeError('the columns of the route kernel are not in its order');
    return column.byteOffset + column.byteLength;
  }, null);
  return burst.slot.byteOffset;
}

/**
 * The forward step of L3 lanes: `dst` becomes the value of the longest prefix that the IP destination lies in, or 0: no route. Lanes without an IP
 * header have no route; dropped lanes stay as they are. `tableAt` is where the table of the plan lies in the arena (writeRouteTable).
 */
export function bindRouteLookup(arena: Arena, burst: Burst, allocate: Allocate): (n: number, tableAt: number) => void {
  const module = new WebAssembly.Module(readFileSync(new URL('./route.wasm', import.meta.url)));
  const { memory } = arena;
  const { bindLanes, lookup } = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  bindLanes(firstColumn(arena, burst), allocate(LANES * LOOKUP_WORDS + 1).byteOffset);
  return lookup;
}
