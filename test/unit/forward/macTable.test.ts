import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bindLookup } from '../../../src/forward/lookup.js';
import {
  attachMacTable,
  breakLock,
  createMacTableBuffer,
  flushMacs,
  forEachMac,
  LEARN_BUSY,
  LEARN_MOVED,
  LEARN_REFUSED,
  LEARNED,
  learnSource,
  type MacTable,
  macHash,
  macKey,
  NEVER,
  setStatic,
  sweep,
  TOMBSTONE,
  tryLock,
  unlock,
} from '../../../src/forward/macTable.js';
import { createBurst, TO_PEER, TO_PORT } from '../../../src/packet/burst.js';
import { type Clock, createClock } from '../../../src/packet/clock.js';
import { DROP } from '../../../src/packet/drop.js';
import { idleKernel } from '../../rig/walkKernel.js';

const PORT_1 = TO_PORT | 1;
const PORT_2 = TO_PORT | 2;
const PEER_1 = TO_PEER | 1;
const CAPACITY = 1024;

function makeTable(limit = 1000): MacTable {
  const table = attachMacTable(createMacTableBuffer(1), 2);
  table.limits.fill(limit);
  return table;
}

/** MACs 02:... that begin their probe in the last entries of the table, so that chains run over its end. */
function collidingMacs(count: number, network: number, homes = 2): { lo: number; hi: number }[] {
  const out: { lo: number; hi: number }[] = [];
  for (let n = 0; out.length < count; n++) {
    const lo = 2 | (n << 8);
    if (macHash(lo, macKey(9, network), CAPACITY * 4 - 1) >> 2 >= CAPACITY - homes) out.push({ lo, hi: 9 });
  }
  return out;
}

interface Scanned {
  value: number;
  expires: number;
}

/** What the words of the table say, read without its functions. */
function scan(table: MacTable) {
  const found = new Map<string, Scanned>();
  let occupied = 0;
  const perNetwork = new Map<number, number>();
  for (let e = 0; e < table.entries.length; e += 4) {
    const [lo, key, value, expires] = table.entries.slice(e, e + 4);
    if (value === 0) continue;
    occupied++;
    if (value === TOMBSTONE) continue;
    const name = `${key >>> 16}/${lo}/${key & 0xffff}`;
    expect(found.has(name), `${name} stands twice`).toBe(false);
    found.set(name, { value, expires });
    if (expires !== NEVER) perNetwork.set(key >>> 16, (perNetwork.get(key >>> 16) ?? 0) + 1);
  }
  return { found, occupied, perNetwork };
}

function bindTestLookup(table: MacTable, clock: Clock) {
  const burst = createBurst();
  const kernel = idleKernel(burst, table);
  const lookup = bindLookup(burst, table, clock, kernel, new Int32Array(16));
  return (lo: number, hi: number, network: number) => {
    burst.dstLo[0] = lo;
    burst.dstHi[0] = hi;
    burst.network[0] = network;
    burst.origin[0] = TO_PORT | 999;
    burst.drop[0] = 0;
    burst.dst[0] = 12345;
    kernel.prefetch(1);
    lookup(1);
    return burst.dst[0];
  };
}

// The slow twin: a Map, and the rules as sentences.

interface Entry {
  value: number;
  expires: number;
  isStatic: boolean;
  spellFrom: number;
  moves: number;
  heldUntil: number;
}

class Twin {
  now = 100;
  entries = new Map<string, Entry>();

  live(name: string): Entry | undefined {
    const e = this.entries.get(name);
    return e && (e.isStatic || e.expires > this.now) ? e : undefined;
  }

  learn(name: string, value: number, expires: number): 'learned' | 'moved' | 'static-mac' | 'mac-flap' | 'new' {
    const e = this.live(name);
    if (e === undefined) return 'new';
    if (e.isStatic) return e.value === value ? 'learned' : 'static-mac';
    if (e.value === value) {
      e.expires = expires;
      return 'learned';
    }
    // A MAC that moves five times within five seconds stays where it is for ten.
    if (this.now < e.heldUntil) return 'mac-flap';
    if (e.moves === 0 || this.now - e.spellFrom >= 5) {
      e.spellFrom = this.now;
      e.moves = 0;
    }
    e.moves++;
    if (e.moves === 5) {
      e.heldUntil = this.now + 10;
      e.moves = 0;
      return 'mac-flap';
    }
    e.value = value;
    e.expires = expires;
    return 'moved';
  }

