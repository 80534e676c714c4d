/*
 * Longest prefix match for a burst, in AssemblyScript over the arena: the same walk as lookUpRoute in routeTable.ts, whose comment has the layout
 * of a table.
 *
 * A lookup is a chain of loads that depend on each other, and in a large table most of them miss the cache. So a burst goes level by level,
 * and each level is loops in which every store goes to a place known beforehand: the misses of many lanes overlap. Only the last loop of a
 * level shortens the list, where the place of a lane, and with it the address of every later store, waits for the entry of the one before. By
 * then all entries are in the list. In a table of 1M IPv4 prefixes a lookup takes less than half as long as with one loop for each level, and
 * two thirds of what it takes without the loop that only touches nodes; in one of 1000 prefixes there is no difference. A lane that has its value leaves the list without a branch, which would be mispredicted as often as not.
 *
 * Columns are 256 bytes apart in the order of packet/burst.ts; routeLookup.ts checks that.
 */

// Byte offsets of lane columns from the first.
const FLAGS: usize = 8 * 256;
const DROP: usize = 9 * 256;
const NETWORK: usize = 10 * 256;
const DST: usize = 12 * 256;
const L3: usize = 17 * 256;

const IS_V4: i32 = 1;
const IS_V6: i32 = 2;

// Byte offsets in a table and in a head.
const INDEX: usize = 16;
const STEM_LO: usize = 8;
const MASK: usize = 16;
const MASK_LO: usize = 24;
const STEM_BITS: usize = 32;
const ROOT_SHIFT: usize = 36;
const ROOT: usize = 40;
const OUTSIDE: usize = 44;

// A lookup under way, 32 bytes: address bits that are not used up yet, from the top of `HI` on; where the next entry or node is; the lane; its entry.
const HI: usize = 0;
const LO: usize = 8;
const NEXT: usize = 16;
const LANE: usize = 20;
const ENTRY: usize = 24;
const LOOKUP: usize = 32;
const LOOKUPS_BYTES: usize = 64 * LOOKUP;

let lanes: usize = 0;
let lookups: usize = 0;

/** `lookupsAt`: 32 bytes for each lane, and a word more. */
export function bindLanes(first: usize, lookupsAt: usize): void {
  lanes = first;
  lookups = lookupsAt;
}

@inline
function swap32(x: u32): u32 {
  return (rotl<u32>(x, 8) & 0x00ff00ff) | (rotl<u32>(x, 24) & 0xff00ff00);
}

@inline
function swap64(x: u64): u64 {
  return ((<u64>swap32(<u32>x)) << 32) | (<u64>swap32(<u32>(x >>> 32)));
}

/** Starts the lookups of all lanes that have a route table: at an entry of the root, or outside of the stem. Returns the end of their list. */
@inline
function start(n: i32, table: usize): usize {
  const first = lanes;
  const end = first + (<usize>n << 2);
  const networks = load<u32>(table);
  let q = lookups;
  for (let p = first; p < end; p += 4) {
    if (load<i32>(p, DROP) != 0) continue;
    store<i32>(p, 0, DST);
    const ip: usize = load<i32>(p, L3);
    const flags = load<i32>(p, FLAGS);
    const network = load<u32>(p, NETWORK);
    if (ip == 0 || network >= networks || (flags & (IS_V4 | IS_V6)) == 0) continue;
    const heads = table + (<usize>network << 3);
    let head: usize = 0;
    let hi: u64 = 0;
    let lo: u64 = 0;
    let differs: u64 = 0;
    let index: usize = 0;
    if ((flags & IS_V4) != 0) {
      head = table + (<usize>load<u32>(heads, INDEX) << 2);
      hi = (<u64>swap32(load<u32>(ip, 16))) << 32;
      differs = (hi ^ load<u64>(head)) & load<u64>(head, MASK);
      const shift = load<u32>(head, ROOT_SHIFT);
      hi <<= load<u32>(head, STEM_BITS);
      index = <usize>((hi >>> 1) >>> shift);
      hi <<= 63 - shift;
    } else {
      head = table + (<usize>load<u32>(heads, INDEX + 4) << 2);
      hi = swap64(load<u64>(ip, 24));
      lo = swap64(load<u64>(ip, 32));
      differs = ((hi ^ load<u64>(head)) & load<u64>(head, MASK)) | ((lo ^ load<u64>(head, STEM_LO)) & load<u64>(head, MASK_LO));
      const shift = load<u32>(head, ROOT_SHIFT);
      const stem = load<u32>(head, STEM_BITS);
      // Shift counts are taken modulo 64: a stem of 64 bits and more leaves the low half alone.
      const high = (hi << stem) | ((lo >>> 1) >>> (63 - (stem & 63)));
      const low = lo << stem;
      hi = select<u64>(high, low, stem < 64);
      lo = select<u64>(low, 0, stem < 64);
      index = <usize>((hi >>> 1) >>> shift);
      hi = (hi << (63 - shift)) | ((lo >>> 1) >>> shift);
      lo <<= 63 - shift;
    }
    const root = table + ((<usize>load<u32>(head, ROOT) + index) << 2);
    store<u64>(q, hi, HI);
    store<u64>(q, lo, LO);
    store<u32>(q, <u32>select<usize>(root, head + OUTSIDE, differs == 0), NEXT);
    store<u32>(q, <u32>p, LANE);
    q += LOOKUP;
  }
  return q;
}

