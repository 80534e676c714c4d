// A worker's memory as the addon sees it: arena, io words and their layout, made for one test.
import type { IoLayout } from '../../src/native/tun.js';

export const BURST = 16;
export const MESSAGES = 64;
export const EXTENTS = 512;
export const READY = 8;
/** Bytes between the places of two received frames: a superframe and a guard behind it. */
export const SLOT = 70_000;
export const SLOT_ROOM = 66_000;

const SIZES = {
  rxAt: BURST,
  rxCap: BURST,
  rxLen: BURST,
  rxGso: BURST,
  rxSrc: BURST * 4,
  rxPort: BURST,
  rxTos: BURST,
  rxFlags: BURST,
  msgFirst: MESSAGES,
  msgCount: MESSAGES,
  msgDest: MESSAGES,
  msgSocket: MESSAGES,
  msgGso: MESSAGES,
  msgTos: MESSAGES,
  msgResult: MESSAGES,
  extAt: EXTENTS,
  extLen: EXTENTS,
  clock: 4,
  counters: 16,
  ready: READY,
  rxOff: BURST,
} as const;

type Column = keyof typeof SIZES;

const offsets = new Map<Column, number>();
let words = 0;
for (const [name, size] of Object.entries(SIZES) as [Column, number][]) {
  offsets.set(name, words);
  words += Math.ceil(size / 2) * 2;
}

export const IO_WORDS = words;
export const LAYOUT: IoLayout & { ready: number } = {
  burst: BURST,
  messages: MESSAGES,
  extents: EXTENTS,
  ...(Object.fromEntries(offsets) as Record<Column, number>),
};

/** Bytes in front of the rx places: virtio-net headers (16 each), then what a test sends. */
export const VNET_AT = 0;
export const OUT_AT = 4096;
const RX_AT = 1 << 18;
export const ARENA_BYTES = 1 << 21;

export interface Binding {
  memory: WebAssembly.Memory;
  arena: Uint8Array;
  io: Int32Array;
  columns: Record<Column, Int32Array>;
  destinations: Int32Array;
  /** Puts `bytes` into the arena at `at` and returns them as an extent. */
  place(at: number, bytes: Uint8Array): { at: number; len: number };
  /** Describes message `index`; extents of earlier messages stay. Sends to row 0 over socket 0 unless told otherwise. */
  describe(
    index: number,
    extents: { at: number; len: number }[],
    settings?: { dest?: number; socket?: number; gso?: number; tos?: number },
  ): void;
  /** Row `row` of the destination table: an IPv4 address, or an IPv6 address with all of its groups or one '::'. */
  destination(row: number, address: string, port: number): void;
  /** The frame of lane `lane`, copied. */
  received(lane: number): Uint8Array;
  /** Address of the sender of lane `lane`: dotted, or eight groups. */
  source(lane: number): string;
}

/** `pages` of 64 KiB; the places of received frames need them all. */
export function makeBinding(): Binding {
  const pages = Math.ceil(ARENA_BYTES / 65_536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const arena = new Uint8Array(memory.buffer);
  const buffer = new SharedArrayBuffer(IO_WORDS * 4);
  const io = new Int32Array(buffer);
  const columns = Object.fromEntries(
    [...offsets].map(([name, at]) => [name, new Int32Array(buffer, at * 4, SIZES[name])]),
  ) as Record<Column, Int32Array>;
  const destinations = new Int32Array(new SharedArrayBuffer(8 * 8 * 4));
  for (let lane = 0; lane < BURST; lane++) {
    columns.rxAt[lane] = RX_AT + lane * SLOT;
    columns.rxCap[lane] = SLOT_ROOM;
  }
  let extentsUsed = 0;
  return {
    memory,
    arena,
    io,
    columns,
    destinations,
    place(at, bytes) {
      arena.set(bytes, at);
      return { at, len: bytes.length };
    },
    describe(index, extents, { dest = 0, socket = 0, gso = 0, tos = -1 } = {}) {
      if (index === 0) extentsUsed = 0;
      columns.msgFirst[index] = extentsUsed;
      columns.msgCount[index] = extents.length;
      columns.msgDest[index] = dest;
      columns.msgSocket[index] = socket;
      columns.msgGso[index] = gso;
      columns.msgTos[index] = tos;
      columns.msgResult[index] = 12345;
      for (const { at, len } of extents) {
        columns.extAt[extentsUsed] = at;
        columns.extLen[extentsUsed++] = len;
      }
    },
    destination(row, address, port) {
      destinations.fill(0, row * 8, row * 8 + 8);
      const v6 = address.includes(':');
      destinations[row * 8] = v6 ? 6 : 4;
      destinations[row * 8 + 1] = port;
      new Uint8Array(destinations.buffer).set(v6 ? ipv6Bytes(address) : address.split('.').map(Number), row * 32 + 8);
    },
    received: (lane) => arena.slice(columns.rxAt[lane], columns.rxAt[lane] + columns.rxLen[lane]),
    source(lane) {
      const at = (LAYOUT.rxSrc + lane * 4) * 4;
      const bytes = new Uint8Array(buffer).slice(at, at + 16);
      if (bytes.subarray(0, 12).join() === '0,0,0,0,0,0,0,0,0,0,255,255') return bytes.subarray(12).join('.');
      return Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] << 8) | bytes[2 * i + 1]).toString(16)).join(':');
    },
  };
}

function ipv6Bytes(text: string): number[] {
  const [head, tail = []] = text.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const groups = [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail].map((group) =>
    parseInt(group, 16),
  );
  return groups.flatMap((group) => [group >> 8, group & 255]);
}

/** Bytes that differ from their neighbours and from zeros. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0, x = seed; i < length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
    bytes[i] = x >>> 16;
  }
  return bytes;
}

/** What `body` throws; it must. */
export function thrownBy(body: () => unknown): Error & { code?: string; errno?: number; syscall?: string } {
  try {
    body();
  } catch (error) {
    return error as Error & { code?: string };
  }
  throw new Error('nothing was thrown');
}

/** The least of a few measurements, the first below `enough`: a busy machine may make some of them long, and none short. */
export async function least(enough: number, measure: () => number | Promise<number>): Promise<number> {
  let found = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 5 && found >= enough; tries++) found = Math.min(found, await measure());
  return found;
}

/** Calls `attempt` until it gives something else than undefined, for at most `withinMs`. */
export async function eventually<T>(attempt: () => T | undefined, withinMs = 30_000): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    const found = attempt();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`nothing within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
