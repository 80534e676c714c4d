import { type Cidr, IPV4_BYTES } from '../wire/address.js';
import { get32 } from '../wire/bytes.js';
import { createTrieWriter, widen } from './routeTrie.js';

/**
 * The route table of a node's L3 networks, in shared memory: longest prefix match for IPv4 and IPv6, each network its own.
 *
 * The control thread builds a table as a whole, writes it to the half of the arena's route region that nobody reads, and posts its position with
 * the plan: a table never changes while a worker reads it, so readers need no lock. All positions inside of a table are words from its start.
 *
 *   table:   [ networks | words of the table | 0 | 0 ] [ head of IPv4 | head of IPv6 ] for each network id        `routeTrie.ts` has the rest:
 *   head:    [ stem, 4 words | mask, 4 words | stem bits | 63 - root bits | root | outside ]
 *   root:    [ entry ] * 2^bits          indexed by the bits that follow the stem
 *   node:    [ bitmap, 2 words | entry | entry ... ]       indexed by the next six bits, entries that repeat the one before them left out
 *   entry:   value of the route, TO_PORT | id or TO_PEER | id; 0 for no route; negative: minus the position of a node, which is even, and one
 *            less where that node's entries are narrow: 16 bits each, all of them values
 *
 * Addresses that do not begin with the stem, what all prefixes but the default route have in common, have the value `outside`. So
 * 10.42.0.0/16 cut into /24s is a root of 256 entries and nothing else, in however large an address space.
 */
export interface Route {
  network: number;
  /** Bits behind the prefix do not count. */
  prefix: Cidr;
  /** TO_PORT | id or TO_PEER | id; 0 as if there were no route, also where a shorter prefix has one. */
  value: number;
}

export const TABLE_NETWORKS = 0;
export const TABLE_WORDS = 1;
export const TABLE_INDEX = 4;

/** Networks that can exist. */
const NETWORKS = 512;
const WORDS = 4;

/** Routes as columns; `words` has four of each, an IPv4 address in the first. */
interface Columns {
  count: number;
  /** Network and family: network << 1, 1 more for IPv6. */
  trie: Int32Array;
  words: Int32Array;
  length: Int32Array;
  value: Int32Array;
}

function makeColumns(room: number): Columns {
  return {
    count: 0,
    trie: new Int32Array(room),
    words: new Int32Array(room * WORDS),
    length: new Int32Array(room),
    value: new Int32Array(room),
  };
}

function grow(columns: Columns): Columns {
  const larger = makeColumns(columns.trie.length * 2);
  larger.count = columns.count;
  for (const name of ['trie', 'words', 'length', 'value'] as const) larger[name].set(columns[name]);
  return larger;
}

function add(columns: Columns, { network, prefix, value }: Route): void {
  const { address, prefixLength } = prefix;
  if (!(network >= 0 && network < NETWORKS)) throw new RangeError(`network ${network} is not below ${NETWORKS}`);
  if (!(value >= 0 && value <= 0x7fffffff)) throw new RangeError(`${value} is not a value of a route`);
  if (!(prefixLength >= 0 && prefixLength <= address.length * 8))
    throw new RangeError(`prefix length ${prefixLength} of an address of ${address.length} bytes`);
  const i = columns.count++;
  columns.trie[i] = (network << 1) | (address.length === IPV4_BYTES ? 0 : 1);
  columns.length[i] = prefixLength;
  columns.value[i] = value;
  for (let w = 0; w * 4 < address.length; w++) {
    const bits = Math.min(32, Math.max(0, prefixLength - w * 32));
    columns.words[i * WORDS + w] = bits === 0 ? 0 : get32(address, w * 4) & (-1 << (32 - bits));
  }
}

/** One pass of a radix sort: `order` by a byte of each route, stable. Returns the new order; `spare` becomes the next spare. */
function sortByByte(order: Int32Array, spare: Int32Array, keys: Int32Array, step: number, off: number, shift: number) {
  const starts = new Int32Array(257);
  for (let i = 0; i < order.length; i++) starts[((keys[i * step + off] >>> shift) & 255) + 1]++;
  if (starts.includes(order.length)) return order;
  for (let digit = 0; digit < 256; digit++) starts[digit + 1] += starts[digit];
  for (let k = 0; k < order.length; k++) {
    const i = order[k];
    spare[starts[(keys[i * step + off] >>> shift) & 255]++] = i;
  }
  return spare;
}

