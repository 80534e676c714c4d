/**
 * Documents from counters, plan and what is known about the devices. Reads shared memory and nothing else: it never waits for a worker.
 */
import { getSystemErrorName } from 'node:util';
import { account, PEER_ROW, PORT_ROW, readRow, UNDERLAY_ROW } from '../packet/counters.js';
import type { DpdkIdle, PeerPlan, Plan, UnderlayPlan } from '../pipeline/plan.js';
import { writeMac } from '../underlay/nextHops.js';
import { macToText } from '../wire/ethernet.js';
import type { DataplaneView, MacRow, NeighbourRow } from './dataplane.js';
import type {
  DeviceState,
  LivenessDocument,
  LossDocument,
  MacDocument,
  MachineDocument,
  NeighbourDocument,
  NextHopDocument,
  PathDocument,
  PathMtuDocument,
  PeerDocument,
  StatusDocument,
} from './documents.js';
import { buildDrops, networkName, sumOf } from './figures.js';
import { hintsOf } from './hints.js';

/** What the opened device of a port says about itself. */
export interface PortReport {
  path: PathDocument;
  mac: string | null;
  queues: number;
  /** Devices of DPDK alone: queues that the other side has enabled, and how workers wait for frames. */
  queuesEnabled?(): number;
  idle?: DpdkIdle;
  machine?(): MachineDocument | null;
  offloads: string[];
  state(): DeviceState | null;
  /** Packets that were lost in the queue of the device. */
  missed(): number;
}

export interface UnderlayReport {
  path: PathDocument;
  device: string | null;
  deviceMtu: number | null;
  sourcePorts: number[];
  state(): DeviceState | null;
}

/** Reports by id. */
export interface DeviceReports {
  ports: ReadonlyMap<number, PortReport>;
  underlays: ReadonlyMap<number, UnderlayReport>;
}

/** Everything that documents are made of. */
export interface NodeView {
  plan: Plan;
  dataplane: DataplaneView;
  devices: DeviceReports;
  /** Paths that take less than their device; absent: none are known. */
  pathMtus?: readonly (PathMtuDocument & { network: string; address: string })[];
  /** What has gone from under ports and underlays, as `port 3` and `underlay 1`; absent: nothing. */
  losses?: ReadonlyMap<string, LossDocument>;
  /** What heartbeats say, by id of the peer; absent: nothing. */
  liveness?: ReadonlyMap<number, LivenessDocument>;
  /** Figures of removed entities whose ids were given again. */
  retired: Float64Array;
  node: Omit<StatusDocument['node'], 'generation' | 'uptimeSec'>;
  /** Monotonic seconds. */
  startedAt: number;
  now: number;
}

const NO_PATH: PathDocument = { send: 'memory', receive: 'memory', reasons: [] };
const FAILED_SENDS = ['tx-full', 'tx-too-big', 'tx-error', 'no-neighbour'];

export function buildStatus(view: NodeView): StatusDocument {
  const { plan, dataplane } = view;
  const macs = dataplane.macs();
  const slots = dataplane
    .slots()
    .reduce((sum, s) => ({ total: sum.total + s.total, free: sum.free + s.free, held: sum.held + s.held }), {
      total: 0,
      free: 0,
      held: 0,
    });
  const status: StatusDocument = {
    node: { ...view.node, uptimeSec: inMs(view.now - view.startedAt), generation: plan.generation },
    workers: dataplane.workers(),
    slots,
    underlays: underlayDocuments(view),
    networks: networkDocuments(plan, macs, dataplane.neighbours()),
    ports: portDocuments(view),
    peers: buildPeers(view),
    account: account([...dataplane.counters, view.retired]),
    hints: [],
  };
  status.hints = hintsOf(status, buildDrops(view));
  return status;
}

function networkDocuments(
  plan: Plan,
  macs: readonly MacRow[],
  neighbours: readonly NeighbourRow[],
): StatusDocument['networks'] {
  return plan.networks.map((network) => {
    const { kind, id, hasKey } = network.tunnel;
    const isTunneled = network.underlays.length > 0 && kind !== 'none';
    const hasId = kind === 'vxlan' || kind === 'geneve' || hasKey;
    const ports = new Set(plan.ports.filter((port) => port.network === network.id).map((port) => port.id));
    const peers = new Set(plan.peers.filter((peer) => peer.network === network.id).map((peer) => peer.id));
    return {
      name: network.name,
      mode: network.mode,
      encapsulation: isTunneled ? kind : null,
      id: hasId && (isTunneled || id > 0) ? id : null,
      underlays: plan.underlays.filter((u) => network.underlays.includes(u.id)).map((u) => u.name),
      vtepMac: network.vtepMac,
      bridgedWith: plan.networks
        .filter((other) => other.domain === network.domain && other.id !== network.id)
        .map((other) => other.name),
      mtu: network.mtu,
      mtuAuto: network.isMtuAuto ?? false,
      mtuMost: network.mtuMost ?? null,
      ports: ports.size,
      peers: peers.size,
      macs: macs.filter((mac) => ports.has(mac.port) || peers.has(mac.peer)).length,
      macLimit: network.macLimit,
      // Static ones that were not heard yet have no place.
      neighbours: neighbours.filter(({ port, peer, network: domain }) =>
        port === 0 && peer === 0 ? domain === network.id : ports.has(port) || peers.has(peer),
      ).length,
      neighbourLimit: network.neighbourLimit,
      routes: plan.routes.filter(({ port, peer }) => ports.has(port) || peers.has(peer)).length,
    };
  });
}

