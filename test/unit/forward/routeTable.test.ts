import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bindRouteLookup } from '../../../src/forward/routeLookup.js';
import { buildRouteTable, lookUpRoute, type Route, writeRouteTable } from '../../../src/forward/routeTable.js';
import { attachArena, columnAllocator, createArenaMemory, slotStart } from '../../../src/packet/arena.js';
import { createBurst, IS_V4, IS_V6, LANES, TO_PEER, TO_PORT } from '../../../src/packet/burst.js';
import { DROP } from '../../../src/packet/drop.js';
import { cidrFromText, fromText, samePrefix } from '../../../src/wire/address.js';

const HALF = 2 * 1024 * 1024;
const shape = {
  workers: 1,
  smallSlots: 1,
  largeSlots: 1,
  headerBytes: 4096,
  captureBytes: 4096,
  macBytes: 4096,
  neighbourBytes: 0,
  routeBytes: 2 * HALF,
};
const arena = attachArena(createArenaMemory(shape), shape);
const allocate = columnAllocator(arena, 0, arena.partitions[0].columnsAt);
const burst = createBurst(allocate);
const lookUp = bindRouteLookup(arena, burst, allocate);
const tableAt = arena.routeAt + HALF;

/** Headers lie 47 bytes apart, so at any alignment. */
const packetAt = (lane: number) => slotStart(arena, 1) + lane * 47;

function place(routes: Route[]): void {
  arena.bytes.fill(0xa5, arena.routeAt, arena.routeAt + 2 * HALF);
  writeRouteTable(arena.words, tableAt, HALF, buildRouteTable(routes));
}

interface Wanted {
  network: number;
  address: Uint8Array;
}

/** What the burst step says of up to 64 addresses, which the control thread's lookup must say, too. */
function lookUpAll(wanted: Wanted[]): number[] {
  expect(wanted.length).toBeLessThanOrEqual(LANES);
  burst.drop.fill(0);
  wanted.forEach(({ network, address }, i) => {
    const isV4 = address.length === 4;
    arena.bytes.fill(0xa5, packetAt(i), packetAt(i) + 47);
    arena.bytes.set(address, packetAt(i) + (isV4 ? 16 : 24));
    burst.l3[i] = packetAt(i);
    burst.flags[i] = isV4 ? IS_V4 : IS_V6;
    burst.network[i] = network;
    burst.dst[i] = 777;
  });
  lookUp(wanted.length, tableAt);
  const found = Array.from(burst.dst.subarray(0, wanted.length));
  expect(wanted.map((w) => lookUpRoute(arena.words, tableAt, w.network, w.address))).toEqual(found);
  return found;
}

/** The slow twin: every route is looked at; the longest that fits wins, of equals the last. */
function naive(routes: Route[], { network, address }: Wanted): number {
  let best: Route | null = null;
  for (const route of routes) {
    const { prefix } = route;
    if (route.network !== network || prefix.address.length !== address.length) continue;
    if (!samePrefix(prefix.address, 0, address, 0, prefix.prefixLength)) continue;
    if (best === null || prefix.prefixLength >= best.prefix.prefixLength) best = route;
  }
  return best?.value ?? 0;
}

const route = (network: number, text: string, value: number): Route => ({
  network,
  prefix: cidrFromText(text)!,
  value,
});
const at = (network: number, text: string): Wanted => ({ network, address: fromText(text)! });
const look = (network: number, ...texts: string[]) => lookUpAll(texts.map((text) => at(network, text)));

function expectNaive(routes: Route[], wanted: Wanted[]): void {
  for (let from = 0; from < wanted.length; from += LANES) {
    const some = wanted.slice(from, from + LANES);
    expect(lookUpAll(some)).toEqual(some.map((w) => naive(routes, w)));
  }
}

