import type { StormLimit } from '../forward/storm.js';
import type { Allocate } from '../packet/arena.js';
import {
  type Burst,
  DONE,
  HAS_GSO,
  ID_MASK,
  IS_DISCOVERY,
  IS_SYN,
  LANES,
  NEEDS_CSUM,
  PARKED,
  SUMMARY_BYTES,
  SUMMARY_EGRESS,
  SUMMARY_FLAGS,
  sharedInts,
  TO_PEER,
  TO_PORT,
} from '../packet/burst.js';
import { COPIED, MISSED, PORT_ROW, PORTS_MAX, ROW_WIDTH, UNDERLAY_ROW, UNDERLAYS_MAX } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import type { Outbox } from '../packet/outbox.js';
import type { Port } from '../port/port.js';
import type { Underlay } from '../underlay/underlay.js';
import type { CaptureTap } from './capture.js';
import type { SendToFrame } from './frameEgress.js';
import type { HeartbeatStep } from './heartbeats.js';
import type { LinkHosts } from './linkHost.js';
import type { SendToPort } from './portEgress.js';
import { bindReceived } from './received.js';
import type { SendToSocket } from './socketEgress.js';
import { type Straight, UNDERLAY_LIST } from './straight.js';
import type { Suppress } from './suppress.js';
import { MODE_L2, MODE_L3, MODE_XCONNECT, type Tables } from './tables.js';

/**
 * The walk of a frame, from top to bottom. Every step handles a whole burst; the order is this file.
 *
 *   out:  rx of a port       parse  offloads  forward  ->  ports: finish, tx   |  peers: encap, finish, tx
 *   in:   rx of an underlay  decap  parse  arrival  forward  ->  ports: coalesce, tx   |  peers, over a bridge
 *
 *   forward:  l2  prefetch  learn  lookup  suppress       l3  route       xconnect  connect
 */
export interface Steps {
  /** Returns how many lanes are heartbeats. */
  parse(n: number): number;
  parsePackets(n: number): number;
  /** Offload metadata of local frames against what was parsed. */
  checkOffloads(n: number): void;
  /** Returns the modes (MODE_* bits) of the lanes' networks. */
  decap(n: number, underlay: Underlay): number;
  /** Congestion marks and offload leaks of frames out of a tunnel. */
  arrive(n: number, underlay: Underlay): void;
  /** Hashes MACs for the two steps that follow. */
  prefetch(n: number): void;
  learn(n: number): void;
  lookup(n: number): void;
  /** Learns from ARP and neighbour discovery, and answers what it can. */
  suppress: Suppress;
  route(n: number): void;
  connect(n: number): void;
  /** The MSS of SYNs, once it is known where they go. */
  clampMss(n: number): void;
  answer(ports: readonly (Port | undefined)[]): void;
  sendToPort: SendToPort;
  sendToSocket: SendToSocket;
  sendToFrame: SendToFrame;
  completeChecksum(i: number): void;
}

export interface Walk {
  /** One burst of a port: returns the frames received, or a negative errno. */
  fromPort(port: Port): number;
  fromUnderlay(underlay: Underlay): number;
  readonly ports: (Port | undefined)[];
  readonly underlays: (Underlay | undefined)[];
}

const LISTS = PORTS_MAX + UNDERLAYS_MAX;

