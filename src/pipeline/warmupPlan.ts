import { type TunnelPlan, tunnelPlan } from '../tunnel/tunnel.js';
import type { NetworkPlan, PeerPlan, Plan, PortPlan, RoutePlan, UnderlayPlan, WorkerDevices } from './plan.js';

/**
 * The networks of the warm-up: two over VXLAN that meet every branch of an L2 walk, and pairs of networks that face each other over two frame
 * underlays, one pair for each form of tunnel: what the left one sends is given to the right one.
 */

// Ids from the upper end, which the control thread gives out last.
export const OVER_SOCKETS = 509;
export const OVER_FRAMES = 510;
export const SOCKETS = 62;
export const FRAMES = 63;
const PEER_SOCKETS = 2046;
const PEER_FRAMES = 2047;
export const PORTS = [1020, 1021, 1022, 1023];
export const WIRE = 'warm-up-wire';
export const VNI = 0xfffffe;
/** 02:00:00:00:00:03 in table words. */
export const STATION_3_LO = 2;
export const STATION_3_HI = 0x0300;
export const MTU = 1450;
export const SELF = '198.18.0.1';
export const VTEP = '198.18.0.2';
/** Of three stations' bursts some pass whole, some in part, some not at all. */
const FLOODS_A_SECOND = 600;
export const NOTHING: WorkerDevices = { ports: [], underlays: [] };

const network = (id: number, underlay: number): NetworkPlan => ({
  id,
  name: `warm-up-${id}`,
  mode: 'l2',
  tunnel: tunnelPlan('vxlan', VNI),
  domain: id,
  vtepMac: null,
  underlays: [underlay],
  mtu: MTU,
  ageingSec: 300,
  macLimit: 64,
  neighbourLimit: 64,
  // One network meets its limit; in the other every flood goes out.
  broadcastPps: id === OVER_SOCKETS ? FLOODS_A_SECOND : 0,
  acceptUnknownPeers: false,
  heartbeats: true,
  fragment: true,
  mssClamp: true,
});

const port = (id: number): PortPlan => ({
  id,
  name: `warm-up-${id}`,
  network: id === PORTS[3] ? OVER_FRAMES : OVER_SOCKETS,
  kind: 'memory',
  mtu: MTU,
  tap: null,
  pcap: null,
});

const peer = (id: number, net: number, underlay: number): PeerPlan => ({
  id,
  network: net,
  underlay,
  address: VTEP,
  udpPort: 4789,
  mac: null,
  direct: false,
  dynamic: false,
});

const frameUnderlay: UnderlayPlan = {
  id: FRAMES,
  name: 'warm-up-frames',
  underlay: 'warm-up-frames',
  kind: 'frame',
  tunnel: 'none',
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
  frame: {
    kind: 'memory',
    name: WIRE,
    input: null,
    output: null,
    mac: '02:00:00:00:00:01',
    popDepth: 0,
    neighbours: { [VTEP]: '02:00:00:00:00:03' },
  },
};

/** A form of tunnel between the left and the right side. */
interface Pair {
  tunnel: TunnelPlan;
  mode: NetworkPlan['mode'];
  /** Over IPv6. */
  isV6: boolean;
}

const OPTION = { class: 0x0102, type: 0x80, data: Uint8Array.of(0, 1, 0, 2) };
const withOption = { options: [OPTION], match: [{ ...OPTION, data: null }] };

const PAIRS: Pair[] = [
  { tunnel: tunnelPlan('geneve', 1, withOption), mode: 'l2', isV6: false },
  { tunnel: tunnelPlan('geneve', 2, { payload: 'ip' }), mode: 'l3', isV6: false },
  { tunnel: tunnelPlan('vxlan', 3), mode: 'l3', isV6: false },
  { tunnel: tunnelPlan('gre', 4, { payload: 'ip', checksum: true, sequence: true }), mode: 'l3', isV6: false },
  { tunnel: tunnelPlan('ipip'), mode: 'l3', isV6: false },
  { tunnel: tunnelPlan('vxlan', 5, { gpe: true }), mode: 'xconnect', isV6: false },
  { tunnel: tunnelPlan('geneve', 6, withOption), mode: 'l2', isV6: true },
  { tunnel: tunnelPlan('ipip'), mode: 'l3', isV6: true },
];