/** By trie, address, length; equal ones in the order in which they came. */
function sort(columns: Columns): Int32Array {
  const { count, trie, words, length } = columns;
  let order = Int32Array.from({ length: count }, (_, i) => i);
  let spare = new Int32Array(count);
  const pass = (keys: Int32Array, step: number, off: number, shift: number) => {
    const sorted = sortByByte(order, spare, keys, step, off, shift);
    if (sorted === spare) [order, spare] = [spare, order];
  };
  pass(length, 1, 0, 0);
  for (let w = WORDS - 1; w >= 0; w--) for (let shift = 0; shift < 32; shift += 8) pass(words, WORDS, w, shift);
  pass(trie, 1, 0, 0);
  pass(trie, 1, 0, 8);
  return order;
}

/** The routes in their order. */
function arrange(columns: Columns): Columns {
  const { count, trie, words, length, value } = columns;
  const out = makeColumns(count);
  out.count = count;
  const order = sort(columns);
  for (let k = 0; k < count; k++) {
    const i = order[k];
    out.trie[k] = trie[i];
    out.length[k] = length[i];
    out.value[k] = value[i];
    for (let w = 0; w < WORDS; w++) out.words[k * WORDS + w] = words[i * WORDS + w];
  }
  return out;
}

/** A table that can be written anywhere. Of two routes of a network with the same prefix, the last one counts. */
export function buildRouteTable(routes: Iterable<Route>): Int32Array {
  let columns = makeColumns(64);
  for (const route of routes) {
    if (columns.count === columns.trie.length) columns = grow(columns);
    add(columns, route);
  }
  const { count, trie, words, length, value } = arrange(columns);
  const networks = count === 0 ? 0 : (trie[count - 1] >> 1) + 1;
  const writer = createTrieWriter(words, length, value, TABLE_INDEX + networks * 2);
  const empty = writer.write(0, 0);
  const index = new Int32Array(networks * 2).fill(empty);
  for (let from = 0; from < count; ) {
    let to = from + 1;
    while (to < count && trie[to] === trie[from]) to++;
    index[trie[from]] = writer.write(from, to);
    from = to;
  }
  const table = writer.finish();
  table[TABLE_NETWORKS] = networks;
  table[TABLE_WORDS] = table.length;
  table.set(index, TABLE_INDEX);
  return table;
}

/** Writes a table at byte `at` of the arena, a multiple of 8, with room for `capacity` bytes. One that does not fit leaves all as it was. */
export function writeRouteTable(words: Int32Array, at: number, capacity: number, table: Int32Array): void {
  if (at % 8 !== 0) throw new RangeError(`a route table cannot lie at ${at}`);
  if (table.byteLength > capacity)
    throw new RangeError(`the routes need ${table.byteLength} bytes, and there is room for ${capacity}`);
  words.set(table, at >> 2);
}

function bitCount(x: number): number {
  let n = x - ((x >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** `count` bits, up to 31, of an address from bit `from` on; 0 behind its end. */
function bitsOf(address: Int32Array, from: number, count: number): number {
  if (count === 0) return 0;
  const w = from >> 5;
  const off = from & 31;
  const next = off === 0 ? 0 : address[w + 1] >>> (32 - off);
  return ((address[w] << off) | next) >>> (32 - count);
}

/** The value for one address of 4 or 16 bytes, or 0: for the control thread. Workers have the kernel (route.as.ts), which walks the same way. */
export function lookUpRoute(words: Int32Array, tableAt: number, network: number, address: Uint8Array): number {
  const table = words.subarray(tableAt >> 2);
  if (network < 0 || network >= table[TABLE_NETWORKS]) return 0;
  const wanted = new Int32Array(WORDS + 2);
  for (let w = 0; w * 4 < address.length; w++) wanted[w] = get32(address, w * 4);
  const head = table[TABLE_INDEX + network * 2 + (address.length === IPV4_BYTES ? 0 : 1)];
  for (let w = 0; w < WORDS; w++)
    if (((wanted[w] ^ table[head + (w ^ 1)]) & table[head + WORDS + (w ^ 1)]) !== 0) return table[head + 11];
  const rootBits = 63 - table[head + 9];
  let depth = table[head + 8];
  let entry = table[table[head + 10] + bitsOf(wanted, depth, rootBits)];
  for (depth += rootBits; entry < 0; depth += 6) {
    const node = -entry & ~1;
    const slot = bitsOf(wanted, depth, 6);
    // Bits 0..slot of the bitmap: the entries up to the one that counts for this slot.
    const low = table[node] & (slot >= 31 ? -1 : (2 << slot) - 1);
    const high = slot < 32 ? 0 : table[node + 1] & (slot === 63 ? -1 : (2 << (slot - 32)) - 1);
    const k = bitCount(low) + bitCount(high) - 1;
    const isNarrow = (-entry & 1) !== 0;
    entry = isNarrow ? widen(table[node + 2 + (k >> 1)] >>> ((k & 1) << 4)) : table[node + 2 + k];
  }
  return entry;
}
