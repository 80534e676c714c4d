// The addon over devices of DPDK (native/dpdk, C++): its types, and a lazy loader. It is there only where DPDK was when weft was built.
//
// Control functions throw an Error with `code`, `errno` and `syscall` (the name of DPDK's function) when a call of DPDK failed, a TypeError or
// RangeError for an argument. The functions of a bound queue are for the turn: they take whole numbers and return numbers.

import { createRequire } from 'node:module';
import { WeftError } from '../packet/error.js';
import type { ArenaBytes, IoWords } from './io.js';

/** Slots in a row, from byte `at` of the arena on. */
export interface SlotRow {
  at: number;
  count: number;
  /** Bytes: an odd number of cache lines. */
  stride: number;
}

export interface FramesRequest {
  arena: ArenaBytes;
  /** One word a slot: 0 while DPDK has it, 1 + place while a worker does. */
  holders: Int32Array;
  small: SlotRow;
  large: SlotRow;
  /** Id of the first small slot, its word in `holders`; the large ones follow. */
  firstSlot: number;
  /** Buffers of DPDK's own memory: for headers, and for frames that are copied. */
  heads: number;
  /** Large slots of the workers, by place: DPDK keeps account of them in their preambles. */
  workers?: (SlotRow & { firstSlot: number })[];
}

export interface PoolState {
  total: number;
  free: number;
}

export interface FramesState {
  small: PoolState;
  large: PoolState;
  heads: PoolState;
}

export interface DeviceRequest {
  devargs: string;
  /** For each direction; a device may give fewer. */
  queues: number;
  /** Bytes; of no effect on devices that have none. */
  mtu: number;
  /** Receive into large slots. */
  superframes: boolean;
  /** Wanted TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6. */
  offloads: number;
  frames: number;
  /** Rx interrupts, where the driver has them. */
  interrupts?: boolean;
}

export interface DpdkDevice {
  port: number;
  driver: string;
  mac: string;
  queues: number;
  /** TUN_F_* bits in force, or the most that can be: see QUEUE_OFFLOADS. */
  offloads: number;
  mtu: number;
  /** Sends frames of several pieces. */
  chains: boolean;
  /** By rx queue: descriptors that a sleeping worker watches edge-triggered, the interrupt and the bell. Empty without interrupts. */
  wakes: number[][];
}

/** DPDK's own figures of a device. */
export interface DpdkState {
  up: boolean;
  speedMbps: number;
  /** Queues that the machine behind a vhost-user device has enabled; of other devices all of them. */
  queuesEnabled: number;
  /** Queues of the machine behind a vhost-user device, enabled or not; 0 without one. */
  machineQueues: number;
  /** Feature bits of virtio that it has agreed to; 0 without one. */
  machineFeatures: number;
  rxPackets: number;
  txPackets: number;
  missed: number;
  rxErrors: number;
  txErrors: number;
  noBuffers: number;
}

export interface QueueRequest {
  frames: number;
  port: number;
  /** Read in turn; none: other workers read. */
  rxQueues: number[];
  txQueue: number;
  /** Messages begin with a virtio-net header of 12 bytes. */
  vnet: boolean;
  chains: boolean;
  /** Of the worker, for the holder column. */
  place: number;
}

/** Byte positions of the lane columns in the arena, values of the flags column, and the drop reason of what is not in one piece. */
export interface LaneLayout {
  lanes: number;
  slot: number;
  at: number;
  len: number;
  packets: number;
  gsoType: number;
  gsoSize: number;
  csumStart: number;
  csumOffset: number;
  flags: number;
  drop: number;
  needsCsum: number;
  hasGso: number;
  truncated: number;
}

/** Columns of the io block that tx uses, in words. */
export interface MessageLayout {
  messages: number;
  extents: number;
  msgFirst: number;
  msgCount: number;
  msgResult: number;
  extAt: number;
  extLen: number;
}

/** Words of the state of a queue. */
/** Extents that were copied, and their bytes; wrapping. */
export const QUEUE_COPIED = 1;
export const QUEUE_COPIED_BYTES = 2;
/** Messages that found no buffer for their headers. */
export const QUEUE_NO_HEADS = 3;
/** Extents sent from where they lie, beside headers. */
export const QUEUE_CHAINED = 4;
/** TUN_F_* bits that the device takes now: the machine behind a vhost-user device agrees to them anew whenever it connects. */
export const QUEUE_OFFLOADS = 5;
/** Extents that were sent from a slot of weft's, where they lie. */
export const QUEUE_EXTERNAL = 6;
/** Not 0: the device keeps such slots, or copies were made because too few are spare. JavaScript sets it back. */
export const QUEUE_AWAY = 7;
export const QUEUE_WORDS = 16;

export interface Queue {
  /** Fills the lanes; returns their number. They are the worker's until sent or released. */
  rx(): number;
  /** Sends messages 0..n; shared 1: others send the same slots, too. msgResult as everywhere. Returns how many went. */
  tx(n: number, shared: number): number;
  /** Frees what is left of lanes 0..n. */
  release(n: number): number;
  /** Leaves its rx queues to other workers, and receives nothing from then on. */
  close(): number;
  /** Of the calling thread, for all of its queues: how many of its slots devices may keep until the next call of this. */
  spare(n: number): number;
}

export interface SocketConnections {
  accepted: string[];
  connected: string[];
}

export interface Dpdk {
  version(): string;
  /** Starts DPDK with arguments of its EAL. Once a process: the same again is no error, others are EBUSY. */
  start(args: string[]): void;
  layFrames(request: FramesRequest): number;
  framesState(frames: number): FramesState;
  /** Frees what the worker of a place held, after its thread has ended; returns the number of slots. */
  sweep(frames: number, place: number): number;
  dropFrames(frames: number): void;
  /** EFAULT and ENODEV: no such driver; EEXIST: the name is taken. */
  open(request: DeviceRequest): DpdkDevice;
  close(port: number): void;
  state(port: number): DpdkState;
  /** Asks for interrupts of an rx queue (1), or for none (0); 0 or a negative errno. What came before is seen by a receive after it. */
  interrupt(port: number, queue: number, isWanted: number): number;
  /** What DPDK has logged since the last call, and weft's own lines about its devices; a line each. */
  takeLog(): string;
  /** Whether a process has its UNIX socket at the path, in whichever network namespace; who listens there does not hear of it. */
  isHeld(path: string): boolean;
  /** Connected UNIX sockets of this process, by the path that they were accepted from or connected to. */
  connections(): SocketConnections;
  bindQueue(request: QueueRequest, io: IoWords, layout: MessageLayout, lanes: LaneLayout, state: Int32Array): Queue;
}

// The same way up from src/native and from dist/native.
const ADDON = '../../native/dpdk/weft_dpdk.node';

let loaded: Dpdk | undefined;

/** The addon, loaded at the first call, or one sentence that says what to install. */
export function dpdk(): Dpdk {
  loaded ??= load();
  return loaded;
}

/** The addon, if something has loaded it. */
export const loadedDpdk = (): Dpdk | undefined => loaded;

function load(): Dpdk {
  const require = createRequire(import.meta.url);
  try {
    return require(ADDON) as Dpdk;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    const why = missing ? 'weft was built without DPDK' : `the DPDK addon does not load: ${(cause as Error).message}`;
    throw new WeftError('UNAVAILABLE', `ports of type dpdk and vhost-user need DPDK, and ${why}`, {
      object: 'DPDK addon',
      remedy: 'run `apt-get install libdpdk-dev g++ pkg-config make` and then `npm run build` in the source tree',
      cause,
    });
  }
}
