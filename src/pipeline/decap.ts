import type { Arena } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import type { ChecksumKernel } from '../packet/checksum.js';
import type { Clock } from '../packet/clock.js';
import type { Outbox } from '../packet/outbox.js';
import {
  bindAdmit,
  CARRIES_ROUTED_ETHERNET,
  HAS_STRANGERS,
  IS_ORDERED,
  MODES_SHIFT,
  type UnknownPeer,
  WANTS_OPTIONS,
} from '../tunnel/admit.js';
import { bindOptions } from '../tunnel/geneveOptions.js';
import { bindSequence } from '../tunnel/greSequence.js';
import type { TunnelKernel } from '../tunnel/kernel.js';
import { bindDecaps } from '../tunnel/modules.js';
import { KIND } from '../tunnel/tunnel.js';
import type { Underlay } from '../underlay/underlay.js';
import type { HeartbeatStep } from './heartbeats.js';
import type { NetworkPlan } from './plan.js';
import type { Tables } from './tables.js';

/**
 * The decap step: each lane's own kind takes its header off, then one piece for all kinds finds network and peer, then come the checks that
 * depend on the network.
 */
export interface DecapStep {
  /** Returns the modes (MODE_* bits) of the networks that lanes were admitted to. No lane has a network before. */
  decap(n: number, underlay: Underlay): number;
  /** Takes the headers of every kind off, whatever their ids; returns the kinds of lanes that were not plain, as bits. `payload` says what is inside. */
  takeOff(n: number): number;
  /** Between two turns. */
  configure(networks: readonly NetworkPlan[]): void;
}

const ETHERNET = 14;

export function bindDecapStep(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  tables: Tables,
  kernel: ChecksumKernel,
  inbound: TunnelKernel,
  clock: Clock,
  counters: Float64Array,
  onUnknownPeer: UnknownPeer,
  heartbeats: Pick<HeartbeatStep, 'overhear'>,
): DecapStep {
  const { at, len, drop, careful, network, tunnel, metaLen } = burst;
  const { networkDomain, networkCarries, whole } = tables;
  const decaps = bindDecaps(arena, burst, kernel);
  const options = bindOptions(arena, burst);
  const sequence = bindSequence(arena, burst, clock);
  const admit = bindAdmit(arena, burst, outbox.rxSrc, tables, inbound, clock, counters, onUnknownPeer);
  const geneve = 1 << KIND.geneve;
  let configured: number[] = [];

  function takeOff(n: number): number {
    const left = inbound.decap(n);
    let kinds = 0;
    for (let k = 0; k < left; k++) kinds |= 1 << tunnel[careful[k]];
    for (let k = 1; kinds >>> k !== 0; k++) if ((kinds & (1 << k)) !== 0) decaps[k](left);
    return kinds;
  }

  /** The inner Ethernet header of an L3 network ends here; options and sequence numbers in front of it have been looked at. */
  function takeEthernetOff(n: number): void {
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0 || tunnel[i] === 0 || (networkCarries[network[i]] & CARRIES_ROUTED_ETHERNET) === 0) continue;
      at[i] += ETHERNET;
      len[i] -= ETHERNET;
      metaLen[i] = 0;
    }
  }

  return {
    takeOff,
    decap(n, underlay) {
      const left = takeOff(n);
      const seen = admit(n, underlay.id);
      // Geneve lanes with options are none that the kernel takes.
      if ((left & geneve) !== 0 || (seen & WANTS_OPTIONS) !== 0) options.check(n);
      if ((seen & IS_ORDERED) !== 0) sequence.check(n);
      if ((seen & HAS_STRANGERS) !== 0) heartbeats.overhear(n, underlay.id);
      if ((seen & CARRIES_ROUTED_ETHERNET) !== 0) takeEthernetOff(n);
      if (whole.hasBridges) for (let i = 0; i < n; i++) network[i] = networkDomain[network[i]];
      return seen >>> MODES_SHIFT;
    },
    configure(networks) {
      for (const id of configured) {
        options.configure(id, null);
        sequence.configure(id, null);
      }
      for (const { id, tunnel: plan } of networks) {
        options.configure(id, plan);
        sequence.configure(id, plan);
      }
      configured = networks.map(({ id }) => id);
    },
  };
}
