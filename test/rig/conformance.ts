// One network with one encapsulation over one way, for behaviours that must be the same for all of them: stations 1 and 2 behind ports a and b,
// 9 behind peer A, 8 behind peer B.
import { setStatic } from '../../src/forward/macTable.js';
import { TO_PEER, TO_PORT } from '../../src/packet/burst.js';
import type { NetworkPlan, RoutePlan } from '../../src/pipeline/plan.js';
import { type ChecksumKind, macWords, stationMac } from './frames.js';
import type { Datagram, VnetHeader } from './kernel.js';
import { FRAMES, makeRig, network, peer, type Rig, type RigOptions, SOCKETS } from './pipeline.js';
import {
  ENCAPSULATIONS,
  type Encapsulation,
  type Family,
  type OuterPacket,
  type PacketFields,
  type ReadPacket,
  readTunnelFrame,
  tunnelFrame,
} from './tunnels.js';

export interface Way {
  /** Of the outer packet. */
  family: Family;
  over: 'frame' | 'socket';
}

export const WAYS: readonly Way[] = [
  { family: 4, over: 'frame' },
  { family: 6, over: 'frame' },
  { family: 4, over: 'socket' },
  { family: 6, over: 'socket' },
];

/** Every encapsulation on every way, as rows of describe.each. */
export const casesOf = (ways: readonly Way[], encapsulations: readonly Encapsulation[] = ENCAPSULATIONS) =>
  encapsulations.flatMap((e) => ways.map((way) => ({ name: `${e.name} over IPv${way.family}, ${way.over}`, e, way })));

export const ADDRESS = {
  4: { self: '198.18.0.1', a: '198.18.0.2', b: '198.18.0.3', stranger: '198.18.0.99' },
  6: { self: 'fd12::1', a: 'fd12::2', b: 'fd12::3', stranger: 'fd12::99' },
} as const;
export type Who = keyof (typeof ADDRESS)[4];

export const VTEP_MAC = { self: '02:00:00:00:0b:01', a: '02:00:00:00:0b:02', b: '02:00:00:00:0b:03' };
const hexOf = (mac: string) => mac.replaceAll(':', '');

/** A packet that left for a peer. */
export interface Sent {
  to: string;
  payload: Uint8Array;
  /** Outer headers on a frame underlay; the kernel writes them on a socket. */
  outer: ReadPacket | null;
  /** What a socket was told: -1 for its own. */
  tos: number;
}

export interface ArrivalFields extends Partial<PacketFields> {
  from?: Who;
  tos?: number;
  ttl?: number;
  checksum?: ChecksumKind;
  trailer?: number;
  /** Fields of the outer packet that are wrong. */
  outer?: Partial<OuterPacket>;
  /** Instead of the encapsulation's own header. */
  wrap?: (inner: Uint8Array, f: PacketFields) => Uint8Array;
}

export interface Bench {
  readonly rig: Rig;
  /** What the network carries of a frame: all of it, or the packet in it. */
  inner(frame: Uint8Array): Uint8Array;
  /** A frame of a station behind port a, or its packet. */
  from(frames: Uint8Array | Uint8Array[], offload?: Partial<VnetHeader>): void;
  sent(): Sent[];
  /** What a tunnel packet of the node to a peer must be. */
  expected(frame: Uint8Array, to: 'a' | 'b', sequence: number): Uint8Array;
  /** A tunnel packet of a peer, with the frame's inner part in it. */
  arrives(frames: Uint8Array | Uint8Array[], f?: ArrivalFields): void;
  /** Bytes behind the outer headers, whatever they are. */
  arrivesRaw(payload: Uint8Array, family: Family, f?: ArrivalFields): void;
  took(port: string): Uint8Array[];
}

export interface BenchOptions extends Partial<RigOptions> {
  mtu?: number;
  acceptUnknownPeers?: boolean;
  /** What else the network has. */
  also?: Partial<NetworkPlan>;
  offloads?: boolean;
  /** Where stations are. */
  stations?: [station: number, value: number][];
}

const STATIONS: [station: number, value: number][] = [
  [1, TO_PORT | 1],
  [2, TO_PORT | 2],
  [9, TO_PEER | 1],
  [8, TO_PEER | 2],
];

const routesOf = (stations: [station: number, value: number][]): RoutePlan[] =>
  stations.flatMap(([station, value]) =>
    [`10.0.0.${station}/32`, `fd00::${station}/128`].map((prefix) => ({
      network: 1,
      prefix,
      port: (value & TO_PORT) !== 0 ? value & 0xff : 0,
      peer: (value & TO_PEER) !== 0 ? value & 0xff : 0,
    })),
  );

