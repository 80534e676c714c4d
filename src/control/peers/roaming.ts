/**
 * Peers that roam: behind a NAT, or with an address that changes. Where such a peer is now is believed by proof alone, never by where its
 * packets come from. A heartbeat with the right code from elsewhere only makes the node ask there, by a ping of its own; the answer to exactly
 * that one, from exactly there, moves the peer. So a heartbeat that somebody recorded and sends again moves nothing.
 */
import type { Heartbeat } from '../../wire/heartbeat.js';
import type { Destination } from './heartbeatSender.js';
import type { LivenessState } from './liveness.js';

/** Who a peer said that it is, as hexadecimal digits. */
export interface Identity {
  node: string;
  instance: string;
}

export interface Roamer {
  /** Address by which it is configured, in 16 bytes as hexadecimal digits. */
  readonly home: string;
  readonly identity: Identity | null;
  readonly state: LivenessState;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

export function identityOf({ node, instance }: Heartbeat): Identity {
  return { node: hex(node), instance: hex(instance) };
}

/**
 * Which of the peers that roam sent a heartbeat: the one that is known by this instance; else the one whose configured address the sender
 * calls its own; else the one that was known by this name. A peer that answers as another instance stays where it is.
 */
export function roamerOf<R extends Roamer>(roamers: readonly R[], heartbeat: Heartbeat): R | null {
  const { node, instance } = identityOf(heartbeat);
  const home = hex(heartbeat.home);
  const same = roamers.find((roamer) => roamer.identity?.instance === instance);
  if (same) return same;
  const others = roamers.filter((roamer) => roamer.state !== 'up');
  return (
    others.find((roamer) => roamer.home === home) ?? others.find((roamer) => roamer.identity?.node === node) ?? null
  );
}

/** A question that was sent to where a peer may be. */
export interface Challenge {
  to: Destination;
  /** Instance that is to answer; null: any. */
  instance: string | null;
}

/** Whether an answer that came from `from` proves that the peer is there. */
export function isProof(challenge: Challenge, from: Destination, heartbeat: Heartbeat): boolean {
  const { to, instance } = challenge;
  if (to.address !== from.address || to.udpPort !== from.udpPort) return false;
  return instance === null || instance === identityOf(heartbeat).instance;
}
