import type { Arena } from '../packet/arena.js';
import { type Burst, HAS_GSO, ID_MASK, NEEDS_CSUM } from '../packet/burst.js';
import { type ChecksumKernel, fold } from '../packet/checksum.js';
import { PEER_ROW, UNDERLAY_ROW } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { EXTENTS, MESSAGES, NEXT_EXTENT, NEXT_HEADER, NEXT_MESSAGE, type Outbox } from '../packet/outbox.js';
import { OUTER_LEN, TEMPLATE_WORDS, WORD_UDP_SUM } from '../underlay/template.js';
import type { FrameUnderlay } from '../underlay/underlay.js';
import type { Messages } from './messages.js';
import type { Segmenter } from './segment.js';
import type { Settlement } from './settle.js';
import type { Tables } from './tables.js';
import type { Transport } from './transport.js';
import type { WalkKernel } from './walkKernel.js';

/**
 * The way out to peers as whole outer frames: Ethernet, IPv4, UDP and VXLAN from the peer's template, right in front of the inner frame.
 *
 *   unicast      [ outer | frame ]                          the headroom takes the header
 *   flood        [ outer ] [ frame ]                        a header block each, one payload
 *   superframe   [ outer, inner headers ] [ slice ]         a message a segment
 *
 * DF is set and the IP id is 0 (RFC 6864: an atomic datagram needs none). Source port: 49152 + 14 bits of the inner flow's hash.
 */
export type SendToFrame = (underlay: FrameUnderlay, list: Int32Array, count: number, onlyPeer: number) => void;

const TEMPLATE_BYTES = 56;
const UDP_TO_FRAME = 16;

export function bindFrameEgress(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  tables: Tables,
  kernel: ChecksumKernel,
  segmenter: Segmenter,
  transport: Transport,
  settlement: Settlement,
  messages: Messages,
  walk: WalkKernel,
): SendToFrame {
  const { view } = arena;
  const { at, len, packets, flags, network, dst, tos, flow } = burst;
  const { networkMtu, peerFrameMax, templates } = tables;
  const { cursor, extAt, extLen } = outbox;
  const { reserve, extent, close } = messages;
  let out: FrameUnderlay;

  /** RFC 768 over the outer UDP packet; the frame's tail may lie elsewhere (`tailAt`), starting at an even offset. */
  function writeChecksum(headEnd: number, udp: number, t: number, tailAt: number, tailLen: number): void {
    const udpLen = view.getUint16(udp + 4, true);
    // The template's sum holds pseudo header and destination port; length counts twice: in the pseudo header and in the UDP header.
    let sum = templates[t + WORD_UDP_SUM] + view.getUint16(udp, true) + 2 * udpLen;
    sum += kernel.sum(udp + 8, headEnd - udp - 8) + (tailLen > 0 ? kernel.sum(tailAt, tailLen) : 0);
    const checksum = ~fold(sum) & 0xffff;
    view.setUint16(udp + 6, checksum === 0 ? 0xffff : checksum, true);
  }

  /** ECN follows RFC 6040; the template has the underlay's DSCP, or none when the inner one is copied. */
  function outerMark(i: number): number {
    return out.tos < 0 ? tos[i] : tos[i] & 3;
  }

  function sendSegments(i: number, peer: number): void {
    const t = peer * TEMPLATE_WORDS;
    const mark = outerMark(i);
    const segments = segmenter.begin(i, OUTER_LEN);
    for (let k = 0; k < segments; k++) {
      reserve(1, 2);
      const first = cursor[NEXT_EXTENT];
      const inner = segmenter.add(k) - OUTER_LEN;
      const frame = segmenter.blockAt() + OUTER_LEN;
      walk.writeOne(frame, peer, inner, flow[i], mark);
      if (out.checksum) {
        const headEnd = extAt[first] + extLen[first];
        writeChecksum(headEnd, frame - UDP_TO_FRAME, t, extAt[first + 1], extLen[first + 1]);
      }
      close(first, 1, inner, PEER_ROW + peer);
    }
  }

  /** A header block in front of a frame that other receivers share. */
  function sendReplica(i: number, peer: number): void {
    const t = peer * TEMPLATE_WORDS;
    reserve(1, 2);
    const frame = cursor[NEXT_HEADER] + TEMPLATE_BYTES;
    walk.writeOne(frame, peer, len[i], flow[i], outerMark(i));
    if (out.checksum) writeChecksum(frame, frame - UDP_TO_FRAME, t, at[i], len[i]);
    cursor[NEXT_HEADER] += 64;
    const first = cursor[NEXT_EXTENT];
    extent(frame - OUTER_LEN, OUTER_LEN);
    extent(at[i], len[i]);
    close(first, 1, len[i], PEER_ROW + peer);
  }

  function sendLane(i: number, peer: number): void {
    const t = peer * TEMPLATE_WORDS;
    const o = at[i];
    const bytes = len[i];
    reserve(1, 1);
    walk.writeOne(o, peer, bytes, flow[i], outerMark(i));
    if (out.checksum) writeChecksum(o + bytes, o - UDP_TO_FRAME, t, 0, 0);
    const first = cursor[NEXT_EXTENT];
    extent(o - OUTER_LEN, bytes + OUTER_LEN);
    close(first, 1, bytes, PEER_ROW + peer);
  }

  function sendCarefully(i: number, onlyPeer: number): void {
    const peer = onlyPeer > 0 ? onlyPeer : dst[i] & ID_MASK;
    const isTooBig = transport.packetLen(i) > networkMtu[network[i]];
    if (isTooBig || peerFrameMax[peer] === 0) {
      settlement.refuse(PEER_ROW + peer, DROP[isTooBig ? 'too-big' : 'no-neighbour'], packets[i]);
      return;
    }
    const needs = flags[i] & (HAS_GSO | NEEDS_CSUM);
    if (needs === NEEDS_CSUM) transport.complete(i);
    if ((needs & HAS_GSO) !== 0) sendSegments(i, peer);
    else if (onlyPeer > 0) sendReplica(i, peer);
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
    const next = walk.encap(listAt, from, end, message, first, out.tos < 0 ? 0xff : 3);
    cursor[NEXT_MESSAGE] = message + next - from;
    cursor[NEXT_EXTENT] = first + next - from;
    return next;
  }

  return function sendToFrame(underlay, list, count, onlyPeer) {
    out = underlay;
    messages.begin(underlay, UNDERLAY_ROW + underlay.id, 0, false);
    const isPlain = onlyPeer === 0 && !underlay.checksum;
    for (let k = 0; k < count; ) {
      if (isPlain) k = sendPlain(list.byteOffset, k, count);
      if (k < count) sendCarefully(list[k++], onlyPeer);
    }
    messages.flush();
  };
}
