import type { Arena } from '../packet/arena.js';
import { type Burst, FROM_PEER, HAS_GSO, ID_MASK, IS_V4, NEEDS_CSUM } from '../packet/burst.js';
import { type ChecksumKernel, fold } from '../packet/checksum.js';
import { PEER_ROW, UNDERLAY_ROW } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { EXTENTS, MESSAGES, NEXT_EXTENT, NEXT_HEADER, NEXT_MESSAGE, type Outbox } from '../packet/outbox.js';
import {
  TEMPLATE_UDP_CHECKSUM,
  TEMPLATE_WORDS,
  WORD_FLAGS,
  WORD_LEN,
  WORD_UDP,
  WORD_UDP_SUM,
} from '../underlay/template.js';
import type { FrameUnderlay } from '../underlay/underlay.js';
import type { Answers } from './answers.js';
import type { EgressKernel } from './egressKernel.js';
import type { Fragmenter } from './fragment.js';
import type { LinkHosts } from './linkHost.js';
import type { Messages } from './messages.js';
import type { Segmenter } from './segment.js';
import type { Settlement } from './settle.js';
import type { Tables } from './tables.js';
import type { Transport } from './transport.js';
import type { TunnelFields } from './tunnelFields.js';

/**
 * The way out to peers as whole outer frames: Ethernet, IP, UDP and tunnel header from the peer's template, right in front of the inner frame.
 *
 *   unicast      [ outer | frame ]                          the headroom takes the headers
 *   flood        [ outer ] [ frame ]                        a header block each, one payload
 *   superframe   [ outer, inner headers ] [ slice ]         a message a segment
 *
 * DF is set and the IP id is 0 (RFC 6864: an atomic datagram needs none). Source port: 49152 + 14 bits of the inner flow's hash.
 */
export type SendToFrame = (underlay: FrameUnderlay, list: Int32Array, count: number, onlyPeer: number) => void;

