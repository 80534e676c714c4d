import { ID_MASK, TO_PEER, TO_PORT } from '../packet/burst.js';
import {
  LEARN_BUSY,
  LEARN_MOVED,
  LEARN_REFUSED,
  LEARNED,
  NEVER,
  TOMBSTONE,
  tryLock,
  unlock,
  withLock,
} from './macTable.js';

/**
 * The neighbour table of a node: who has an IP address of a network. In shared memory, open addressing with linear probing, as the MAC table:
 *
 *   entry:  [ address, four words, IPv4-mapped | state | MAC bytes 0-3 | rest | expires ]     32 bytes, two to a cache line
 *   rest:   MAC bytes 4-5 + flags << 16 + place << 20
 *
 * place is where the MAC was when it was heard: of one that has moved since, others must hear that it did. state is the network + version << 16; 0 ends a probe chain, TOMBSTONE keeps it together. Every change of address or MAC makes another version,
 * so a reader, who takes no lock, reads state before and after: equal, and what lies between belongs together. expires is a monotonic second, or
 * NEVER for a static entry; an expired entry counts as absent and is swept later. Writers take a try-lock.
 */
export interface NeighbourTable {
  readonly buffer: SharedArrayBuffer;
  /** As in the MAC table: 1 the control thread, 2 + n worker n. */
  readonly holder: number;
  readonly capacity: number;
  readonly entryMask: number;
  readonly entries: Int32Array;
  /** Learned entries per network, and how many there may be. */
  readonly counts: Int32Array;
  readonly limits: Int32Array;
  readonly control: Int32Array;
}

/** Words of an entry. */
const STATE = 4;
const MAC_LO = 5;
const REST = 6;
const EXPIRES = 7;
const ENTRY = 8;

/** Words of `control`: USED and OCCUPIED as in the MAC table, behind the lock. */
const USED = 1;
const OCCUPIED = 2;
const HEADER_WORDS = 16;
const NETWORKS = 512;
const NETWORK_MASK = 0xffff;
/** What is added to `state` for the next version: 14 bits, so that it stays positive. */
const VERSION = 1 << 16;
const STATE_MASK = 0x3fffffff;

/** Flags of an entry. An IPv6 entry that no advertisement has made lacks KNOWS_ROUTER: nobody can say whether it is a router. */
export const IS_ROUTER = 1;
export const IS_OVERRIDE = 2;
export const KNOWS_ROUTER = 4;

/** What learning did, beside the answers of the MAC table. Nothing: the address is configured with another MAC. */
export const LEARN_STATIC = -4;
/** Nobody had the address. */
export const LEARN_NEW = -5;

const FLAGS_SHIFT = 16;
const FLAGS_MASK = 15;
const PLACE_SHIFT = 20;
/** Of the twelve bits of a place; ids of peers have eleven. */
const PLACE_PEER = 0x800;

const packPlace = (place: number) => (place & ID_MASK) | ((place & TO_PEER) !== 0 ? PLACE_PEER : 0);

function unpackPlace(packed: number): number {
  if (packed === 0) return 0;
  return (packed & PLACE_PEER) !== 0 ? TO_PEER | (packed & ~PLACE_PEER) : TO_PORT | packed;
}

/** capacity: entries, rounded up to a power of two with half of it free. */
export function neighbourTableBytes(neighbours: number): number {
  const capacity = 2 ** Math.max(6, Math.ceil(Math.log2(neighbours * 2)));
  return (HEADER_WORDS + 2 * NETWORKS + capacity * ENTRY) * 4;
}

/** The table in `bytes` bytes from `at` on; null where there is no room for one. */
export function attachNeighbourTable(
  buffer: SharedArrayBuffer,
  holder: number,
  at = 0,
  bytes = buffer.byteLength,
): NeighbourTable | null {
  if (bytes < neighbourTableBytes(1)) return null;
  const capacity = 2 ** Math.floor(Math.log2((bytes / 4 - HEADER_WORDS - 2 * NETWORKS) / ENTRY));
  let next = at;
  const part = (words: number) => {
    const view = new Int32Array(buffer, next, words);
    next += words * 4;
    return view;
  };
  const control = part(HEADER_WORDS);
  const counts = part(NETWORKS);
  const limits = part(NETWORKS);
  const entries = part(capacity * ENTRY);
  return { buffer, holder, capacity, entryMask: capacity * ENTRY - 1, entries, counts, limits, control };
}

/** An address and its network: what an entry is found by. Words as they lie in memory, IPv4-mapped. */
export interface NeighbourKey {
  readonly words: Int32Array;
  network: number;
}

function hash({ words, network }: NeighbourKey, entryMask: number): number {
  let x = network;
  for (let w = 0; w < 4; w++) x = Math.imul(x ^ (x >>> 15) ^ words[w], 0x85ebca6b);
  return ((x ^ (x >>> 13)) * ENTRY) & entryMask;
}

