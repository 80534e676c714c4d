import { describe, expect, it } from 'vitest';
import { type ArenaShape, attachArena, createArenaMemory } from '../../../src/packet/arena.js';
import { LANES, sharedInts } from '../../../src/packet/burst.js';
import {
  bindOutbox,
  columnsBehindIo,
  EXTENTS,
  IO_LAYOUT,
  IO_WORDS,
  ioBlock,
  MESSAGES,
  NEXT_EXTENT,
  NEXT_HEADER,
  NEXT_MESSAGE,
  READY_MAX,
} from '../../../src/packet/outbox.js';

const shape: ArenaShape = {
  workers: 1,
  smallSlots: 1,
  largeSlots: 1,
  headerBytes: 64,
  captureBytes: 64,
  macBytes: 64,
  neighbourBytes: 0,
  routeBytes: 0,
};
const makeArena = () => attachArena(createArenaMemory(shape), shape);

const { burst, messages, extents, ...columns } = IO_LAYOUT;

/** Words of each column, as the native side reads them: see IoLayout in src/native/tun.ts. */
const lengths: Record<string, number> = {
  rxAt: burst,
  rxCap: burst,
  rxDatagramAt: burst,
  rxDatagramCap: burst,
  rxLen: burst,
  rxGso: burst,
  rxSrc: burst * 4,
  rxPort: burst,
  rxTos: burst,
  rxFlags: burst,
  msgFirst: messages,
  msgCount: messages,
  msgPackets: messages,
  msgBytes: messages,
  msgPeerRow: messages,
  msgDest: messages,
  msgSocket: messages,
  msgGso: messages,
  msgTos: messages,
  msgResult: messages,
  extAt: extents,
  extLen: extents,
  clock: 4,
  counters: 16,
  ready: READY_MAX,
  rxOff: burst,
  inHand: 16,
  // 64 carriers, two sockets, descriptor and count.
  overflow: 256,
};

describe('the io block', () => {
  it('gives no word to two columns, and has room for all', () => {
    const spans = Object.entries(columns)
      .map(([name, at]) => ({ name, at, end: at + lengths[name] }))
      .sort((a, b) => a.at - b.at);
    expect(spans.map((s) => s.name).sort()).toEqual(Object.keys(lengths).sort());
    for (let i = 1; i < spans.length; i++) {
      expect(spans[i].at, `${spans[i - 1].name} and ${spans[i].name}`).toBeGreaterThanOrEqual(spans[i - 1].end);
    }
    expect(spans[0].at).toBe(0);
    expect(spans.at(-1)?.end).toBeLessThanOrEqual(IO_WORDS);
    const arena = makeArena();
    expect(ioBlock(arena, 0).length).toBe(IO_WORDS);
    expect(columnsBehindIo(arena, 0) - ioBlock(arena, 0).byteOffset).toBe(IO_WORDS * 4);
  });

  it('starts every column on a cache line, and the clock where a double may lie', () => {
    for (const [name, at] of Object.entries(columns)) expect((at * 4) % 64, name).toBe(0);
  });

  it('counts lanes, messages and extents as the outbox does', () => {
    expect([burst, messages, extents]).toEqual([LANES, MESSAGES, EXTENTS]);
  });
});

describe('an outbox', () => {
  it('shows each column of the block under its name', () => {
    const words = ioBlock(makeArena(), 0);
    const outbox = bindOutbox(words, sharedInts, 1000, 2000) as unknown as Record<string, Int32Array>;
    for (const [name, at] of Object.entries(columns)) {
      const n = lengths[name];
      words[at] = 11;
      words[at + n - 1] = 22;
      expect(outbox[name].length, name).toBe(n);
      expect([outbox[name][0], outbox[name][n - 1]], name).toEqual(n === 1 ? [22, 22] : [11, 22]);
    }
  });

  it('begins empty, with the header region in front of it', () => {
    const { cursor, headersAt, headersEnd } = bindOutbox(ioBlock(makeArena(), 0), sharedInts, 1000, 2000);
    expect([cursor[NEXT_MESSAGE], cursor[NEXT_EXTENT], cursor[NEXT_HEADER]]).toEqual([0, 0, 1000]);
    expect([headersAt, headersEnd]).toEqual([1000, 2000]);
  });
});
