import type { Arena } from '../packet/arena.js';
import { type Burst, FROM_PEER, TO_PEER } from '../packet/burst.js';
import type { Clock } from '../packet/clock.js';
import { LAST_HEARD, PEER_ROW, ROW_WIDTH, RX_BYTES, RX_PACKETS } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import type { VtepTable } from './vtep.js';

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
  // Imported constants are cells that V8 loads and checks at every use; local ones are folded into the code.
  const headerLen = HEADER_LEN;
  const fromPeer = FROM_PEER;
  const toPeer = TO_PEER;

  // What the last lookup found: lanes in a row mostly have one sender and one VNI.
  let net = 0;
  let peer = 0;
  let reason = 0;

  function find(key: number, underlay: number, source: number): void {
    reason = 0;
    peer = 0;
    const row = vteps.findNetwork(key);
    if (row < 0) {
      reason = DROP['unknown-vni'];
      return;
    }
    net = networkRows[row + 1];
    peer = vteps.findPeer(key, sources, source);
    if (peer === 0 && networkRows[row + 2] === 0) reason = DROP['unknown-peer'];
    else if (peer === 0) onUnknownPeer(underlay, net, source);
  }

  /** Counters are touched once for a run of lanes: adding to a double in memory for each would wait for the last addition. */
  function countRun(packets: number, bytes: number): void {
    if (packets === 0) return;
    const row = (PEER_ROW + peer) * ROW_WIDTH;
    counters[row + RX_PACKETS] += packets;
    counters[row + RX_BYTES] += bytes;
    counters[row + LAST_HEARD] = clock.seconds;
  }

  const isSameSource = (a: number, b: number) =>
    a === b ||
    (sources[a + 3] === sources[b + 3] &&
      sources[a + 2] === sources[b + 2] &&
      sources[a + 1] === sources[b + 1] &&
      sources[a] === sources[b]);

  return function decap(n, underlay) {
    let lastKey = -1;
    let lastSource = 0;
    let packets = 0;
    let bytes = 0;
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0) continue;
      const o = at[i];
      const length = len[i];
      if (length <= headerLen) {
        drop[i] = DROP['malformed-tunnel'];
        continue;
      }
      if ((view.getUint8(o) & 0x08) === 0) {
        drop[i] = DROP['tunnel-flags'];
        continue;
      }
      const key = (view.getInt32(o + 4) >>> 8) | (underlay << 24);
      const source = from[i] << 2;
      if (key !== lastKey || !isSameSource(source, lastSource)) {
        countRun(packets, bytes);
        packets = 0;
        bytes = 0;
        find(key, underlay, source);
      }
      lastKey = key;
      lastSource = source;
      if (reason !== 0) {
        drop[i] = reason;
        continue;
      }
      at[i] = o + headerLen;
      len[i] = length - headerLen;
      flags[i] |= fromPeer;
      network[i] = net;
      origin[i] = peer === 0 ? 0 : toPeer | peer;
      if (peer === 0) continue;
      packets++;
      bytes += length - headerLen;
    }
    countRun(packets, bytes);
  };
}