function matches(entries: Int32Array, e: number, state: number, { words, network }: NeighbourKey): boolean {
  return (
    (state & NETWORK_MASK) === network &&
    entries[e] === words[0] &&
    entries[e + 1] === words[1] &&
    entries[e + 2] === words[2] &&
    entries[e + 3] === words[3]
  );
}

/** Word of the entry of a key, expired or not, or -1. */
function findEntry(table: NeighbourTable, key: NeighbourKey): number {
  const { entries, entryMask } = table;
  let e = hash(key, entryMask);
  for (let probes = table.capacity; probes > 0; probes--) {
    const state = Atomics.load(entries, e + STATE);
    if (state === 0) return -1;
    if (state !== TOMBSTONE && matches(entries, e, state, key)) return e;
    e = (e + ENTRY) & entryMask;
  }
  return -1;
}

/** What is said, or known, of an address: MAC as words, flags, and where it is, TO_PORT | id or TO_PEER | id (0: not heard yet). */
export interface Neighbour {
  lo: number;
  hi: number;
  flags: number;
  place: number;
  isStatic: boolean;
}

export const makeNeighbour = (): Neighbour => ({ lo: 0, hi: 0, flags: 0, place: 0, isStatic: false });

const packRest = ({ hi, flags, place }: Neighbour) =>
  (hi & 0xffff) | ((flags & FLAGS_MASK) << FLAGS_SHIFT) | (packPlace(place) << PLACE_SHIFT);

function unpack(found: Neighbour, lo: number, rest: number, expires: number): void {
  found.lo = lo;
  found.hi = rest & 0xffff;
  found.flags = (rest >>> FLAGS_SHIFT) & FLAGS_MASK;
  found.place = unpackPlace(rest >>> PLACE_SHIFT);
  found.isStatic = expires === NEVER;
}

/** Without a lock: fills `found` and returns true, unless the address is not known, or is being changed at this moment. */
export function lookUpNeighbour(table: NeighbourTable, key: NeighbourKey, now: number, found: Neighbour): boolean {
  const { entries } = table;
  const e = findEntry(table, key);
  if (e < 0) return false;
  const state = Atomics.load(entries, e + STATE);
  if (state <= 0 || !matches(entries, e, state, key)) return false;
  const lo = Atomics.load(entries, e + MAC_LO);
  const rest = Atomics.load(entries, e + REST);
  const expires = Atomics.load(entries, e + EXPIRES);
  unpack(found, lo, rest, expires);
  return Atomics.load(entries, e + STATE) === state && expires > now;
}

/** Under the lock. */
function remove(table: NeighbourTable, e: number): void {
  const { entries, entryMask, counts, control } = table;
  if (entries[e + EXPIRES] !== NEVER) counts[entries[e + STATE] & NETWORK_MASK]--;
  control[USED]--;
  Atomics.store(entries, e + STATE, TOMBSTONE);
  if (entries[((e + ENTRY) & entryMask) + STATE] !== 0) return;
  for (let last = e; entries[last + STATE] === TOMBSTONE; last = (last - ENTRY) & entryMask) {
    Atomics.store(entries, last + STATE, 0);
    control[OCCUPIED]--;
  }
}

/** Under the lock: the first entry of a key's chain that nobody lives in, or -1. */
function freeEntry(table: NeighbourTable, key: NeighbourKey): number {
  const { entries, entryMask } = table;
  let e = hash(key, entryMask);
  for (let probes = table.capacity; probes > 0; probes--) {
    if (entries[e + STATE] <= 0) return e;
    e = (e + ENTRY) & entryMask;
  }
  return -1;
}

/** Versions of all entries come from one count: an entry that is used again must not look as it did. */
const VERSIONS = 3;

function nextState(table: NeighbourTable, network: number): number {
  const { control } = table;
  control[VERSIONS] = (control[VERSIONS] + VERSION) & STATE_MASK;
  return control[VERSIONS] | network;
}

/** Under the lock. */
function writeMac(table: NeighbourTable, e: number, network: number, lo: number, rest: number, expires: number): void {
  const { entries } = table;
  Atomics.store(entries, e + STATE, TOMBSTONE);
  Atomics.store(entries, e + MAC_LO, lo);
  Atomics.store(entries, e + REST, rest);
  Atomics.store(entries, e + EXPIRES, expires);
  Atomics.store(entries, e + STATE, nextState(table, network));
}

/** Under the lock. False when the table is full. */
function insert(table: NeighbourTable, key: NeighbourKey, claim: Neighbour, expires: number): boolean {
  const { entries, counts, control } = table;
  const e = freeEntry(table, key);
  if (e < 0) return false;
  if (entries[e + STATE] === 0) {
    if (control[OCCUPIED] >= table.capacity - (table.capacity >>> 3)) return false;
    control[OCCUPIED]++;
  }
  Atomics.store(entries, e + STATE, TOMBSTONE);
  for (let w = 0; w < 4; w++) Atomics.store(entries, e + w, key.words[w]);
  writeMac(table, e, key.network, claim.lo, packRest(claim), expires);
  if (expires !== NEVER) counts[key.network]++;
  control[USED]++;
  return true;
}

