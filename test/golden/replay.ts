// One pipeline in the calling thread, between files and memory: what the golden tests run captures through.

import { LANES } from '../../src/packet/burst.js';
import { createClock } from '../../src/packet/clock.js';
import {
  type Account,
  account,
  makeCounterBlock,
  PEER_ROW,
  PORT_ROW,
  readRow,
  UNDERLAY_ROW,
} from '../../src/packet/counters.js';
import { countHeld } from '../../src/packet/slots.js';
import { createPipeline } from '../../src/pipeline/pipeline.js';
import type {
  FrameDevicePlan,
  NetworkPlan,
  PeerPlan,
  Plan,
  PortPlan,
  RoutePlan,
  UnderlayPlan,
} from '../../src/pipeline/plan.js';
import { placeRoutes } from '../../src/pipeline/routes.js';
import { type TunnelPlan, tunnelPlan } from '../../src/tunnel/tunnel.js';
import { createNodeMemory } from '../../src/worker/nodeMemory.js';

export const OWN_MAC = '02:00:00:00:00:01';
export const NEXT_HOP_MAC = '02:00:00:00:00:02';

export interface ReplayOptions {
  /** Own VTEP address, and those of the peers. */
  address: string;
  peers: string[];
  vni?: number;
  /** Default: VXLAN with that VNI. */
  tunnel?: TunnelPlan;
  /** Mode l3: prefixes behind the port and behind the first peer; default: mode l2. */
  routed?: { port: string; peer: string };
  /** Outer frames in, outer frames out. */
  underlay?: { input?: string; output?: string };
  /** Inner frames in, inner frames out. */
  port?: { input?: string; output?: string };
  settings?: Partial<Pick<UnderlayPlan, 'checksum' | 'dscp' | 'ttl' | 'udpPort'>>;
  mtu?: number;
  /** Outer frames are read before inner ones. */
  underlayFirst?: boolean;
  acceptUnknownPeers?: boolean;
}

export interface ReplayResult {
  account: Account;
  /** Drops of the whole node by reason, only those that occurred. */
  drops: Record<string, number>;
  /** Slots that are neither home nor in the rx window. */
  slotsHeld: number;
}

const UNDERLAY = 1;
const NETWORK = 1;
const PORT = 1;
/** Two halves of a table for a handful of routes. */
const ROUTE_BYTES = 1 << 20;

function frameDevice(options: ReplayOptions): FrameDevicePlan {
  const { input = null, output = null } = options.underlay ?? {};
  const neighbours = Object.fromEntries(options.peers.map((peer) => [peer, NEXT_HOP_MAC]));
  return { kind: 'pcap', name: 'wire', input, output, mac: OWN_MAC, neighbours, popDepth: 0 };
}

function planOf(options: ReplayOptions): Plan {
  const underlay: UnderlayPlan = {
    id: UNDERLAY,
    name: 'wire',
    underlay: 'wire',
    kind: 'frame',
    tunnel: 'none',
    address: options.address,
    device: null,
    udpPort: 4789,
    checksum: true,
    sourcePortFirst: 0,
    sourcePortCount: 1,
    dscp: 0,
    ttl: 64,
    deliverOffloadLeak: false,
    frame: frameDevice(options),
    ...options.settings,
  };
  const network: NetworkPlan = {
    id: NETWORK,
    name: 'net',
    mode: options.routed ? 'l3' : 'l2',
    tunnel: options.tunnel ?? tunnelPlan('vxlan', options.vni ?? 42),
    domain: NETWORK,
    vtepMac: null,
    underlay: UNDERLAY,
    mtu: options.mtu ?? 1450,
    ageingSec: 300,
    macLimit: 1024,
    broadcastPps: 0,
    acceptUnknownPeers: options.acceptUnknownPeers ?? false,
  };
  const { input = null, output = null } = options.port ?? {};
  const port: PortPlan = {
    id: PORT,
    name: 'local',
    network: NETWORK,
    kind: 'pcap',
    mtu: network.mtu,
    tap: null,
    pcap: { input, output },
  };
  const peers: PeerPlan[] = options.peers.map((address, i) => ({
    id: i + 1,
    network: NETWORK,
    underlay: UNDERLAY,
    address,
    udpPort: network.tunnel.udpPort,
    mac: null,
    direct: false,
    dynamic: false,
  }));
  const base = { generation: 1, node: 'golden', workers: 1, busyPollUs: 0, statics: [] };
  const { routed } = options;
  const routes: RoutePlan[] = routed
    ? [
        { network: NETWORK, prefix: routed.port, port: PORT, peer: 0 },
        { network: NETWORK, prefix: routed.peer, port: 0, peer: 1 },
      ]
    : [];
  return { ...base, routes, underlays: [underlay], networks: [network], ports: [port], peers };
}

/** Drops by reason. Rows of networks repeat those of ports, peers and underlays. */
function dropsOf(counters: Float64Array): Record<string, number> {
  const total: Record<string, number> = {};
  const rows = [PORT_ROW + PORT, UNDERLAY_ROW + UNDERLAY, ...Array.from({ length: 64 }, (_, peer) => PEER_ROW + peer)];
  for (const row of rows) {
    for (const [reason, packets] of Object.entries(readRow([counters], row).drops)) {
      total[reason] = (total[reason] ?? 0) + packets;
    }
  }
  return total;
}

/** Runs both inputs to their ends: first that of the port, then that of the underlay, unless told otherwise. */
export function replay(options: ReplayOptions): ReplayResult {
  const node = createNodeMemory(1, undefined, { routeBytes: ROUTE_BYTES });
  const { shape, slots, sequences } = node;
  const counters = makeCounterBlock();
  const memory = { arena: node.memory, shape, slots, counters, sequences };
  const pipeline = createPipeline({
    worker: 0,
    workers: 1,
    memory,
    clock: createClock(),
    tun: null,
    preciseSeconds: () => 1,
  });
  const plan = planOf(options);
  pipeline.apply(plan, { ports: [], underlays: [] }, placeRoutes(node.arena, plan, 0));
  const port = pipeline.walk.ports[PORT]!;
  const underlay = pipeline.walk.underlays[UNDERLAY]!;
  const readUnderlay = () => {
    while (underlay.hasMore()) pipeline.walk.fromUnderlay(underlay);
  };
  if (options.underlayFirst) readUnderlay();
  while (port.hasMore()) pipeline.walk.fromPort(port);
  readUnderlay();
  const blocks = [new Float64Array(counters)];
  const slotsHeld = countHeld(shape, slots, 0) - LANES;
  pipeline.apply(
    { ...plan, underlays: [], networks: [], ports: [], peers: [], routes: [] },
    { ports: [], underlays: [] },
  );
  return { account: account(blocks), drops: dropsOf(blocks[0]), slotsHeld };
}
