import type { Arena } from '../packet/arena.js';
import { type Burst, ID_MASK, NEEDS_CSUM } from '../packet/burst.js';
import { PEER_ROW, UNDERLAY_ROW } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { NEXT_EXTENT, NEXT_MESSAGE, type Outbox } from '../packet/outbox.js';
import * as Vxlan from '../tunnel/vxlan.js';
import type { SocketUnderlay } from '../underlay/underlay.js';
import type { Messages } from './messages.js';
import type { Segmenter } from './segment.js';
import type { Settlement } from './settle.js';
import type { Tables } from './tables.js';
import type { Transport } from './transport.js';

/**
 * The way out to peers over kernel sockets: tunnel header into the headroom, superframes cut, one UDP_SEGMENT message for every run of
 * equal datagrams to one peer from one source port.
 *
 *   plain lane     [ VXLAN | frame ]                                          consecutive lanes of a flow share a message
 *   superframe     [ VXLAN headers ] [ slice ] [ VXLAN headers ] [ slice ] ...    up to 63 segments, 65,000 bytes a message
 *
 * The source port is the inner flow's hash alone (RFC 7348 section 5), so a flow has one outer 5-tuple and stays in order.
 */
export type SendToSocket = (underlay: SocketUnderlay, list: Int32Array, count: number, onlyPeer: number) => void;

/** A UDP_SEGMENT message stays below the 65,507 bytes of a datagram: the kernel adds a UDP header for each segment. */
const MESSAGE_BYTES_MAX = 65000;

export function bindSocketEgress(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  tables: Tables,
  segmenter: Segmenter,
  transport: Transport,
  settlement: Settlement,
  messages: Messages,
): SendToSocket {
  const { at, len, packets, gsoType, flags, network, dst, tos, flow } = burst;
  const { networkMtu, peerVniWord } = tables;
  const { cursor, msgFirst, msgCount, msgDest, msgSocket, msgGso, msgTos, msgPackets, msgBytes, msgPeerRow } = outbox;
  const { extent } = messages;
  const encap = Vxlan.bindEncap(arena);
  let out: SocketUnderlay;

  // The message that a next datagram may join: -1 when none, else its index.
  let open = -1;
  let openSize = 0;

  function reserve(count: number, extents: number): void {
    if (messages.reserve(count, extents)) open = -1;
  }

  /** ECN is the inner one (RFC 6040 section 4.1); DSCP the underlay's, or the inner one. -1: what the socket has anyway. */
  function outerTos(i: number): number {
    if (out.tos < 0) return tos[i];
    return (tos[i] & 3) === 0 ? -1 : out.tos | (tos[i] & 3);
  }

  function openMessage(i: number, peer: number, socket: number, mark: number): number {
    const m = cursor[NEXT_MESSAGE];
    msgFirst[m] = cursor[NEXT_EXTENT];
    msgCount[m] = 0;
    msgDest[m] = peer;
    msgSocket[m] = socket;
    msgGso[m] = 0;
    msgTos[m] = mark;
    msgPackets[m] = 0;
    msgBytes[m] = 0;
    msgPeerRow[m] = PEER_ROW + peer;
    cursor[NEXT_MESSAGE] = m + 1;
    open = m;
    openSize = len[i] + Vxlan.HEADER_LEN;
    return m;
  }

  /** Adds one datagram of `bytes` (extents already in place) to message m; a shorter one is the last that it takes. */
  function addDatagram(m: number, bytes: number, frameBytes: number): void {
    msgCount[m] = cursor[NEXT_EXTENT] - msgFirst[m];
    msgBytes[m] += frameBytes;
    if (++msgPackets[m] === 2) msgGso[m] = openSize;
    const full = msgPackets[m] >= out.segmentsMax || (msgPackets[m] + 1) * openSize > MESSAGE_BYTES_MAX;
    if (bytes < openSize || full) open = -1;
  }

  function canJoin(bytes: number, peer: number, socket: number, mark: number): boolean {
    return (
      open >= 0 && bytes <= openSize && msgDest[open] === peer && msgSocket[open] === socket && msgTos[open] === mark
    );
  }

  function sendSegments(i: number, peer: number, socket: number, mark: number): void {
    encap(at[i], peerVniWord[peer]);
    const segments = segmenter.begin(i, Vxlan.HEADER_LEN);
    open = -1;
    for (let k = 0; k < segments; k++) {
      reserve(1, 2);
      const first = cursor[NEXT_EXTENT];
      const bytes = segmenter.add(k);
      const m = open >= 0 ? open : openMessage(i, peer, socket, mark);
      if (msgPackets[m] === 0) {
        msgFirst[m] = first;
        openSize = bytes;
      }
      addDatagram(m, bytes, bytes - Vxlan.HEADER_LEN);
    }
    open = -1;
  }

  function sendLane(i: number, peer: number, socket: number, mark: number): void {
    if ((flags[i] & NEEDS_CSUM) !== 0) transport.complete(i);
    encap(at[i], peerVniWord[peer]);
    reserve(1, 1);
    const bytes = len[i] + Vxlan.HEADER_LEN;
    const m = canJoin(bytes, peer, socket, mark) ? open : openMessage(i, peer, socket, mark);
    extent(at[i] - Vxlan.HEADER_LEN, bytes);
    addDatagram(m, bytes, len[i]);
  }

  return function sendToSocket(underlay, list, count, onlyPeer) {
    out = underlay;
    open = -1;
    messages.begin(underlay, UNDERLAY_ROW + underlay.id, 0, false);
    const sockets = underlay.sockets;
    for (let k = 0; k < count; k++) {
      const i = list[k];
      const peer = onlyPeer > 0 ? onlyPeer : dst[i] & ID_MASK;
      if (transport.packetLen(i) > networkMtu[network[i]]) {
        settlement.refuse(PEER_ROW + peer, DROP['too-big'], packets[i]);
        continue;
      }
      const socket = ((flow[i] >>> 16) * sockets) >>> 16;
      const mark = outerTos(i);
      if (gsoType[i] !== 0) sendSegments(i, peer, socket, mark);
      else sendLane(i, peer, socket, mark);
    }
    messages.flush();
  };
}
