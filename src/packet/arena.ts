import { WeftError } from './error.js';

/**
 * The arena: one shared WebAssembly.Memory that holds every frame of a node.
 *
 *   page 0            left to the WASM kernels (they keep no static data; nothing of ours may lie at address 0)
 *   worker 0          small slots | large slots | header blocks | virtio-net headers | capture ring | columns
 *   worker 1          the same
 *   ...
 *   node              the MAC table (forward/macTable.ts) | the neighbour table (forward/neighbourTable.ts) | two halves for route tables (forward/routeTable.ts)
 *   DPDK              small slots | large slots: pools that devices of DPDK receive into, for all workers (native/dpdk)
 *
 * Each worker owns its partition: only it takes and gives its slots, so the free stacks need no lock. Everybody may read every slot.
 *
 *   slot:  | preamble 192 | headroom 256 | data and tailroom 2048 or 65408 |
 *                                         ^ frame start of L2 ports, 0 mod 64: outer header templates are then whole words
 *
 * The preamble has room for DPDK's object header (64) and mbuf (128), so that a mempool can be laid over the same slots; DPDK takes the second
 * half of the headroom as its own (128) and the first as the mbuf's private area. Measured: see ARCHITECTURE.md.
 * Strides are odd multiples of a cache line (39 and 1029 lines), so that equal offsets of neighbouring slots do not meet in one cache set.
 * The longest TCP superframe that Linux makes is 65,333 bytes (gso_max_size 65,536, VLAN tag, full options). A UDP_GRO super-datagram may be
 * longer, 65,507, and is received from the start of the headroom: it needs none, since decap only moves forward.
 */
export const PREAMBLE = 192;
export const HEADROOM = 256;
export const TAILROOM = 32;
export const SMALL_STRIDE = 2496;
export const LARGE_STRIDE = 65856;
export const SMALL_DATA = SMALL_STRIDE - PREAMBLE - HEADROOM - TAILROOM;
/** DPDK's 16-bit buffer length leaves 65,407 bytes behind its headroom. */
export const LARGE_DATA = 65407 - TAILROOM;
/** Room for a super-datagram, from the start of the headroom. */
export const DATAGRAM_DATA = 65407 + HEADROOM;

/** Bytes between two virtio-net headers of the rx scratch; the header itself is 10 or 12 bytes. */
export const VNET_STRIDE = 16;
const VNET_BYTES = 64 * VNET_STRIDE;

/** Room for a worker's columns and compiled tables; most of it are the header templates of 2048 peers. */
const COLUMNS_BYTES = 1664 * 1024;

const PAGE = 65536;
const PAGES_MAX = 32767;
const LINE = 64;

/** Memory of theirs is the machine's only once a device of DPDK is there. */
export interface DpdkSlots {
  small: number;
  large: number;
  /** No device of the configuration needs them: they are for one that a running node is given, and are left out of an arena that has no room. */
  isSpare?: boolean;
}

/** Sizes of the arena, the same for every worker. */
export interface ArenaShape {
  workers: number;
  smallSlots: number;
  largeSlots: number;
  /** Bytes for header blocks: 512 KiB cut a 64 KiB superframe at the smallest sensible MSS. */
  headerBytes: number;
  captureBytes: number;
  /** Bytes for the node's MAC table. */
  macBytes: number;
  /** Bytes for the table of IP neighbours; 0: no network answers for them. */
  neighbourBytes: number;
  /** Bytes for route tables: two halves, the one that workers read and the one that the next table is written to. 0: no L3 networks. */
  routeBytes: number;
  /** Slots for devices of DPDK, of the node as a whole; absent: none. */
  dpdkSlots?: DpdkSlots;
}

export const DEFAULT_SHAPE: Omit<ArenaShape, 'workers'> = {
  smallSlots: 256,
  largeSlots: 72,
  headerBytes: 512 * 1024,
  captureBytes: 1024 * 1024,
  macBytes: 1024 * 1024,
  neighbourBytes: 0,
  routeBytes: 0,
};

/** Byte positions of one worker's partition. Slot ids are global: small ones first in each partition. */
export interface Partition {
  smallAt: number;
  largeAt: number;
  headersAt: number;
  headersEnd: number;
  vnetAt: number;
  captureAt: number;
  captureBytes: number;
  /** The io block, and behind it what columnAllocator hands out: lanes, messages, compiled tables. */
  columnsAt: number;
  columnsEnd: number;
}