/** `udp/6081`, `ip/47`. */
function transportText({ kind, tunnel, udpPort }: UnderlayPlan): string {
  if (kind === 'frame') return 'frames';
  if (kind === 'udp') return `udp/${udpPort}`;
  return tunnel === 'gre' ? 'ip/47' : 'ip/4+41';
}

function underlayDocuments(view: NodeView): StatusDocument['underlays'] {
  const { plan, dataplane, devices } = view;
  const fallbacks = dataplane.gsoFallbacks().reduce((sum, n) => sum + n, 0);
  return plan.underlays.map((underlay) => {
    const report = devices.underlays.get(underlay.id);
    const row = readRow(dataplane.counters, UNDERLAY_ROW + underlay.id);
    return {
      name: underlay.name,
      underlay: underlay.underlay,
      kind: underlay.kind,
      transport: transportText(underlay),
      address: underlay.address,
      udpPort: underlay.udpPort,
      device: report?.device ?? underlay.device,
      deviceMtu: report?.deviceMtu ?? null,
      deviceState: report?.state() ?? null,
      loss: view.losses?.get(`underlay ${underlay.id}`) ?? null,
      checksum: underlay.checksum,
      sourcePorts: report?.sourcePorts ?? [],
      path: withFallbacks(report?.path ?? NO_PATH, fallbacks),
      dropped: sumOf(row.drops),
      missed: row.missed,
    };
  });
}

/** A device may refuse UDP_SEGMENT only when it is used; from then on datagrams go one by one. */
function withFallbacks(path: PathDocument, gsoFallbacks: number): PathDocument {
  if (gsoFallbacks === 0 || path.send !== 'superframes') return path;
  const reason = `the device refused ${gsoFallbacks} segmented send${gsoFallbacks === 1 ? '' : 's'}; datagrams now go one by one`;
  const remedy = 'look at `ethtool -k DEV` for tx-udp-segmentation and tx-checksumming of the underlay device';
  return { ...path, send: 'frames', reasons: [...path.reasons, { feature: 'udp-segment', reason, remedy }] };
}

function portDocuments(view: NodeView): StatusDocument['ports'] {
  const { plan, dataplane, devices } = view;
  const prefixes = prefixesBy(plan, 'port');
  return plan.ports.map((port) => {
    const report = devices.ports.get(port.id);
    const row = readRow(dataplane.counters, PORT_ROW + port.id);
    return {
      name: port.name,
      network: networkName(plan, port.network),
      type: port.kind,
      mtu: port.mtu,
      device: port.tap?.device ?? null,
      netns: port.tap?.netns ?? null,
      deviceState: report?.state() ?? null,
      loss: view.losses?.get(`port ${port.id}`) ?? null,
      mac: report?.mac ?? port.tap?.mac ?? null,
      created: port.tap?.create ?? false,
      queues: report?.queues ?? 1,
      queuesEnabled: report?.queuesEnabled?.() ?? null,
      idle: report?.idle ?? null,
      machine: report?.machine?.() ?? null,
      offloads: report?.offloads ?? [],
      prefixes: prefixes.get(port.id) ?? [],
      path: report?.path ?? NO_PATH,
      rxPackets: row.rxPackets,
      txPackets: row.txPackets,
      dropped: sumOf(row.drops),
      missed: row.missed + (report?.missed() ?? 0),
    };
  });
}

