/**
 * Heartbeats of a running node: sends them to the peers of every network that wants them, answers those of others, and tells what follows: which
 * peers are up, where peers that roam are, how large the packets are that a path takes. Workers leave what comes in in shared memory; this looks
 * there every few milliseconds. Times of arrival are the workers', so that the round trip does not measure the wait.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { LivenessDocument } from '../../observe/documents.js';
import type { HeardHeartbeat } from '../../pipeline/heartbeats.js';
import type { CarrierSockets, Plan } from '../../pipeline/plan.js';
import * as Address from '../../wire/address.js';
import * as Heartbeat from '../../wire/heartbeat.js';
import type { Config } from '../config/config.js';
import { canonicalAddress } from '../config/text.js';
import { pathKey } from '../plan/plan.js';
import type { Destination, HeartbeatSender } from './heartbeatSender.js';
import {
  ANSWERS_A_SECOND,
  aimProbe,
  createWatch,
  destinationOf,
  livenessDocument,
  probeWaitMs,
  type Watch,
  type WatchSource,
} from './heartbeatWatch.js';
import type { PathMtus } from './pathMtus.js';
import { type Challenge, identityOf, isProof, roamerOf } from './roaming.js';

export interface Heartbeats {
  /** The node has another plan, of this configuration. */
  configure(config: Config): void;
  /** Where peers that roam are, by pathKey; only those that are not where they are configured. */
  moved(): ReadonlyMap<string, Destination>;
  /** By id of the peer. */
  documents(): ReadonlyMap<number, LivenessDocument>;
  stop(): void;
}

export interface PeerName {
  network: string;
  address: string;
}

/** What a node does with it. */
export interface HeartbeatSurroundings {
  plan(): Plan;
  /** Sockets of a carrier, of a worker that receives; undefined for one that is not open. */
  sockets(carrier: number): CarrierSockets | undefined;
  drain(onHeartbeat: (heard: HeardHeartbeat) => void): void;
  sender(): HeartbeatSender;
  paths: Pick<PathMtus, 'lower' | 'forget' | 'list'>;
  /** Moves the node to a plan with the peers where they are now. */
  relocate(): Promise<unknown>;
  up(peer: PeerName): void;
  down(peer: PeerName): void;
  movedTo(peer: PeerName, to: Destination): void;
  warn(message: string): void;
  /** Monotonic seconds, with a fraction. */
  now(): number;
}

type Pending = { watch: Watch; sentAt: number } & (
  | { kind: 'beat' }
  | { kind: 'probe'; isPadded: boolean }
  | { kind: 'challenge'; challenge: Challenge }
);

const LOOK_MS = 50;
const PENDING_MS = 10_000;
const MOVE_INTERVAL_MS = 1000;
const CHALLENGE_INTERVAL_MS = 200;
const NOBODY = new Uint8Array(Heartbeat.IDENTITY_BYTES);
const IPV4 = 4;

