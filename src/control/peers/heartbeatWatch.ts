/**
 * What the node keeps of one peer that it exchanges heartbeats with.
 */
import type { LivenessDocument } from '../../observe/documents.js';
import type { NetworkPlan, PeerPlan, UnderlayPlan } from '../../pipeline/plan.js';
import * as Address from '../../wire/address.js';
import type { HeartbeatConfig } from '../config/heartbeatSchema.js';
import { familyOf } from '../config/text.js';
import { overheadOf, PATH_MTU_MIN } from '../plan/mtu.js';
import type { Destination } from './heartbeatSender.js';
import { createLiveness, type Liveness } from './liveness.js';
import { createPathProbe, type PathProbe, type ProbeLimits } from './pathProbe.js';
import type { Identity, Roamer } from './roaming.js';

export interface HeartbeatSettings extends HeartbeatConfig {
  probeMtu: boolean;
}

export interface Watch extends Roamer {
  peer: PeerPlan;
  network: NetworkPlan;
  underlay: UnderlayPlan;
  settings: HeartbeatSettings;
  roams: boolean;
  liveness: Liveness;
  probe: PathProbe | null;
  identity: Identity | null;
  /** Where the peer was proven to be, null: where it is configured. */
  at: Destination | null;
  movedAt: number;
  challengedAt: number;
  /** Heartbeats from its address that another key wrote, since its last answer. */
  refused: number;
  /** Answers that it may still have in this second. */
  answersLeft: number;
}

/** Time for the first answers before full packets are tried. */
const PROBE_DELAY_MS = 1000;
export const ANSWERS_A_SECOND = 40;

export type WatchSource = Pick<Watch, 'peer' | 'network' | 'underlay' | 'settings' | 'roams'>;

export function createWatch(source: WatchSource, now: number): Watch {
  const home = Buffer.from(Address.toMapped(Address.fromText(source.peer.address)!)).toString('hex');
  const watch: Watch = {
    ...source,
    home,
    liveness: createLiveness(source.settings, now, now + source.settings.intervalMs * turnOf(source.peer)),
    probe: null,
    identity: null,
    at: null,
    movedAt: Number.NEGATIVE_INFINITY,
    challengedAt: Number.NEGATIVE_INFINITY,
    refused: 0,
    answersLeft: ANSWERS_A_SECOND,
    get state() {
      return watch.liveness.state;
    },
  };
  return watch;
}

export function destinationOf({ at, peer, network }: Watch): Destination {
  return at ?? { address: peer.address, udpPort: network.tunnel.udpPort === 0 ? 0 : peer.udpPort };
}

/** Peers in sixteen turns: not all heartbeats of a node at once. A part of the interval. */
const turnOf = ({ id }: PeerPlan) => (id & 15) / 16;

/** Outer bytes of a full packet, and of what every path takes. `told`: what routers or the kernel said about the path. */
function limitsOf({ network, peer }: Watch, told: number | undefined): ProbeLimits {
  const family = familyOf(peer.address) === 6 ? 6 : 4;
  const most = Math.min(network.mtu, network.mtuMost ?? network.mtu) + overheadOf(network.tunnel, family);
  return { floor: PATH_MTU_MIN[family], full: Math.min(most, told ?? most) };
}

/** Makes or replaces the probe of a path; none where the path is not to be probed. */
export function aimProbe(watch: Watch, told: number | undefined, now: number): void {
  if (!watch.settings.probeMtu || watch.peer.direct) {
    watch.probe = null;
    return;
  }
  const limits = limitsOf(watch, told);
  const { limits: before } = watch.probe ?? { limits: null };
  if (before?.full === limits.full && before.floor === limits.floor) return;
  watch.probe = createPathProbe(limits, now + PROBE_DELAY_MS * (1 + turnOf(watch.peer)));
}

/** How long an answer may take before a probe counts as lost. */
export function probeWaitMs({ liveness }: Watch): number {
  const usual = (liveness.roundTrip?.smoothedUs ?? 0) / 1000;
  return Math.min(2000, Math.max(250, 4 * usual));
}

export function livenessDocument(watch: Watch, now: number): LivenessDocument {
  const { liveness, at, probe, refused } = watch;
  const { roundTrip } = liveness;
  return {
    state: liveness.state,
    sinceSec: Math.max(0, Math.round(now - liveness.since) / 1000),
    answeredSec: liveness.answeredAt === null ? null : Math.max(0, Math.round(now - liveness.answeredAt) / 1000),
    rttUs: roundTrip === null ? null : Math.round(roundTrip.smoothedUs),
    rttLeastUs: roundTrip?.leastUs ?? null,
    sent: liveness.sent,
    lost: liveness.lost,
    loss: Math.round(liveness.lossRecently * 1000) / 1000,
    at: at === null ? null : { ...at },
    refused,
    blackHole: probe?.hole ?? null,
  };
}
