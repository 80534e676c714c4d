import type { Arena } from '../packet/arena.js';
import { type Burst, FROM_PEER, TO_PEER } from '../packet/burst.js';
import type { Clock } from '../packet/clock.js';
import { LAST_HEARD, PEER_ROW, ROW_WIDTH, RX_BYTES, RX_PACKETS } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { type VtepTable, vtepKey } from './vtep.js';

/**
 * VXLAN (RFC 7348) over bursts: only its own header, whatever underlay carries it.
 *
 *   | flags 0x08 | reserved 24 | VNI 24 | reserved 8 |   then the inner Ethernet frame
 */
export const HEADER_LEN = 8;

/** First header word as it lies in memory: the I flag alone. */
export const FLAGS_WORD = 0x00000008;

/** Writes the header in front of a frame; no payload byte moves. */
export function bindEncap(arena: Arena): (frameAt: number, vniWord: number) => void {
  const { view } = arena;
  return function encap(frameAt, vniWord) {
    view.setInt32(frameAt - 8, FLAGS_WORD, true);
    view.setInt32(frameAt - 4, vniWord, true);
  };
}

/** A packet of an unknown VTEP was accepted: the control thread may want to know it as a peer. */
export type UnknownPeer = (underlay: number, network: number, sourceAt: number) => void;

/**
 * Decap burst: lanes stand at the VXLAN header; afterwards at the inner frame, with network and origin set. Reserved bits are ignored on
 * receipt, the I flag must be set (RFC 7348 section 5). `sources` holds outer addresses, four words each, at 4 * from[i].
 */
export function bindDecap(
  arena: Arena,
  burst: Burst,
  sources: Int32Array,
  vteps: VtepTable,
  clock: Clock,
  counters: Float64Array,
  onUnknownPeer: UnknownPeer,
): (n: number, underlay: number) => void {
  const { view } = arena;
  const { at, len, drop, flags, network, origin, from } = burst;
  const { networkRows } = vteps;

  return function decap(n, underlay) {
    const now = clock.seconds;
    let lastKey = 0;
    let lastFrom = -1;
    let net = 0;
    let peer = 0;
    let reason = 0;
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0) continue;
      const o = at[i];
      if (len[i] <= HEADER_LEN) {
        drop[i] = DROP['malformed-tunnel'];
        continue;
      }
      if ((view.getUint8(o) & 0x08) === 0) {
        drop[i] = DROP['tunnel-flags'];
        continue;
      }
      const key = vtepKey(underlay, view.getInt32(o + 4) >>> 8);
      // Segments of one super-datagram share their sender, and nearly always the VNI: looked up once.
      if (key !== lastKey || from[i] !== lastFrom) {
        lastKey = key;
        lastFrom = from[i];
        reason = 0;
        peer = 0;
        const row = vteps.findNetwork(key);
        if (row < 0) reason = DROP['unknown-vni'];
        else {
          net = networkRows[row + 1];
          peer = vteps.findPeer(key, sources, lastFrom << 2);
          if (peer === 0 && networkRows[row + 2] === 0) reason = DROP['unknown-peer'];
          else if (peer === 0) onUnknownPeer(underlay, net, lastFrom << 2);
          else counters[(PEER_ROW + peer) * ROW_WIDTH + LAST_HEARD] = now;
        }
      }
      if (reason !== 0) {
        drop[i] = reason;
        continue;
      }
      at[i] = o + HEADER_LEN;
      len[i] -= HEADER_LEN;
      flags[i] |= FROM_PEER;
      network[i] = net;
      origin[i] = peer === 0 ? 0 : TO_PEER | peer;
      if (peer === 0) continue;
      const row = (PEER_ROW + peer) * ROW_WIDTH;
      counters[row + RX_PACKETS]++;
      counters[row + RX_BYTES] += len[i];
    }
  };
}
