import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  breakLock,
  LEARN_BUSY,
  LEARN_MOVED,
  LEARN_REFUSED,
  LEARNED,
  tryLock,
  unlock,
} from '../../../src/forward/macTable.js';
import {
  attachNeighbourTable,
  flushNeighbours,
  forEachNeighbour,
  IS_OVERRIDE,
  IS_ROUTER,
  KNOWS_ROUTER,
  LEARN_NEW,
  LEARN_STATIC,
  learnNeighbour,
  lookUpNeighbour,
  makeNeighbour,
  type Neighbour,
  type NeighbourKey,
  type NeighbourTable,
  neighbourTableBytes,
  setStaticNeighbour,
  sweepNeighbours,
} from '../../../src/forward/neighbourTable.js';
import { TO_PEER, TO_PORT } from '../../../src/packet/burst.js';

const PLACES = [TO_PORT | 1, TO_PORT | 1023, TO_PEER | 1, TO_PEER | 2047];

function makeTable(limit = 1000): NeighbourTable {
  const table = attachNeighbourTable(new SharedArrayBuffer(neighbourTableBytes(1)), 2) as NeighbourTable;
  table.limits.fill(limit);
  return table;
}

/** Address n of a network: ::ffff:10.0.0.n, or 2001:db8::n, as words in memory order. */
function keyOf(n: number, network: number): NeighbourKey {
  const bytes = new Uint8Array(16);
  if (n < 8) bytes.set([0xff, 0xff, 10, 0, 0, n], 10);
  else bytes.set([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n]);
  return { words: new Int32Array(bytes.buffer), network };
}

const KEYS = Array.from({ length: 32 }, (_, n) => keyOf(n % 16, n < 16 ? 1 : 511));
const MACS = [
  { lo: 0x0002, hi: 0x0100 },
  { lo: 0x0002, hi: 0x0200 },
  { lo: -2, hi: 0xfffe },
];

function claimOf(mac: number, place: number, flags: number): Neighbour {
  return { ...makeNeighbour(), ...MACS[mac], place, flags };
}

// The slow twin: a Map, and the rules as sentences.

interface Known {
  mac: number;
  place: number;
  flags: number;
  expires: number;
  isStatic: boolean;
}

class Twin {
  now = 100;
  entries = new Map<number, Known>();

  live(k: number): Known | undefined {
    const e = this.entries.get(k);
    return e && (e.isStatic || e.expires > this.now) ? e : undefined;
  }

  countOf(network: number): number {
    return [...this.entries].filter(([k, e]) => KEYS[k].network === network && !e.isStatic).length;
  }

  learn(k: number, mac: number, place: number, flags: number, mayReplace: boolean, expires: number): string {
    const e = this.live(k);
    if (e === undefined) return 'new';
    if (e.isStatic && e.mac !== mac) return 'static';
    if (e.mac !== mac && !mayReplace) return 'learned';
    const isKnown = e.mac === mac && e.place === place;
    // A word about routers counts, but not against the configuration; silence does not.
    if (e.mac !== mac || (flags & KNOWS_ROUTER && !e.isStatic)) e.flags = flags;
    e.mac = mac;
    e.place = place;
    if (!e.isStatic) e.expires = expires;
    return isKnown ? 'learned' : 'moved';
  }
}

interface Real {
  table: NeighbourTable;
}

