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
 * Kernel raw sockets as underlay, for tunnels that are IP protocols of their own: GRE (47), IPIP (4, and 41 for inner IPv6).
 *
 * Each raw socket of a protocol gets every packet of it, so one worker receives for the node and all of them send. There is no segmentation
 * offload: every packet is a message, and segments are cut before.
 */
export interface RawOptions {
  id: number;
  name: string;
  /** Kind number of the tunnel (lane column `tunnel`). */
  tunnel: number;
  /** One for each protocol, none where another worker receives. */
  rxFds: number[];
  txFds: number[];
  /** IP protocols of the sockets. */
  protocols: number[];
  tos: number;
  deliverOffloadLeak: boolean;
}

const PROTOCOL_IPV6 = 41;

export function bindRawUnderlays(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  window: RxWindow,
  destinations: Int32Array,
  tun: Tun,
) {
  const { slot, at, len, packets, gsoType, flags, drop, from, outerTos, tunnel } = burst;
  const { rxDatagramAt, rxLen, rxOff, rxTos, rxFlags, inHand, io } = outbox;
  const { slots, worn } = window;
  const inHandRx = IN_HAND_RX;
  const inHandTx = IN_HAND_TX;
  const layout = { ...IO_LAYOUT, rxAt: IO_LAYOUT.rxDatagramAt, rxCap: IO_LAYOUT.rxDatagramCap };
  let received = 0;
  let kind = 0;

  function nextLanes(): number {
    const n = received;
    received = 0;
    for (let i = 0; i < n; i++) {
      const off = rxOff[i];
      slot[i] = slots[i];
      at[i] = rxDatagramAt[i] + (off > 0 ? off : 0);
      len[i] = rxLen[i] - (off > 0 ? off : 0);
      from[i] = i;
      outerTos[i] = rxTos[i];
      tunnel[i] = kind;
      packets[i] = 1;
      gsoType[i] = 0;
      flags[i] = 0;
      drop[i] = off < 0 ? DROP['malformed-outer'] : (rxFlags[i] & RX_TRUNCATED) !== 0 ? DROP.truncated : 0;
    }
    return n;
  }

  return function openRawUnderlay(options: RawOptions): SocketUnderlay {
    const receivers = options.rxFds.map((fd, r) => ({
      receive: tun.bindRawRx(arena.bytes, io, layout, fd),
      overflow: bindOverflow(outbox, options.id, r, fd),
    }));
    const nativeTx = tun.bindUdpTx(arena.bytes, io, IO_LAYOUT, options.txFds, destinations);
    const nativeErrors = tun.bindErrorQueue(undefined, io, IO_LAYOUT, options.txFds);
    const row = UNDERLAY_ROW + options.id;
    /** The receiver whose packets are in hand, and the one that is asked next. */
    let current = 0;
    let next = 0;
    let last = 0;

    return defineSocketUnderlay({
      kind: 'raw',
      id: options.id,
      name: options.name,
      tos: options.tos,
      deliverOffloadLeak: options.deliverOffloadLeak,
      sockets: options.txFds.length,
      socketV6: Math.max(0, options.protocols.indexOf(PROTOCOL_IPV6)),
      listening: -1,
      segmentsMax: 1,
      rx() {
        if (worn[0] !== 0) window.renew();
        last = 0;
        kind = options.tunnel;
        // Both sockets are watched under one id: whichever has something.
        for (let k = 0; k < receivers.length && last === 0; k++) {
          current = next;
          receivers[current].overflow.begin();
          beginReceive(inHand, row);
          last = receivers[current].receive(LANES);
          inHand[inHandRx] = last;
          next = next + 1 < receivers.length ? next + 1 : 0;
        }
        received = last > 0 ? last : 0;
        return last;
      },
      hasMore: () => last === LANES || (last > 0 && receivers.length > 1),
      nextLanes,
      tx(n) {
        beginSend(inHand, row);
        const went = nativeTx(0, n);
        inHand[inHandTx] = n;
        return went;
      },
      release() {},
      close() {
        for (const bound of [...receivers.map(({ receive }) => receive), nativeTx, nativeErrors]) tun.unbind(bound);
      },
      missed: () => receivers[current].overflow.take(),
      readErrors: (onError) => readSendErrors(nativeErrors, outbox, onError),
    });
  };
}
