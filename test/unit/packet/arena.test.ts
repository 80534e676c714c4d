import { describe, expect, it } from 'vitest';
import {
  type ArenaShape,
  attachArena,
  createArenaMemory,
  DATAGRAM_DATA,
  DEFAULT_SHAPE,
  HEADROOM,
  isWithinReach,
  LARGE_DATA,
  LARGE_STRIDE,
  PREAMBLE,
  SMALL_DATA,
  SMALL_STRIDE,
  slotStart,
  slotsPerWorker,
  TAILROOM,
  VNET_STRIDE,
} from '../../../src/packet/arena.js';

const shapes: ArenaShape[] = [
  {
    workers: 1,
    smallSlots: 1,
    largeSlots: 1,
    headerBytes: 4096,
    captureBytes: 4096,
    macBytes: 4096,
    neighbourBytes: 0,
    routeBytes: 0,
  },
  {
    workers: 3,
    smallSlots: 7,
    largeSlots: 5,
    headerBytes: 10_000,
    captureBytes: 5_000,
    macBytes: 4096,
    neighbourBytes: 5_000,
    routeBytes: 10_000,
  },
  { workers: 2, ...DEFAULT_SHAPE },
];

interface Region {
  what: string;
  at: number;
  end: number;
}

/** Everything that the arena promises to somebody, as byte ranges. */
function regions(shape: ArenaShape): Region[] {
  const arena = attachArena(createArenaMemory(shape), shape);
  const out: Region[] = [{ what: 'page 0', at: 0, end: 65536 }];
  arena.partitions.forEach((p, w) => {
    for (let s = 0; s < slotsPerWorker(shape); s++) {
      const slot = w * slotsPerWorker(shape) + s;
      const at = slotStart(arena, slot) - HEADROOM - PREAMBLE;
      out.push({ what: `slot ${slot}`, at, end: at + (s < shape.smallSlots ? SMALL_STRIDE : LARGE_STRIDE) });
    }
    out.push({ what: `headers ${w}`, at: p.headersAt, end: p.headersEnd });
    out.push({ what: `vnet ${w}`, at: p.vnetAt, end: p.vnetAt + 64 * VNET_STRIDE });
    out.push({ what: `capture ${w}`, at: p.captureAt, end: p.captureAt + p.captureBytes });
  });
  out.push({ what: 'MAC table', at: arena.macAt, end: arena.macAt + shape.macBytes });
  out.push({ what: 'neighbour table', at: arena.neighbourAt, end: arena.neighbourAt + shape.neighbourBytes });
  out.push({ what: 'route tables', at: arena.routeAt, end: arena.routeAt + shape.routeBytes });
  return out.sort((a, b) => a.at - b.at);
}

describe.each(shapes)('an arena of $workers workers, $smallSlots small and $largeSlots large slots', (shape) => {
  it('gives no byte to two', () => {
    const all = regions(shape);
    for (let i = 1; i < all.length; i++) {
      const gap = all[i].at - all[i - 1].end;
      expect(gap, `${all[i - 1].what} reaches into ${all[i].what}`).toBeGreaterThanOrEqual(0);
    }
  });

  it('lies within its memory, which does not grow', () => {
    const memory = createArenaMemory(shape);
    expect(regions(shape).at(-1)?.end).toBeLessThanOrEqual(memory.buffer.byteLength);
    expect(() => memory.grow(1)).toThrow(RangeError);
    expect(memory.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  it('starts frames, headers and captures on cache lines', () => {
    const arena = attachArena(createArenaMemory(shape), shape);
    for (let s = 0; s < shape.workers * slotsPerWorker(shape); s++) expect(slotStart(arena, s) % 64, `${s}`).toBe(0);
    for (const p of arena.partitions) {
      for (const at of [p.smallAt, p.largeAt, p.headersAt, p.vnetAt, p.captureAt]) expect(at % 64).toBe(0);
    }
  });

  it('keeps every worker in pages of its own', () => {
    const arena = attachArena(createArenaMemory(shape), shape);
    arena.partitions.forEach((p, w) => {
      expect(p.smallAt % 65536).toBe(0);
      const next = arena.partitions[w + 1];
      if (next) expect(p.captureAt + p.captureBytes).toBeLessThanOrEqual(next.smallAt);
    });
  });
});

describe('the numbers of slots', () => {
  it('has strides of an odd number of cache lines', () => {
    for (const stride of [SMALL_STRIDE, LARGE_STRIDE]) {
      expect(stride % 64).toBe(0);
      expect((stride / 64) % 2).toBe(1);
    }
  });

  it('has room for what the kernel and DPDK hand over', () => {
    // struct rte_mempool_objhdr on a line of its own, struct rte_mbuf on two.
    expect(PREAMBLE).toBe(64 + 128);
    // Outer Ethernet with a VLAN tag, IPv6, UDP and VXLAN.
    expect(HEADROOM).toBeGreaterThanOrEqual(18 + 40 + 8 + 8);
    expect(SMALL_DATA).toBeGreaterThanOrEqual(2000);
    // The longest frame of a TAP with gso_max_size 65,536, and the longest datagram of IPv4.
    expect(LARGE_DATA).toBeGreaterThanOrEqual(65_333);
    expect(DATAGRAM_DATA).toBeGreaterThanOrEqual(65_507);
    expect(LARGE_DATA).toBeLessThanOrEqual(65_407);
  });

  it('keeps data and tailroom inside of the stride', () => {
    expect(PREAMBLE + HEADROOM + SMALL_DATA + TAILROOM).toBeLessThanOrEqual(SMALL_STRIDE);
    expect(PREAMBLE + HEADROOM + LARGE_DATA + TAILROOM).toBeLessThanOrEqual(LARGE_STRIDE);
    expect(PREAMBLE + DATAGRAM_DATA).toBeLessThanOrEqual(LARGE_STRIDE);
  });

  it('cuts a superframe of the smallest sensible segments without running out of headers', () => {
    expect(DEFAULT_SHAPE.headerBytes).toBeGreaterThanOrEqual((65_535 / 536) * 256);
  });
});

it('refuses an arena whose positions would not fit a signed word', () => {
  const tooLarge = { workers: 300, ...DEFAULT_SHAPE, largeSlots: 200 };
  expect(isWithinReach(tooLarge)).toBe(false);
  expect(() => createArenaMemory(tooLarge)).toThrow(expect.objectContaining({ code: 'LIMIT' }));
});

it('shows the same memory to all threads that attach to it', () => {
  const shape = shapes[0];
  const memory = createArenaMemory(shape);
  const one = attachArena(memory, shape);
  const other = attachArena(memory, shape);
  one.bytes[70_000] = 0x12;
  one.bytes[70_003] = 0x80;
  expect(other.words[70_000 / 4]).toBe(0x80000012 | 0);
  expect(other.view.getUint8(70_000)).toBe(0x12);
});