describe('routes written out by hand', () => {
  it('give each peer and port its own part, and the rest to the default route', () => {
    place([
      route(3, '10.42.1.0/24', TO_PORT | 1),
      route(3, '10.42.2.0/24', TO_PEER | 2),
      route(3, '10.42.2.128/25', TO_PEER | 3),
      route(3, '10.42.2.200/32', TO_PEER | 4),
      route(3, '0.0.0.0/0', TO_PEER | 9),
    ]);
    expect(look(3, '10.42.1.0', '10.42.1.255', '10.42.2.127', '10.42.2.128', '10.42.2.200', '10.42.2.201')).toEqual([
      TO_PORT | 1,
      TO_PORT | 1,
      TO_PEER | 2,
      TO_PEER | 3,
      TO_PEER | 4,
      TO_PEER | 3,
    ]);
    expect(look(3, '10.42.0.255', '10.42.3.0', '0.0.0.0', '255.255.255.255')).toEqual(Array(4).fill(TO_PEER | 9));
    expect(look(3, 'fd00::1')).toEqual([0]);
  });

  it('hold for IPv6 up to /128', () => {
    place([
      route(1, 'fd00:42::/32', TO_PEER | 1),
      route(1, 'fd00:42:0:1::/64', TO_PORT | 2),
      route(1, 'fd00:42:0:1::5/128', TO_PEER | 3),
    ]);
    expect(look(1, 'fd00:42::1', 'fd00:42:0:1::4', 'fd00:42:0:1::5', 'fd00:42:0:2::', 'fd00:43::', '::')).toEqual([
      TO_PEER | 1,
      TO_PORT | 2,
      TO_PEER | 3,
      TO_PEER | 1,
      0,
      0,
    ]);
  });

  it('are those of one network', () => {
    place([
      route(1, '10.0.0.0/8', 11),
      route(2, '10.0.0.0/8', 22),
      route(511, '10.0.0.0/8', 33),
      route(2, '::/0', 44),
      route(7, 'fd00::/8', 55),
    ]);
    expect([0, 1, 2, 3, 7, 511, 512].map((n) => look(n, '10.1.2.3')[0])).toEqual([0, 11, 22, 0, 0, 33, 0]);
    expect([1, 2, 7].map((n) => look(n, 'fd00::1')[0])).toEqual([0, 44, 55]);
  });

  it('count once: the last of those with the same prefix', () => {
    place([
      route(1, '10.0.0.0/24', 1),
      route(1, '10.0.0.0/25', 5),
      route(1, '10.0.0.0/24', 2),
      route(1, '10.0.0.99/24', 3),
    ]);
    expect(look(1, '10.0.0.128', '10.0.0.1')).toEqual([3, 5]);
  });

  it('may say that there is no route where a shorter prefix has one', () => {
    place([route(1, '10.0.0.0/8', 1), route(1, '10.5.0.0/16', 0)]);
    expect(look(1, '10.4.255.255', '10.5.0.0', '10.6.0.0')).toEqual([1, 0, 1]);
  });

  it('may be none at all', () => {
    place([]);
    expect(look(0, '10.0.0.1', 'fd00::1')).toEqual([0, 0]);
    expect(look(5, '10.0.0.1', 'fd00::1')).toEqual([0, 0]);
  });
});

describe('each prefix length', () => {
  it.each([
    ['IPv4', '203.0.113.77', 32],
    ['IPv6', '2001:db8:55aa:a55a:1234:5678:9abc:def1', 128],
  ])('of %s, alone, ends at its own bit', (_, text, bits) => {
    const address = fromText(text)!;
    for (let prefixLength = 0; prefixLength <= bits; prefixLength++) {
      place([{ network: 1, prefix: { address, prefixLength }, value: 1 + prefixLength }]);
      const wanted = Array.from({ length: bits }, (_, bit) => {
        const other = address.slice();
        other[bit >> 3] ^= 0x80 >> (bit & 7);
        return { network: 1, address: other };
      });
      for (let from = 0; from < bits; from += LANES)
        expect(lookUpAll(wanted.slice(from, from + LANES)), `/${prefixLength}`).toEqual(
          wanted.slice(from, from + LANES).map((_, k) => (from + k < prefixLength ? 0 : 1 + prefixLength)),
        );
    }
  });

  it.each([
    ['IPv4', '203.0.113.77', 32],
    ['IPv6', '2001:db8:55aa:a55a:1234:5678:9abc:def1', 128],
  ])('of %s, all at once, one in the other', (_, text, bits) => {
    const address = fromText(text)!;
    place(
      Array.from({ length: bits + 1 }, (_, n) => ({ network: 1, prefix: { address, prefixLength: n }, value: n + 1 })),
    );
    const wanted = Array.from({ length: bits }, (_, bit) => {
      const other = address.slice();
      other[bit >> 3] ^= 0x80 >> (bit & 7);
      return { network: 1, address: other };
    });
    for (let from = 0; from < bits; from += LANES)
      expect(lookUpAll(wanted.slice(from, from + LANES))).toEqual(
        wanted.slice(from, from + LANES).map((_, k) => from + k + 1),
      );
    expect(lookUpAll([{ network: 1, address }])).toEqual([bits + 1]);
  });
});

