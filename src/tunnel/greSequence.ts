import type { Arena } from '../packet/arena.js';
import { type Burst, ID_MASK } from '../packet/burst.js';
import type { Clock } from '../packet/clock.js';
import { NETWORKS_MAX, PEERS_MAX } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { KIND, type TunnelPlan } from './tunnel.js';

/**
 * In-order delivery of GRE (RFC 2890 section 2.2): a packet whose sequence number is that of the last one or one of the 2^31 - 1 before it is
 * dropped. Packets without a number may stand between those that have one. Gaps are not waited for.
 */
export interface SequenceCheck {
  /** Between two turns. */
  configure(network: number, tunnel: TunnelPlan | null): void;
  /** Lanes of this kind behind decap and admission: `network` and `origin` are known. */
  check(n: number): void;
}

/**
 * After so long without a packet in order, the next one counts as the first: a sender that starts again begins at 0, and would otherwise be
 * silent until it has caught up. RFC 2890 leaves open how a tunnel is set up again.
 */
export const RESTART_SEC = 5;

/** State per peer lives as long as the worker; the first packet of a peer is in order whatever its number. */
export function bindSequence(arena: Arena, burst: Burst, clock: Clock): SequenceCheck {
  const { view } = arena;
  const { at, drop, tunnel, network, origin, metaLen } = burst;
  const kind = KIND.gre;
  const idMask = ID_MASK;
  const restartSec = RESTART_SEC;
  const outOfOrder = DROP['tunnel-sequence'];
  const isOrdered = new Int32Array(NETWORKS_MAX);
  const last = new Int32Array(PEERS_MAX);
  /** Second of the last packet in order, 0 for none. */
  const lastSec = new Int32Array(PEERS_MAX);

  return {
    configure(id, plan) {
      isOrdered[id] = plan?.kind === 'gre' && plan.sequence ? 1 : 0;
    },
    check(n) {
      for (let i = 0; i < n; i++) {
        if (drop[i] !== 0 || tunnel[i] !== kind || metaLen[i] === 0 || isOrdered[network[i]] === 0) continue;
        // A peer that is not configured has no state.
        const peer = origin[i] & idMask;
        if (peer === 0) continue;
        const sequence = view.getInt32(at[i] - 4);
        const now = clock.seconds;
        const isKnown = lastSec[peer] !== 0 && now - lastSec[peer] < restartSec;
        if (isKnown && ((last[peer] - sequence) | 0) >= 0) {
          drop[i] = outOfOrder;
          continue;
        }
        last[peer] = sequence;
        lastSec[peer] = now;
      }
    },
  };
}
