import { DROP } from '../packet/drop.js';

/**
 * The MAC table of a node, in shared memory: open addressing with linear probing, one interleaved Int32Array.
 *
 *   entry:  [ MAC bytes 0-3 | MAC bytes 4-5 + network << 16 | value | expires ]     16 bytes, four to a cache line
 *   moves:  [ second of the first move of a spell | moves in it, or HOLD + until ]  beside it, touched by moves alone
 *
 * value is TO_PORT | id or TO_PEER | id; 0 ends a probe chain, TOMBSTONE keeps it together. expires is a monotonic second; a static
 * entry has NEVER. An expired entry counts as absent at once (so replay is deterministic) and is swept later.
 *
 * Readers take no lock. Writers (the workers, in the walk, and the control thread) take a try-lock: busy means "learn at the next frame".
 * A reader reads value, key, value again: keys change only while value is TOMBSTONE, so an equal value before and after belongs to the key,
 * or at worst to another MAC behind the same port of the same network.
 */
export const TOMBSTONE = -1;
export const NEVER = 0x7fffffff;

const LOCK = 0;
/** Entries in use, expired ones included. */
const USED = 1;
/** Words `value` that are not 0: entries and tombstones. A probe ends at a 0, so one entry in eight always stays 0. */
const OCCUPIED = 2;
const HEADER_WORDS = 16;
const ENTRY = 4;

/** A MAC that moves this often within the spell is held where it is. */
const FLAP_MOVES = 5;
const FLAP_SPELL_SEC = 5;
const FLAP_HOLD_SEC = 10;
const HOLD = 1 << 16;

/** Networks that can exist: index of the per-network words. */
const NETWORKS = 512;

export interface MacTable {
  readonly buffer: SharedArrayBuffer;
  /** Value of the lock word while this attachment holds it: 1 the control thread, 2 + n worker n. */
  readonly holder: number;
  readonly capacity: number;
  /** (slot index << 2) & entryMask is the first word of an entry. */
  readonly entryMask: number;
  readonly entries: Int32Array;
  /** Learned entries per network. */
  readonly counts: Int32Array;
  readonly limits: Int32Array;
  readonly control: Int32Array;
  readonly moves: Int32Array;
}

/** capacity: entries, rounded up to a power of two with half of it free. */
export function macTableBytes(macs: number): number {
  const capacity = 2 ** Math.max(10, Math.ceil(Math.log2(macs * 2)));
  return (HEADER_WORDS + 2 * NETWORKS + capacity * (ENTRY + 2)) * 4;
}

/** A table on its own; a node's lies in the arena, where the walk's kernel reads it. */
export function createMacTableBuffer(macs: number): SharedArrayBuffer {
  return new SharedArrayBuffer(macTableBytes(macs));
}

/** The table in `bytes` bytes from `at` on: the largest power of two of entries that fits. */
export function attachMacTable(buffer: SharedArrayBuffer, holder: number, at = 0, bytes = buffer.byteLength): MacTable {
  const capacity = 2 ** Math.floor(Math.log2((bytes / 4 - HEADER_WORDS - 2 * NETWORKS) / (ENTRY + 2)));
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
  const moves = part(capacity * 2);
  return { buffer, holder, capacity, entryMask: capacity * ENTRY - 1, entries, counts, limits, control, moves };
}

/** First word of the entry where the probe for a key starts. The walk's kernel has the same expression. */
export function macHash(lo: number, key: number, entryMask: number): number {
  const x = Math.imul(lo ^ Math.imul(key, 0x9e3779b1), 0x85ebca6b);
  return ((x ^ (x >>> 15)) << 2) & entryMask;
}

/** From entry `from` on, where the probe of a key begins: its entry, or the empty one that ends the chain. */
export function probe(table: MacTable, from: number, lo: number, key: number): number {
  const { entries, entryMask } = table;
  let e = from;
  for (;;) {
    const value = entries[e + 2];
    if (value === 0 || (entries[e] === lo && entries[e + 1] === key && entries[e + 2] === value)) return e;
    e = (e + ENTRY) & entryMask;
  }
}

export const macKey = (hi: number, network: number) => hi | (network << 16);

