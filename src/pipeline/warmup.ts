import { flushMacs } from '../forward/macTable.js';
import { advance, type Clock } from '../packet/clock.js';
import { GSO_TCPV4, GSO_TCPV6 } from '../packet/offload.js';
import type { MemoryPort } from '../port/memory.js';
import type { SocketUnderlay, Underlay } from '../underlay/underlay.js';
import * as Address from '../wire/address.js';
import type { Pipeline } from './pipeline.js';
import type { NetworkPlan, PeerPlan, Plan, PortPlan, UnderlayPlan, WorkerDevices } from './plan.js';
import { arpRequest, ipv4Tcp, ipv4Udp, ipv6Tcp, outer, vxlan, withTag } from './warmupFrames.js';

/**
 * Sends synthetic frames down every branch of the walk before any port opens. V8 compiles hot code for the paths it has seen; the first frame on
 * an unseen one throws that code away and the worker runs interpreted, at a tenth of its speed, for 5 to 6 ms.
 *
 * It runs in networks of its own with memory devices, and leaves nothing behind: counters are restored, its MACs flushed, its slots home.
 */

/** Rounds over all frames: after about half of them V8 compiles nothing more (--trace-opt). */
const ROUNDS = 400;

// Ids from the upper end, which the control thread gives out last.
const OVER_SOCKETS = 509;
const OVER_FRAMES = 510;
const SOCKETS = 14;
const FRAMES = 15;
const PEER_SOCKETS = 2046;
const PEER_FRAMES = 2047;
const PORTS = [1020, 1021, 1022, 1023];
const WIRE = 'warm-up-wire';
const VNI = 0xfffffe;
const MTU = 1450;
const SELF = '198.18.0.1';
const VTEP = '198.18.0.2';
const NOTHING: WorkerDevices = { ports: [], underlays: [] };

const network = (id: number, underlay: number): NetworkPlan => ({
  id,
  name: `warm-up-${id}`,
  vni: VNI,
  underlay,
  mtu: MTU,
  ageingSec: 300,
  macLimit: 64,
  broadcastPps: 0,
  acceptUnknownPeers: false,
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
  dynamic: false,
});

const frameUnderlay: UnderlayPlan = {
  id: FRAMES,
  name: 'warm-up-frames',
  kind: 'frame',
  address: SELF,
  device: null,
  udpPort: 4789,
  checksum: true,
  sourcePortFirst: 0,
  sourcePortCount: 1,
  dscp: 0,
  ttl: 64,
  deliverOffloadLeak: false,
  frame: {
    kind: 'memory',
    name: WIRE,
    input: null,
    output: null,
    mac: '02:00:00:00:00:01',
    neighbours: { [VTEP]: '02:00:00:00:00:03' },
  },
};

const PLAN: Plan = {
  generation: 0,
  node: 'warm-up',
  workers: 1,
  busyPollUs: 0,
  underlays: [frameUnderlay],
  networks: [network(OVER_SOCKETS, SOCKETS), network(OVER_FRAMES, FRAMES)],
  ports: PORTS.map(port),
  peers: [peer(PEER_SOCKETS, OVER_SOCKETS, SOCKETS), peer(PEER_FRAMES, OVER_FRAMES, FRAMES)],
  statics: [],
};

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
  return {
    kind: 'udp',
    id: SOCKETS,
    name: 'warm-up-socket',
    tos: 0,
    deliverOffloadLeak: false,
    sockets: 4,
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
  };
}

/** What peers send: super-datagrams of both families, single frames, strangers, rubbish. Station 9 is behind the peer. */
function datagramsFromPeer(): Datagram[] {
  const whole = (frame: Uint8Array): Datagram => ({ bytes: vxlan(VNI, frame), segment: frame.length + 8 });
  const joined = (frames: Uint8Array[]): Datagram => ({ bytes: vxlan(VNI, ...frames), segment: frames[0].length + 8 });
  const segments = [0, 1000, 2000].map((seq) => ipv4Tcp({ src: 9, dst: 1, payload: 1000, seq }));
  const segments6 = [0, 1000, 2000].map((seq) => ipv6Tcp({ src: 9, dst: 1, payload: 1000, seq }));
  const unflagged = whole(ipv4Udp({ src: 9, dst: 1, payload: 64 }));
  unflagged.bytes[0] = 0;
  return [
    joined(segments),
    joined(segments6),
    whole(ipv4Udp({ src: 9, dst: 2, payload: 333, tos: 2 })),
    { ...whole(ipv4Udp({ src: 9, dst: 1, payload: 64 })), isStranger: true },
    whole(arpRequest(9)),
    whole(ipv4Tcp({ src: 9, dst: 1, payload: 100, unfinished: true })),
    whole(withTag(ipv4Udp({ src: 9, dst: 3, payload: 80, tos: 1 }))),
    whole(ipv4Tcp({ src: 9, dst: 77, payload: 2000 })),
    whole(ipv4Udp({ src: 9, dst: 9, payload: 64 })),
    { bytes: vxlan(1, arpRequest(9)), segment: 50 },
    { bytes: new Uint8Array(4), segment: 4 },
    unflagged,
  ];
}

