/**
 * Writes the tries of a route table (routeTable.ts has the layout), one for each network and family, from routes that are sorted by address and
 * length. So a prefix comes before all that lie in it, and the routes below any node are a range of the columns.
 */
export interface TrieWriter {
  /** The trie of routes from..to, which all belong to one network and family. Returns the position of its head. */
  write(from: number, to: number): number;
  /** The table so far; what was reserved at its start is 0. */
  finish(): Int32Array;
}

const HEAD_WORDS = 12;
const STRIDE = 6;
const SLOTS = 1 << STRIDE;
/** Nodes one below the other: 128 bits, with a root of none. */
const LEVELS = Math.ceil(128 / STRIDE);
/** A larger root saves a level and costs cache: see `chooseRootBits`. */
const ROOT_BITS_MAX = 18;

/**
 * What a narrow entry has room for: whether port or peer in its upper two bits, an id in the other 14. In a table of 1M prefixes nearly all
 * nodes are narrow, and it is two thirds as large.
 */
const NARROW_BITS = 0x303fff;
const narrow = (value: number) => (value & 0x3fff) | ((value >>> 6) & 0xc000);
export const widen = (entry: number) => (entry & 0x3fff) | ((entry & 0xc000) << 6);

/** `count` bits, up to 31, of route i's address from bit `from` on; 0 behind its end. */
function bitsOf(words: Int32Array, i: number, from: number, count: number): number {
  if (count === 0 || from >= 128) return 0;
  const w = from >> 5;
  const off = from & 31;
  const next = off === 0 || w === 3 ? 0 : words[i * 4 + w + 1] >>> (32 - off);
  return ((words[i * 4 + w] << off) | next) >>> (32 - count);
}

/** Leading bits that two routes' addresses share. */
function sharedBits(words: Int32Array, i: number, k: number): number {
  for (let w = 0; w < 4; w++) {
    const differing = words[i * 4 + w] ^ words[k * 4 + w];
    if (differing !== 0) return w * 32 + Math.clz32(differing);
  }
  return 128;
}

/**
 * The root that leaves the fewest levels to the prefixes below it, and the smallest of those: a table of n prefixes gets at most 4n entries.
 */
function chooseRootBits(length: Int32Array, from: number, to: number, stem: number): number {
  const counts = new Int32Array(129);
  for (let i = from; i < to; i++) counts[length[i] - stem]++;
  const levels = (bits: number) =>
    counts.reduce((sum, n, len) => sum + n * Math.max(0, Math.ceil((len - bits) / STRIDE)), 0);
  const max = Math.min(ROOT_BITS_MAX, 2 + Math.ceil(Math.log2(to - from)));
  let best = 0;
  for (let bits = 1; bits <= max; bits++) if (levels(bits) < levels(best)) best = bits;
  return best;
}

export function createTrieWriter(
  words: Int32Array,
  length: Int32Array,
  value: Int32Array,
  reserved: number,
): TrieWriter {
  let out = new Int32Array(Math.max(1024, reserved * 2));
  let end = reserved;
  const slots = new Int32Array(LEVELS * SLOTS);
  /** Those of the node that is being written, each once. */
  const entries = new Int32Array(SLOTS);

  /** Room for `count` words at an even position, so that bitmaps are aligned. */
  function take(count: number): number {
    const at = (end + 1) & ~1;
    end = at + count;
    if (end > out.length) {
      const larger = new Int32Array(Math.max(end, out.length * 2));
      larger.set(out);
      out = larger;
    }
    return at;
  }

  /**
   * The routes from..to into 2^stride slots at `first` of `into`, indexed from bit `depth` on, over what holds there without them. Nodes
   * below have their slots from `below` on.
   */
  function fill(
    from: number,
    to: number,
    depth: number,
    stride: number,
    into: Int32Array,
    first: number,
    below: number,
  ) {
    for (let i = from; i < to; ) {
      const slot = first + bitsOf(words, i, depth, stride);
      const free = depth + stride - length[i];
      if (free >= 0) {
        into.fill(value[i], slot, slot + (1 << free));
        i++;
        continue;
      }
      const start = i;
      while (i < to && first + bitsOf(words, i, depth, stride) === slot) i++;
      into[slot] = writeNode(start, i, depth + stride, into[slot], below);
    }
  }

  /** Writes the node and all below it. Returns the entry that points there, or the value if there is but one. */
  function writeNode(from: number, to: number, depth: number, inherited: number, first: number): number {
    slots.fill(inherited, first, first + SLOTS);
    fill(from, to, depth, STRIDE, slots, first, first + SLOTS);
    let low = 0;
    let high = 0;
    let count = 0;
    let isNarrow = true;
    for (let s = 0; s < SLOTS; s++) {
      const entry = slots[first + s];
      if (s > 0 && entry === slots[first + s - 1]) continue;
      if (s < 32) low |= 1 << s;
      else high |= 1 << (s - 32);
      if ((entry & ~NARROW_BITS) !== 0) isNarrow = false;
      entries[count++] = entry;
    }
    if (count === 1) return entries[0];
    const at = take(2 + (isNarrow ? (count + 1) >> 1 : count));
    out[at] = low;
    out[at + 1] = high;
    if (!isNarrow) out.set(entries.subarray(0, count), at + 2);
    else for (let k = 0; k < count; k++) out[at + 2 + (k >> 1)] |= narrow(entries[k]) << ((k & 1) << 4);
    return isNarrow ? -(at | 1) : -at;
  }

  function write(from: number, to: number): number {
    const head = take(HEAD_WORDS);
    // The default route, sorted first, has no part in the stem.
    const outside = from < to && length[from] === 0 ? value[from] : 0;
    const first = from < to && length[from] === 0 ? from + 1 : from;
    let stem = first < to ? sharedBits(words, first, to - 1) : 0;
    for (let i = first; i < to; i++) stem = Math.min(stem, length[i]);
    const bits = first < to ? chooseRootBits(length, first, to, stem) : 0;
    // Behind its nodes, so that there are always two bytes behind a narrow entry, which the kernel loads with it.
    const slotsOfRoot = new Int32Array(1 << bits).fill(outside);
    fill(first, to, stem, bits, slotsOfRoot, 0, 0);
    const root = take(slotsOfRoot.length);
    out.set(slotsOfRoot, root);
    for (let w = 0; w < 4; w++) {
      const mask = stem >= w * 32 + 32 ? -1 : stem > w * 32 ? -1 << (32 - (stem - w * 32)) : 0;
      // As the kernel loads them: 64 bits at once, in the byte order of the machine.
      out[head + (w ^ 1)] = first < to ? words[first * 4 + w] & mask : 0;
      out[head + 4 + (w ^ 1)] = mask;
    }
    out[head + 8] = stem;
    out[head + 9] = 63 - bits;
    out[head + 10] = root;
    out[head + 11] = outside;
    return head;
  }

  return { write, finish: () => out.slice(0, end) };
}
