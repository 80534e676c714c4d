import { PEERS_MAX } from '../packet/counters.js';

/**
 * The table of next hops of frame underlays: whose link-layer address is found while the node runs, in memory that all threads share.
 *
 *   words   [ generation | - ... ]  a line, then a row of 16 words for each id
 *   row     [ state | tries | asked | confirmed | wanted | underlay | address, 4 words | MAC, as a double | - ]
 *
 * The control thread gives rows out and takes them back between two plans. The worker that sees an answer writes what it says; the plan's
 * first worker asks and ages. There is no lock: a row's MAC is one aligned double, written before the generation, which grows with every
 * MAC that came, changed or went, so that workers copy it into their templates.
 */
export const NEXT_HOPS_MAX = PEERS_MAX;
export const NEXT_HOP_WORDS = 16;

export const GENERATION = 0;
export const STATE = 0;
export const TRIES = 1;
/** Seconds of the pipeline's clock; 0: never. */
export const ASKED = 2;
export const CONFIRMED = 3;
/** Packets were dropped since it was asked last. */
export const WANTED = 4;
const UNDERLAY = 5;
const ADDRESS = 6;
const MAC = 5;

/** Values of STATE. A row begins as RESOLVING. */
export const RESOLVING = 0;
export const REACHABLE = 1;
/** It has a MAC that nobody confirmed of late; it is used, and asked directly. */
export const STALE = 2;
export const FAILED = 3;

const STATE_NAMES = ['resolving', 'reachable', 'stale', 'failed'] as const;
export type NextHopState = (typeof STATE_NAMES)[number];

export interface NextHops {
  readonly words: Int32Array;
  readonly doubles: Float64Array;
}

export function makeNextHops(): SharedArrayBuffer {
  return new SharedArrayBuffer((NEXT_HOPS_MAX + 1) * NEXT_HOP_WORDS * 4);
}

export function attachNextHops(buffer: SharedArrayBuffer): NextHops {
  return { words: new Int32Array(buffer), doubles: new Float64Array(buffer) };
}

/** Where the row of an id begins, in words. */
export const rowOf = (id: number) => (id + 1) * NEXT_HOP_WORDS;

/** The MAC as a number of 48 bits; 0: not known. */
export function macOf({ doubles }: NextHops, id: number): number {
  return doubles[(rowOf(id) >> 1) + MAC];
}

/** Sets or forgets (0) a MAC, and tells the workers when it is another one. */
export function setMac({ words, doubles }: NextHops, id: number, mac: number): void {
  const at = (rowOf(id) >> 1) + MAC;
  if (doubles[at] === mac) return;
  doubles[at] = mac;
  Atomics.add(words, GENERATION, 1);
}

/** A MAC of six bytes as a number. */
export function macNumber(bytes: Uint8Array, at: number): number {
  let mac = 0;
  for (let i = 0; i < 6; i++) mac = mac * 256 + bytes[at + i];
  return mac;
}

export function writeMac(bytes: Uint8Array, at: number, mac: number): void {
  const high = Math.floor(mac / 0x1_0000_0000);
  bytes[at] = high >>> 8;
  bytes[at + 1] = high;
  for (let i = 2; i < 6; i++) bytes[at + i] = Math.floor(mac / 256 ** (5 - i));
}

export interface NextHopSource {
  id: number;
  underlay: number;
  /** Four IPv4-mapped words, bytes as they lie in memory. */
  address: Int32Array;
}

/** Control: gives the plan's next hops their rows, and forgets what was in a row of somebody else. */
export function installNextHops(table: NextHops, sources: readonly NextHopSource[]): void {
  const { words } = table;
  const wanted = new Set<number>();
  for (const { id, underlay, address } of sources) {
    const row = rowOf(id);
    wanted.add(id);
    const isSame = words[row + UNDERLAY] === underlay && address.every((w, k) => words[row + ADDRESS + k] === w);
    if (isSame) continue;
    clear(table, id);
    words[row + UNDERLAY] = underlay;
    words.set(address, row + ADDRESS);
  }
  for (let id = 1; id < NEXT_HOPS_MAX; id++) if (!wanted.has(id) && words[rowOf(id) + UNDERLAY] !== 0) clear(table, id);
}