export function bindFrameEgress(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  tables: Tables,
  kernel: ChecksumKernel,
  segmenter: Segmenter,
  fragmenter: Fragmenter,
  transport: Transport,
  settlement: Settlement,
  messages: Messages,
  egress: EgressKernel,
  fields: TunnelFields,
  answers: Answers,
  hosts: LinkHosts,
): SendToFrame {
  const { view } = arena;
  const { at, len, packets, flags, dst, tos, flow, l3 } = burst;
  const { peerMtu, peerNetwork, networkFragments, peerFrameMax, peerHasNextHop, templates } = tables;
  const { cursor, extAt, extLen } = outbox;
  const { reserve, extent, close } = messages;
  let out: FrameUnderlay;

  /** RFC 768 over the outer UDP packet; the frame's tail may lie elsewhere (`tailAt`), starting at an even offset. */
  function writeChecksum(headEnd: number, udp: number, w: number, tailAt: number, tailLen: number): void {
    const udpLen = view.getUint16(udp + 4, true);
    // The template's sum holds pseudo header and destination port; length counts twice: in the pseudo header and in the UDP header.
    let sum = templates[w + WORD_UDP_SUM] + view.getUint16(udp, true) + 2 * udpLen;
    sum += kernel.sum(udp + 8, headEnd - udp - 8) + (tailLen > 0 ? kernel.sum(tailAt, tailLen) : 0);
    const checksum = ~fold(sum) & 0xffff;
    view.setUint16(udp + 6, checksum === 0 ? 0xffff : checksum, true);
  }

  /** ECN follows RFC 6040; the template has the underlay's DSCP, or none when the inner one is copied. */
  function outerMark(i: number): number {
    return out.tos < 0 ? tos[i] : tos[i] & 3;
  }

  function innerTtl(i: number): number {
    if (l3[i] === 0) return 64;
    return view.getUint8(l3[i] + ((flags[i] & IS_V4) !== 0 ? 8 : 7));
  }

  /** All headers of a packet of `bytes` bytes at `frameAt`, whose first part ends at `headEnd`. Its tail begins with `relayed` bytes of options. */
  function writeHeaders(
    i: number,
    peer: number,
    row: number,
    frameAt: number,
    bytes: number,
    headEnd: number,
    tailAt: number,
    tailLen: number,
    relayed: number,
  ): void {
    egress.writeHeaders(frameAt, row, bytes, flow[i], outerMark(i), innerTtl(i));
    const w = row * TEMPLATE_WORDS;
    if (relayed > 0) fields.addOptions(row, frameAt, tailAt, relayed);
    fields.finish(peer, row, frameAt, headEnd, tailAt, tailLen);
    if ((templates[w + WORD_FLAGS] & TEMPLATE_UDP_CHECKSUM) !== 0)
      writeChecksum(headEnd, frameAt - templates[w + WORD_UDP], w, tailAt, tailLen);
  }

  function sendSegments(i: number, peer: number): void {
    const row = fields.rowOf(i, peer);
    const headersLen = templates[row * TEMPLATE_WORDS + WORD_LEN];
    const segments = segmenter.begin(i, headersLen);
    for (let k = 0; k < segments; k++) {
      reserve(1, 2);
      const first = cursor[NEXT_EXTENT];
      const inner = segmenter.add(k) - headersLen;
      const frame = segmenter.blockAt() + headersLen;
      const headEnd = extAt[first] + extLen[first];
      writeHeaders(i, peer, row, frame, inner, headEnd, extAt[first + 1], extLen[first + 1], 0);
      close(first, 1, inner, PEER_ROW + peer);
    }
  }

  const mayCut = (i: number, peer: number) =>
    networkFragments[peerNetwork[peer]] !== 0 && peerHasNextHop[peer] !== 0 && fragmenter.mayCut(i, peerMtu[peer]);

  /** What does not fit, as fragments: each is a packet of its own. */
  function sendFragments(i: number, peer: number): void {
    if ((flags[i] & (HAS_GSO | NEEDS_CSUM)) === NEEDS_CSUM) transport.complete(i);
    const row = fields.rowOf(i, peer);
    const headersLen = templates[row * TEMPLATE_WORDS + WORD_LEN];
    fragmenter.begin(i, headersLen, peerMtu[peer]);
    let made = -packets[i];
    for (;;) {
      reserve(2, 2);
      const first = cursor[NEXT_EXTENT];
      const inner = fragmenter.next() - headersLen;
      if (inner < 0) break;
      made++;
      const frame = fragmenter.blockAt() + headersLen;
      const headEnd = extAt[first] + extLen[first];
      writeHeaders(i, peer, row, frame, inner, headEnd, extAt[first + 1], extLen[first + 1], 0);
      close(first, 1, inner, PEER_ROW + peer);
    }
    settlement.cut(UNDERLAY_ROW + out.id, made);
  }

  /** A header block in front of a frame that other receivers share, or that may lie right behind another lane: it came from a peer. */
  function sendReplica(i: number, peer: number, relayed: number): void {
    const row = fields.rowOf(i, peer);
    const headersLen = templates[row * TEMPLATE_WORDS + WORD_LEN];
    const from = at[i] - relayed;
    const bytes = len[i] + relayed;
    reserve(1, 2);
    // Templates are written in pieces of 16 bytes from their end.
    const frame = (cursor[NEXT_HEADER] + headersLen + 15 + 63) & ~63;
    writeHeaders(i, peer, row, frame, bytes, frame, from, bytes, relayed);
    cursor[NEXT_HEADER] = frame;
    const first = cursor[NEXT_EXTENT];
    extent(frame - headersLen, headersLen);
    extent(from, bytes);
    close(first, 1, len[i], PEER_ROW + peer);
  }

  function sendLane(i: number, peer: number): void {
    const row = fields.rowOf(i, peer);
    const headersLen = templates[row * TEMPLATE_WORDS + WORD_LEN];
    reserve(1, 1);
    writeHeaders(i, peer, row, at[i], len[i], at[i] + len[i], 0, 0, 0);
    const first = cursor[NEXT_EXTENT];
    extent(at[i] - headersLen, len[i] + headersLen);
    close(first, 1, len[i], PEER_ROW + peer);
  }

  function sendCarefully(i: number, onlyPeer: number): void {
    const peer = onlyPeer > 0 ? onlyPeer : dst[i] & ID_MASK;
    const relayed = fields.relayedLen(i, peer);
    if (transport.packetLen(i) + relayed > peerMtu[peer] || !fields.hasRoom(i, peer, relayed)) {
      if (relayed === 0 && mayCut(i, peer)) sendFragments(i, peer);
      else {
        settlement.refuse(PEER_ROW + peer, DROP['too-big'], packets[i]);
        answers.tooBig(i, peerMtu[peer]);
      }
      return;
    }
    if (peerHasNextHop[peer] === 0) {
      hosts.want(peer);
      settlement.refuse(PEER_ROW + peer, DROP['no-neighbour'], packets[i]);
      return;
    }
    const needs = flags[i] & (HAS_GSO | NEEDS_CSUM);
    if (needs === NEEDS_CSUM) transport.complete(i);
    if ((needs & HAS_GSO) !== 0) sendSegments(i, peer);
    else if (onlyPeer > 0 || (flags[i] & FROM_PEER) !== 0) sendReplica(i, peer, relayed);
    else sendLane(i, peer);
  }

  /**
   * The hot form of sendCarefully, in the kernel: lanes from k on that need nothing but a header. Returns the place of the first that needs more,
   * or where the outbox is full.
   */
  function sendPlain(listAt: number, from: number, count: number): number {
    const message = cursor[NEXT_MESSAGE];
    const first = cursor[NEXT_EXTENT];
    const room = Math.min(MESSAGES - message, EXTENTS - first);
    const end = Math.min(count, from + room);
    const next = egress.encap(listAt, from, end, message, first, out.tos < 0 ? 0xff : 3);
    cursor[NEXT_MESSAGE] = message + next - from;
    cursor[NEXT_EXTENT] = first + next - from;
    return next;
  }

  return function sendToFrame(underlay, list, count, onlyPeer) {
    out = underlay;
    hosts.refresh();
    messages.begin(underlay, UNDERLAY_ROW + underlay.id, 0, false);
    const isForKernel = onlyPeer === 0 && count > 0 && peerFrameMax[dst[list[0]] & ID_MASK] > 0;
    for (let k = 0; k < count; ) {
      if (isForKernel) k = sendPlain(list.byteOffset, k, count);
      if (k < count) sendCarefully(list[k++], onlyPeer);
    }
    messages.flush();
  };
}
