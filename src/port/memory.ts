import type { Arena } from '../packet/arena.js';
import { slotStart } from '../packet/arena.js';
import { type Burst, LANES, NEEDS_CSUM, sharedInts } from '../packet/burst.js';
import type { Outbox } from '../packet/outbox.js';
import type { SlotPool } from '../packet/slots.js';
import { definePort, type Port } from './port.js';

/** Offload metadata of a frame that is injected, as virtio_net_hdr has it. */
export interface InjectedOffload {
  gsoType?: number;
  gsoSize?: number;
  csumStart: number;
  csumOffset: number;
}

export interface MemoryPortOptions {
  id: number;
  name: string;
  arena: Arena;
  burst: Burst;
  outbox: Outbox;
  /** Where injected frames are put. */
  pool: SlotPool;
  /** Frames that can wait. */
  queueMax?: number;
  /** Present the same frames for ever (load generator); their slots never go home. */
  isLoop?: boolean;
  /** Pretend to be a device with a virtio-net header and these offloads. */
  vnetHdrLen?: number;
  takesOffloads?: boolean;
  /** Sees message m of the outbox; without it messages are discarded. The result is bytes sent or -errno. */
  onMessage?: (m: number) => number;
}

export interface MemoryPort {
  readonly port: Port;
  /** Queues one frame at byte `offset` from the frame start (0 mod 64). False: queue or arena full. */
  inject(frame: Uint8Array, offload?: InjectedOffload, offset?: number): boolean;
  readonly waiting: number;
}

/** Frames from memory to memory: tests, load generators, and the device of a frame underlay. */
export function openMemoryPort(options: MemoryPortOptions): MemoryPort {
  const { arena, burst, outbox, pool } = options;
  const queueMax = options.queueMax ?? 1024;
  const isLoop = options.isLoop ?? false;
  const { slot, at, len, packets, gsoType, gsoSize, csumStart, csumOffset, flags, drop } = burst;
  const { msgFirst, msgCount, msgResult, extLen } = outbox;
  const column = () => sharedInts(queueMax);
  const q = {
    slot: column(),
    at: column(),
    len: column(),
    type: column(),
    size: column(),
    start: column(),
    offset: column(),
  };
  let first = 0;
  let waiting = 0;

  function rx(): number {
    const n = waiting < LANES ? waiting : LANES;
    for (let i = 0; i < n; i++) {
      slot[i] = q.slot[first];
      at[i] = q.at[first];
      len[i] = q.len[first];
      gsoType[i] = q.type[first];
      gsoSize[i] = q.size[first];
      csumStart[i] = q.start[first];
      csumOffset[i] = q.offset[first];
      flags[i] = q.start[first] > 0 ? NEEDS_CSUM : 0;
      packets[i] = 1;
      drop[i] = 0;
      if (++first === (isLoop ? waiting : queueMax)) first = 0;
    }
    if (!isLoop) waiting -= n;
    return n;
  }

  function discard(n: number): number {
    for (let m = 0; m < n; m++) {
      let bytes = 0;
      for (let e = msgFirst[m], end = e + msgCount[m]; e < end; e++) bytes += extLen[e];
      msgResult[m] = bytes;
    }
    return n;
  }

  function tx(n: number): number {
    if (options.onMessage === undefined) return discard(n);
    let sent = 0;
    for (let m = 0; m < n; m++) {
      msgResult[m] = options.onMessage(m);
      if (msgResult[m] >= 0) sent++;
    }
    return sent;
  }

  const port = definePort({
    id: options.id,
    name: options.name,
    rx,
    hasMore: () => waiting > 0,
    tx,
    release(n) {
      if (isLoop) return;
      for (let i = 0; i < n; i++) if (slot[i] >= 0) pool.give(slot[i]);
    },
    vnetHdrLen: options.vnetHdrLen ?? 0,
    takesPartialChecksum: options.takesOffloads ?? false,
    takesTso4: options.takesOffloads ?? false,
    takesTso6: options.takesOffloads ?? false,
    close() {
      while (!isLoop && waiting > 0) {
        pool.give(q.slot[first]);
        first = (first + 1) % queueMax;
        waiting--;
      }
    },
  });
  return {
    port,
    inject(frame, offload, offset = 0) {
      if (waiting === queueMax || frame.length > pool.capacity) return false;
      const s = pool.take();
      if (s < 0) return false;
      const k = (first + waiting) % queueMax;
      q.slot[k] = s;
      q.at[k] = slotStart(arena, s) + offset;
      q.len[k] = frame.length;
      q.type[k] = offload?.gsoType ?? 0;
      q.size[k] = offload?.gsoSize ?? 0;
      q.start[k] = offload?.csumStart ?? 0;
      q.offset[k] = offload?.csumOffset ?? 0;
      arena.bytes.set(frame, q.at[k]);
      waiting++;
      return true;
    },
    get waiting() {
      return waiting;
    },
  };
}

/** The bytes of message m, gathered into one array: for tests and capture files, not for hot paths. */
export function gatherMessage(arena: Arena, outbox: Outbox, m: number): Uint8Array {
  let total = 0;
  const end = outbox.msgFirst[m] + outbox.msgCount[m];
  for (let e = outbox.msgFirst[m]; e < end; e++) total += outbox.extLen[e];
  const out = new Uint8Array(total);
  let to = 0;
  for (let e = outbox.msgFirst[m]; e < end; e++) {
    const from = outbox.extAt[e];
    out.set(arena.bytes.subarray(from, from + outbox.extLen[e]), to);
    to += outbox.extLen[e];
  }
  return out;
}
