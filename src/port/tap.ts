import type { Tun } from '../native/tun.js';
import { type Arena, VNET_STRIDE } from '../packet/arena.js';
import { type Burst, HAS_GSO, LANES, NEEDS_CSUM } from '../packet/burst.js';
import { PORT_ROW } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6, VNET_NEEDS_CSUM } from '../packet/offload.js';
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
import { definePort, type Port } from './port.js';

/** Bytes that one rx call may bring: bounds the turn when every frame is a superframe. */
const RX_BYTES_MAX = 512 * 1024;
const TUN_F_USO = TUN_F_USO4 | TUN_F_USO6;

export interface TapOptions {
  id: number;
  name: string;
  rxFd: number;
  txFd: number;
  vnetHdrLen: number;
  offloads: number;
}

/** One worker's kernel ports. The lane-filling loop exists once per worker; a port adds only its two bound native calls. */
export function bindTapPorts(arena: Arena, burst: Burst, outbox: Outbox, window: RxWindow, vnetAt: number, tun: Tun) {
  const { view: v } = arena;
  const { slot, at, len, packets, gsoType, gsoSize, csumStart, csumOffset, flags, drop } = burst;
  const { rxLen, rxFlags, inHand, io } = outbox;
  const inHandRx = IN_HAND_RX;
  const inHandTx = IN_HAND_TX;

  function fillLanes(n: number, vnetHdrLen: number): void {
    for (let i = 0; i < n; i++) {
      slot[i] = window.slots[i];
      at[i] = window.starts[i];
      len[i] = rxLen[i];
      packets[i] = 1;
      drop[i] = (rxFlags[i] & RX_TRUNCATED) !== 0 ? DROP.truncated : 0;
      flags[i] = 0;
      gsoType[i] = 0;
      if (vnetHdrLen === 0) continue;
      const h = vnetAt + i * VNET_STRIDE;
      if (v.getUint16(h, true) === 0) continue;
      gsoType[i] = v.getUint8(h + 1);
      flags[i] = ((v.getUint8(h) & VNET_NEEDS_CSUM) !== 0 ? NEEDS_CSUM : 0) | (gsoType[i] !== 0 ? HAS_GSO : 0);
      gsoSize[i] = v.getUint16(h + 4, true);
      csumStart[i] = v.getUint16(h + 6, true);
      csumOffset[i] = v.getUint16(h + 8, true);
    }
  }

  const { worn } = window;

  return function openTap(options: TapOptions): Port {
    const { rxFd, txFd, vnetHdrLen, offloads } = options;
    const nativeRx = rxFd < 0 ? null : tun.bindTapRx(arena.bytes, io, IO_LAYOUT, rxFd, vnetAt, vnetHdrLen);
    const nativeTx = tun.bindTapTx(arena.bytes, io, IO_LAYOUT, txFd);
    let last = 0;
    const row = PORT_ROW + options.id;
    const takesPartialChecksum = vnetHdrLen > 0;
    return definePort({
      id: options.id,
      name: options.name,
      rx() {
        if (nativeRx === null) return 0;
        if (worn[0] !== 0) window.renew();
        beginReceive(inHand, row);
        last = nativeRx(LANES, RX_BYTES_MAX);
        inHand[inHandRx] = last;
        if (last > 0) fillLanes(last, vnetHdrLen);
        return last;
      },
      hasMore: () => last === LANES,
      tx(n) {
        beginSend(inHand, row);
        const went = nativeTx(0, n);
        inHand[inHandTx] = n;
        return went;
      },
      // Kernel egress is synchronous: the slots stay in the window, ready for the next call.
      release() {},
      vnetHdrLen,
      takesPartialChecksum: takesPartialChecksum && (offloads & TUN_F_CSUM) !== 0,
      takesTso4: takesPartialChecksum && (offloads & TUN_F_TSO4) !== 0,
      takesTso6: takesPartialChecksum && (offloads & TUN_F_TSO6) !== 0,
      takesUso: takesPartialChecksum && (offloads & TUN_F_USO) === TUN_F_USO,
      close() {
        if (nativeRx !== null) tun.unbind(nativeRx);
        tun.unbind(nativeTx);
      },
    });
  };
}