  put(name: string, value: number, expires: number, isStatic: boolean): void {
    this.entries.set(name, { value, expires, isStatic, spellFrom: 0, moves: 0, heldUntil: 0 });
  }
}

interface Real {
  table: MacTable;
  clock: Clock;
  lookup: ReturnType<typeof bindTestLookup>;
}

const KEYS = [1, 2].flatMap((network) => collidingMacs(7, network).map((mac) => ({ ...mac, network })));
const nameOf = (k: (typeof KEYS)[number]) => `${k.network}/${k.lo}/${k.hi}`;

/** What must hold after every command. */
function compare(twin: Twin, { table, lookup }: Real): void {
  const { found, occupied, perNetwork } = scan(table);
  expect(table.control[2], 'the count of occupied entries').toBe(occupied);
  expect(table.control[1], 'the count of used entries').toBe(found.size);
  expect(occupied).toBeLessThan(CAPACITY);
  for (const network of [1, 2]) expect(table.counts[network]).toBe(perNetwork.get(network) ?? 0);
  for (const k of KEYS) {
    expect(lookup(k.lo, k.hi, k.network), nameOf(k)).toBe(twin.live(nameOf(k))?.value ?? 0);
  }
  for (const [name, { expires }] of found) if (expires > twin.now) expect(twin.live(name), name).toBeDefined();
}

type Command = fc.Command<Twin, Real>;

const command = (text: string, run: (twin: Twin, real: Real) => void): Command => ({
  check: () => true,
  run(twin, real) {
    run(twin, real);
    compare(twin, real);
  },
  toString: () => text,
});

const learn = (k: number, value: number, ttl: number) =>
  command(`learn(${k}, ${value.toString(16)}, ${ttl})`, (twin, { table }) => {
    const key = KEYS[k];
    const { now } = twin;
    // Expired entries count until they are swept or used again.
    const entries = scan(table).perNetwork.get(key.network) ?? 0;
    const did = learnSource(table, key.lo, key.hi, key.network, value, now + ttl, now);
    const wanted = twin.learn(nameOf(key), value, now + ttl);
    if (wanted !== 'new') {
      expect(did).toBe(
        { learned: LEARNED, moved: LEARN_MOVED, 'static-mac': DROP['static-mac'], 'mac-flap': DROP['mac-flap'] }[
          wanted
        ],
      );
      return;
    }
    // Its own expired entry goes first, so it can't be the one that fills the network.
    const own = twin.entries.has(nameOf(key)) ? 1 : 0;
    if (did === LEARN_REFUSED) expect(entries).toBeGreaterThanOrEqual(table.limits[key.network]);
    else {
      expect(did).toBe(LEARNED);
      expect(entries - own).toBeLessThan(table.limits[key.network]);
      twin.put(nameOf(key), value, now + ttl, false);
    }
  });

const pass = (seconds: number) =>
  command(`pass(${seconds})`, (twin, { clock }) => {
    twin.now += seconds;
    clock.seconds = twin.now;
  });

const makeStatic = (k: number, value: number) =>
  command(`static(${k}, ${value.toString(16)})`, (twin, { table }) => {
    const key = KEYS[k];
    expect(setStatic(table, key.lo, key.hi, key.network, value)).toBe(true);
    twin.put(nameOf(key), value, 0, true);
  });

const flush = (network: number, value: number) =>
  command(`flush(${network}, ${value.toString(16)})`, (twin, { table }) => {
    const before = scan(table).found;
    const removed = flushMacs(table, (e) => e.network === network && e.value === value, twin.now);
    expect(removed).toBe(before.size - scan(table).found.size);
    for (const k of KEYS) {
      if (k.network === network && twin.entries.get(nameOf(k))?.value === value) twin.entries.delete(nameOf(k));
    }
  });