export const familyOf = (frame: Uint8Array): Family => (frame[12] === 0x86 ? 6 : 4);

function rigOf(e: Encapsulation, way: Way, options: BenchOptions): Rig {
  const { mtu = 1450, acceptUnknownPeers = false, offloads = false, stations = STATIONS, also, ...rest } = options;
  const address = ADDRESS[way.family];
  const underlay = way.over === 'frame' ? FRAMES : SOCKETS;
  const { kind, udpPort } = e.tunnel;
  const device = offloads ? { vnetHdrLen: 12, offloads: 7 } : {};
  const rig = makeRig({
    ports: { a: { id: 1, network: 1, ...device }, b: { id: 2, network: 1 } },
    networks: [
      network(1, {
        tunnel: e.tunnel,
        mode: e.mode,
        underlay,
        mtu,
        acceptUnknownPeers,
        vtepMac: VTEP_MAC.self,
        ...also,
      }),
    ],
    peers: [
      peer(1, 1, address.a, { underlay, udpPort, mac: VTEP_MAC.a }),
      peer(2, 1, address.b, { underlay, udpPort, mac: VTEP_MAC.b }),
    ],
    routes: e.mode === 'l3' ? routesOf(stations) : undefined,
    carrier: { kind: udpPort > 0 ? 'udp' : 'raw', tunnel: kind, udpPort },
    neighbours: { [address.a]: '02:00:00:00:0a:02', [address.b]: '02:00:00:00:0a:03' },
    ...rest,
    underlay: { address: address.self, ...rest.underlay },
  });
  if (e.mode === 'l2')
    for (const [station, value] of stations) {
      const { lo, hi } = macWords(stationMac(station));
      setStatic(rig.pipeline.macTable, lo, hi, 1, value);
    }
  return rig;
}

export function makeBench(e: Encapsulation, way: Way, options: BenchOptions = {}): Bench {
  const rig = rigOf(e, way, options);
  const address = ADDRESS[way.family];
  const inner = (frame: Uint8Array) => (e.mode === 'l2' ? frame : frame.slice(14));
  // A peer counts from 1: 0 would be the same as none.
  const sequences = { self: 1, a: 1, b: 1, stranger: 1 };

  function arrivesRaw(payload: Uint8Array, family: Family, f: ArrivalFields = {}): void {
    const from = address[f.from ?? 'a'];
    const protocol = e.protocol(family);
    if (way.over === 'frame') {
      const { tos, ttl, checksum, trailer } = f;
      const outer = { src: from, dst: address.self, protocol, dport: e.tunnel.udpPort, tos, ttl, checksum, trailer };
      rig.fromWire(tunnelFrame({ ...outer, ...f.outer }, payload));
      return;
    }
    const datagram: Datagram = { bytes: payload, from, tos: f.tos };
    rig.into(SOCKETS, protocol === 41 ? 1 : 0, datagram);
  }

  const list = (frames: Uint8Array | Uint8Array[]) => (frames instanceof Uint8Array ? [frames] : frames);
  return {
    rig,
    inner,
    from: (frames, offload) => rig.from('a', list(frames).map(inner), offload),
    sent() {
      const frames = rig.wire().map((frame): Sent => {
        const outer = readTunnelFrame(frame);
        return { to: outer.dst, payload: outer.payload, outer, tos: outer.tos };
      });
      const datagrams = rig.kernel.sent
        .splice(0)
        .flatMap((m) => m.datagrams.map((payload): Sent => ({ to: m.address, payload, outer: null, tos: m.tos })));
      return [...frames, ...datagrams];
    },
    expected: (frame, to, sequence) =>
      e.wrap(inner(frame), {
        family: familyOf(frame),
        sequence,
        dstMac: hexOf(VTEP_MAC[to]),
        srcMac: hexOf(VTEP_MAC.self),
      }),
    arrives(frames, f = {}) {
      for (const frame of list(frames)) {
        const fields: PacketFields = {
          family: familyOf(frame),
          sequence: sequences[f.from ?? 'a']++,
          dstMac: hexOf(VTEP_MAC.self),
          srcMac: hexOf(VTEP_MAC.a),
          ...f,
        };
        arrivesRaw((f.wrap ?? e.wrap)(inner(frame), fields), fields.family, f);
      }
    },
    arrivesRaw,
    took: (port) => rig.took(port),
  };
}