/** What a lock word is part of. */
type Locked = Pick<MacTable, 'control' | 'holder'>;

export function tryLock(table: Locked): boolean {
  return Atomics.compareExchange(table.control, LOCK, 0, table.holder) === 0;
}

export function unlock(table: Locked): void {
  Atomics.store(table.control, LOCK, 0);
}

/** Word of the entry of a key, expired or not, or -1. */
export function findEntry(table: MacTable, lo: number, key: number): number {
  const { entries, entryMask } = table;
  let e = macHash(lo, key, entryMask);
  for (let probes = table.capacity; probes > 0; probes--) {
    const value = entries[e + 2];
    if (value === 0) return -1;
    if (value !== TOMBSTONE && entries[e] === lo && entries[e + 1] === key) return e;
    e = (e + ENTRY) & entryMask;
  }
  return -1;
}

function freeEntry(table: MacTable, lo: number, key: number, now: number): number {
  const { entries, entryMask } = table;
  let e = macHash(lo, key, entryMask);
  for (let probes = table.capacity; probes > 0; probes--) {
    const value = entries[e + 2];
    if (value === 0 || value === TOMBSTONE || entries[e + 3] <= now) return e;
    e = (e + ENTRY) & entryMask;
  }
  return -1;
}

/** Under the lock. */
function remove(table: MacTable, e: number): void {
  const { entries, entryMask, counts, control, moves } = table;
  if (entries[e + 3] !== NEVER) counts[entries[e + 1] >>> 16]--;
  control[USED]--;
  moves[e >> 1] = 0;
  moves[(e >> 1) + 1] = 0;
  // The end of a chain may become empty again, and with it the tombstones before it: chains stay short without a rebuild.
  Atomics.store(entries, e + 2, TOMBSTONE);
  if (entries[((e + ENTRY) & entryMask) + 2] !== 0) return;
  for (let last = e; entries[last + 2] === TOMBSTONE; last = (last - ENTRY) & entryMask) {
    Atomics.store(entries, last + 2, 0);
    control[OCCUPIED]--;
  }
}

/** Under the lock. False when the table is full. */
function insert(table: MacTable, lo: number, key: number, value: number, expires: number, now: number): boolean {
  const { entries, counts, control } = table;
  const e = freeEntry(table, lo, key, now);
  if (e < 0) return false;
  const old = entries[e + 2];
  if (old === 0) {
    if (control[OCCUPIED] >= table.capacity - (table.capacity >>> 3)) return false;
    control[OCCUPIED]++;
  } else if (old !== TOMBSTONE) {
    counts[entries[e + 1] >>> 16]--;
    control[USED]--;
    // Only here: `remove` leaves none, and in a large table the moves are another miss of the cache.
    table.moves[e >> 1] = 0;
    table.moves[(e >> 1) + 1] = 0;
  }
  Atomics.store(entries, e + 2, TOMBSTONE);
  entries[e] = lo;
  entries[e + 1] = key;
  entries[e + 3] = expires;
  Atomics.store(entries, e + 2, value);
  if (expires !== NEVER) counts[key >>> 16]++;
  control[USED]++;
  return true;
}

/** What learning a source did. Positive numbers are drop reasons. */
export const LEARNED = 0;
export const LEARN_BUSY = -1;
export const LEARN_REFUSED = -2;
export const LEARN_MOVED = -3;

function isHeld(table: MacTable, e: number, now: number): boolean {
  const m = e >> 1;
  return table.moves[m + 1] >= HOLD && now < table.moves[m];
}

/** Counts one move of an entry; true when the MAC has moved too often and is now held for FLAP_HOLD_SEC. */
function flaps(table: MacTable, e: number, now: number): boolean {
  const { moves } = table;
  const m = e >> 1;
  if (moves[m + 1] >= HOLD || now - moves[m] >= FLAP_SPELL_SEC) {
    moves[m] = now;
    moves[m + 1] = 0;
  }
  moves[m + 1]++;
  if (moves[m + 1] < FLAP_MOVES) return false;
  moves[m] = now + FLAP_HOLD_SEC;
  moves[m + 1] = HOLD;
  return true;
}