const sweepSlice = (from: number, count: number) =>
  command(`sweep(${from}, ${count})`, (twin, { table }) => {
    expect(sweep(table, from, count, twin.now)).toBe((from + count) % CAPACITY);
    if (count < CAPACITY) return;
    for (const { expires } of scan(table).found.values()) expect(expires).toBeGreaterThan(twin.now);
  });

const learnWhileBusy = (k: number) =>
  command(`busy(${k})`, (twin, { table }) => {
    const other = attachMacTable(table.buffer, 3);
    const key = KEYS[k];
    expect(tryLock(other)).toBe(true);
    expect(learnSource(table, key.lo, key.hi, key.network, PORT_1, twin.now + 9, twin.now)).toBe(LEARN_BUSY);
    expect(sweep(table, 5, 10, twin.now)).toBe(5);
    unlock(other);
  });

describe('the MAC table and its twin', () => {
  const k = fc.nat(KEYS.length - 1);
  const value = fc.constantFrom(PORT_1, PORT_2, PEER_1);
  const commands = [
    fc.tuple(k, value, fc.integer({ min: 1, max: 12 })).map(([a, b, c]) => learn(a, b, c)),
    fc.tuple(k, value, fc.integer({ min: 1, max: 12 })).map(([a, b, c]) => learn(a, b, c)),
    fc.integer({ min: 1, max: 6 }).map(pass),
    fc.tuple(k, value).map(([a, b]) => makeStatic(a, b)),
    fc.tuple(fc.constantFrom(1, 2), value).map(([a, b]) => flush(a, b)),
    fc.tuple(fc.constantFrom(0, CAPACITY - 4), fc.constantFrom(1, 8, CAPACITY)).map(([a, b]) => sweepSlice(a, b)),
    k.map(learnWhileBusy),
  ];

  it('agree after any sequence of commands, on chains that run over the end of the table', () => {
    fc.assert(
      fc.property(fc.commands(commands, { maxCommands: 60 }), fc.integer({ min: 2, max: 9 }), (list, limit) => {
        fc.modelRun(() => {
          const table = makeTable(limit);
          const clock = createClock(100);
          return { model: new Twin(), real: { table, clock, lookup: bindTestLookup(table, clock) } };
        }, list);
      }),
      { numRuns: 150 },
    );
  });

  it('hold a MAC that flaps', () => {
    const table = makeTable();
    const { lo, hi, network } = KEYS[0];
    const learnAt = (value: number, now: number) => learnSource(table, lo, hi, network, value, now + 300, now);
    expect(learnAt(PORT_1, 100)).toBe(LEARNED);
    const moves = [PORT_2, PORT_1, PORT_2, PORT_1].map((value) => learnAt(value, 101));
    expect(moves).toEqual([LEARN_MOVED, LEARN_MOVED, LEARN_MOVED, LEARN_MOVED]);
    expect(learnAt(PORT_2, 102)).toBe(DROP['mac-flap']);
    const held: boolean[] = [];
    forEachMac(table, 103, false, (e) => held.push(e.isHeld));
    expect(held).toEqual([true]);
    expect(learnAt(PORT_2, 111)).toBe(DROP['mac-flap']);
    expect(learnAt(PORT_1, 111)).toBe(LEARNED);
    expect(learnAt(PORT_2, 112)).toBe(LEARN_MOVED);
  });

  it('begin a spell anew five seconds after its first move', () => {
    const moveAt = (times: number[]) => {
      const table = makeTable();
      const { lo, hi, network } = KEYS[0];
      learnSource(table, lo, hi, network, PORT_1, 400, 100);
      return times.map((now, n) => learnSource(table, lo, hi, network, n % 2 ? PORT_1 : PORT_2, now + 300, now));
    };
    expect(moveAt([100, 101, 102, 103, 104])[4]).toBe(DROP['mac-flap']);
    expect(moveAt([100, 101, 102, 103, 105])[4]).toBe(LEARN_MOVED);
  });

  it('let a MAC move slowly for ever', () => {
    const table = makeTable();
    const { lo, hi, network } = KEYS[0];
    learnSource(table, lo, hi, network, PORT_1, 400, 100);
    for (let n = 0; n < 20; n++) {
      const now = 105 + 5 * n;
      expect(learnSource(table, lo, hi, network, n % 2 ? PORT_1 : PORT_2, now + 300, now)).toBe(LEARN_MOVED);
    }
  });
});

