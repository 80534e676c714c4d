import { flushMacs, setStatic } from '../forward/macTable.js';
import { flushNeighbours } from '../forward/neighbourTable.js';
import { TO_PORT } from '../packet/burst.js';
import { advance, type Clock } from '../packet/clock.js';
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 } from '../packet/offload.js';
import { gatherMessage, type InjectedOffload, type MemoryPort } from '../port/memory.js';
import { definePort, type Port } from '../port/port.js';
import { defineSocketUnderlay, type SocketUnderlay, type Underlay } from '../underlay/underlay.js';
import * as Address from '../wire/address.js';
import type { Pipeline } from './pipeline.js';
import type { WorkerDevices } from './plan.js';
import { writePlanRoutes } from './routes.js';
import type { StandIns } from './standIns.js';
import type { TurnLoop } from './turn.js';
import {
  arpRequest,
  heartbeat,
  ipv4Tcp,
  ipv4Udp,
  ipv6Tcp,
  neighbourAdvertisement,
  neighbourSolicitation,
  outer,
  vxlan,
  withTag,
} from './warmupFrames.js';
import {
  FACING,
  FACING_PORTS,
  FACING_UNDERLAYS,
  FRAMES,
  NOTHING,
  OVER_SOCKETS,
  PLAN,
  PORTS,
  SELF,
  SOCKETS,
  STATION_3_HI,
  STATION_3_LO,
  VNI,
  VTEP,
  WIRE,
} from './warmupPlan.js';

/**
 * Sends synthetic frames down every branch of the walk before any port opens. V8 compiles hot code for the paths it has seen; the first frame on
 * an unseen one throws that code away and the worker runs interpreted, at a tenth of its speed, for 5 to 6 ms.
 *
 * It runs in networks of its own with memory devices, and leaves nothing behind: counters are restored, its MACs flushed, its slots home.
 */

const ROUTE_BYTES = 64 * 1024;
const ALL_PORTS = [...PORTS, ...PLAN.ports.map(({ id }) => id).filter((id) => !PORTS.includes(id))];
const ALL_UNDERLAYS = [SOCKETS, FRAMES, ...FACING_UNDERLAYS];

/** Rounds over all frames: V8 has compiled the steps after about 80 of them (--trace-opt). */
const ROUNDS = 100;

interface Datagram {
  bytes: Uint8Array;
  /** Segment size, as UDP_GRO reports it. */
  segment: number;
  isStranger?: boolean;
}

/** A socket underlay without a socket: its datagrams are laid into the rx window. */
function fakeSocket(pipeline: Pipeline, datagrams: Datagram[]): SocketUnderlay {
  const { burst, outbox, arena } = pipeline;
  const address = new Int32Array(Address.toMapped(Address.fromText(VTEP) as Uint8Array).slice().buffer);
  let given = 0;
  return defineSocketUnderlay({
    kind: 'udp',
    id: SOCKETS,
    name: 'warm-up-socket',
    tos: 0,
    deliverOffloadLeak: false,
    sockets: 4,
    socketV6: -1,
    listening: 4,
    segmentsMax: 63,
    rx() {
      given = 0;
      return datagrams.length;
    },
    hasMore: () => false,
    nextLanes() {
      if (given === datagrams.length) return 0;
      const { bytes, segment, isStranger } = datagrams[given];
      const start = outbox.rxDatagramAt[given];
      arena.bytes.set(bytes, start);
      outbox.rxSrc.set(address, given * 4);
      if (isStranger) outbox.rxSrc[given * 4 + 3] = 1;
      let n = 0;
      for (let o = 0; o < bytes.length; o += segment, n++) {
        burst.slot[n] = -1;
        burst.at[n] = start + o;
        burst.len[n] = Math.min(segment, bytes.length - o);
        burst.packets[n] = 1;
        burst.gsoType[n] = 0;
        burst.flags[n] = 0;
        burst.drop[n] = 0;
        burst.from[n] = given;
        burst.outerTos[n] = given & 3;
      }
      given++;
      return n;
    },
    tx(n) {
      for (let m = 0; m < n; m++) outbox.msgResult[m] = m % 31 === 30 ? -11 : 0;
      return n;
    },
    release() {},
    close() {},
    missed: () => 0,
    readErrors() {},
  });
}