/**
 * Learns or refreshes one source: the slow path of the learn step. Returns LEARNED, LEARN_MOVED, LEARN_BUSY, LEARN_REFUSED (limit or table
 * full: the frame goes on), or a drop reason (`static-mac`, `mac-flap`).
 */
export function learnSource(
  table: MacTable,
  lo: number,
  hi: number,
  network: number,
  value: number,
  expires: number,
  now: number,
): number {
  const { entries } = table;
  const key = macKey(hi, network);
  if (!tryLock(table)) return LEARN_BUSY;
  try {
    const e = findEntry(table, lo, key);
    if (e >= 0 && entries[e + 3] === NEVER) return entries[e + 2] === value ? LEARNED : DROP['static-mac'];
    if (e >= 0 && entries[e + 3] > now) {
      const moved = entries[e + 2] !== value;
      if (moved) {
        if (isHeld(table, e, now) || flaps(table, e, now)) return DROP['mac-flap'];
        Atomics.store(entries, e + 2, value);
      }
      entries[e + 3] = expires;
      return moved ? LEARN_MOVED : LEARNED;
    }
    if (e >= 0) remove(table, e);
    if (table.counts[network] >= table.limits[network]) return LEARN_REFUSED;
    return insert(table, lo, key, value, expires, now) ? LEARNED : LEARN_REFUSED;
  } finally {
    unlock(table);
  }
}

/** Control thread: waits for the lock (a worker holds it for well under a microsecond). */
export function withLock<T>(table: Locked, f: () => T): T {
  while (!tryLock(table)) Atomics.wait(table.control, LOCK, table.control[LOCK], 1);
  try {
    return f();
  } finally {
    unlock(table);
  }
}

/** A worker that died under the lock leaves it taken; once its thread has ended, nobody else will give it back. */
export function breakLock(table: Locked, deadHolder: number): void {
  Atomics.compareExchange(table.control, LOCK, deadHolder, 0);
}

export function setStatic(table: MacTable, lo: number, hi: number, network: number, value: number): boolean {
  const key = macKey(hi, network);
  return withLock(table, () => {
    const e = findEntry(table, lo, key);
    if (e >= 0) remove(table, e);
    return insert(table, lo, key, value, NEVER, -1);
  });
}

/** Removes the entries that match; returns how many. `keepStatic` leaves configured ones. */
export function flushMacs(table: MacTable, matches: (entry: MacEntry) => boolean, now: number): number {
  return withLock(table, () => {
    let removed = 0;
    forEachMac(table, now, true, (entry, e) => {
      if (!matches(entry)) return;
      remove(table, e);
      removed++;
    });
    return removed;
  });
}

/** Frees expired entries among `count` entries from `from`; returns where to go on. Called a slice at a time. */
export function sweep(table: MacTable, from: number, count: number, now: number): number {
  if (!tryLock(table)) return from;
  const { entries, entryMask } = table;
  let e = (from * ENTRY) & entryMask;
  for (let i = 0; i < count; i++) {
    const value = entries[e + 2];
    if (value !== 0 && value !== TOMBSTONE && entries[e + 3] <= now) remove(table, e);
    e = (e + ENTRY) & entryMask;
  }
  unlock(table);
  return e / ENTRY;
}

export interface MacEntry {
  lo: number;
  hi: number;
  network: number;
  value: number;
  /** Seconds until it expires; Infinity for a static entry. */
  expiresInSec: number;
  isHeld: boolean;
}

export function forEachMac(
  table: MacTable,
  now: number,
  withExpired: boolean,
  visit: (entry: MacEntry, word: number) => void,
): void {
  const { entries } = table;
  for (let e = 0; e < entries.length; e += ENTRY) {
    const value = entries[e + 2];
    const expires = entries[e + 3];
    if (value === 0 || value === TOMBSTONE || (!withExpired && expires <= now)) continue;
    const key = entries[e + 1];
    visit(
      {
        lo: entries[e],
        hi: key & 0xffff,
        network: key >>> 16,
        value,
        expiresInSec: expires === NEVER ? Number.POSITIVE_INFINITY : expires - now,
        isHeld: isHeld(table, e, now),
      },
      e,
    );
  }
}