function compare(twin: Twin, { table }: Real): void {
  const found = makeNeighbour();
  KEYS.forEach((key, k) => {
    const wanted = twin.live(k);
    expect(lookUpNeighbour(table, key, twin.now, found), `address ${k}`).toBe(wanted !== undefined);
    if (wanted === undefined) return;
    const { place, flags, isStatic } = wanted;
    expect(found, `address ${k}`).toEqual({ ...MACS[wanted.mac], place, flags, isStatic });
  });
  for (const network of [1, 511]) expect(table.counts[network]).toBe(twin.countOf(network));
  const listed: string[] = [];
  forEachNeighbour(table, twin.now, false, (e) => listed.push(`${e.network} ${e.words}`));
  const live = KEYS.filter((_, k) => twin.live(k)).map((key) => `${key.network} ${key.words}`);
  expect(listed.sort()).toEqual(live.sort());
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

const RESULTS: Record<string, number> = { learned: LEARNED, moved: LEARN_MOVED, static: LEARN_STATIC };

const learn = (k: number, mac: number, place: number, flags: number, mayReplace: boolean, ttl: number) =>
  command(`learn(${k}, ${mac}, ${place.toString(16)}, ${flags}, ${mayReplace}, ${ttl})`, (twin, { table }) => {
    const { network } = KEYS[k];
    const expires = twin.now + ttl;
    const wanted = twin.learn(k, mac, place, flags, mayReplace, expires);
    const did = learnNeighbour(table, KEYS[k], claimOf(mac, place, flags), mayReplace, expires, twin.now);
    if (wanted !== 'new') {
      expect(did).toBe(RESULTS[wanted]);
      return;
    }
    // Its own expired entry goes first.
    twin.entries.delete(k);
    const isFull = twin.countOf(network) >= table.limits[network];
    expect(did).toBe(isFull ? LEARN_REFUSED : LEARN_NEW);
    if (!isFull) twin.entries.set(k, { mac, place, flags, expires, isStatic: false });
  });

const makeStatic = (k: number, mac: number, flags: number) =>
  command(`static(${k}, ${mac}, ${flags})`, (twin, { table }) => {
    expect(setStaticNeighbour(table, KEYS[k], claimOf(mac, 0, flags))).toBe(true);
    twin.entries.set(k, { mac, place: 0, flags, expires: 0, isStatic: true });
  });

const flush = (place: number) =>
  command(`flush(${place.toString(16)})`, (twin, { table }) => {
    const wanted = [...twin.entries].filter(([, e]) => e.place === place && !e.isStatic).map(([k]) => k);
    expect(flushNeighbours(table, (e) => e.place === place && !e.isStatic)).toBe(wanted.length);
    for (const k of wanted) twin.entries.delete(k);
  });

const pass = (seconds: number) =>
  command(`pass(${seconds})`, (twin) => {
    twin.now += seconds;
  });

const sweepAll = () =>
  command('sweep()', (twin, { table }) => {
    expect(sweepNeighbours(table, 7, table.capacity, twin.now)).toBe(7);
    for (const [k, e] of twin.entries) if (!e.isStatic && e.expires <= twin.now) twin.entries.delete(k);
  });

const learnWhileBusy = (k: number) =>
  command(`busy(${k})`, (twin, { table }) => {
    const other = attachNeighbourTable(table.buffer, 3) as NeighbourTable;
    expect(tryLock(other)).toBe(true);
    expect(learnNeighbour(table, KEYS[k], claimOf(0, PLACES[0], 0), true, twin.now + 9, twin.now)).toBe(LEARN_BUSY);
    unlock(other);
  });

describe('the neighbour table and its twin', () => {
  const k = fc.nat(KEYS.length - 1);
  const mac = fc.nat(MACS.length - 1);
  const place = fc.constantFrom(...PLACES);
  const flags = fc.constantFrom(0, KNOWS_ROUTER, KNOWS_ROUTER | IS_OVERRIDE, KNOWS_ROUTER | IS_ROUTER | IS_OVERRIDE);
  const ttl = fc.integer({ min: 1, max: 9 });
  const learning = fc
    .tuple(k, mac, place, flags, fc.boolean(), ttl)
    .map(([a, b, c, d, e, f]) => learn(a, b, c, d, e, f));
  const commands = [
    learning,
    learning,
    learning,
    fc.tuple(k, mac, flags).map(([a, b, c]) => makeStatic(a, b, c)),
    place.map(flush),
    fc.integer({ min: 1, max: 5 }).map(pass),
    fc.constant(sweepAll()),
    k.map(learnWhileBusy),
  ];

  it('agree after any sequence of commands', () => {
    fc.assert(
      fc.property(fc.commands(commands, { maxCommands: 80 }), fc.integer({ min: 2, max: 20 }), (list, limit) => {
        fc.modelRun(() => ({ model: new Twin(), real: { table: makeTable(limit) } }), list);
      }),
      { numRuns: 150 },
    );
  });
});

describe('a flood of made-up addresses', () => {
  it('ends at the limit of its network, and others learn on', () => {
    const table = attachNeighbourTable(new SharedArrayBuffer(neighbourTableBytes(300)), 2) as NeighbourTable;
    table.limits.fill(100);
    const key = { words: new Int32Array(4), network: 1 };
    const results = new Map<number, number>();
    for (let n = 0; n < 5000; n++) {
      key.words[3] = Math.imul(n, 0x9e3779b1);
      const did = learnNeighbour(table, key, claimOf(0, PLACES[0], 0), true, 400, 100);
      results.set(did, (results.get(did) ?? 0) + 1);
    }
    expect(Object.fromEntries(results)).toEqual({ [LEARN_NEW]: 100, [LEARN_REFUSED]: 4900 });
    expect(learnNeighbour(table, keyOf(1, 2), claimOf(0, PLACES[0], 0), true, 400, 100)).toBe(LEARN_NEW);
  });

  it('cannot fill the table: without limits one entry in eight stays free, and every probe ends', () => {
    const table = makeTable(1_000_000);
    const key = { words: new Int32Array(4), network: 1 };
    let learned = 0;
    for (let n = 0; n < 1000; n++) {
      key.words[3] = n;
      if (learnNeighbour(table, key, claimOf(0, PLACES[0], 0), true, 400, 100) === LEARN_NEW) learned++;
    }
    expect(learned).toBe(table.capacity - table.capacity / 8);
    key.words[3] = 5000;
    expect(lookUpNeighbour(table, key, 100, makeNeighbour())).toBe(false);
    expect(flushNeighbours(table, () => true)).toBe(learned);
    expect(table.control[1]).toBe(0);
  });
});

it('a lock that a dead worker held is broken for its holder alone', () => {
  const table = makeTable();
  expect(tryLock(table)).toBe(true);
  breakLock(table, 3);
  expect(tryLock(table)).toBe(false);
  breakLock(table, 2);
  expect(tryLock(table)).toBe(true);
});

it('there is no table in no room', () => {
  expect(attachNeighbourTable(new SharedArrayBuffer(64), 2, 0, 0)).toBeNull();
});