describe('two prefixes that part at one bit', () => {
  it.each([
    ['IPv4', '203.0.113.77', 32],
    ['IPv6', '2001:db8:55aa:a55a:1234:5678:9abc:def1', 128],
  ])('of %s, whichever bit that is', (_, text, bits) => {
    const one = fromText(text)!;
    for (let bit = 0; bit < bits; bit++) {
      const other = one.slice();
      other[bit >> 3] ^= 0x80 >> (bit & 7);
      const prefixLength = Math.min(bits, bit + 5);
      place([
        { network: 1, prefix: { address: one, prefixLength }, value: 1 },
        { network: 1, prefix: { address: other, prefixLength }, value: 2 },
        { network: 1, prefix: { address: one, prefixLength: 0 }, value: 3 },
      ]);
      const stranger = one.slice();
      stranger[0] ^= 0xc0;
      const found = lookUpAll([one, other, stranger].map((address) => ({ network: 1, address })));
      expect(found, `bit ${bit}`).toEqual([1, 2, 3]);
    }
  });
});

// Few different bits in few places, so that prefixes lie in one another, side by side, and often have equal starts.
const crowded = (size: number) =>
  fc
    .array(fc.constantFrom(0, 0, 1, 2, 0x40, 0x80, 0xff), { minLength: size, maxLength: size })
    .map((bytes) => Uint8Array.from(bytes));
const anyAddress = fc.oneof(
  crowded(4),
  crowded(16),
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
);
// What fits a narrow entry, its limits, and what does not.
const anyValue = fc.oneof(
  fc.constantFrom(0, TO_PORT | 0x3fff, TO_PORT | 0x4000, TO_PEER | 0x3fff, TO_PEER | 0x4000, TO_PORT | TO_PEER),
  fc.nat(3000).map((id) => TO_PORT | id),
  fc.nat(3000).map((id) => TO_PEER | id),
  fc.integer({ min: 0, max: 0x7fffffff }),
);
const anyRoute = fc
  .tuple(fc.constantFrom(0, 1, 44, 300), anyAddress, fc.nat(128), anyValue)
  .map(([network, address, length, value]) => ({
    network,
    prefix: { address, prefixLength: length % (address.length * 8 + 1) },
    value,
  }));

/** Where mistakes show: first and last address of each prefix, and those beside it. */
function edges({ network, prefix: { address, prefixLength } }: Route): Wanted[] {
  const first = address.slice();
  const last = address.slice();
  for (let bit = prefixLength; bit < address.length * 8; bit++) {
    first[bit >> 3] &= ~(0x80 >> (bit & 7));
    last[bit >> 3] |= 0x80 >> (bit & 7);
  }
  const step = (from: Uint8Array, by: number) => {
    const next = from.slice();
    let carry = by;
    for (let i = next.length - 1; i >= 0 && carry !== 0; i--) {
      const sum = next[i] + carry;
      next[i] = sum;
      carry = sum < 0 ? -1 : sum > 255 ? 1 : 0;
    }
    return next;
  };
  return [first, last, step(first, -1), step(last, 1)].map((edge) => ({ network, address: edge }));
}

describe('any routes', () => {
  it('mean what a search through all of them finds', () => {
    fc.assert(
      fc.property(
        fc.array(anyRoute, { maxLength: 60 }),
        fc.array(fc.record({ network: fc.constantFrom(0, 1, 2, 44, 300), address: anyAddress }), { maxLength: 40 }),
        (routes, wanted) => {
          place(routes);
          expectNaive(routes, [...wanted, ...routes.flatMap(edges)]);
        },
      ),
    );
  });

  it('mean it in a large table, too', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.noBias(fc.nat(0xffff))), fc.boolean(), (stream, isV4) => {
        const size = isV4 ? 4 : 16;
        const take = () => stream.next().value as number;
        const routes = Array.from({ length: 5000 }, () => {
          const address = new Uint8Array(size).fill(0x20);
          for (let i = 1; i < size; i++) address[i] = take() & 0x33;
          return {
            network: 1,
            prefix: { address, prefixLength: 10 + (take() % (size * 8 - 9)) },
            value: take() % 3 === 0 ? TO_PORT | take() : take() | 1,
          };
        });
        place(routes);
        const some = Array.from({ length: 64 }, () => routes[take() % 5000]);
        expectNaive(routes, some.flatMap(edges));
      }),
      { numRuns: 4 },
    );
  });
});