export interface Arena {
  readonly memory: WebAssembly.Memory;
  readonly shape: ArenaShape;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly view: DataView;
  readonly partitions: readonly Partition[];
  /** Where the MAC table lies. */
  readonly macAt: number;
  /** Where the neighbour table lies. */
  readonly neighbourAt: number;
  /** Where the first half of the route tables begins; the second is `routeBytes / 2` further. */
  readonly routeAt: number;
  /** Where DPDK's slots lie; their ids follow those of all workers. */
  readonly dpdkAt: number;
}

const align = (n: number, to: number) => Math.ceil(n / to) * to;

function layOut(shape: ArenaShape) {
  const partitions: Partition[] = [];
  let at = PAGE;
  for (let w = 0; w < shape.workers; w++) {
    const smallAt = at;
    const largeAt = smallAt + shape.smallSlots * SMALL_STRIDE;
    const headersAt = align(largeAt + shape.largeSlots * LARGE_STRIDE, LINE);
    const headersEnd = headersAt + shape.headerBytes;
    const vnetAt = align(headersEnd, LINE);
    const captureAt = align(vnetAt + VNET_BYTES, LINE);
    const columnsAt = align(captureAt + shape.captureBytes, LINE);
    const columnsEnd = columnsAt + COLUMNS_BYTES;
    const { captureBytes } = shape;
    partitions.push({
      smallAt,
      largeAt,
      headersAt,
      headersEnd,
      vnetAt,
      captureAt,
      captureBytes,
      columnsAt,
      columnsEnd,
    });
    at = align(columnsEnd, PAGE);
  }
  const neighbourAt = align(at + shape.macBytes, LINE);
  const routeAt = align(neighbourAt + shape.neighbourBytes, PAGE);
  const dpdkAt = align(routeAt + shape.routeBytes, PAGE);
  const end = align(dpdkAt + dpdkBytes(shape), PAGE);
  return { partitions, macAt: at, neighbourAt, routeAt, dpdkAt, end };
}

const dpdkBytes = ({ dpdkSlots }: ArenaShape) =>
  dpdkSlots === undefined ? 0 : dpdkSlots.small * SMALL_STRIDE + dpdkSlots.large * LARGE_STRIDE;

/** Positions in an arena of this shape stay below 2^31. */
export const isWithinReach = (shape: ArenaShape) => layOut(shape).end / PAGE <= PAGES_MAX;

/** Makes the memory of a node. It never grows: views and native pointers stay valid for its whole life. */
export function createArenaMemory(shape: ArenaShape): WebAssembly.Memory {
  const pages = layOut(shape).end / PAGE;
  if (pages > PAGES_MAX) {
    const megabytes = Math.ceil((pages * PAGE) / 2 ** 20);
    throw new WeftError('LIMIT', `slots and tables of ${megabytes} MiB are more than the 2 GiB that a node may have`, {
      remedy: 'give fewer slots in node.arena or node.dpdk, a lower macLimit of networks, or room for fewer workers',
    });
  }
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/** Views over an arena, for one thread. Make them once per isolate: hot code folds their base addresses. */
export function attachArena(memory: WebAssembly.Memory, shape: ArenaShape): Arena {
  const { buffer } = memory;
  return {
    memory,
    shape,
    bytes: new Uint8Array(buffer),
    words: new Int32Array(buffer),
    doubles: new Float64Array(buffer),
    view: new DataView(buffer),
    ...layOut(shape),
  };
}

/** Makes Int32Arrays for columns. */
export type Allocate = (words: number) => Int32Array;

/**
 * Columns of a worker, one after the other in its partition from byte `from` on, each at the start of a cache line. In the arena, because WASM
 * kernels read them too. A worker that is started again allocates the same columns in the same places; who looks at what one has left keeps
 * what is in them.
 */
export function columnAllocator(arena: Arena, worker: number, from: number, isKept = false): Allocate {
  const { columnsEnd } = arena.partitions[worker];
  let next = align(from, LINE);
  return (words) => {
    const column = new Int32Array(arena.memory.buffer, next, words);
    next = align(next + words * 4, LINE);
    if (next > columnsEnd) throw new RangeError('the columns of a worker do not fit their part of the arena');
    if (!isKept) column.fill(0);
    return column;
  };
}

export function slotsPerWorker(shape: ArenaShape): number {
  return shape.smallSlots + shape.largeSlots;
}

/** Byte position of a slot's frame start: behind preamble and headroom. */
export function slotStart(arena: Arena, slot: number): number {
  const { shape } = arena;
  const perWorker = slotsPerWorker(shape);
  const part = arena.partitions[Math.floor(slot / perWorker)]!;
  const local = slot % perWorker;
  return local < shape.smallSlots
    ? part.smallAt + local * SMALL_STRIDE + PREAMBLE + HEADROOM
    : part.largeAt + (local - shape.smallSlots) * LARGE_STRIDE + PREAMBLE + HEADROOM;
}