describe('a chain of tombstones', () => {
  it('holds together while an entry stands behind it, and is taken down from its end', () => {
    const table = makeTable();
    const macs = collidingMacs(6, 1, 1);
    macs.forEach((m, n) => {
      learnSource(table, m.lo, m.hi, 1, TO_PORT | (n + 1), 500, 100);
    });
    const lookup = bindTestLookup(table, createClock(100));
    const drop = (n: number) => flushMacs(table, (e) => e.value === (TO_PORT | (n + 1)), 100);
    for (const n of [0, 2, 3]) expect(drop(n)).toBe(1);
    expect(scan(table).occupied).toBe(6);
    expect(lookup(macs[5].lo, macs[5].hi, 1)).toBe(TO_PORT | 6);
    drop(5);
    drop(4);
    expect(scan(table)).toMatchObject({ occupied: 2 });
    expect(lookup(macs[1].lo, macs[1].hi, 1)).toBe(TO_PORT | 2);
    drop(1);
    expect(scan(table).occupied).toBe(0);
  });
});

describe('a full table', () => {
  it('refuses instead of filling its last entries, and every probe ends', () => {
    const table = makeTable(CAPACITY * 2);
    let learned = 0;
    for (let n = 0; n < CAPACITY * 2; n++) {
      const did = learnSource(table, 2 | (n << 8), n >>> 16, 1, PORT_1, 500, 100);
      if (did === LEARNED) learned++;
      else expect(did).toBe(LEARN_REFUSED);
    }
    // One entry in eight stays empty.
    expect(learned).toBe((CAPACITY * 7) / 8);
    expect(scan(table).occupied).toBe((CAPACITY * 7) / 8);
    const lookup = bindTestLookup(table, createClock(100));
    for (let n = 0; n < CAPACITY * 3; n++) {
      const to = lookup(2 | (n << 8), n >>> 16, 1);
      expect(to === 0 || to === PORT_1).toBe(true);
    }
    expect(setStatic(table, 4, 4, 2, PORT_2)).toBe(false);
  });

  it('has room again as soon as entries expire, without a sweep', () => {
    const table = makeTable(CAPACITY * 2);
    for (let n = 0; n < CAPACITY; n++) learnSource(table, 2 | (n << 8), 0, 1, PORT_1, 200, 100);
    let learned = 0;
    for (let n = 0; n < CAPACITY; n++) {
      if (learnSource(table, 2 | (n << 8), 7, 2, PORT_1, 500, 200) === LEARNED) learned++;
    }
    expect(learned).toBeGreaterThan(CAPACITY / 2);
    expect(scan(table).occupied).toBeLessThanOrEqual((CAPACITY * 7) / 8);
  });

  it('is emptied by sweeps, slice by slice', () => {
    const table = makeTable(CAPACITY * 2);
    for (let n = 0; n < CAPACITY; n++) learnSource(table, 2 | (n << 8), 0, 1, PORT_1, n % 2 ? 200 : 300, 100);
    const before = scan(table).found.size;
    let from = 0;
    for (let slice = 0; slice < CAPACITY / 64; slice++) from = sweep(table, from, 64, 250);
    expect(from).toBe(0);
    expect(scan(table).found.size).toBeLessThan(before);
    expect([...scan(table).found.values()].every((e) => e.expires === 300)).toBe(true);
    for (let slice = 0; slice < CAPACITY / 64; slice++) from = sweep(table, from, 64, 300);
    expect(scan(table).found.size).toBe(0);
    expect(table.counts[1]).toBe(0);
  });
});