export function buildPeers(view: NodeView): PeerDocument[] {
  const { plan, dataplane } = view;
  const prefixes = prefixesBy(plan, 'peer');
  return plan.peers.map((peer) => {
    const row = readRow(dataplane.counters, PEER_ROW + peer.id);
    const failedSends = FAILED_SENDS.reduce((sum, reason) => sum + (row.drops[reason] ?? 0), 0);
    return {
      network: networkName(plan, peer.network),
      underlay: plan.underlays.find((u) => u.id === peer.underlay)?.name ?? '',
      address: peer.address,
      udpPort: peer.udpPort,
      prefixes: prefixes.get(peer.id) ?? [],
      direct: peer.direct,
      mac: peer.mac,
      dynamic: peer.dynamic,
      mtu: peer.mtu ?? plan.networks.find((n) => n.id === peer.network)?.mtu ?? 0,
      pathMtu: pathMtuOf(view, networkName(plan, peer.network), peer.address),
      nextHop: nextHopOf(view, peer),
      lastHeardSec: row.lastHeard === 0 ? null : inMs(view.now - row.lastHeard),
      liveness: view.liveness?.get(peer.id) ?? null,
      rxPackets: row.rxPackets,
      txPackets: row.txPackets,
      failedSends,
      icmpErrors: row.icmpErrors,
      lastError: row.lastErrno === 0 ? null : errnoName(row.lastErrno),
      dropped: sumOf(row.drops),
    };
  });
}

function nextHopOf({ plan, dataplane }: NodeView, peer: PeerPlan): NextHopDocument | null {
  const frame = plan.underlays.find((u) => u.id === peer.underlay)?.frame ?? null;
  if (frame === null) return null;
  const address = peer.via ?? peer.address;
  if (peer.nextHop === undefined) {
    const mac = frame.neighbours[address] ?? null;
    return { address, mac, state: mac === null ? 'unknown' : 'static', by: null };
  }
  const { state, mac } = dataplane.nextHop(peer.nextHop);
  return { address, mac: mac === 0 ? null : macText(mac), state, by: frame.resolver?.by ?? null };
}

function macText(mac: number): string {
  const bytes = new Uint8Array(6);
  writeMac(bytes, 0, mac);
  return macToText(bytes, 0);
}

function pathMtuOf({ pathMtus }: NodeView, network: string, address: string): PathMtuDocument | null {
  const known = pathMtus?.find((path) => path.network === network && path.address === address);
  return known === undefined ? null : { bytes: known.bytes, why: known.why, expiresInSec: known.expiresInSec };
}

/** Stations by the network that they are behind: bridged networks share one table. */
export function buildMacs(view: NodeView): MacDocument[] {
  const { plan } = view;
  const ports = new Map(plan.ports.map((port) => [port.id, port]));
  const peers = new Map(plan.peers.map((peer) => [peer.id, peer]));
  return view.dataplane
    .macs()
    .map((entry) => {
      const port = ports.get(entry.port);
      const peer = peers.get(entry.peer);
      return {
        network: networkName(plan, port?.network ?? peer?.network ?? entry.network),
        mac: entry.mac,
        port: port?.name ?? null,
        peer: peer?.address ?? null,
        static: entry.isStatic,
        expiresInSec: entry.isStatic ? null : Math.max(0, entry.expiresInSec),
        held: entry.isHeld,
      };
    })
    .sort((a, b) => a.network.localeCompare(b.network) || a.mac.localeCompare(b.mac));
}

export function buildNeighbours(view: NodeView): NeighbourDocument[] {
  const { plan } = view;
  const ports = new Map(plan.ports.map((port) => [port.id, port]));
  const peers = new Map(plan.peers.map((peer) => [peer.id, peer]));
  return view.dataplane
    .neighbours()
    .map((entry) => {
      const port = ports.get(entry.port);
      const peer = peers.get(entry.peer);
      return {
        network: networkName(plan, port?.network ?? peer?.network ?? entry.network),
        address: entry.address,
        mac: entry.mac,
        port: port?.name ?? null,
        peer: peer?.address ?? null,
        static: entry.isStatic,
        router: entry.isRouter,
        expiresInSec: entry.isStatic ? null : Math.max(0, entry.expiresInSec),
      };
    })
    .sort((a, b) => a.network.localeCompare(b.network) || byAddress(a.address, b.address));
}

/** IPv4 before IPv6, numbers by their value. */
function byAddress(a: string, b: string): number {
  return Number(a.includes(':')) - Number(b.includes(':')) || a.localeCompare(b, 'en', { numeric: true });
}

/** Prefixes of the routes to each port or peer, by its id. */
function prefixesBy(plan: Plan, key: 'port' | 'peer'): Map<number, string[]> {
  const prefixes = new Map<number, string[]>();
  for (const route of plan.routes) {
    const known = prefixes.get(route[key]);
    if (known) known.push(route.prefix);
    else prefixes.set(route[key], [route.prefix]);
  }
  return prefixes;
}

/** Seconds, to the millisecond and not below 0. */
function inMs(seconds: number): number {
  return Math.max(0, Math.round(seconds * 1000) / 1000);
}

function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}