/** Left and right, over IPv4 and over IPv6. */
const SIDES = [
  { id: 58, name: 'warm-up-left', address: SELF, peer: VTEP, isV6: false },
  { id: 59, name: 'warm-up-right', address: VTEP, peer: SELF, isV6: false },
  { id: 60, name: 'warm-up-left-6', address: 'fd00::1', peer: 'fd00::2', isV6: true },
  { id: 61, name: 'warm-up-right-6', address: 'fd00::2', peer: 'fd00::1', isV6: true },
];
/** What a device sends goes to this one. */
export const FACING: Record<string, string> = {
  'warm-up-left': 'warm-up-right',
  'warm-up-left-6': 'warm-up-right-6',
};
export const FACING_UNDERLAYS = SIDES.map(({ id }) => id);
const FIRST_NETWORK = 480;
const FIRST_PORT = 1000;
const FIRST_PEER = 2020;
const MAC = '02:00:00:00:00:03';
/** Ports of the left side, and whether their frames are bare packets. */
export const FACING_PORTS = PAIRS.map(({ mode }, p) => ({
  id: FIRST_PORT + p * 2,
  name: `warm-up-${FIRST_PORT + p * 2}`,
  isPacket: mode === 'l3',
}));

function sideOf({ isV6 }: Pair, isRight: number) {
  return SIDES[(isV6 ? 2 : 0) + isRight];
}

function facingNetwork(pair: Pair, p: number, isRight: number): NetworkPlan {
  const id = FIRST_NETWORK + p * 2 + isRight;
  const { tunnel, mode } = pair;
  return { ...network(id, sideOf(pair, isRight).id), tunnel, mode, vtepMac: MAC };
}

function facingRoutes(p: number, isRight: number): RoutePlan[] {
  const id = FIRST_NETWORK + p * 2 + isRight;
  const port = FIRST_PORT + p * 2 + isRight;
  const peerId = FIRST_PEER + p * 2 + isRight;
  const to = isRight ? { port, peer: 0 } : { port: 0, peer: peerId };
  return [
    { network: id, prefix: '10.0.0.9/32', ...to },
    { network: id, prefix: 'fd00::9/128', ...to },
    { network: id, prefix: '10.0.0.1/32', port, peer: 0 },
  ];
}

const both = <T>(make: (pair: Pair, p: number, isRight: number) => T): T[] =>
  PAIRS.flatMap((pair, p) => [make(pair, p, 0), make(pair, p, 1)]);

export const PLAN: Plan = {
  generation: 0,
  node: 'warm-up',
  workers: 1,
  busyPollUs: 0,
  underlays: [
    frameUnderlay,
    ...SIDES.map(({ id, name, address, peer: next }) => ({
      ...frameUnderlay,
      id,
      name,
      address,
      frame: { ...frameUnderlay.frame!, name, neighbours: { [next]: MAC } },
    })),
  ],
  networks: [network(OVER_SOCKETS, SOCKETS), network(OVER_FRAMES, FRAMES), ...both(facingNetwork)],
  ports: [
    ...PORTS.map(port),
    ...both((_, p, isRight) => ({
      ...port(FIRST_PORT + p * 2 + isRight),
      network: FIRST_NETWORK + p * 2 + isRight,
    })),
  ],
  peers: [
    peer(PEER_SOCKETS, OVER_SOCKETS, SOCKETS),
    peer(PEER_FRAMES, OVER_FRAMES, FRAMES),
    ...both((pair, p, isRight) => ({
      ...peer(FIRST_PEER + p * 2 + isRight, FIRST_NETWORK + p * 2 + isRight, sideOf(pair, isRight).id),
      address: sideOf(pair, isRight).peer,
      udpPort: pair.tunnel.udpPort,
      mac: MAC,
    })),
  ],
  statics: [],
  staticNeighbours: [],
  routes: [0, 1].flatMap((isRight) => PAIRS.flatMap(({ mode }, p) => (mode === 'l3' ? facingRoutes(p, isRight) : []))),
};