describe('networks', () => {
  it('are apart, also with equal MACs', () => {
    const table = makeTable();
    const lookup = bindTestLookup(table, createClock(100));
    for (let network = 1; network < 512; network++) {
      expect(learnSource(table, 0x11223302, 0x5544, network, TO_PORT | network, 500, 100)).toBe(LEARNED);
    }
    for (let network = 1; network < 512; network++) expect(lookup(0x11223302, 0x5544, network)).toBe(TO_PORT | network);
    flushMacs(table, (e) => e.network === 7, 100);
    expect([6, 7, 8].map((n) => lookup(0x11223302, 0x5544, n))).toEqual([TO_PORT | 6, 0, TO_PORT | 8]);
  });

  it('have limits of their own, which static entries do not use up', () => {
    const table = makeTable();
    table.limits[1] = 2;
    const learn = (n: number, network: number) => learnSource(table, 2 | (n << 8), 0, network, PORT_1, 500, 100);
    setStatic(table, 2 | (99 << 8), 0, 1, PORT_1);
    expect([learn(1, 1), learn(2, 1), learn(3, 1), learn(3, 2)]).toEqual([LEARNED, LEARNED, LEARN_REFUSED, LEARNED]);
    expect(learn(1, 1), 'a known MAC is refreshed at the limit').toBe(LEARNED);
  });
});

describe('static entries', () => {
  it('never expire, are not swept, and win over what was learned', () => {
    const table = makeTable();
    learnSource(table, 2, 0, 1, PORT_1, 200, 100);
    setStatic(table, 2, 0, 1, PORT_2);
    const lookup = bindTestLookup(table, createClock(2_000_000));
    sweep(table, 0, CAPACITY, 2_000_000);
    expect(lookup(2, 0, 1)).toBe(PORT_2);
    expect(table.counts[1]).toBe(0);
    expect(learnSource(table, 2, 0, 1, PORT_1, 300, 100)).toBe(DROP['static-mac']);
    expect(learnSource(table, 2, 0, 1, PORT_2, 300, 100)).toBe(LEARNED);
    const seen: number[] = [];
    forEachMac(table, 100, false, (e) => seen.push(e.expiresInSec));
    expect(seen).toEqual([Number.POSITIVE_INFINITY]);
  });
});

describe('the lock', () => {
  it('of a dead worker is broken, that of a living one is not', () => {
    const table = makeTable();
    const worker = attachMacTable(table.buffer, 7);
    expect(tryLock(worker)).toBe(true);
    breakLock(table, 6);
    expect(tryLock(table)).toBe(false);
    breakLock(table, 7);
    expect(tryLock(table)).toBe(true);
    unlock(table);
  });

  it('is free after every way out of learning', () => {
    const table = makeTable(1);
    const learn = (n: number, value: number) => learnSource(table, 2 | (n << 8), 0, 1, value, 500, 100);
    setStatic(table, 2 | (50 << 8), 0, 1, PORT_1);
    for (const [n, value] of [
      [1, PORT_1],
      [1, PORT_2],
      [2, PORT_1],
      [50, PORT_2],
    ]) {
      learn(n, value);
      expect(table.control[0]).toBe(0);
    }
  });
});

it('lists what stands there, with or without what has expired', () => {
  const table = makeTable();
  learnSource(table, 0x0a000002, 0x1234, 3, PEER_1, 150, 100);
  learnSource(table, 0x0b000002, 0x1234, 3, PORT_2, 300, 100);
  const list = (withExpired: boolean) => {
    const out: unknown[] = [];
    forEachMac(table, 200, withExpired, ({ ...entry }) => out.push(entry));
    return out;
  };
  const port = { lo: 0x0b000002, hi: 0x1234, network: 3, value: PORT_2, expiresInSec: 100, isHeld: false };
  expect(list(false)).toEqual([port]);
  expect(list(true)).toHaveLength(2);
  expect(list(true)).toContainEqual({ ...port, lo: 0x0a000002, value: PEER_1, expiresInSec: -50 });
});