export function createHeartbeats(config: Config, around: HeartbeatSurroundings): Heartbeats {
  const node = createHash('sha256').update(around.plan().node).digest().subarray(0, Heartbeat.IDENTITY_BYTES);
  const instance = randomBytes(Heartbeat.IDENTITY_BYTES);
  const srcMac = Buffer.concat([Heartbeat.MAC.subarray(0, 2), instance.subarray(0, 4)]);
  const watches = new Map<string, Watch>();
  let byPeer = new Map<number, Watch>();
  /** By id of the network. */
  let roamersOf = new Map<number, Watch[]>();
  const pending = new Map<number, Pending>();
  let sequence = randomBytes(4).readUInt32BE();
  let sender: HeartbeatSender | null = null;
  let timer: NodeJS.Timeout | null = null;
  let lastSweep = 0;
  const nowMs = () => around.now() * 1000;
  const nameOf = ({ network, peer }: Watch): PeerName => ({ network: network.name, address: peer.address });

  /**
   * The descriptor that leads to a peer. What the kernel learns about paths it tells sending sockets alone, so padded heartbeats go there; but
   * not to a peer that may be behind a NAT, which lets in what comes from the tunnel's own port.
   */
  function socketTo({ underlay, peer, at }: Watch, isPadded: boolean): number | undefined {
    const sockets = around.sockets(peer.underlay);
    if (sockets === undefined) return undefined;
    if (underlay.kind === 'raw') return sockets.txFds[Math.max(0, sockets.protocols.indexOf(IPV4))];
    return isPadded && at === null ? sockets.txFds[0] : sockets.rxFds[0];
  }

  function send(watch: Watch, to: Destination, outerBytes: number, rest: Partial<Heartbeat.Heartbeat>): number {
    const fd = socketTo(watch, outerBytes > 0);
    if (fd === undefined) return -1;
    sender ??= around.sender();
    const { network, peer, underlay, settings } = watch;
    const home = Address.toMapped(Address.fromText(underlay.address)!);
    const said = { type: Heartbeat.TYPE_PING, node, instance, home, sequence: 0, heldUs: 0, to: NOBODY, ...rest };
    return sender.send(fd, to, { network, mac: peer.mac, srcMac }, outerBytes, (bytes, at, length) => {
      Heartbeat.write(bytes, at, said as Heartbeat.Heartbeat, length);
      Heartbeat.sign(bytes, at, settings.key ?? '', network.tunnel.id);
    });
  }

  function nextSequence(): number {
    sequence = (sequence + 1) >>> 0;
    return sequence;
  }

  function beat(watch: Watch): void {
    const number = nextSequence();
    const sentAt = nowMs();
    pending.set(number, { kind: 'beat', watch, sentAt });
    watch.liveness.noteSent(number, sentAt);
    send(watch, destinationOf(watch), 0, { sequence: number });
    // It may have come home in silence.
    if (watch.at !== null && watch.liveness.state === 'down')
      ask(watch, { to: destinationOf({ ...watch, at: null }), instance: null });
  }

  function ask(watch: Watch, challenge: Challenge): void {
    const sentAt = nowMs();
    if (sentAt - watch.challengedAt < CHALLENGE_INTERVAL_MS) return;
    watch.challengedAt = sentAt;
    const number = nextSequence();
    pending.set(number, { kind: 'challenge', watch, sentAt, challenge });
    send(watch, challenge.to, 0, { sequence: number });
  }

  function probe(watch: Watch, told: number | undefined): void {
    const now = nowMs();
    aimProbe(watch, told, now);
    if (watch.probe === null || watch.liveness.state !== 'up') return;
    const outerBytes = watch.probe.next(now, probeWaitMs(watch));
    if (outerBytes !== null) {
      const [padded, small] = [nextSequence(), nextSequence()];
      pending.set(padded, { kind: 'probe', watch, sentAt: now, isPadded: true });
      pending.set(small, { kind: 'probe', watch, sentAt: now, isPadded: false });
      const failure = send(watch, destinationOf(watch), outerBytes, { sequence: padded });
      if (failure !== 0) watch.probe.noteRefused(now);
      // The same way in all but its size.
      else send(watch, destinationOf(watch), Math.min(outerBytes, watch.probe.limits.floor), { sequence: small });
    }
    const found = watch.probe.take();
    if (found === null) return;
    const { network, address } = nameOf(watch);
    const known = around.paths.list().find((path) => path.network === network && path.address === address);
    const isOurs = known?.why === 'probe';
    if (isOurs && (found.kind === 'whole' || found.bytes > known.bytes)) around.paths.forget(network, address);
    if (found.kind === 'hole') around.paths.lower(network, address, found.bytes, 'probe');
  }

  function onHeard(heard: HeardHeartbeat): void {
    const { message, length } = heard;
    const roamers = roamersOf.get(heard.network) ?? [];
    const watch = byPeer.get(heard.peer) ?? null;
    const any = watch ?? roamers[0];
    if (any === undefined || !Heartbeat.check(message, 0, message.length, length)) return;
    if (!Heartbeat.isSigned(message, 0, any.settings.key ?? '', any.network.tunnel.id)) {
      if (watch !== null) watch.refused++;
      return;
    }
    const said = Heartbeat.read(message, 0);
    const from = { address: canonicalAddress(Address.toText(heard.address)), udpPort: heard.port };
    // What this node wrote itself.
    if (Buffer.compare(said.instance, instance) === 0) return;
    if (said.type === Heartbeat.TYPE_PONG) onPong(heard, said, from);
    else if (watch !== null) onPing(watch, heard, said, from);
    else {
      const roamer = roamerOf(roamers, said);
      if (roamer?.peer.underlay === heard.carrier) ask(roamer, { to: from, instance: identityOf(said).instance });
    }
  }

  function onPing(watch: Watch, heard: HeardHeartbeat, said: Heartbeat.Heartbeat, from: Destination): void {
    const to = destinationOf(watch);
    // Padded ones come from other ports of the peer.
    const isElsewhere = heard.length === Heartbeat.HEADER_BYTES && from.udpPort !== to.udpPort;
    if (watch.roams && isElsewhere) ask(watch, { to: from, instance: identityOf(said).instance });
    else watch.identity = identityOf(said);
    if (watch.answersLeft-- <= 0) return;
    const heldUs = Math.max(0, Math.round((around.now() - heard.seconds) * 1e6));
    send(watch, to, 0, { type: Heartbeat.TYPE_PONG, sequence: said.sequence, heldUs, to: said.instance });
  }

  function onPong(heard: HeardHeartbeat, said: Heartbeat.Heartbeat, from: Destination): void {
    const waiting = pending.get(said.sequence);
    if (waiting === undefined || Buffer.compare(said.to, instance) !== 0) return;
    const { watch } = waiting;
    if (waiting.kind === 'challenge') {
      if (watch.network.id !== heard.network || !isProof(waiting.challenge, from, said)) return;
      pending.delete(said.sequence);
      settle(watch, from, said);
      return;
    }
    if (watch.peer.id !== heard.peer) return;
    pending.delete(said.sequence);
    watch.identity = identityOf(said);
    watch.refused = 0;
    if (waiting.kind === 'probe') watch.probe?.noteAnswer(waiting.isPadded, nowMs());
    else watch.liveness.noteAnswer(said.sequence, heard.seconds * 1000, said.heldUs);
  }

  /** A peer was proven to be somewhere. */
  function settle(watch: Watch, to: Destination, said: Heartbeat.Heartbeat): void {
    const now = nowMs();
    const old = destinationOf(watch);
    if ((old.address === to.address && old.udpPort === to.udpPort) || now - watch.movedAt < MOVE_INTERVAL_MS) return;
    const { network, address } = nameOf(watch);
    const isTaken = (other: Watch) =>
      other !== watch && other.network.id === watch.network.id && destinationOf(other).address === to.address;
    if ([...watches.values()].some(isTaken)) {
      around.warn(
        `peer ${address} of network ${network} is at ${to.address}, where another peer is: it is not followed`,
      );
      return;
    }
    const home = destinationOf({ ...watch, at: null });
    watch.at = home.address === to.address && home.udpPort === to.udpPort ? null : to;
    watch.movedAt = now;
    watch.identity = identityOf(said);
    watch.probe = null;
    watch.liveness.hurry(now);
    around.relocate().then(
      () => around.movedTo({ network, address }, to),
      (error: Error) => around.warn(`peer ${address} of network ${network} was not followed: ${error.message}`),
    );
  }

  function review(watch: Watch): void {
    const { liveness } = watch;
    if (!liveness.review(nowMs())) return;
    if (liveness.state === 'up') around.up(nameOf(watch));
    else around.down(nameOf(watch));
  }

  function sweep(now: number): void {
    if (now - lastSweep < 1000) return;
    lastSweep = now;
    for (const watch of watches.values()) watch.answersLeft = ANSWERS_A_SECOND;
    for (const [number, { sentAt }] of pending) if (now - sentAt > PENDING_MS) pending.delete(number);
  }

  function look(): void {
    // First what came: a node that was held up must not take that for silence of its peers.
    around.drain(onHeard);
    const told = new Map<string, number>();
    for (const path of around.paths.list())
      if (path.why !== 'probe') told.set(pathKey(path.network, path.address), path.bytes);
    for (const [key, watch] of watches) {
      review(watch);
      if (watch.liveness.isDue(nowMs())) beat(watch);
      probe(watch, told.get(key));
    }
    sweep(nowMs());
  }

  function sources(config: Config): Map<string, WatchSource> {
    const plan = around.plan();
    const found = new Map<string, WatchSource>();
    for (const { name, heartbeat, probeMtu = true, peers } of config.networks) {
      const network = plan.networks.find((n) => n.name === name);
      if (heartbeat === undefined || network === undefined) continue;
      const roaming = new Set(peers.flatMap((peer) => (typeof peer === 'object' && peer.roams ? [peer.address] : [])));
      for (const peer of plan.peers) {
        const underlay = plan.underlays.find((u) => u.id === peer.underlay);
        if (peer.network !== network.id || underlay === undefined) continue;
        const settings = { ...heartbeat, probeMtu };
        found.set(pathKey(name, peer.address), { peer, network, underlay, settings, roams: roaming.has(peer.address) });
      }
    }
    return found;
  }

  function configure(config: Config): void {
    const wanted = sources(config);
    for (const key of watches.keys()) if (!wanted.has(key)) watches.delete(key);
    for (const [key, source] of wanted) {
      const known = watches.get(key);
      const { intervalMs, timeoutMs } = known?.settings ?? {};
      const isSame = source.settings.intervalMs === intervalMs && source.settings.timeoutMs === timeoutMs;
      if (known && isSame && known.peer.id === source.peer.id) Object.assign(known, source);
      else watches.set(key, createWatch(source, nowMs()));
      if (!source.roams) watches.get(key)!.at = null;
    }
    byPeer = new Map([...watches.values()].map((watch) => [watch.peer.id, watch]));
    roamersOf = new Map();
    for (const watch of watches.values())
      if (watch.roams) roamersOf.set(watch.network.id, [...(roamersOf.get(watch.network.id) ?? []), watch]);
    if (timer !== null) clearInterval(timer);
    timer = null;
    const intervals = [...watches.values()].map(({ settings }) => settings.intervalMs / 4);
    if (watches.size > 0) timer = setInterval(look, Math.min(LOOK_MS, ...intervals)).unref();
  }

  configure(config);
  return {
    configure,
    moved: () => new Map([...watches].flatMap(([key, { at }]) => (at === null ? [] : [[key, at]]))),
    documents: () => new Map([...watches.values()].map((watch) => [watch.peer.id, livenessDocument(watch, nowMs())])),
    stop() {
      if (timer !== null) clearInterval(timer);
      timer = null;
    },
  };
}
