// DPDK over a small arena, in this process: EAL without huge pages, pools, a queue bound to lane columns of its own.
import { dpdk, type LaneLayout, QUEUE_WORDS } from '../../src/native/dpdk.js';
import { LARGE_STRIDE, SMALL_STRIDE } from '../../src/packet/arena.js';
import { ealArguments } from '../../src/worker/dpdkFrames.js';

export const SMALL = 1024;
export const LARGE = 512;
export const HEADS = 2048;
export const FIRST_SLOT = 10;
/** Slots of worker 0 itself, ids 0 to 7. */
export const OWN = 8;
const PAGE = 65536;
const SMALL_AT = 4 * PAGE;
const LARGE_AT = SMALL_AT + SMALL * SMALL_STRIDE;
const OWN_AT = LARGE_AT + LARGE * LARGE_STRIDE;
/** Words of the io block, and the columns of one. */
const MESSAGES = 64;
export const LAYOUT = {
  messages: MESSAGES,
  extents: 256,
  msgFirst: 0,
  msgCount: 64,
  msgResult: 128,
  extAt: 256,
  extLen: 512,
};

export const addon = () => dpdk();
export const EAL = ealArguments({
  memoryMb: 64,
  hugepages: false,
  cores: null,
  prefix: null,
  pci: false,
  idle: 'interrupt',
});

export function makeArena() {
  const pages = Math.ceil((OWN_AT + OWN * LARGE_STRIDE) / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const holders = new Int32Array(new SharedArrayBuffer((FIRST_SLOT + SMALL + LARGE) * 4));
  return { memory, arena: new Uint8Array(memory.buffer), holders };
}

export function layFrames({ arena, holders }: ReturnType<typeof makeArena>): number {
  dpdk().start(EAL);
  return dpdk().layFrames({
    arena,
    holders,
    small: { at: SMALL_AT, count: SMALL, stride: SMALL_STRIDE },
    large: { at: LARGE_AT, count: LARGE, stride: LARGE_STRIDE },
    firstSlot: FIRST_SLOT,
    heads: HEADS,
    workers: [{ at: OWN_AT, count: OWN, stride: LARGE_STRIDE, firstSlot: 0 }],
  });
}

/** Where the frame of a slot starts: behind preamble and headroom. */
export function frameStart(slot: number): number {
  const local = slot - FIRST_SLOT;
  return (local < SMALL ? SMALL_AT + local * SMALL_STRIDE : LARGE_AT + (local - SMALL) * LARGE_STRIDE) + 448;
}

/** Where the frame of a slot of worker 0 itself starts, and how many mbufs of DPDK point into it. */
export const ownStart = (slot: number) => OWN_AT + slot * LARGE_STRIDE + 448;
export const ownReferences = (arena: Uint8Array, slot: number) =>
  new DataView(arena.buffer).getUint16(ownStart(slot) - 448 + 16, true) - 1;

/** Columns of worker `place` in the first pages of the arena. */
export function columnsOf(memory: WebAssembly.Memory, place = 0, lanes = 64) {
  const base = PAGE + place * 8192;
  const names = [
    'slot',
    'at',
    'len',
    'packets',
    'gsoType',
    'gsoSize',
    'csumStart',
    'csumOffset',
    'flags',
    'drop',
  ] as const;
  const layout = { lanes, needsCsum: 64, hasGso: 1024, truncated: 3 } as LaneLayout;
  const columns = {} as Record<(typeof names)[number], Int32Array>;
  for (const [i, name] of names.entries()) {
    layout[name] = base + 4096 + i * 256;
    columns[name] = new Int32Array(memory.buffer, layout[name], 64);
  }
  const io = new Int32Array(memory.buffer, base, 1024);
  return { io, layout, columns, state: new Int32Array(new SharedArrayBuffer(QUEUE_WORDS * 4)) };
}

/** Makes message m of one extent. */
export function message(io: Int32Array, m: number, at: number, len: number): void {
  io[LAYOUT.msgFirst + m] = m;
  io[LAYOUT.msgCount + m] = 1;
  io[LAYOUT.extAt + m] = at;
  io[LAYOUT.extLen + m] = len;
}
