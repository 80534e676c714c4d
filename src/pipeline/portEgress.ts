import type { Arena } from '../packet/arena.js';
import { type Burst, FROM_PEER, IS_TCP, IS_UDP, IS_V4, NEEDS_CSUM } from '../packet/burst.js';
import { PORT_ROW } from '../packet/counters.js';
import { GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, VNET_NEEDS_CSUM, writeVnet } from '../packet/offload.js';
import { IS_SHARED, NEXT_EXTENT, NEXT_HEADER, NEXT_MESSAGE, type Outbox } from '../packet/outbox.js';
import type { Port } from '../port/port.js';
import type { Coalescer } from './coalesce.js';
import type { EgressKernel } from './egressKernel.js';
import type { Messages } from './messages.js';
import type { Segmenter } from './segment.js';
import type { Transport } from './transport.js';

/**
 * The way out to a port: finish what the device cannot do itself, write messages, one tx call.
 *
 *   a plain lane                         [ zero vnet ] [ frame ]
 *   superframe or unfinished checksum    [ vnet ] [ frame ]                    the device takes it
 *   the same, the device takes neither   [ zero vnet ] [ headers ] [ slice ]   one message a segment; checksums finished here
 *   received segments of a flow          [ vnet ] [ first frame ] [ payload ] [ payload ] ...
 */
export type SendToPort = (port: Port, list: Int32Array, count: number, mayCoalesce: boolean) => void;

/** Messages and extents that one more lane may need when it is not cut. */
const CHAIN_EXTENTS = 66;

export function bindPortEgress(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  zeroVnetAt: number,
  segmenter: Segmenter,
  coalescer: Coalescer,
  transport: Transport,
  messages: Messages,
  kernel: Pick<EgressKernel, 'hand'>,
): SendToPort {
  const { view } = arena;
  const { at, len, packets, gsoType, gsoSize, csumStart, csumOffset, flags, l4 } = burst;
  const { cursor } = outbox;
  const { reserve, extent, close } = messages;
  let out: Port;

  function vnetExtent(gso: number, headerLen: number, size: number, start: number, offset: number): void {
    const head = cursor[NEXT_HEADER];
    writeVnet(view, head, VNET_NEEDS_CSUM, gso, headerLen, size, start, offset);
    cursor[NEXT_HEADER] = head + 64;
    extent(head, out.vnetHdrLen);
  }

  function sendSegments(i: number): void {
    const segments = segmenter.begin(i, 0);
    for (let k = 0; k < segments; k++) {
      reserve(1, 3);
      const first = cursor[NEXT_EXTENT];
      if (out.vnetHdrLen > 0) extent(zeroVnetAt, out.vnetHdrLen);
      close(first, 1, segmenter.add(k), 0);
    }
  }

  function takesUncut(type: number): boolean {
    return type === GSO_TCPV4 ? out.takesTso4 : type === GSO_TCPV6 ? out.takesTso6 : out.takesUso;
  }

  function sendLane(i: number): void {
    const type = gsoType[i] & ~GSO_ECN;
    if (type !== 0 && !takesUncut(type)) {
      sendSegments(i);
      return;
    }
    if (type === 0 && (flags[i] & NEEDS_CSUM) !== 0 && !out.takesPartialChecksum) transport.complete(i);
    reserve(1, 2);
    const first = cursor[NEXT_EXTENT];
    if (out.vnetHdrLen > 0) {
      if (type !== 0) {
        vnetExtent(gsoType[i], transport.headersLen(i), gsoSize[i], csumStart[i], csumOffset[i]);
      } else if ((flags[i] & NEEDS_CSUM) !== 0) vnetExtent(0, 0, 0, csumStart[i], csumOffset[i]);
      else extent(zeroVnetAt, out.vnetHdrLen);
    }
    extent(at[i], len[i]);
    close(first, packets[i], len[i], 0);
  }

  function sendChain(c: number): void {
    const h = coalescer.head[c];
    const headers = coalescer.headerLen[h];
    reserve(1, CHAIN_EXTENTS);
    const frameLen = coalescer.finish(c);
    const first = cursor[NEXT_EXTENT];
    const isUdp = (flags[h] & IS_UDP) !== 0;
    const type = isUdp ? GSO_UDP_L4 : (flags[h] & IS_V4) !== 0 ? GSO_TCPV4 : GSO_TCPV6;
    vnetExtent(type, headers, coalescer.chainSize[c], l4[h] - at[h], isUdp ? 6 : 16);
    extent(at[h], len[h]);
    for (let i = coalescer.next[h]; i >= 0; i = coalescer.next[i]) extent(at[i] + headers, len[i] - headers);
    close(first, coalescer.chainLanes[c], frameLen, 0);
  }

  function sendCoalesced(list: Int32Array, count: number, kinds: number): void {
    const chains = coalescer.group(list, count, kinds);
    for (let c = 0; c < chains; c++) {
      if (coalescer.chainLanes[c] === 1) sendLane(coalescer.head[c]);
      else sendChain(c);
    }
  }

  /** The hot form of sendLane, in the kernel: lanes from k on that need nothing. Returns the place of the first that needs more. */
  function sendPlain(listAt: number, from: number, count: number, vnetHdrLen: number): number {
    const pieces = vnetHdrLen > 0 ? 2 : 1;
    reserve(count - from, pieces * (count - from));
    const message = cursor[NEXT_MESSAGE];
    const first = cursor[NEXT_EXTENT];
    const next = kernel.hand(listAt, from, count, message, first, zeroVnetAt, vnetHdrLen);
    cursor[NEXT_MESSAGE] = message + next - from;
    cursor[NEXT_EXTENT] = first + pieces * (next - from);
    return next;
  }

  return function sendToPort(port, list, count, mayCoalesce) {
    out = port;
    // A flood is what is not to be joined, and several receive it.
    cursor[IS_SHARED] = mayCoalesce ? 0 : 1;
    messages.begin(port, PORT_ROW + port.id, port.id, port.vnetHdrLen > 0);
    // Frames of local devices come as superframes already; only what a tunnel brought is worth joining.
    const kinds = (port.takesTso4 && port.takesTso6 ? IS_TCP : 0) | (port.takesUso ? IS_UDP : 0);
    const joins = mayCoalesce && count > 1 && kinds !== 0 && (flags[list[0]] & FROM_PEER) !== 0;
    if (joins) sendCoalesced(list, count, kinds);
    for (let k = joins ? count : 0; k < count; ) {
      k = sendPlain(list.byteOffset, k, count, port.vnetHdrLen);
      if (k < count) sendLane(list[k++]);
    }
    messages.flush();
  };
}
