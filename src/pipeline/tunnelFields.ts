import type { Arena } from '../packet/arena.js';
import { type Burst, FROM_PEER, IS_V6 } from '../packet/burst.js';
import { type ChecksumKernel, fold } from '../packet/checksum.js';
import { KIND } from '../tunnel/tunnel.js';
import { TEMPLATE_ROWS, TEMPLATE_WORDS, WORD_CHECKSUM, WORD_SEQUENCE, WORD_TUNNEL } from '../underlay/template.js';
import * as Geneve from '../wire/geneve.js';
import type { Tables } from './tables.js';

/**
 * What of a tunnel header differs from packet to packet, whatever underlay carries it: GRE's sequence number and checksum, and the options of
 * a relayed Geneve packet.
 */
export interface TunnelFields {
  /** Template row of a lane's packet to a peer: one for each family of the inner packet. */
  rowOf(i: number, peer: number): number;
  /** Bytes of options right in front of the frame that go along to the peer. */
  relayedLen(i: number, peer: number): number;
  /** Whether `relayed` bytes of options fit a header behind those of the peer's network. */
  hasRoom(i: number, peer: number, relayed: number): boolean;
  /**
   * Completes a header that was just copied in front of `frameAt`. The packet ends at `headEnd`, or goes on with `tailLen` bytes at `tailAt`;
   * `headEnd - frameAt` is even then.
   */
  finish(peer: number, row: number, frameAt: number, headEnd: number, tailAt: number, tailLen: number): void;
  /** Counts `bytes` relayed options, which lie from `optionsAt` on, into the header that ends at `headerEnd`. */
  addOptions(row: number, headerEnd: number, optionsAt: number, bytes: number): void;
}

/** RFC 8926 section 3.4: six bits count the words of options. */
const HEADER_BYTES_MAX = Geneve.HEADER_BYTES + 63 * 4;

export function bindTunnelFields(
  arena: Arena,
  burst: Burst,
  tables: Tables,
  kernel: ChecksumKernel,
  sequences: Int32Array,
): TunnelFields {
  const { view } = arena;
  const { flags, metaLen, tunnel } = burst;
  const { templates, peerRelaysOptions } = tables;
  const geneve = KIND.geneve;

  return {
    rowOf: (i, peer) => peer * TEMPLATE_ROWS + ((flags[i] & IS_V6) >> 1),
    relayedLen: (i, peer) => {
      // Lanes of ports keep what decap wrote for an earlier burst.
      if ((flags[i] & FROM_PEER) === 0 || tunnel[i] !== geneve) return 0;
      return peerRelaysOptions[peer] !== 0 ? metaLen[i] : 0;
    },
    hasRoom(i, peer, relayed) {
      if (relayed === 0) return true;
      const row = peer * TEMPLATE_ROWS + ((flags[i] & IS_V6) >> 1);
      return templates[row * TEMPLATE_WORDS + WORD_TUNNEL] + relayed <= HEADER_BYTES_MAX;
    },
    finish(peer, row, frameAt, headEnd, tailAt, tailLen) {
      const w = row * TEMPLATE_WORDS;
      const sequence = templates[w + WORD_SEQUENCE];
      // All workers count in one row: RFC 2890 wants one order for the tunnel.
      if (sequence !== 0) view.setInt32(frameAt - sequence, Atomics.add(sequences, peer, 1));
      const checksum = templates[w + WORD_CHECKSUM];
      if (checksum === 0) return;
      const from = frameAt - templates[w + WORD_TUNNEL];
      view.setInt32(frameAt - checksum, 0);
      const sum = kernel.sum(from, headEnd - from) + (tailLen > 0 ? kernel.sum(tailAt, tailLen) : 0);
      view.setUint16(frameAt - checksum, ~fold(sum), true);
    },
    addOptions(row, headerEnd, optionsAt, bytes) {
      const header = headerEnd - templates[row * TEMPLATE_WORDS + WORD_TUNNEL];
      view.setUint8(header, view.getUint8(header) + (bytes >> 2));
      let seen = 0;
      for (let o = optionsAt; o < optionsAt + bytes; o += 4 + ((view.getUint8(o + 3) & 0x1f) << 2))
        seen |= view.getUint8(o + 2);
      if ((seen & Geneve.TYPE_CRITICAL) !== 0)
        view.setUint8(header + 1, view.getUint8(header + 1) | Geneve.FLAG_CRITICAL);
    },
  };
}