/** What peers send: super-datagrams of both families, single frames, strangers, rubbish. Station 9 is behind the peer. */
function datagramsFromPeer(): Datagram[] {
  const whole = (frame: Uint8Array): Datagram => ({ bytes: vxlan(VNI, frame), segment: frame.length + 8 });
  const joined = (frames: Uint8Array[]): Datagram => ({ bytes: vxlan(VNI, ...frames), segment: frames[0].length + 8 });
  const segments = [0, 1000, 2000].map((seq) => ipv4Tcp({ src: 9, dst: 1, payload: 1000, seq }));
  const segments6 = [0, 1000, 2000].map((seq) => ipv6Tcp({ src: 9, dst: 1, payload: 1000, seq }));
  const other = ipv4Tcp({ src: 9, dst: 1, payload: 1000, seq: 5000, tos: 8 });
  const unflagged = whole(ipv4Udp({ src: 9, dst: 1, payload: 64 }));
  unflagged.bytes[0] = 0;
  return [
    joined(segments),
    joined(segments6),
    joined([1000, 1000, 1000, 300].map((payload) => ipv4Udp({ src: 9, dst: 1, payload }))),
    joined([segments[0], segments[1], ipv4Tcp({ src: 9, dst: 1, payload: 300, seq: 2000 })]),
    joined(
      [0, 1, 2, 3].map((k) =>
        ipv4Tcp({ src: 9, dst: 1, payload: 1000, seq: (k >> 1) * 1000, srcPort: 5000 + (k & 1) }),
      ),
    ),
    whole(damaged(damaged(ipv4Udp({ src: 9, dst: 1, payload: 50 }), 40, 0), 41, 0)), // no UDP checksum
    joined(
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map((n) => ipv4Tcp({ src: 9, dst: 1, payload: 1000, seq: n, tos: n * 4 })),
    ),
    joined([segments[0], other, segments[1], segments6[0].subarray(0, segments[0].length), segments[2]]),
    whole(ipv4Udp({ src: 9, dst: 2, payload: 333, tos: 2 })),
    { ...whole(ipv4Udp({ src: 9, dst: 1, payload: 64 })), isStranger: true },
    whole(arpRequest(9)),
    whole(neighbourAdvertisement(9)),
    whole(arpRequest(8, 9)),
    whole(heartbeat(9)),
    whole(ipv4Tcp({ src: 9, dst: 1, payload: 100, unfinished: true })),
    whole(withTag(ipv4Udp({ src: 9, dst: 3, payload: 80, tos: 1 }))),
    whole(ipv4Tcp({ src: 9, dst: 77, payload: 2000 })),
    whole(ipv4Udp({ src: 9, dst: 9, payload: 64 })),
    { bytes: vxlan(1, arpRequest(9)), segment: 50 },
    { bytes: new Uint8Array(4), segment: 4 },
    unflagged,
  ];
}

type Inject = (port: MemoryPort) => void;

function damaged(frame: Uint8Array, at: number, value: number): Uint8Array {
  frame[at] = value;
  return frame;
}

/** What local stations send, with and without offloads, to ports, to the peer, to nobody; and frames that are not to be forwarded. */
function framesOfStation(src: number): Inject[] {
  const tcp4 = { csumStart: 34, csumOffset: 16 };
  const gso4 = { gsoType: GSO_TCPV4, gsoSize: 500, ...tcp4 };
  const gsoUdp = { gsoType: GSO_UDP_L4, gsoSize: 500, csumStart: 34, csumOffset: 6 };
  const gso6 = { gsoType: GSO_TCPV6, gsoSize: 500, csumStart: 54, csumOffset: 16 };
  const plain = (frame: Uint8Array, offset = 0): Inject => {
    return (port) => port.inject(frame, undefined, offset);
  };
  const offloaded = (frame: Uint8Array, offload: InjectedOffload): Inject => {
    return (port) => port.inject(frame, offload);
  };
  const toStations = [1, 2, 3, 9].flatMap((dst) => [
    plain(ipv4Udp({ src, dst, payload: 18 })),
    plain(ipv4Udp({ src, dst, payload: 1300, tos: 3 }), dst & 2),
    plain(ipv4Tcp({ src, dst, payload: 60, seq: 5 })),
    plain(ipv6Tcp({ src, dst, payload: 100, seq: 5 })),
    plain(withTag(ipv4Udp({ src, dst, payload: 40 }))),
    offloaded(ipv4Tcp({ src, dst, payload: 200, unfinished: true }), tcp4),
    offloaded(ipv4Tcp({ src, dst, payload: 1200, unfinished: true }), gso4),
    offloaded(ipv6Tcp({ src, dst, payload: 1200, unfinished: true }), gso6),
    offloaded(ipv4Udp({ src, dst, payload: 1200, unfinished: true }), gsoUdp),
  ]);
  return [
    ...toStations,
    // Flooded: finished before it is shared.
    offloaded(ipv4Tcp({ src, dst: 99, payload: 200, unfinished: true }), tcp4),
    plain(arpRequest(src)),
    // To which there is an answer, once they are known.
    plain(arpRequest(src, 9)),
    plain(neighbourSolicitation(src, 9)),
    plain(neighbourAdvertisement(src)),
    plain(arpRequest(src, 8)),
    plain(heartbeat(src)),
    plain(ipv4Udp({ src, dst: 99, payload: 30 })),
    offloaded(ipv4Tcp({ src, dst: 99, payload: 200, unfinished: true }), tcp4),
    plain(ipv4Udp({ src, dst: 9, payload: 1500 })),
    plain(ipv4Udp({ src, dst: 9, payload: 1600, fragment: true })),
    plain(ipv4Tcp({ src, dst: 9, payload: 4, syn: true })),
    plain(ipv4Udp({ src, dst: 9, payload: 30, fragment: true })),
    plain(damaged(ipv4Udp({ src, dst: 9, payload: 60 }), 16, 0x7f)), // total length beyond the frame
    plain(damaged(ipv4Tcp({ src, dst: 9, payload: 60 }), 46, 0x10)), // data offset below 5
    plain(damaged(ipv4Udp({ src, dst: 9, payload: 60 }), 14, 0x46)), // with an option word
    plain(damaged(ipv4Udp({ src, dst: 9, payload: 60 }), 23, 1)), // ICMP
    plain(damaged(ipv6Tcp({ src, dst: 9, payload: 60 }), 20, 0)), // hop-by-hop options
    plain(damaged(ipv6Tcp({ src, dst: 9, payload: 60 }), 20, 44)), // fragment header
    plain(damaged(arpRequest(src), 6, 3)), // group address as source
    plain(Uint8Array.of(0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, src, 0x88, 0xcc, 0, 0)),
    plain(Uint8Array.of(1, 2, 3)),
  ];
}