/** What local stations send, with and without offloads, to ports, to the peer, to nobody; and frames that are not to be forwarded. */
function injectLocal(from: MemoryPort, src: number): void {
  const tcp4 = { csumStart: 34, csumOffset: 16 };
  for (const dst of [1, 2, 3, 9]) {
    from.inject(ipv4Udp({ src, dst, payload: 18 }));
    from.inject(ipv4Udp({ src, dst, payload: 1300, tos: 3 }), undefined, dst & 2);
    from.inject(ipv4Tcp({ src, dst, payload: 60, seq: 5 }));
    from.inject(ipv6Tcp({ src, dst, payload: 100, seq: 5 }));
    from.inject(withTag(ipv4Udp({ src, dst, payload: 40 })));
    from.inject(ipv4Tcp({ src, dst, payload: 200, unfinished: true }), tcp4);
    from.inject(ipv4Tcp({ src, dst, payload: 1200, unfinished: true }), { gsoType: GSO_TCPV4, gsoSize: 500, ...tcp4 });
    const gso6 = { gsoType: GSO_TCPV6, gsoSize: 500, csumStart: 54, csumOffset: 16 };
    from.inject(ipv6Tcp({ src, dst, payload: 1200, unfinished: true }), gso6);
  }
  from.inject(arpRequest(src));
  from.inject(ipv4Udp({ src, dst: 99, payload: 30 }));
  from.inject(ipv4Udp({ src, dst: 9, payload: 1500 }));
  from.inject(ipv4Udp({ src, dst: 9, payload: 30, fragment: true }));
  from.inject(Uint8Array.of(0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, src, 0x88, 0xcc, 0, 0));
  from.inject(Uint8Array.of(1, 2, 3));
}

/** Whole outer frames. */
function injectOuter(wire: MemoryPort): void {
  const self = Address.ipv4WordFromText(SELF) as number;
  const vtep = Address.ipv4WordFromText(VTEP) as number;
  for (let n = 0; n < 4; n++) {
    wire.inject(outer(vxlan(VNI, ipv4Udp({ src: 9, dst: 1, payload: 64 })), vtep, self, n));
    wire.inject(outer(vxlan(VNI, ipv4Tcp({ src: 9, dst: 1, payload: 400, seq: n * 400 })), vtep, self, 0));
  }
  wire.inject(outer(vxlan(VNI, arpRequest(9)), vtep, self, 0));
  wire.inject(outer(vxlan(VNI, arpRequest(9)), vtep, vtep, 0));
}

function runRounds(
  pipeline: Pipeline,
  clock: Clock,
  ports: MemoryPort[],
  wire: MemoryPort,
  underlays: Underlay[],
): void {
  const { walk } = pipeline;
  for (let round = 0; round < ROUNDS; round++) {
    const k = round % ports.length;
    injectLocal(ports[k], k === 3 ? 1 : k + 1);
    while (ports[k].waiting > 0) walk.fromPort(ports[k]);
    injectOuter(wire);
    for (const underlay of underlays) walk.fromUnderlay(underlay);
    if (round % 8 === 7) {
      advance(clock, 1000);
      pipeline.tick();
    }
  }
}

export function warmUp(pipeline: Pipeline, clock: Clock): void {
  const { walk, devices, counters, macTable } = pipeline;
  const saved = counters.slice();
  const { seconds, millis } = clock;
  for (const n of [0, 1]) devices.memoryOptions.set(`warm-up-${PORTS[n]}`, { vnetHdrLen: 12, takesOffloads: true });
  pipeline.apply(PLAN, NOTHING);
  const socket = fakeSocket(pipeline, datagramsFromPeer());
  walk.underlays[SOCKETS] = socket;
  const ports = PORTS.map((id) => walk.ports[id] as MemoryPort);
  const wire = devices.memory.get(WIRE) as MemoryPort;

  runRounds(pipeline, clock, ports, wire, [socket, walk.underlays[FRAMES] as Underlay]);

  walk.underlays[SOCKETS] = undefined;
  pipeline.apply({ ...PLAN, underlays: [], networks: [], ports: [], peers: [] }, NOTHING);
  devices.memory.clear();
  devices.memoryOptions.clear();
  flushMacs(macTable, (e) => e.network === OVER_SOCKETS || e.network === OVER_FRAMES, 0);
  counters.set(saved);
  clock.seconds = seconds;
  clock.millis = millis;
}
