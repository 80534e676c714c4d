import type { Arena } from '../packet/arena.js';
import { type Burst, ID_MASK, NEEDS_CSUM } from '../packet/burst.js';
import type { ChecksumKernel } from '../packet/checksum.js';
import { PEER_ROW, UNDERLAY_ROW } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { NEXT_EXTENT, NEXT_HEADER, type Outbox } from '../packet/outbox.js';
import {
  OUTER_LEN,
  TEMPLATE_WORDS,
  WORD_IP,
  WORD_IP_SUM,
  WORD_PORTS,
  WORD_TTL_CSUM,
  WORD_UDP_SUM,
} from '../underlay/template.js';
import type { FrameUnderlay } from '../underlay/underlay.js';
import type { Messages } from './messages.js';
import type { Segmenter } from './segment.js';
import type { Settlement } from './settle.js';
import type { Tables } from './tables.js';
import { bswap16, fold, type Transport } from './transport.js';

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
const IP_TO_FRAME = 36;
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
): SendToFrame {
  const { words: m, view } = arena;
  const { at, len, packets, gsoType, flags, network, dst, tos, flow } = burst;
  const { networkMtu } = tables;
  const { cursor, extAt, extLen } = outbox;
  const { reserve, extent, close } = messages;
  let out: FrameUnderlay;
  let template: Int32Array;

  /** Word form: the outer header of a frame of `bytes` that would lie at `o` (0 mod 4), from row word t of the template. */
  function writeWords(o: number, t: number, bytes: number, hash: number, mark: number): void {
    const q = (o >> 2) - 14;
    const total = bswap16(bytes + IP_TO_FRAME);
    const udp = bswap16(bytes + UDP_TO_FRAME);
    const port = bswap16((hash >>> 18) | 0xc000);
    m[q + 1] = template[t + 1];
    m[q + 2] = template[t + 2];
    m[q + 3] = template[t + 3];
    m[q + 4] = template[t + 4];
    m[q + 5] = template[t + WORD_IP] | (mark << 8) | (total << 16);
    m[q + 6] = template[t + 6];
    m[q + 7] = template[t + WORD_TTL_CSUM] | (~fold(template[t + WORD_IP_SUM] + total + (mark << 8)) << 16);
    m[q + 8] = template[t + 8];
    m[q + 9] = template[t + 9];
    m[q + 10] = template[t + WORD_PORTS] | port;
    m[q + 11] = udp;
    m[q + 12] = template[t + 12];
    m[q + 13] = template[t + 13];
  }

  /** Byte-shaped twin for frames that lie anywhere. */
  function writeBytes(o: number, t: number, bytes: number, hash: number, mark: number): void {
    for (let w = 1; w < 14; w++) view.setInt32(o - TEMPLATE_BYTES + w * 4, template[t + w], true);
    const ip = o - IP_TO_FRAME;
    const udp = o - UDP_TO_FRAME;
    const total = bytes + IP_TO_FRAME;
    view.setUint8(ip + 1, view.getUint8(ip + 1) | mark);
    view.setUint16(ip + 2, total);
    view.setUint16(ip + 10, ~fold(template[t + WORD_IP_SUM] + bswap16(total) + (mark << 8)), true);
    view.setUint16(udp, (hash >>> 18) | 0xc000);
    view.setUint16(udp + 4, bytes + UDP_TO_FRAME);
    view.setUint16(udp + 6, 0);
  }

  /** RFC 768 over the outer UDP packet; the frame's tail may lie elsewhere (`tailAt`), starting at an even offset. */
  function writeChecksum(headEnd: number, udp: number, t: number, tailAt: number, tailLen: number): void {
    const udpLen = view.getUint16(udp + 4, true);
    // The template's sum holds pseudo header and destination port; length counts twice: in the pseudo header and in the UDP header.
    let sum = template[t + WORD_UDP_SUM] + view.getUint16(udp, true) + 2 * udpLen;
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
      writeBytes(frame, t, inner, flow[i], mark);
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
    writeWords(frame, t, len[i], flow[i], outerMark(i));
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
    if ((o & 3) === 0) writeWords(o, t, bytes, flow[i], outerMark(i));
    else writeBytes(o, t, bytes, flow[i], outerMark(i));
    if (out.checksum) writeChecksum(o + bytes, o - UDP_TO_FRAME, t, 0, 0);
    const first = cursor[NEXT_EXTENT];
    extent(o - OUTER_LEN, bytes + OUTER_LEN);
    close(first, 1, bytes, PEER_ROW + peer);
  }

  return function sendToFrame(underlay, list, count, onlyPeer) {
    out = underlay;
    template = underlay.template;
    messages.begin(underlay, UNDERLAY_ROW + underlay.id, 0, false);
    for (let k = 0; k < count; k++) {
      const i = list[k];
      const peer = onlyPeer > 0 ? onlyPeer : dst[i] & ID_MASK;
      const reason =
        transport.packetLen(i) > networkMtu[network[i]]
          ? DROP['too-big']
          : underlay.hasNeighbour(peer)
            ? 0
            : DROP['no-neighbour'];
      if (reason !== 0) {
        settlement.refuse(PEER_ROW + peer, reason, packets[i]);
        continue;
      }
      if (gsoType[i] === 0 && (flags[i] & NEEDS_CSUM) !== 0) transport.complete(i);
      if (gsoType[i] !== 0) sendSegments(i, peer);
      else if (onlyPeer > 0) sendReplica(i, peer);
      else sendLane(i, peer);
    }
    messages.flush();
  };
}
