import type { Arena } from '../packet/arena.js';
import { slotStart } from '../packet/arena.js';
import { type Burst, HAS_GSO, LANES, NEEDS_CSUM, sharedInts } from '../packet/burst.js';
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

/** One frame that waits: words of the queue. */
const SLOT = 0;
const AT = 1;
const LEN = 2;
const GSO_TYPE = 3;
const GSO_SIZE = 4;
const CSUM_START = 5;
const CSUM_OFFSET = 6;
const ENTRY = 8;

/**
 * Frames from memory to memory: tests, load generators, and the device of a frame underlay. The loops exist once per worker; a port only adds
 * its queue, one flat array (see port/tap.ts for why).
 */
export function bindMemoryPorts(arena: Arena, burst: Burst, outbox: Outbox, pool: SlotPool) {
  const { slot, at, len, packets, gsoType, gsoSize, csumStart, csumOffset, flags, drop } = burst;
  const { msgFirst, msgResult, extLen } = outbox;

  // Imported constants are cells that V8 loads and checks at every use; local ones are folded into the code.
  const lanes = LANES;
  const needsCsum = NEEDS_CSUM;
  const hasGso = HAS_GSO;

  function fillLanes(queue: Int32Array, first: number, n: number, wrapAt: number): void {
    let q = first * ENTRY;
    const end = wrapAt * ENTRY;
    for (let i = 0; i < n; i++) {
      slot[i] = queue[q + SLOT];
      at[i] = queue[q + AT];
      len[i] = queue[q + LEN];
      packets[i] = 1;
      drop[i] = 0;
      flags[i] = 0;
      gsoType[i] = 0;
      if (queue[q + CSUM_START] > 0) {
        gsoType[i] = queue[q + GSO_TYPE];
        flags[i] = needsCsum | (gsoType[i] !== 0 ? hasGso : 0);
        gsoSize[i] = queue[q + GSO_SIZE];
        csumStart[i] = queue[q + CSUM_START];
        csumOffset[i] = queue[q + CSUM_OFFSET];
      }
      q += ENTRY;
      if (q === end) q = 0;
    }
  }

  function discard(n: number): number {
    for (let m = 0; m < n; m++) msgResult[m] = extLen[msgFirst[m]];
    return n;
  }

  function releaseSlots(n: number): void {
    for (let i = 0; i < n; i++) if (slot[i] >= 0) pool.give(slot[i]);
  }

  return function openMemoryPort(options: MemoryPortOptions): MemoryPort {
    const queueMax = options.queueMax ?? 1024;
    const isLoop = options.isLoop ?? false;
    const queue = sharedInts(queueMax * ENTRY);
    const { onMessage } = options;
    let first = 0;
    let waiting = 0;

    function rx(): number {
      const n = waiting < lanes ? waiting : lanes;
      const wrapAt = isLoop ? waiting : queueMax;
      fillLanes(queue, first, n, wrapAt);
      first += n;
      if (first >= wrapAt) first -= wrapAt;
      if (!isLoop) waiting -= n;
      return n;
    }

    function tx(n: number): number {
      if (onMessage === undefined) return discard(n);
      let sent = 0;
      for (let m = 0; m < n; m++) {
        msgResult[m] = onMessage(m);
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
      release: isLoop ? () => {} : releaseSlots,
      vnetHdrLen: options.vnetHdrLen ?? 0,
      takesPartialChecksum: options.takesOffloads ?? false,
      takesTso4: options.takesOffloads ?? false,
      takesTso6: options.takesOffloads ?? false,
      takesUso: options.takesOffloads ?? false,
      close() {
        for (; !isLoop && waiting > 0; waiting--) {
          pool.give(queue[first * ENTRY + SLOT]);
          first = (first + 1) % queueMax;
        }
      },
    });
    return {
      port,
      inject(frame, offload, offset = 0) {
        if (waiting === queueMax || frame.length > pool.capacity) return false;
        const s = pool.take();
        if (s < 0) return false;
        const q = ((first + waiting) % queueMax) * ENTRY;
        queue[q + SLOT] = s;
        queue[q + AT] = slotStart(arena, s) + offset;
        queue[q + LEN] = frame.length;
        queue[q + GSO_TYPE] = offload?.gsoType ?? 0;
        queue[q + GSO_SIZE] = offload?.gsoSize ?? 0;
        queue[q + CSUM_START] = offload?.csumStart ?? 0;
        queue[q + CSUM_OFFSET] = offload?.csumOffset ?? 0;
        arena.bytes.set(frame, queue[q + AT]);
        waiting++;
        return true;
      },
      get waiting() {
        return waiting;
      },
    };
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
