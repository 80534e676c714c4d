// Plans for the rig of one worker's pipeline: networks, peers and carriers with everything at a default.
import type { ArenaShape } from '../../src/packet/arena.js';
import type {
  CarrierSockets,
  NetworkPlan,
  NextHopPlan,
  PeerPlan,
  Plan,
  PortPlan,
  RoutePlan,
  StaticMacPlan,
  UnderlayPlan,
  WorkerDevices,
} from '../../src/pipeline/plan.js';
import type { Steps } from '../../src/pipeline/walk.js';
import { tunnelPlan } from '../../src/tunnel/tunnel.js';

/** Underlay ids of every rig. */
export const SOCKETS = 1;
export const FRAMES = 2;
export const SELF = '198.18.0.1';
export const PEER_A = '198.18.0.2';
export const PEER_B = '198.18.0.3';
/** The memory device of the frame underlay. */
export const WIRE = 'wire';
export const TAP_FD = 1000;

/** Receiving and sending descriptors of a carrier's sockets, up to 16 of carriers 1 to 5, `k` counted from 0. */
export const rxFd = (carrier: number, k = 0) => 100 + (carrier - SOCKETS) * 20 + k;
export const txFd = (carrier: number, k = 0) => 200 + (carrier - SOCKETS) * 20 + k;

/** `underlay`: its one carrier, 0 for none. */
type NetworkRest = Partial<NetworkPlan> & { vni?: number; underlay?: number };

export const network = (id: number, { vni, underlay = SOCKETS, ...rest }: NetworkRest = {}): NetworkPlan => ({
  id,
  name: `net${id}`,
  mode: 'l2',
  tunnel: tunnelPlan('vxlan', vni ?? 40 + id),
  domain: id,
  vtepMac: null,
  underlays: underlay === 0 ? [] : [underlay],
  mtu: 1450,
  ageingSec: 300,
  macLimit: 1000,
  neighbourLimit: 0,
  broadcastPps: 0,
  acceptUnknownPeers: false,
  ...rest,
});

export const peer = (id: number, net: number, address: string, rest: Partial<PeerPlan> = {}): PeerPlan => ({
  id,
  network: net,
  underlay: SOCKETS,
  address,
  udpPort: 4789,
  mac: null,
  direct: false,
  dynamic: false,
  ...rest,
});

export interface RigPort {
  id: number;
  network: number;
  /** Memory ports by default. */
  kind?: 'memory' | 'tap' | 'tun' | 'pcap';
  pcap?: { input: string | null; output: string | null };
  /** Bytes of virtio-net header, and TUN_F_* bits. */
  vnetHdrLen?: number;
  offloads?: number;
}

export interface RigOptions {
  ports: Record<string, RigPort>;
  networks?: NetworkPlan[];
  peers?: PeerPlan[];
  statics?: StaticMacPlan[];
  routes?: RoutePlan[];
  /** What the two underlays have in common. */
  underlay?: Partial<UnderlayPlan>;
  /** What the socket underlay has alone; `raw`: its IP protocols. */
  carrier?: Partial<UnderlayPlan>;
  /** Further carriers over sockets. */
  carriers?: ({ id: number } & Partial<UnderlayPlan>)[];
  /** The node is a host on the link of the frame underlay, and these are the next hops that it looks for. */
  nextHops?: NextHopPlan[];
  /** Next hops of the frame underlay. */
  neighbours?: Record<string, string>;
  popDepth?: number;
  /** Sending sockets of a UDP underlay. */
  sockets?: number;
  segment?: boolean;
  macs?: number;
  shape?: Partial<ArenaShape>;
  wrapSteps?: (steps: Steps) => Steps;
  /** Where heartbeats are left. */
  heartbeats?: SharedArrayBuffer;
  onUnknownPeer?: (underlay: number, network: number, sourceAt: number) => void;
}