/** The entries of the root. */
@inline
function readRoots(end: usize): void {
  for (let q = lookups; q < end; q += LOOKUP) store<i32>(q, load<i32>(load<u32>(q, NEXT)), ENTRY);
}

/** Loads the first line of each node. */
@inline
function touchNodes(end: usize): void {
  const first = lookups;
  let touched = 0;
  for (let q = first; q < end; q += LOOKUP) touched ^= load<i32>(load<u32>(q, NEXT));
  // A word that is nobody's: it keeps the loads from being left out.
  store<i32>(first, touched, LOOKUPS_BYTES);
}

/** The entries of nodes. A narrow node's address has the bit 4 set, which is even otherwise. */
@inline
function readNodes(end: usize): void {
  for (let q = lookups; q < end; q += LOOKUP) {
    const next: usize = load<u32>(q, NEXT);
    const hi = load<u64>(q, HI);
    const lo = load<u64>(q, LO);
    const node = next & ~7;
    const isNarrow = (next >>> 2) & 1;
    // Bits 0..slot of the bitmap, moved to the top: as many entries begin there.
    const begun = <usize>popcnt<u64>(load<u64>(node) << (63 - (hi >>> 58)));
    const found = load<i32>(node + ((begun - 1) << (2 - isNarrow)), 8);
    const wide = (found & 0x3fff) | ((found & 0xc000) << 6);
    store<i32>(q, select<i32>(wide, found, isNarrow), ENTRY);
    store<u64>(q, (hi << 6) | (lo >>> 58), HI);
    store<u64>(q, lo << 6, LO);
  }
}

/** Gives each lane what its entry says, and keeps in the list those that are nodes. Returns the end of the list. */
@inline
function proceed(end: usize, table: usize): usize {
  let out = lookups;
  for (let q = out; q < end; q += LOOKUP) {
    const entry = load<i32>(q, ENTRY);
    const p: usize = load<u32>(q, LANE);
    const hi = load<u64>(q, HI);
    const lo = load<u64>(q, LO);
    store<i32>(p, entry, DST);
    store<u64>(out, hi, HI);
    store<u64>(out, lo, LO);
    store<u32>(out, <u32>(table - (<usize>entry << 2)), NEXT);
    store<u32>(out, <u32>p, LANE);
    out += (<usize>entry >>> 31) << 5;
  }
  return out;
}

/** The column dst of lanes 0..n: the value of the route, or 0. Dropped lanes stay as they are. */
export function lookup(n: i32, table: usize): void {
  const first = lookups;
  let end = start(n, table);
  readRoots(end);
  end = proceed(end, table);
  while (end != first) {
    touchNodes(end);
    readNodes(end);
    end = proceed(end, table);
  }
}
