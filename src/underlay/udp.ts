import type { Tun } from '../native/tun.js';
import type { Arena } from '../packet/arena.js';
import { type Burst, LANES } from '../packet/burst.js';
import { UNDERLAY_ROW } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import {
  beginReceive,
  beginSend,
  IN_HAND_RX,
  IN_HAND_TX,
  IO_LAYOUT,
  type Outbox,
  RX_TRUNCATED,
} from '../packet/outbox.js';
import type { RxWindow } from '../packet/rxWindow.js';
import { bindOverflow } from './overflow.js';
import { readSendErrors } from './sendErrors.js';
import { defineSocketUnderlay, type SocketUnderlay } from './underlay.js';

/**
 * Kernel UDP sockets as underlay: one receiving socket per worker (SO_REUSEPORT), one sending socket per source port.
 *
 * A datagram that UDP_GRO joined stays where it lies: it is cut into lanes by its segment size, up to 64 of them, without a copy.
 */

/** Super-datagrams taken by one receive call: 512 KB stay in the second-level cache. Plain datagrams come 64 at a time. */
const RX_SUPER = 8;

/** UDP_SEGMENT takes 64 segments before Linux 6.9; the kernel counts the UDP header against the limit, so one is left free. */
const SEGMENTS_MAX = 63;

export interface UdpOptions {
  id: number;
  name: string;
  /** Kind number of the tunnel (lane column `tunnel`). */
  tunnel: number;
  rxFd: number;
  txFds: number[];
  segment: boolean;
  tos: number;
  deliverOffloadLeak: boolean;
}

export function bindUdpUnderlays(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  window: RxWindow,
  destinations: Int32Array,
  tun: Tun,
) {
  const { slot, at, len, packets, gsoType, flags, drop, from, outerTos, tunnel } = burst;
  const { rxDatagramAt, rxLen, rxGso, rxTos, rxFlags, inHand, io } = outbox;
  const { slots, worn } = window;
  const inHandRx = IN_HAND_RX;
  const inHandTx = IN_HAND_TX;
  const layout = { ...IO_LAYOUT, rxAt: IO_LAYOUT.rxDatagramAt, rxCap: IO_LAYOUT.rxDatagramCap };
  // Progress through the datagrams of the last rx. One set for all underlays of the worker: a receive is always handed out whole.
  let received = 0;
  let datagram = 0;
  let offset = 0;
  let sawSuper = true;
  let kind = 0;

  function nextLanes(): number {
    let n = 0;
    while (datagram < received && n < LANES) {
      const total = rxLen[datagram];
      const size = rxGso[datagram] > 0 ? rxGso[datagram] : total;
      // A super-datagram stays in one burst where it can: its segments become one superframe again (44 instead of 29 on average).
      if (n > 0 && offset === 0 && n + (((total + size - 1) / size) | 0) > LANES) break;
      const truncated = (rxFlags[datagram] & RX_TRUNCATED) !== 0;
      // An empty datagram is a lane of its own, so that it is counted; a super-datagram's tail may be shorter than its segments.
      const bytes = size < total - offset ? size : total - offset;
      slot[n] = slots[datagram];
      at[n] = rxDatagramAt[datagram] + offset;
      len[n] = bytes;
      from[n] = datagram;
      outerTos[n] = rxTos[datagram];
      tunnel[n] = kind;
      packets[n] = 1;
      gsoType[n] = 0;
      flags[n] = 0;
      drop[n] = truncated ? DROP.truncated : 0;
      n++;
      offset += bytes;
      if (offset >= total) {
        offset = 0;
        datagram++;
      }
    }
    return n;
  }

  return function openUdpUnderlay(options: UdpOptions): SocketUnderlay {
    const nativeRx = tun.bindUdpRx(arena.bytes, io, layout, options.rxFd);
    // The last one: see `listening` of SocketUnderlay.
    const nativeTx = tun.bindUdpTx(arena.bytes, io, IO_LAYOUT, [...options.txFds, options.rxFd], destinations);
    const nativeErrors = tun.bindErrorQueue(undefined, io, IO_LAYOUT, options.txFds);
    let max = 0;
    let last = 0;
    const row = UNDERLAY_ROW + options.id;
    const overflow = bindOverflow(outbox, options.id, 0, options.rxFd);
    return defineSocketUnderlay({
      kind: 'udp',
      id: options.id,
      name: options.name,
      tos: options.tos,
      deliverOffloadLeak: options.deliverOffloadLeak,
      sockets: options.txFds.length,
      socketV6: -1,
      listening: options.txFds.length,
      segmentsMax: options.segment ? SEGMENTS_MAX : 1,
      rx() {
        if (worn[0] !== 0) window.renew();
        max = sawSuper ? RX_SUPER : LANES;
        overflow.begin();
        beginReceive(inHand, row);
        last = nativeRx(max);
        inHand[inHandRx] = last;
        received = last > 0 ? last : 0;
        kind = options.tunnel;
        datagram = 0;
        offset = 0;
        sawSuper = false;
        for (let d = 0; d < received; d++) if (rxGso[d] > 0) sawSuper = true;
        return last;
      },
      hasMore: () => last === max,
      nextLanes,
      tx(n) {
        beginSend(inHand, row);
        const went = nativeTx(0, n);
        inHand[inHandTx] = n;
        return went;
      },
      release() {},
      close() {
        for (const bound of [nativeRx, nativeTx, nativeErrors]) tun.unbind(bound);
      },
      missed: overflow.take,
      readErrors: (onError) => readSendErrors(nativeErrors, outbox, onError),
    });
  };
}
