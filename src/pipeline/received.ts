import { type Burst, HAS_GSO, ID_MASK, PARKED, TO_PEER, TO_PORT } from '../packet/burst.js';
import {
  DROP_BASE,
  NETWORK_ROW,
  PEER_ROW,
  ROW_WIDTH,
  RX_BYTES,
  RX_PACKETS,
  RX_SUPERFRAMES,
} from '../packet/counters.js';
import { IN_HAND_COUNTED } from '../packet/outbox.js';
import type { Tables } from './tables.js';

/** The walk's account of what came in, and of what was dropped on the way. */
export function bindReceived(
  burst: Burst,
  inHand: Int32Array,
  tables: Pick<Tables, 'portNetwork' | 'peerNetwork'>,
  counters: Float64Array,
) {
  const { len, packets, drop, network, origin, flags } = burst;
  const { portNetwork, peerNetwork } = tables;

  function countReceived(n: number, row: number): void {
    let total = 0;
    let bytes = 0;
    let supers = 0;
    for (let i = 0; i < n; i++) {
      if (drop[i] >= PARKED) continue;
      total += packets[i];
      bytes += len[i];
      if ((flags[i] & HAS_GSO) !== 0) supers++;
    }
    addReceived(row, total, bytes);
    counters[row * ROW_WIDTH + RX_SUPERFRAMES] += supers;
  }

  function addReceived(row: number, total: number, bytes: number): void {
    counters[row * ROW_WIDTH + RX_PACKETS] += total;
    counters[row * ROW_WIDTH + RX_BYTES] += bytes;
    inHand[IN_HAND_COUNTED] += total;
  }

  /** The lane's own network; `network` is its domain. */
  function networkOf(i: number): number {
    const from = origin[i];
    if ((from & TO_PORT) !== 0) return portNetwork[from & ID_MASK];
    return (from & TO_PEER) !== 0 ? peerNetwork[from & ID_MASK] : network[i];
  }

  /** The one sweep over the drop column: each dropped lane is charged to who brought it, and shown at its network. */
  function countDrops(n: number, ingressRow: number): void {
    for (let i = 0; i < n; i++) {
      const reason = drop[i];
      if (reason === 0 || reason >= PARKED) continue;
      const row = (origin[i] & TO_PEER) !== 0 ? PEER_ROW + (origin[i] & ID_MASK) : ingressRow;
      counters[row * ROW_WIDTH + DROP_BASE + reason] += packets[i];
      const net = networkOf(i);
      if (net !== 0) counters[(NETWORK_ROW + net) * ROW_WIDTH + DROP_BASE + reason] += packets[i];
    }
  }

  return { countReceived, addReceived, countDrops };
}