const socketsPlan = (rest: Partial<UnderlayPlan> | undefined): UnderlayPlan => ({
  id: SOCKETS,
  name: 'sockets',
  underlay: 'sockets',
  kind: 'udp',
  tunnel: 'vxlan',
  address: SELF,
  device: null,
  udpPort: 4789,
  checksum: true,
  sourcePortFirst: 0,
  sourcePortCount: 1,
  dscp: 0,
  ttl: 64,
  deliverOffloadLeak: false,
  offloads: { segment: true, gro: true },
  frame: null,
  ...rest,
});

const framesPlan = (
  rest: Partial<UnderlayPlan> | undefined,
  neighbours: Record<string, string>,
  popDepth: number,
): UnderlayPlan => ({
  ...socketsPlan(rest),
  id: FRAMES,
  name: 'frames',
  underlay: 'frames',
  kind: 'frame',
  tunnel: 'none',
  frame: { kind: 'memory', name: WIRE, input: null, output: null, mac: '02:00:00:00:0a:01', neighbours, popDepth },
});

const hostPlan = (plan: UnderlayPlan, { nextHops }: RigOptions): UnderlayPlan =>
  nextHops === undefined ? plan : { ...plan, frame: { ...plan.frame!, resolver: { by: 'weft' } } };

const portPlan = (name: string, p: RigPort): PortPlan => ({
  id: p.id,
  name,
  network: p.network,
  kind: p.kind ?? 'memory',
  mtu: 1450,
  tap: null,
  pcap: p.pcap ?? null,
});

/** IP protocols of the raw sockets of a carrier. */
const PROTOCOLS: { [K in UnderlayPlan['tunnel']]?: number[] } = { gre: [47], ipip: [4, 41] };

const carriersOf = (options: RigOptions): UnderlayPlan[] => [
  socketsPlan({ ...options.underlay, ...options.carrier }),
  ...(options.carriers ?? []).map((c) => socketsPlan({ ...options.underlay, name: `carrier${c.id}`, ...c })),
];

export function planOf(options: RigOptions): Plan {
  const neighbours = options.neighbours ?? { [PEER_A]: '02:00:00:00:0a:02', [PEER_B]: '02:00:00:00:0a:03' };
  const [sockets, ...more] = carriersOf(options);
  return {
    generation: 1,
    node: 'rig',
    workers: 1,
    busyPollUs: 0,
    underlays: [sockets, hostPlan(framesPlan(options.underlay, neighbours, options.popDepth ?? 0), options), ...more],
    networks: options.networks ?? [network(1)],
    ports: Object.entries(options.ports).map(([name, p]) => portPlan(name, p)),
    peers: options.peers ?? [],
    statics: options.statics ?? [],
    staticNeighbours: [],
    routes: options.routes ?? [],
    ...(options.nextHops ? { nextHops: options.nextHops } : {}),
  };
}

function socketsOf(carrier: UnderlayPlan, options: RigOptions): CarrierSockets {
  const protocols = carrier.kind === 'raw' ? (PROTOCOLS[carrier.tunnel] ?? []) : [];
  const sockets = carrier.kind === 'raw' ? protocols.length : (options.sockets ?? 4);
  return {
    underlay: carrier.id,
    rxFds: carrier.kind === 'raw' ? protocols.map((_, k) => rxFd(carrier.id, k)) : [rxFd(carrier.id)],
    txFds: Array.from({ length: sockets }, (_, k) => txFd(carrier.id, k)),
    protocols,
    gro: carrier.kind === 'udp',
    segment: carrier.kind === 'udp' && (options.segment ?? true),
  };
}

export function openedOf(options: RigOptions): WorkerDevices {
  const taps = Object.values(options.ports).filter((p) => p.kind === 'tap' || p.kind === 'tun');
  return {
    ports: taps.map((p) => ({
      port: p.id,
      rxFd: TAP_FD + p.id,
      txFd: TAP_FD + p.id,
      vnetHdrLen: p.vnetHdrLen ?? 0,
      offloads: p.offloads ?? 0,
    })),
    underlays: carriersOf(options).map((carrier) => socketsOf(carrier, options)),
  };
}
