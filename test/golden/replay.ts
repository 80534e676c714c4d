// A replay in the calling thread, over a plan of one port and one underlay: what the golden tests run captures through.

import type { Account } from '../../src/packet/counters.js';
import type { DropName } from '../../src/packet/drop.js';
import type {
  FrameDevicePlan,
  NetworkPlan,
  PeerPlan,
  Plan,
  PortPlan,
  RoutePlan,
  UnderlayPlan,
} from '../../src/pipeline/plan.js';
import { makeTask } from '../../src/replay/replay.js';
import { runSession } from '../../src/replay/session.js';
import { type TunnelPlan, tunnelPlan } from '../../src/tunnel/tunnel.js';

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
  drops: Partial<Record<DropName, number>>;
}

const UNDERLAY = 1;
const NETWORK = 1;
const PORT = 1;

function frameDevice(options: ReplayOptions): FrameDevicePlan {
  const neighbours = Object.fromEntries(options.peers.map((peer) => [peer, NEXT_HOP_MAC]));
  return { kind: 'pcap', name: 'wire', input: null, output: null, mac: OWN_MAC, neighbours, popDepth: 0 };
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
    offloads: { segment: true, gro: true },
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
    underlays: [UNDERLAY],
    mtu: options.mtu ?? 1450,
    ageingSec: 300,
    macLimit: 1024,
    neighbourLimit: 0,
    broadcastPps: 0,
    acceptUnknownPeers: options.acceptUnknownPeers ?? false,
  };
  const port: PortPlan = {
    id: PORT,
    name: 'local',
    network: NETWORK,
    kind: 'pcap',
    mtu: network.mtu,
    tap: null,
    pcap: { input: null, output: null },
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
  const base = { generation: 1, node: 'golden', workers: 1, busyPollUs: 0, statics: [], staticNeighbours: [] };
  const { routed } = options;
  const routes: RoutePlan[] = routed
    ? [
        { network: NETWORK, prefix: routed.port, port: PORT, peer: 0 },
        { network: NETWORK, prefix: routed.peer, port: 0, peer: 1 },
      ]
    : [];
  return { ...base, routes, underlays: [underlay], networks: [network], ports: [port], peers };
}

/** Runs both inputs to their ends in the order of their times; of equal ones that of the port first, unless told otherwise. */
export function replay(options: ReplayOptions): ReplayResult {
  const { underlay = {}, port = {}, underlayFirst = false } = options;
  const inputs = [
    ...(port.input ? [{ file: port.input, port: 'local' }] : []),
    ...(underlay.input ? [{ file: underlay.input, underlay: 'wire' }] : []),
  ];
  if (underlayFirst) inputs.reverse();
  if (port.output && underlay.output) throw new Error('one output at a time');
  const task = makeTask(
    {
      plan: planOf(options),
      inputs,
      out: port.output ?? underlay.output,
      outOnly: [port.output ? 'local' : 'wire'],
    },
    new SharedArrayBuffer(32),
  );
  // It throws if a slot did not come home.
  const { read, copied, made, forwarded, dropped, consumed, held } = runSession(task);
  const total = Object.values(dropped).reduce((sum, n) => sum + n, 0);
  return { account: { received: read, copied, made, sent: forwarded, dropped: total, consumed, held }, drops: dropped };
}