describe('lanes', () => {
  const fill = () => {
    place([route(1, '0.0.0.0/0', 5), route(1, '::/0', 6)]);
    lookUpAll([at(1, '10.0.0.1'), at(1, '10.0.0.2'), at(1, 'fd00::1'), at(1, '10.0.0.3')]);
  };

  it('that are dropped stay as they are', () => {
    fill();
    burst.drop[1] = DROP.ecn;
    burst.dst.fill(777);
    lookUp(4, tableAt);
    expect(Array.from(burst.dst.subarray(0, 5))).toEqual([5, 777, 6, 5, 777]);
    expect(burst.drop[1]).toBe(DROP.ecn);
  });

  it('without an IP header have no route', () => {
    fill();
    burst.l3[0] = 0;
    burst.flags[3] = 0;
    burst.dst.fill(777);
    lookUp(4, tableAt);
    expect(Array.from(burst.dst.subarray(0, 4))).toEqual([0, 5, 6, 0]);
  });

  it('may be none', () => {
    burst.dst.fill(777);
    lookUp(0, tableAt);
    expect(burst.dst[0]).toBe(777);
  });
});

describe('a table', () => {
  const routes = [route(1, '10.0.0.0/8', 1), route(1, '10.128.0.0/9', 2)];
  const table = buildRouteTable(routes);

  it('fits its own size, writes nothing behind it, and stays away where there is one word less', () => {
    arena.bytes.fill(0xa5, arena.routeAt, arena.routeAt + 2 * HALF);
    expect(() => writeRouteTable(arena.words, tableAt, table.byteLength - 4, table)).toThrow(RangeError);
    expect(arena.bytes.subarray(arena.routeAt, arena.routeAt + 2 * HALF).every((byte) => byte === 0xa5)).toBe(true);
    writeRouteTable(arena.words, tableAt, table.byteLength, table);
    const behind = arena.bytes.subarray(tableAt + table.byteLength, tableAt + HALF);
    expect(arena.bytes.subarray(arena.routeAt, tableAt).every((byte) => byte === 0xa5)).toBe(true);
    expect(behind.every((byte) => byte === 0xa5)).toBe(true);
    expect(look(1, '10.1.1.1', '10.200.1.1')).toEqual([1, 2]);
  });

  it('lies at a multiple of 8 only', () => {
    expect(() => writeRouteTable(arena.words, tableAt + 4, HALF - 4, table)).toThrow(RangeError);
  });

  it('refuses what is no route', () => {
    expect(() => buildRouteTable([route(512, '10.0.0.0/8', 1)])).toThrow(RangeError);
    expect(() => buildRouteTable([route(-1, '10.0.0.0/8', 1)])).toThrow(RangeError);
    expect(() => buildRouteTable([route(1, '10.0.0.0/8', -1)])).toThrow(RangeError);
    expect(() =>
      buildRouteTable([{ network: 1, prefix: { address: fromText('10.0.0.0')!, prefixLength: 33 }, value: 1 }]),
    ).toThrow(RangeError);
  });

  it('is small for networks with a few prefixes each', () => {
    const many = Array.from({ length: 250 }, (_, n) => [
      route(n + 1, '10.42.1.0/24', 1),
      route(n + 1, '10.42.2.0/24', 2),
      route(n + 1, '10.42.3.0/24', 3),
      route(n + 1, '0.0.0.0/0', 4),
    ]).flat();
    expect(buildRouteTable(many).byteLength).toBeLessThan(20 * 1024);
  });
});

it('columns outside of the arena are refused', () => {
  expect(() => bindRouteLookup(arena, createBurst(), allocate)).toThrow(RangeError);
});