export function bindWalk(
  allocate: Allocate,
  burst: Burst,
  outbox: Pick<Outbox, 'inHand'>,
  tables: Tables,
  counters: Float64Array,
  storm: StormLimit,
  capture: CaptureTap,
  heartbeats: HeartbeatStep,
  hosts: Pick<LinkHosts, 'meet'>,
  arriveFrom: (n: number, network: number, origin: number) => void,
  straight: Straight,
  steps: Steps,
): Walk {
  const { inHand } = outbox;
  const { packets, drop, network, origin, dst, flags, summary } = burst;
  const { floodPortFirst, floodPortCount, floodPorts, floodPeerFirst, floodPeerCount, floodPeers } = tables;
  const { portNetwork, peerNetwork, peerUnderlay, networkMode, networkDomain, isBridged } = tables;
  const ports: (Port | undefined)[] = new Array(PORTS_MAX).fill(undefined);
  const underlays: (Underlay | undefined)[] = new Array(UNDERLAYS_MAX).fill(undefined);

  const { countReceived, addReceived, countDrops } = bindReceived(burst, inHand, tables, counters);

  // Lanes by egress: a chain per list, in the order of the burst, so that flows stay in order.
  const firstLane = sharedInts(LISTS).fill(-1);
  const lastLane = sharedInts(LISTS);
  const nextLane = sharedInts(LANES);
  const touched = sharedInts(LISTS);
  // In the arena: the encap kernel walks it.
  const list = allocate(LANES);
  const everyLane = allocate(LANES);
  for (let i = 0; i < LANES; i++) everyLane[i] = i;
  const flood = sharedInts(LANES);

  let floodCount = 0;
  // Imported constants are cells that V8 loads and checks at every use; local ones are folded into the code.
  const toPort = TO_PORT;
  const idMask = ID_MASK;
  /** Egress list of a lane's destination. */
  const egressOf = (value: number) =>
    (value & toPort) !== 0 ? value & idMask : UNDERLAY_LIST + peerUnderlay[value & idMask];

  /**
   * Most bursts go to one egress: writes the lanes straight into `list` while that holds, and returns their number; -1 when a second egress or
   * a lane to flood turns up.
   */
  let onlyEgress = -1;
  function gatherUniform(n: number): number {
    let count = 0;
    onlyEgress = -1;
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0) continue;
      const value = dst[i];
      if (value === 0) return -1;
      const egress = egressOf(value);
      if (onlyEgress < 0) onlyEgress = egress;
      else if (egress !== onlyEgress) return -1;
      list[count++] = i;
    }
    return count;
  }

  /** Sorts the lanes into egress lists; returns how many lists were touched. Lanes to flood end up in `flood`. */
  function partition(n: number): number {
    let lists = 0;
    floodCount = 0;
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0) continue;
      const value = dst[i];
      if (value === 0) {
        flood[floodCount++] = i;
        continue;
      }
      const egress = egressOf(value);
      if (firstLane[egress] < 0) {
        firstLane[egress] = i;
        touched[lists++] = egress;
      } else nextLane[lastLane[egress]] = i;
      nextLane[i] = -1;
      lastLane[egress] = i;
    }
    return lists;
  }

  function sendToPeers(underlay: Underlay, lanes: Int32Array, count: number, onlyPeer: number): void {
    if (underlay.kind !== 'frame') steps.sendToSocket(underlay, lanes, count, onlyPeer);
    else steps.sendToFrame(underlay, lanes, count, onlyPeer);
  }

  /** A MAC table entry may outlive its port or peer by a turn: what points nowhere is dropped, not lost. */
  let wasListDropped = false;
  function dropList(lanes: Int32Array, count: number): void {
    wasListDropped = true;
    for (let k = 0; k < count; k++) drop[lanes[k]] = DROP['device-gone'];
  }

  function sendChain(egress: number): void {
    let count = 0;
    for (let i = firstLane[egress]; i >= 0; i = nextLane[i]) list[count++] = i;
    firstLane[egress] = -1;
    sendList(egress, list, count);
  }

  function sendList(egress: number, lanes: Int32Array, count: number): void {
    if (egress < UNDERLAY_LIST) {
      const port = ports[egress];
      if (port === undefined) dropList(lanes, count);
      else steps.sendToPort(port, lanes, count, true);
      return;
    }
    const underlay = underlays[egress - UNDERLAY_LIST];
    if (underlay === undefined) dropList(lanes, count);
    else sendToPeers(underlay, lanes, count, 0);
  }

  /** Before a copy is sent: a worker that ends in between has lost it. */
  function addCopies(row: number, weight: number): void {
    counters[row * ROW_WIDTH + COPIED] += weight;
  }

  /**
   * Head-end replication of the flood lanes of one network: every local port but the ingress, and, for local frames, every peer (split horizon:
   * what came from a peer goes to ports only). One payload, several headers. Frames for several receivers are finished first: no
   * egress may change what another still sends.
   */
  function floodNetwork(net: number, count: number, row: number): void {
    const from = origin[list[0]];
    const fromPort = (from & TO_PORT) !== 0 ? from & ID_MASK : 0;
    let weight = 0;
    for (let k = 0; k < count; k++) {
      const i = list[k];
      weight += packets[i];
      if ((flags[i] & (HAS_GSO | NEEDS_CSUM)) === NEEDS_CSUM) steps.completeChecksum(i);
    }
    let outputs = 0;
    for (let p = floodPortFirst[net], end = p + floodPortCount[net]; p < end; p++) {
      const port = ports[floodPorts[p]];
      if (port === undefined || port.id === fromPort) continue;
      if (outputs++ > 0) addCopies(row, weight);
      steps.sendToPort(port, list, count, false);
    }
    const fromPeer = (from & TO_PEER) !== 0 ? from & ID_MASK : 0;
    if (fromPort !== 0 || (fromPeer !== 0 && isBridged[net] !== 0)) {
      for (let p = floodPeerFirst[net], end = p + floodPeerCount[net]; p < end; p++) {
        // Split horizon: a bridge relays to the peers of its other networks.
        if (fromPeer !== 0 && peerNetwork[floodPeers[p]] === peerNetwork[fromPeer]) continue;
        const underlay = underlays[peerUnderlay[floodPeers[p]]];
        if (underlay === undefined) continue;
        if (outputs++ > 0) addCopies(row, weight);
        sendToPeers(underlay, list, count, floodPeers[p]);
      }
    }
    if (outputs === 0) for (let k = 0; k < count; k++) drop[list[k]] = DROP['no-destination'];
  }

  /** Flood lanes of a burst may belong to several networks: one after the other, each in the burst's order. */
  function sendFlood(row: number): void {
    for (let first = 0; first < floodCount; first++) {
      const lane = flood[first];
      if (lane < 0) continue;
      const net = network[lane];
      let count = 0;
      for (let k = first; k < floodCount; k++) {
        const i = flood[k];
        // A bridge relays by where a frame came from.
        if (i < 0 || network[i] !== net || (isBridged[net] !== 0 && origin[i] !== origin[lane])) continue;
        flood[k] = -1;
        if (storm.admit(net, packets[i])) list[count++] = i;
        else drop[i] = DROP['broadcast-limit'];
      }
      if (count > 0) floodNetwork(net, count, row);
    }
  }

  function deliver(n: number, row: number): void {
    const egress = summary[SUMMARY_EGRESS];
    const count = egress >= 0 ? n : gatherUniform(n);
    if (egress >= 0) sendList(egress, everyLane, n);
    else if (count > 0) sendList(onlyEgress, list, count);
    else if (count < 0) {
      const lists = partition(n);
      for (let t = 0; t < lists; t++) sendChain(touched[t]);
      if (floodCount > 0) sendFlood(row);
    }
    // All lanes in one list and none dropped on the way: nothing to sweep.
    if (count !== n || wasListDropped) countDrops(n, row);
    wasListDropped = false;
  }

  function fromPort(port: Port): number {
    const n = port.rx();
    if (n <= 0) return n;
    const net = networkDomain[portNetwork[port.id]];
    const mode = networkMode[net];
    const row = PORT_ROW + port.id;
    const isWanted = mode === MODE_L2 && capture.key !== port.id;
    const straightBytes = isWanted ? straight.pass(n, port.id, net, ports, underlays) : -1;
    if (straightBytes >= 0) {
      addReceived(row, n, straightBytes);
      straight.send(n);
      port.release(n);
      return n;
    }
    arriveFrom(n, net, TO_PORT | port.id);
    const beats = mode === MODE_L3 ? steps.parsePackets(n) : steps.parse(n);
    if (capture.key === port.id) capture.lanes(n);
    if ((summary[SUMMARY_FLAGS] & (HAS_GSO | NEEDS_CSUM)) === 0) addReceived(row, n, summary[SUMMARY_BYTES]);
    else {
      steps.checkOffloads(n);
      countReceived(n, row);
    }
    if (beats > 0 && mode !== MODE_XCONNECT) heartbeats.refuse(n);
    forward(n, mode);
    straight.note(port.id, summary[SUMMARY_EGRESS]);
    deliver(n, row);
    steps.answer(ports);
    port.release(n);
    return n;
  }

  function forward(n: number, mode: number): void {
    summary[SUMMARY_EGRESS] = -1;
    if (mode === MODE_L3) steps.route(n);
    else if (mode === MODE_XCONNECT) steps.connect(n);
    else {
      steps.prefetch(n);
      steps.learn(n);
      steps.lookup(n);
      if ((summary[SUMMARY_FLAGS] & IS_DISCOVERY) !== 0) {
        steps.suppress(n, ports);
        summary[SUMMARY_EGRESS] = -1;
      }
    }
    if ((summary[SUMMARY_FLAGS] & IS_SYN) !== 0) steps.clampMss(n);
  }

  function inbound(n: number, mode: number, underlay: Underlay, row: number, isWhole: boolean): void {
    const beats = mode === MODE_L3 ? steps.parsePackets(n) : steps.parse(n);
    steps.arrive(n, underlay);
    // Only a leak that is adopted makes a superframe of a lane here.
    const isPlain = isWhole && mode === MODE_L2 && !underlay.deliverOffloadLeak;
    if (isPlain && (summary[SUMMARY_FLAGS] & HAS_GSO) === 0) addReceived(row, n, summary[SUMMARY_BYTES]);
    else countReceived(n, row);
    if (beats > 0) heartbeats.take(n, underlay, row);
    if (underlay.kind === 'frame' && underlay.strangers() > 0) hosts.meet(n, underlay, row);
    forward(n, mode);
    straight.note(UNDERLAY_LIST + underlay.id, summary[SUMMARY_EGRESS]);
    deliver(n, row);
  }

  /** Lanes for networks of several modes: a pass for each, while the others are parked. Lanes that decap dropped go with the first. */
  function inboundByMode(n: number, modes: number, underlay: Underlay, row: number): void {
    for (let mode = MODE_L2; mode <= MODE_XCONNECT; mode <<= 1) {
      if ((modes & mode) === 0) continue;
      for (let i = 0; i < n; i++) {
        const isOurs = networkMode[network[i]] === mode;
        if (drop[i] === 0 && !isOurs) drop[i] = PARKED;
        else if (drop[i] === PARKED && isOurs) drop[i] = 0;
      }
      inbound(n, mode, underlay, row, false);
      for (let i = 0; i < n; i++) if (drop[i] !== PARKED) drop[i] = DONE;
    }
  }

  function fromUnderlay(underlay: Underlay): number {
    const received = underlay.rx();
    if (received <= 0) return received;
    const row = UNDERLAY_ROW + underlay.id;
    const straightBytes = underlay.kind === 'frame' ? straight.passInward(received, underlay, ports) : -1;
    if (straightBytes >= 0) {
      addReceived(row, received, straightBytes);
      straight.send(received);
      underlay.release(received);
      return received;
    }
    for (let n = underlay.nextLanes(); n > 0; n = underlay.nextLanes()) {
      const modes = steps.decap(n, underlay);
      if ((modes & (modes - 1)) === 0) inbound(n, modes, underlay, row, true);
      else inboundByMode(n, modes, underlay, row);
      underlay.release(n);
    }
    if (underlay.kind !== 'frame') counters[row * ROW_WIDTH + MISSED] += underlay.missed();
    return received;
  }

  return { fromPort, fromUnderlay, ports, underlays };
}