function clear(table: NextHops, id: number): void {
  const row = rowOf(id);
  setMac(table, id, 0);
  table.words.fill(0, row, row + MAC * 2);
}

/** What is known of a next hop, for people. */
export interface NextHopRow {
  state: NextHopState;
  mac: number;
}

export function readNextHop(table: NextHops, id: number): NextHopRow {
  return { state: STATE_NAMES[table.words[rowOf(id) + STATE]], mac: macOf(table, id) };
}

/** Control: what the kernel says of a next hop that it finds. */
export function setNextHop(table: NextHops, id: number, state: number, mac: number): void {
  setMac(table, id, mac);
  table.words[rowOf(id) + STATE] = state;
}

/** RFC 4861 section 10: REACHABLE_TIME, MAX_UNICAST_SOLICIT and MAX_MULTICAST_SOLICIT; the retransmission timer is the tick of a second. */
const REACHABLE_SEC = 30;
const SOLICITS = 3;
/** A second ones are asked that much before they would be stale. */
const PROBE_BEFORE_SEC = 5;
const BACKOFF_MAX_SEC = 32;

/** What is to be done for a next hop now. */
export const REST = 0;
export const ASK_ALL = 1;
export const ASK_IT = 2;

/** A second passed: moves a row on, and says whom to ask. */
export function age(table: NextHops, id: number, seconds: number): number {
  const { words } = table;
  const row = rowOf(id);
  const asked = seconds - words[row + ASKED];
  const tries = words[row + TRIES];
  if (asked < 1) return REST;
  switch (words[row + STATE]) {
    case REACHABLE: {
      const unheard = seconds - words[row + CONFIRMED];
      if (unheard >= REACHABLE_SEC) {
        words[row + STATE] = STALE;
        return ask(words, row, seconds, 1, ASK_IT);
      }
      return unheard >= REACHABLE_SEC - PROBE_BEFORE_SEC ? ask(words, row, seconds, 0, ASK_IT) : REST;
    }
    case STALE:
      if (tries < SOLICITS) return ask(words, row, seconds, tries + 1, ASK_IT);
      words[row + STATE] = RESOLVING;
      setMac(table, id, 0);
      return ask(words, row, seconds, 1, ASK_ALL);
    case RESOLVING:
      if (tries >= SOLICITS) words[row + STATE] = FAILED;
      return ask(words, row, seconds, tries + 1, ASK_ALL);
    default: {
      // As Linux: traffic has it asked for every second, otherwise more and more seldom.
      const pause = words[row + WANTED] !== 0 ? 1 : Math.min(2 ** Math.max(0, tries - SOLICITS), BACKOFF_MAX_SEC);
      return asked >= pause ? ask(words, row, seconds, tries + 1, ASK_ALL) : REST;
    }
  }
}

function ask(words: Int32Array, row: number, seconds: number, tries: number, whom: number): number {
  words[row + ASKED] = seconds;
  words[row + TRIES] = tries;
  words[row + WANTED] = 0;
  return whom;
}

/** It answered us. */
export function confirm(table: NextHops, id: number, mac: number, seconds: number): void {
  const { words } = table;
  const row = rowOf(id);
  setMac(table, id, mac);
  words[row + STATE] = REACHABLE;
  words[row + CONFIRMED] = seconds;
  words[row + TRIES] = 0;
}

/** It said so by itself: used from now on, and asked at the next tick. */
export function overhear(table: NextHops, id: number, mac: number): void {
  const { words } = table;
  const row = rowOf(id);
  if (macOf(table, id) === mac) return;
  setMac(table, id, mac);
  words[row + STATE] = STALE;
  words[row + TRIES] = 0;
}