/** Frames that need nothing of anybody. */
function plainFramesOfStation(src: number): Inject[] {
  const frames = [1, 2, 3, 9].flatMap((dst) => [
    ipv4Udp({ src, dst, payload: 100 }),
    ipv4Tcp({ src, dst, payload: 60, seq: 5 }),
  ]);
  return frames.map((frame) => (port) => port.inject(frame));
}

const self = Address.ipv4WordFromText(SELF) as number;
const vtep = Address.ipv4WordFromText(VTEP) as number;

/** Whole outer frames. */
function framesOfWire(): Inject[] {
  const frames = [0, 1, 2, 3].flatMap((n) => [
    outer(vxlan(VNI, ipv4Udp({ src: 9, dst: 1, payload: 64 })), vtep, self, n),
    outer(vxlan(VNI, ipv4Tcp({ src: 9, dst: 1, payload: 400, seq: n * 400 })), vtep, self, 0),
  ]);
  frames.push(outer(vxlan(VNI, arpRequest(9)), vtep, self, 0), outer(vxlan(VNI, arpRequest(9)), vtep, vtep, 0));
  return frames.map((frame) => (port) => port.inject(frame));
}

/** Those that need nothing of anybody. */
function plainFramesOfWire(): Inject[] {
  const frames = [64, 100, 400].map((payload) =>
    outer(vxlan(VNI, ipv4Udp({ src: 9, dst: 1, payload })), vtep, self, 0),
  );
  return frames.map((frame) => (port) => port.inject(frame));
}

/** What goes from the left to the right of each pair: both families, something too big, something without a route. */
function framesOfFacing(): Uint8Array[] {
  return [
    ipv4Udp({ src: 1, dst: 9, payload: 40 }),
    ipv4Tcp({ src: 1, dst: 9, payload: 700, seq: 1, tos: 2 }),
    ipv4Tcp({ src: 1, dst: 9, payload: 700, seq: 701, tos: 2 }),
    ipv6Tcp({ src: 1, dst: 9, payload: 90 }),
    ipv4Udp({ src: 1, dst: 9, payload: 1500 }),
    ipv4Udp({ src: 1, dst: 77, payload: 20 }),
  ];
}

/**
 * The same port behind functions of its own. A call site that has met one function is compiled for that one, and thrown away when a live device
 * brings another; one that has met two is compiled for any.
 */
const disguisePort = (p: Port): Port =>
  definePort({
    ...p,
    rx: () => p.rx(),
    tx: (n) => p.tx(n),
    hasMore: () => p.hasMore(),
    release: (n) => p.release(n),
  });

const disguiseSocket = (u: SocketUnderlay): SocketUnderlay =>
  defineSocketUnderlay({
    ...u,
    rx: () => u.rx(),
    nextLanes: () => u.nextLanes(),
    tx: (n) => u.tx(n),
    hasMore: () => u.hasMore(),
    release: (n) => u.release(n),
    missed: () => u.missed(),
  });

/** Turns of the worker's own loop, so that it is warm too. */
interface WarmLoop {
  turn(): void;
  close(): void;
}

