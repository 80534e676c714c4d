import { type Dpdk, QUEUE_AWAY, QUEUE_OFFLOADS, QUEUE_WORDS } from '../native/dpdk.js';
import type { Arena } from '../packet/arena.js';
import { type Burst, HAS_GSO, LANES, NEEDS_CSUM, sharedInts } from '../packet/burst.js';
import { DROP } from '../packet/drop.js';
import { TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, VNET_LEN } from '../packet/offload.js';
import {
  beginReceiveLanes,
  beginSend,
  IN_HAND_RX,
  IN_HAND_TX,
  IO_LAYOUT,
  IS_SHARED,
  type Outbox,
} from '../packet/outbox.js';
import type { RxWindow } from '../packet/rxWindow.js';
import { definePort, type Port } from './port.js';

export interface DpdkPortOptions {
  id: number;
  name: string;
  /** Counter row of what is sent. */
  row: number;
  /** The device of a frame underlay: no virtio-net header in front of its messages. */
  isUnderlay: boolean;
  frames: number;
  device: number;
  rxQueues: number[];
  txQueue: number;
  offloads: number;
  chains: boolean;
}

/**
 * One worker's devices of DPDK. Native code fills the lanes itself: a received mbuf is a slot of the arena, and a lane names it.
 *
 * A frame that leaves as one piece leaves as the mbuf that it came in. Everything else (headers in front of a shared payload, segments, frames
 * of kernel devices) is a mbuf of DPDK's own, with windows into received slots where the device takes chains and copies where not.
 */
export function bindDpdkPorts(arena: Arena, burst: Burst, outbox: Outbox, window: RxWindow, place: number, dpdk: Dpdk) {
  const { inHand, io, cursor } = outbox;
  const { worn } = window;
  const inHandRx = IN_HAND_RX;
  const inHandTx = IN_HAND_TX;
  const lanes = {
    lanes: LANES,
    slot: burst.slot.byteOffset,
    at: burst.at.byteOffset,
    len: burst.len.byteOffset,
    packets: burst.packets.byteOffset,
    gsoType: burst.gsoType.byteOffset,
    gsoSize: burst.gsoSize.byteOffset,
    csumStart: burst.csumStart.byteOffset,
    csumOffset: burst.csumOffset.byteOffset,
    flags: burst.flags.byteOffset,
    drop: burst.drop.byteOffset,
    needsCsum: NEEDS_CSUM,
    hasGso: HAS_GSO,
    truncated: DROP.truncated,
  };
  if (burst.slot.buffer !== arena.memory.buffer) throw new TypeError('lane columns must lie in the arena');

  return function openDpdkPort(options: DpdkPortOptions): Port {
    const { frames, device, rxQueues, txQueue, chains, row, isUnderlay } = options;
    const state = sharedInts(QUEUE_WORDS);
    const vnet = !isUnderlay && (options.offloads & TUN_F_CSUM) !== 0;
    const queue = dpdk.bindQueue(
      { frames, port: device, rxQueues, txQueue, vnet, chains, place },
      io,
      IO_LAYOUT,
      lanes,
      state,
    );
    const { rx, tx, release } = queue;
    window.keepSpares(queue.spare);
    const away = QUEUE_AWAY;
    const offloads = QUEUE_OFFLOADS;
    let last = 0;
    let taken = 0;

    /** What the machine behind the device takes, as of the last call. */
    function look(): void {
      taken = state[offloads];
      port.takesPartialChecksum = vnet && (taken & TUN_F_CSUM) !== 0;
      port.takesTso4 = vnet && (taken & TUN_F_TSO4) !== 0;
      port.takesTso6 = vnet && (taken & TUN_F_TSO6) !== 0;
    }

    const port = definePort({
      id: options.id,
      name: options.name,
      rx() {
        beginReceiveLanes(inHand, row);
        last = rx();
        inHand[inHandRx] = last;
        if (state[offloads] !== taken) look();
        return last;
      },
      hasMore: () => last === LANES,
      tx(n) {
        // Copies for several peers of an underlay have headers of their own in front.
        beginSend(inHand, row);
        const went = tx(n, isUnderlay ? 0 : cursor[IS_SHARED]);
        inHand[inHandTx] = n;
        if (state[offloads] !== taken) look();
        if (state[away] !== 0) {
          state[away] = 0;
          worn[0] = 1;
        }
        return went;
      },
      release(n) {
        release(n);
      },
      vnetHdrLen: vnet ? VNET_LEN : 0,
      takesPartialChecksum: false,
      takesTso4: false,
      takesTso6: false,
      takesUso: false,
      close() {
        queue.close();
      },
    });
    return port;
  };
}
