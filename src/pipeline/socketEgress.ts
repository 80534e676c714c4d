import type { Arena } from '../packet/arena.js';
import { type Burst, FROM_PEER, HAS_GSO, ID_MASK, IS_V6, NEEDS_CSUM } from '../packet/burst.js';
import type { ChecksumKernel } from '../packet/checksum.js';
import { PEER_ROW, UNDERLAY_ROW } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { NEXT_EXTENT, NEXT_HEADER, NEXT_MESSAGE, type Outbox } from '../packet/outbox.js';
import { TEMPLATE_END, TEMPLATE_WORDS, WORD_CHECKSUM, WORD_LEN, WORD_SEQUENCE } from '../underlay/template.js';
import type { SocketUnderlay } from '../underlay/underlay.js';
import type { Answers } from './answers.js';
import type { Fragmenter } from './fragment.js';
import type { Messages } from './messages.js';
import { bindByOuterFlow, socketOf } from './outerFlows.js';
import type { Segmenter } from './segment.js';
import type { Settlement } from './settle.js';
import type { Tables } from './tables.js';
import type { Transport } from './transport.js';
import type { TunnelFields } from './tunnelFields.js';

/**
 * The way out to peers over kernel sockets: tunnel header into the headroom, superframes cut, one UDP_SEGMENT message for every run of
 * equal datagrams to one peer from one source port.
 *
 *   plain lane     [ tunnel | frame ]                                             lanes of an outer flow share a message
 *   superframe     [ tunnel headers ] [ slice ] [ tunnel headers ] [ slice ] ...    up to 63 segments, 65,000 bytes a message
 *
 * Over raw sockets (GRE, IPIP) every packet is a message.
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
  fragmenter: Fragmenter,
  transport: Transport,
  settlement: Settlement,
  messages: Messages,
  kernel: ChecksumKernel,
  fields: TunnelFields,
  answers: Answers,
): SendToSocket {
  const { view } = arena;
  const { at, len, packets, gsoType, flags, dst, tos, flow } = burst;
  const { peerMtu, peerMoved, peerNetwork, networkFragments, whole, templates } = tables;
  const {
    cursor,
    msgFirst,
    msgCount,
    msgDest,
    msgSocket,
    msgGso,
    msgTos,
    msgPackets,
    msgBytes,
    msgPeerRow,
    extAt,
    extLen,
  } = outbox;
  const { extent } = messages;
  const byOuterFlow = bindByOuterFlow(burst);
  const templatesAt = templates.byteOffset;
  // Imported constants are cells that V8 loads and checks at every use; local ones are folded into the code.
  const rowWords = TEMPLATE_WORDS;
  const wordLen = WORD_LEN;
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

  /** Copies the tunnel header of a row in front of `frameAt`; returns its bytes. Two words are the plain case: VXLAN, Geneve, GRE with a key. */
  function copyHeader(row: number, frameAt: number): number {
    const w = row * rowWords;
    const bytes = templates[w + wordLen];
    if (bytes === 8) {
      view.setInt32(frameAt - 8, templates[w + 50], true);
      view.setInt32(frameAt - 4, templates[w + 51], true);
    } else if (bytes > 0) kernel.copy(frameAt - bytes, templatesAt + w * 4 + TEMPLATE_END - bytes, bytes);
    return bytes;
  }

  /** GRE has fields that differ from packet to packet. */
  const isFinished = (row: number) =>
    (templates[row * rowWords + WORD_CHECKSUM] | templates[row * rowWords + WORD_SEQUENCE]) === 0;

  function openMessage(peer: number, socket: number, mark: number, size: number): number {
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
    openSize = size;
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
    const row = fields.rowOf(i, peer);
    const isShared = (flags[i] & FROM_PEER) !== 0;
    const headerBytes = isShared ? templates[row * rowWords + wordLen] : copyHeader(row, at[i]);
    const isWhole = isFinished(row);
    const segments = segmenter.begin(i, headerBytes);
    open = -1;
    for (let k = 0; k < segments; k++) {
      reserve(1, 2);
      const first = cursor[NEXT_EXTENT];
      const bytes = segmenter.add(k);
      if (isShared) copyHeader(row, segmenter.blockAt() + headerBytes);
      if (!isWhole) {
        const headEnd = extAt[first] + extLen[first];
        fields.finish(peer, row, segmenter.blockAt() + headerBytes, headEnd, extAt[first + 1], extLen[first + 1]);
      }
      const m = open >= 0 ? open : openMessage(peer, socket, mark, bytes);
      if (msgPackets[m] === 0) {
        msgFirst[m] = first;
        openSize = bytes;
      }
      addDatagram(m, bytes, bytes - headerBytes);
    }
    open = -1;
  }

  const mayCut = (i: number, peer: number) =>
    networkFragments[peerNetwork[peer]] !== 0 && fragmenter.mayCut(i, peerMtu[peer]);

  /** What does not fit, as fragments: each is a packet of its own. */
  function sendFragments(i: number, peer: number, socket: number, mark: number): void {
    if ((flags[i] & (HAS_GSO | NEEDS_CSUM)) === NEEDS_CSUM) transport.complete(i);
    const row = fields.rowOf(i, peer);
    const headerBytes = templates[row * rowWords + wordLen];
    const isWhole = isFinished(row);
    fragmenter.begin(i, headerBytes, peerMtu[peer]);
    open = -1;
    let made = -packets[i];
    for (;;) {
      reserve(2, 2);
      const first = cursor[NEXT_EXTENT];
      const bytes = fragmenter.next();
      if (bytes === 0) break;
      made++;
      const frameAt = fragmenter.blockAt() + headerBytes;
      copyHeader(row, frameAt);
      if (!isWhole)
        fields.finish(peer, row, frameAt, extAt[first] + extLen[first], extAt[first + 1], extLen[first + 1]);
      const m = open >= 0 && bytes <= openSize ? open : openMessage(peer, socket, mark, bytes);
      if (msgPackets[m] === 0) msgFirst[m] = first;
      addDatagram(m, bytes, bytes - headerBytes);
    }
    open = -1;
    settlement.cut(UNDERLAY_ROW + out.id, made);
  }

  /**
   * What came from a peer may lie right behind another lane of its datagram: the header goes to a block of its own. Relayed options go along,
   * they lie between the header and the frame.
   */
  function sendRelayed(i: number, peer: number, row: number, socket: number, mark: number, relayed: number): void {
    reserve(1, 2);
    const headerBytes = templates[row * rowWords + wordLen];
    const from = at[i] - relayed;
    const end = (cursor[NEXT_HEADER] + headerBytes + 63) & ~63;
    copyHeader(row, end);
    cursor[NEXT_HEADER] = end;
    if (relayed > 0) fields.addOptions(row, end, from, relayed);
    if (!isFinished(row)) fields.finish(peer, row, end, end, from, len[i] + relayed);
    const bytes = headerBytes + relayed + len[i];
    const m = canJoin(bytes, peer, socket, mark) ? open : openMessage(peer, socket, mark, bytes);
    extent(end - headerBytes, headerBytes);
    extent(from, len[i] + relayed);
    addDatagram(m, bytes, len[i]);
  }

  function sendLane(i: number, peer: number, socket: number, mark: number, relayed: number): void {
    if ((flags[i] & NEEDS_CSUM) !== 0) transport.complete(i);
    const row = fields.rowOf(i, peer);
    if ((flags[i] & FROM_PEER) !== 0 && templates[row * rowWords + wordLen] > 0) {
      sendRelayed(i, peer, row, socket, mark, relayed);
      return;
    }
    const headerBytes = copyHeader(row, at[i]);
    if (!isFinished(row)) fields.finish(peer, row, at[i], at[i] + len[i], 0, 0);
    reserve(1, 1);
    const bytes = len[i] + headerBytes;
    const m = canJoin(bytes, peer, socket, mark) ? open : openMessage(peer, socket, mark, bytes);
    extent(at[i] - headerBytes, bytes);
    addDatagram(m, bytes, len[i]);
  }

  return function sendToSocket(underlay, list, count, onlyPeer) {
    out = underlay;
    open = -1;
    messages.begin(underlay, UNDERLAY_ROW + underlay.id, 0, false);
    const sockets = underlay.sockets;
    const socketV6 = underlay.socketV6;
    const listening = whole.hasMoved ? underlay.listening : -1;
    // Two lanes in whichever order: nothing to bring together.
    const lanes = count > 2 && out.segmentsMax > 1 ? byOuterFlow(list, count, sockets) : list;
    for (let k = 0; k < count; k++) {
      const i = lanes[k];
      const peer = onlyPeer > 0 ? onlyPeer : dst[i] & ID_MASK;
      const relayed = fields.relayedLen(i, peer);
      const hashed = socketOf(flow[i], sockets);
      let socket = socketV6 < 0 ? hashed : (flags[i] & IS_V6) !== 0 ? socketV6 : 0;
      if (listening >= 0 && peerMoved[peer] !== 0) socket = listening;
      const mark = outerTos(i);
      if (transport.packetLen(i) + relayed > peerMtu[peer] || !fields.hasRoom(i, peer, relayed)) {
        if (relayed === 0 && mayCut(i, peer)) sendFragments(i, peer, socket, mark);
        else {
          settlement.refuse(PEER_ROW + peer, DROP['too-big'], packets[i]);
          answers.tooBig(i, peerMtu[peer]);
        }
        continue;
      }
      if (gsoType[i] !== 0) sendSegments(i, peer, socket, mark);
      else sendLane(i, peer, socket, mark, relayed);
    }
    messages.flush();
  };
}