/** Under the lock: a live entry hears of its address again. */
function refresh(table: NeighbourTable, e: number, claim: Neighbour, mayReplace: boolean, expires: number): number {
  const { entries } = table;
  const network = entries[e + STATE] & NETWORK_MASK;
  const old = entries[e + REST];
  const isStatic = entries[e + EXPIRES] === NEVER;
  const isSame = entries[e + MAC_LO] === claim.lo && ((old ^ claim.hi) & 0xffff) === 0;
  if (!isSame && isStatic) return LEARN_STATIC;
  if (!isSame && !mayReplace) return LEARNED;
  let rest = packRest(claim);
  // What says nothing about routers leaves what an advertisement, or the configuration, said.
  if (isSame && (isStatic || (claim.flags & KNOWS_ROUTER) === 0)) {
    const keep = FLAGS_MASK << FLAGS_SHIFT;
    rest = (rest & ~keep) | (old & keep);
  }
  const until = isStatic ? NEVER : expires;
  if (isSame) {
    // One word: a static entry is never out of a reader's sight.
    Atomics.store(entries, e + REST, rest);
    Atomics.store(entries, e + EXPIRES, until);
  } else writeMac(table, e, network, claim.lo, rest, until);
  return isSame && rest >>> PLACE_SHIFT === old >>> PLACE_SHIFT ? LEARNED : LEARN_MOVED;
}

/**
 * Learns or refreshes what is said of an address. Returns LEARNED (it was known so), LEARN_NEW, LEARN_MOVED (another MAC or another place),
 * LEARN_STATIC (it is configured with another MAC), LEARN_BUSY or LEARN_REFUSED (limit, or the table is full). Without `mayReplace` a live
 * entry keeps its MAC.
 */
export function learnNeighbour(
  table: NeighbourTable,
  key: NeighbourKey,
  claim: Neighbour,
  mayReplace: boolean,
  expires: number,
  now: number,
): number {
  if (!tryLock(table)) return LEARN_BUSY;
  try {
    const e = findEntry(table, key);
    if (e >= 0 && table.entries[e + EXPIRES] > now) return refresh(table, e, claim, mayReplace, expires);
    if (e >= 0) remove(table, e);
    if (table.counts[key.network] >= table.limits[key.network]) return LEARN_REFUSED;
    return insert(table, key, claim, expires) ? LEARN_NEW : LEARN_REFUSED;
  } finally {
    unlock(table);
  }
}

/** Control thread. False when the table is full. */
export function setStaticNeighbour(table: NeighbourTable, key: NeighbourKey, claim: Neighbour): boolean {
  return withLock(table, () => {
    const e = findEntry(table, key);
    if (e >= 0) remove(table, e);
    return insert(table, key, claim, NEVER);
  });
}

export interface NeighbourEntry extends Neighbour {
  words: Int32Array;
  network: number;
  /** Seconds until it expires; Infinity for a static entry. */
  expiresInSec: number;
}

/** Control thread. */
export function forEachNeighbour(
  table: NeighbourTable,
  now: number,
  withExpired: boolean,
  visit: (entry: NeighbourEntry, word: number) => void,
): void {
  const { entries } = table;
  for (let e = 0; e < entries.length; e += ENTRY) {
    const state = Atomics.load(entries, e + STATE);
    if (state <= 0) continue;
    const words = entries.slice(e, e + STATE);
    const lo = entries[e + MAC_LO];
    const rest = entries[e + REST];
    const expires = entries[e + EXPIRES];
    if (Atomics.load(entries, e + STATE) !== state || (!withExpired && expires <= now)) continue;
    const expiresInSec = expires === NEVER ? Number.POSITIVE_INFINITY : expires - now;
    const entry: NeighbourEntry = { ...makeNeighbour(), words, network: state & NETWORK_MASK, expiresInSec };
    unpack(entry, lo, rest, expires);
    visit(entry, e);
  }
}

/** Control thread: removes the entries that match; returns how many. */
export function flushNeighbours(table: NeighbourTable, wanted: (entry: NeighbourEntry) => boolean): number {
  return withLock(table, () => {
    let removed = 0;
    forEachNeighbour(table, 0, true, (entry, e) => {
      if (!wanted(entry)) return;
      remove(table, e);
      removed++;
    });
    return removed;
  });
}

/** Frees expired entries among `count` entries from `from`; returns where to go on. Called a slice at a time. */
export function sweepNeighbours(table: NeighbourTable, from: number, count: number, now: number): number {
  if (table.control[USED] === 0 || !tryLock(table)) return from;
  const { entries, entryMask } = table;
  let e = (from * ENTRY) & entryMask;
  for (let i = Math.min(count, table.capacity); i > 0; i--) {
    if (entries[e + STATE] > 0 && entries[e + EXPIRES] <= now) remove(table, e);
    e = (e + ENTRY) & entryMask;
  }
  unlock(table);
  return e / ENTRY;
}
