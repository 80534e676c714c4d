import { readFileSync } from 'node:fs';
import { type Allocate, type Arena, HEADROOM, LARGE_STRIDE, PREAMBLE } from '../packet/arena.js';
import { type Burst, LANES } from '../packet/burst.js';
import type { Outbox } from '../packet/outbox.js';
import type { RxWindow } from '../packet/rxWindow.js';
import type { SlotPool } from '../packet/slots.js';
import type { CaptureInterface } from '../wire/captureInterface.js';

/** Interfaces of one file that the kernel can tell apart; further ones are read in TypeScript. */
export const PLAIN_INTERFACES = 64;

/** Words of a state: where a piece of a file is read or written, where it ends; then times, as [nanoseconds, seconds]. */
export const PIECE_AT = 0;
export const PIECE_END = 1;
/** When the last record was due. */
export const LAST = 2;
/** Records that are due then or later are left. */
export const BOUND = 4;

/** Of the rx window: where lane i lies. */
type Places = Pick<RxWindow, 'slots' | 'starts'>;

/** The kernel of capture files, capture.as.ts, bound to a worker's columns. Times and sources of lanes are shared by all capture devices. */
export interface CaptureKernel {
  readonly arena: Arena;
  readonly burst: Burst;
  readonly outbox: Outbox;
  /** Lane i lies in slot i of the window. */
  readonly window: Places;
  /** Argument and result of the functions that read, and of those that write. */
  readonly reading: Int32Array;
  readonly writing: Int32Array;
  readonly tickNanos: Int32Array;
  readonly lanes: LaneRecords;
  /**
   * Interfaces of every section of every input, where outputs keep them; null where they do not. Interface i of section s is source
   * s * INTERFACES_MAX + i.
   */
  sections: { readonly interfaces: readonly CaptureInterface[] }[] | null;
  /** The time of day, unless replay puts its own clock here. */
  now: () => CaptureNow;
  /** Packets are written with the time of `now`, and not with that of their records. */
  isRealTime: boolean;
  fillPcap(state: number, lane: number, lanesEnd: number, nanos: number, capacity: number, source: number): number;
  fillPcapng(state: number, lane: number, lanesEnd: number, count: number, capacity: number, first: number): number;
  laneOf(message: number): number;
  gather(message: number, to: number): number;
  messageBytes(message: number): number;
  writePcap(state: number, from: number, end: number, nanos: number, spare: number): number;
  writePcapng(state: number, from: number, end: number, nanos: number, spare: number, id: number): number;
}

/** What the records of the present burst say beside their bytes: there is one burst at a time, whichever device brought it. */
export interface LaneRecords {
  /** [nanoseconds, seconds] by lane. */
  readonly times: Int32Array;
  /** Number of the interface that the record stood at, see CaptureInput.firstSource. */
  readonly sources: Int32Array;
  /** Options of the record that go along with the packet, or null. Only valid while `hasOptions`. */
  readonly options: (Uint8Array | null)[];
  hasOptions: boolean;
  /** All lanes have the source of lane 0. */
  isOneSource: boolean;
  /** Lanes of the burst; 0 while there is none, or it came from a device that is no capture. */
  count: number;
}

/** Time for what no capture brought. */
export interface CaptureNow {
  seconds: number;
  nanoseconds: number;
}

/** What capture devices are bound to in one worker. */
export interface CaptureContext {
  arena: Arena;
  allocate: Allocate;
  burst: Burst;
  outbox: Outbox;
  window: Places;
  /** Large slots that the window leaves: pieces of files lie there. */
  pool: SlotPool;
}

type Exports = CaptureKernel & {
  bindLanes(...addresses: number[]): void;
  bindMessages(...addresses: number[]): void;
};

const present: CaptureNow = { seconds: 0, nanoseconds: 0 };

function timeOfDay(): CaptureNow {
  const micros = Math.floor((performance.timeOrigin + performance.now()) * 1000);
  present.seconds = Math.floor(micros / 1e6);
  present.nanoseconds = (micros % 1e6) * 1000;
  return present;
}

export function bindCaptureKernel(context: CaptureContext): CaptureKernel {
  const { arena, allocate, burst, outbox, window } = context;
  const module = new WebAssembly.Module(readFileSync(new URL('./capture.wasm', import.meta.url)));
  const exports = new WebAssembly.Instance(module, { env: { memory: arena.memory } }).exports as unknown as Exports;
  // The kernel computes the place of a lane, and the lane of a place.
  for (let i = 1; i < LANES; i++)
    if (window.starts[i] !== window.starts[0] + i * LARGE_STRIDE || window.slots[i] !== window.slots[0] + i)
      throw new RangeError('the slots of the rx window do not follow one another');
  if (PREAMBLE + HEADROOM !== 448) throw new RangeError('the capture kernel knows another headroom');
  const times = allocate(2 * LANES);
  const sources = allocate(LANES);
  const tickNanos = allocate(PLAIN_INTERFACES);
  const addresses = [times, sources, tickNanos].map((column) => column.byteOffset);
  exports.bindLanes(burst.slot.byteOffset, window.starts[0], window.slots[0], ...addresses);
  const { msgFirst, msgCount, msgResult, extAt, extLen } = outbox;
  exports.bindMessages(...[msgFirst, msgCount, msgResult, extAt, extLen].map((column) => column.byteOffset));
  const { fillPcap, fillPcapng, laneOf, gather, messageBytes, writePcap, writePcapng } = exports;
  return {
    arena,
    burst,
    outbox,
    window,
    reading: allocate(16),
    writing: allocate(16),
    tickNanos,
    lanes: {
      times,
      sources,
      options: new Array(LANES).fill(null),
      hasOptions: false,
      isOneSource: true,
      count: 0,
    },
    sections: null,
    now: timeOfDay,
    isRealTime: false,
    fillPcap,
    fillPcapng,
    laneOf,
    gather,
    messageBytes,
    writePcap,
    writePcapng,
  };
}
