import { readFileSync } from 'node:fs';
import type { Allocate, Arena } from '../packet/arena.js';
import { type Burst, LANES } from '../packet/burst.js';

/** Words of a lookup under way (route.as.ts). */
const LOOKUP_WORDS = 8;

/**
 * The forward step of L3 lanes: `dst` becomes the value of the longest prefix that the IP destination lies in, or 0: no route. Lanes without an IP
 * header have no route; dropped lanes stay as they are. `tableAt` is where the table of the plan lies in the arena.
 */
export function bindRouteLookup(arena: Arena, burst: Burst, allocate: Allocate): (n: number, tableAt: number) => void {
  const module = new WebAssembly.Module(readFileSync(new URL('./route.wasm', import.meta.url)));
  const { memory } = arena;
  const { bindLanes, lookup } = new WebAssembly.Instance(module, { env: { memory } }).exports as {
    bindLanes: (first: number, lookupsAt: number) => void;
    lookup: (n: number, tableAt: number) => void;
  };
  const lookups = allocate(LANES * LOOKUP_WORDS);
  const columns = [...Object.values(burst), lookups];
  if (columns.some((column) => column.buffer !== memory.buffer))
    throw new RangeError('a column of the route kernel lies outside of the arena');
  const first = burst.slot.byteOffset;
  const order: [Int32Array, number][] = [
    [burst.flags, 8],
    [burst.drop, 9],
    [burst.network, 10],
    [burst.dst, 12],
    [burst.l3, 17],
  ];
  if (order.some(([column, place]) => column.byteOffset !== first + place * LANES * 4))
    throw new RangeError('the columns of the route kernel are not in its order');
  bindLanes(first, lookups.byteOffset);
  return lookup;
}