function openLoop(loop: TurnLoop, standIns: StandIns): WarmLoop {
  const [ports, underlays] = [ALL_PORTS.length, ALL_UNDERLAYS.length];
  if (standIns.length < ports + underlays) throw new Error(`the warm-up has ${ports + underlays} devices`);
  const devices: WorkerDevices = {
    ports: ALL_PORTS.map((port, k) => ({ port, rxFd: standIns[k], txFd: -1, vnetHdrLen: 12, offloads: 0 })),
    underlays: ALL_UNDERLAYS.map((underlay, k) => ({
      underlay,
      rxFds: [standIns[ports + k]],
      txFds: [],
      protocols: [],
      gro: true,
      segment: true,
    })),
  };
  loop.watch(devices);
  return { turn: () => loop.turn(), close: () => loop.watch(NOTHING) };
}

function runRounds(pipeline: Pipeline, clock: Clock, loop: WarmLoop, twin: Underlay): void {
  let spare = twin;
  const { memory } = pipeline.devices;
  const ports = PORTS.map((id) => memory.get(`warm-up-${id}`) as MemoryPort);
  const wire = memory.get(WIRE) as MemoryPort;
  const local = [1, 2, 3, 1].map(framesOfStation);
  const plain = [1, 2, 3, 1].map(plainFramesOfStation);
  const outside = framesOfWire();
  const plainOutside = plainFramesOfWire();
  const facing = framesOfFacing();
  for (let round = 0; round < ROUNDS; round++) {
    const k = round % ports.length;
    // Every other round is of plain frames alone, as most bursts are.
    const frames = round & 2 ? local[k] : plain[k];
    for (const inject of frames) inject(ports[k]);
    // Every other time more than one burst holds.
    if (round & 4) for (const inject of local[k]) inject(ports[k]);
    for (const inject of round & 2 ? outside : plainOutside) inject(wire);
    FACING_PORTS.forEach(({ name, isPacket }) => {
      for (const frame of facing) memory.get(name)?.inject(isPacket ? frame.subarray(14) : frame);
    });
    loop.turn();
    if (round % 4 === 3) {
      const { walk } = pipeline;
      [walk.underlays[SOCKETS], spare] = [spare, walk.underlays[SOCKETS] as Underlay];
    }
    if (round % 8 === 7) {
      advance(clock, 1000);
      pipeline.tick();
    }
  }
}

/** `loop` is absent where there is no native addon: the walk alone is warmed up then. */
export function warmUp(pipeline: Pipeline, clock: Clock, loop?: TurnLoop, standIns?: StandIns): void {
  const { walk, devices, counters, macTable, neighbours, arena, outbox } = pipeline;
  const saved = counters.slice();
  const { seconds, millis } = clock;
  for (const n of [0, 1]) devices.memoryOptions.set(`warm-up-${PORTS[n]}`, { vnetHdrLen: 12, takesOffloads: true });
  // What the left sides of the pairs send comes in on the right.
  const { onMessage } = devices;
  devices.onMessage = (name, m) => {
    const facing = devices.memory.get(FACING[name] ?? '');
    const frame = gatherMessage(arena, outbox, m);
    facing?.inject(frame);
    return frame.length;
  };
  // The route table lies where header blocks of the warm-up do not come.
  const routesAt = outbox.headersEnd - ROUTE_BYTES;
  pipeline.apply(PLAN, NOTHING, writePlanRoutes(arena, PLAN, routesAt, ROUTE_BYTES));
  // Station 3 is configured, the others are learned.
  setStatic(macTable, STATION_3_LO, STATION_3_HI, OVER_SOCKETS, TO_PORT | PORTS[2]);
  const socket = fakeSocket(pipeline, datagramsFromPeer());
  walk.underlays[SOCKETS] = socket;
  walk.ports[PORTS[1]] = disguisePort(walk.ports[PORTS[1]] as Port);
  const bare: WarmLoop = {
    turn() {
      for (const id of ALL_PORTS) walk.fromPort(walk.ports[id] as Port);
      for (const id of ALL_UNDERLAYS) walk.fromUnderlay(walk.underlays[id] as Underlay);
    },
    close() {},
  };
  const warm = loop && standIns ? openLoop(loop, standIns) : bare;

  runRounds(pipeline, clock, warm, disguiseSocket(socket));

  warm.close();
  walk.underlays[SOCKETS] = undefined;
  pipeline.apply({ ...PLAN, underlays: [], networks: [], ports: [], peers: [], routes: [] }, NOTHING);
  devices.onMessage = onMessage;
  devices.memory.clear();
  devices.memoryOptions.clear();
  const networks = new Set(PLAN.networks.map(({ id }) => id));
  flushMacs(macTable, (e) => networks.has(e.network), 0);
  if (neighbours !== null) flushNeighbours(neighbours, (e) => networks.has(e.network));
  counters.set(saved);
  clock.seconds = seconds;
  clock.millis = millis;
}
