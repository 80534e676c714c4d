// One worker's pipeline in memory, for tests of the whole walk: named ports, networks, peers over a frame underlay and over sockets of a
// kernel in memory. After every test the account of each rig must balance and its slots be home.
import { afterEach, expect } from 'vitest';
import { macTableBytes } from '../../src/forward/macTable.js';
import { neighbourTableBytes } from '../../src/forward/neighbourTable.js';
import { type ArenaShape, createArenaMemory, DEFAULT_SHAPE } from '../../src/packet/arena.js';
import { LANES } from '../../src/packet/burst.js';
import { advance, type Clock, createClock } from '../../src/packet/clock.js';
import {
  account,
  type CounterRow,
  makeCounterBlock,
  NETWORK_ROW,
  PEER_ROW,
  PEERS_MAX,
  PORT_ROW,
  ROWS,
  readRow,
  UNDERLAY_ROW,
} from '../../src/packet/counters.js';
import { countHeld, createSlotState } from '../../src/packet/slots.js';
import { createPipeline, type Pipeline } from '../../src/pipeline/pipeline.js';
import type { Plan, WorkerDevices } from '../../src/pipeline/plan.js';
import { placeRoutes } from '../../src/pipeline/routes.js';
import { nextHopSources } from '../../src/pipeline/tables.js';
import type { InjectedOffload, MemoryPort } from '../../src/port/memory.js';
import { gatherMessage } from '../../src/port/memory.js';
import { installNextHops } from '../../src/underlay/nextHops.js';
import { vxlan } from './frames.js';
import { type Datagram, type FakeKernel, makeKernel, readVnet, type TapFrame, type VnetHeader } from './kernel.js';
import { FRAMES, openedOf, planOf, type RigOptions, rxFd, SOCKETS, TAP_FD, WIRE } from './plans.js';

export * from './plans.js';

/** Room for the routes of tests. */
const ROUTE_BYTES = 1024 * 1024;

export interface Delivered {
  port: string;
  frame: Uint8Array;
  vnet: VnetHeader | null;
}

export interface Rig {
  readonly pipeline: Pipeline;
  readonly kernel: FakeKernel;
  readonly clock: Clock;
  plan: Plan;
  opened: WorkerDevices;
  /** Takes over `plan` and `opened` as they now stand. */
  apply(): void;
  /** Puts frames into a port and walks until none waits. Offload metadata is the same for all. */
  from(port: string, frames: Uint8Array | Uint8Array[], offload?: Partial<VnetHeader>, offset?: number): void;
  /** Walks what waits in a port; how often it had something. */
  serve(port: string): number;
  /** A VXLAN datagram for each frame, from a VTEP, into the sockets. */
  fromPeer(address: string, vni: number, frames: Uint8Array | Uint8Array[], rest?: Partial<Datagram>): void;
  datagrams(...datagrams: Datagram[]): void;
  /** Into a socket of any carrier. */
  into(carrier: number, socket: number, ...datagrams: Datagram[]): void;
  /** Whole outer frames into the frame underlay. */
  fromWire(...frames: Uint8Array[]): void;
  /** Frames that a port sent since the last call. */
  took(port: string): Uint8Array[];
  /** All that ports sent since the last call, in order. */
  delivered(): Delivered[];
  /** Outer frames that the frame underlay sent since the last call. */
  wire(): Uint8Array[];
  row(kind: 'port' | 'peer' | 'network' | 'underlay', id: number): CounterRow;
  /** Drops by reason over all rows but those of networks, which repeat them. */
  drops(): Record<string, number>;
  /** Result of each message of a memory device instead of its bytes. */
  refuse: ((device: string, m: number) => number | undefined) | undefined;
  /** Asserts what must hold when nothing moves. */
  check(): void;
}

const rigs: Rig[] = [];

afterEach(() => {
  for (const rig of rigs) rig.check();
  rigs.length = 0;
});

export function makeRig(options: RigOptions): Rig {
  const shape: ArenaShape = {
    ...DEFAULT_SHAPE,
    captureBytes: 64 * 1024,
    macBytes: macTableBytes(options.macs ?? 1000),
    neighbourBytes: neighbourTableBytes(1000),
    routeBytes: options.routes ? ROUTE_BYTES : 0,
    ...options.shape,
    workers: 1,
  };
  const slots = createSlotState(shape);
  const clock = createClock(100);
  const kernel = makeKernel();
  const memory = {
    arena: createArenaMemory(shape),
    shape,
    slots,
    counters: makeCounterBlock(),
    sequences: new SharedArrayBuffer(PEERS_MAX * 4),
    heartbeats: options.heartbeats,
  };
  let routesHalf = 0;
  const pipeline = createPipeline({
    worker: 0,
    memory,
    clock,
    tun: kernel.tun,
    preciseSeconds: () => clock.millis / 1000,
    onUnknownPeer: options.onUnknownPeer,
    wrapSteps: options.wrapSteps,
  });
  const { devices, walk, arena, outbox, counters } = pipeline;
  const log: Delivered[] = [];
  const outerFrames: Uint8Array[] = [];
  const names = new Map(Object.entries(options.ports).map(([name, p]) => [TAP_FD + p.id, name]));
  const idOf = (name: string) => options.ports[name].id;

  for (const [name, p] of Object.entries(options.ports)) {
    devices.memoryOptions.set(name, { vnetHdrLen: p.vnetHdrLen ?? 0, takesOffloads: (p.offloads ?? 0) !== 0 });
    kernel.vnetHdrLen.set(TAP_FD + p.id, p.vnetHdrLen ?? 0);
  }
  devices.onMessage = (name, m) => {
    const refused = rig.refuse?.(name, m);
    if (refused !== undefined) return refused;
    const bytes = gatherMessage(arena, outbox, m);
    const vnetHdrLen = options.ports[name]?.vnetHdrLen ?? 0;
    if (name === WIRE) outerFrames.push(bytes);
    else log.push({ port: name, frame: bytes.slice(vnetHdrLen), vnet: vnetHdrLen > 0 ? readVnet(bytes) : null });
    return bytes.length;
  };

  /** What the kernel's TAPs were given since, in one log with the memory ports. */
  function collect(): void {
    for (const w of kernel.written.splice(0)) log.push({ port: names.get(w.fd) ?? '?', frame: w.frame, vnet: w.vnet });
  }

  function walkPort(id: number): number {
    const port = walk.ports[id];
    if (port === undefined) throw new Error(`no port ${id}`);
    let bursts = 0;
    for (; walk.fromPort(port) > 0; bursts++) collect();
    return bursts;
  }

  function fromPort(name: string, frames: Uint8Array[], vnet: Partial<VnetHeader> | undefined, offset: number): void {
    const id = idOf(name);
    if (options.ports[name].kind === 'tap' || options.ports[name].kind === 'tun') {
      kernel.frames(TAP_FD + id, ...frames.map((frame): TapFrame => ({ frame, vnet })));
      walkPort(id);
      return;
    }
    const port = devices.memory.get(name) as MemoryPort;
    const offload =
      vnet &&
      ({
        gsoType: vnet.gsoType,
        gsoSize: vnet.gsoSize,
        csumStart: vnet.csumStart ?? 0,
        csumOffset: vnet.csumOffset ?? 0,
      } satisfies InjectedOffload);
    for (const frame of frames) {
      if (port.inject(frame, offload, offset)) continue;
      walkPort(id);
      expect(port.inject(frame, offload, offset), 'the rig has room for the frame').toBe(true);
    }
    walkPort(id);
  }

  function walkUnderlay(id: number): void {
    const underlay = walk.underlays[id];
    if (underlay === undefined) throw new Error(`no underlay ${id}`);
    while (walk.fromUnderlay(underlay) > 0) collect();
  }

  const rig: Rig = {
    pipeline,
    kernel,
    clock,
    plan: planOf(options),
    opened: openedOf(options),
    refuse: undefined,
    apply() {
      // As the control thread does: the half that nobody reads.
      routesHalf = 1 - routesHalf;
      installNextHops(pipeline.nextHops, nextHopSources(rig.plan));
      pipeline.apply(rig.plan, rig.opened, placeRoutes(arena, rig.plan, routesHalf));
    },
    from(name, frames, offload, offset = 0) {
      fromPort(name, frames instanceof Uint8Array ? [frames] : frames, offload, offset);
    },
    serve: (name) => walkPort(idOf(name)),
    fromPeer(address, vni, frames, rest = {}) {
      const all = frames instanceof Uint8Array ? [frames] : frames;
      rig.datagrams(...all.map((frame) => ({ bytes: vxlan(vni, frame), from: address, ...rest })));
    },
    datagrams: (...datagrams) => rig.into(SOCKETS, 0, ...datagrams),
    into(carrier, socket, ...datagrams) {
      kernel.datagrams(rxFd(carrier, socket), ...datagrams);
      walkUnderlay(carrier);
    },
    fromWire(...frames) {
      const device = devices.memory.get(WIRE) as MemoryPort;
      for (const frame of frames) {
        if (!device.inject(frame)) {
          walkUnderlay(FRAMES);
          device.inject(frame);
        }
      }
      walkUnderlay(FRAMES);
    },
    took(name) {
      collect();
      const mine = log.filter((d) => d.port === name);
      for (const d of mine) log.splice(log.indexOf(d), 1);
      return mine.map((d) => d.frame);
    },
    delivered() {
      collect();
      return log.splice(0);
    },
    wire: () => outerFrames.splice(0),
    row(kind, id) {
      const base = { port: PORT_ROW, peer: PEER_ROW, network: NETWORK_ROW, underlay: UNDERLAY_ROW }[kind];
      return readRow([counters], base + id);
    },
    drops() {
      const sums: Record<string, number> = {};
      for (let row = 0; row < ROWS; row++) {
        if (row >= NETWORK_ROW && row < UNDERLAY_ROW) continue;
        for (const [name, n] of Object.entries(readRow([counters], row).drops)) sums[name] = (sums[name] ?? 0) + n;
      }
      return sums;
    },
    check() {
      expect(account([counters]).held, 'packets inside the node').toBe(0);
      // The rx window is taken for good; everything else is on its stack.
      expect(countHeld(shape, slots, 0), 'slots that are not home').toBe(LANES);
      expect(pipeline.pools.small.free(), 'small slots').toBe(shape.smallSlots);
      expect(pipeline.pools.large.free(), 'large slots').toBe(shape.largeSlots - LANES);
      expect(Array.from(outbox.cursor.slice(0, 2)), 'messages left in the outbox').toEqual([0, 0]);
      // Header blocks that ran past their region would lie in the capture ring.
      const ring = arena.partitions[0].captureAt >> 2;
      if (pipeline.capture.key < 0)
        expect(arena.words[ring], 'head of a ring that nobody writes').toBe(arena.words[ring + 1]);
    },
  };
  rig.apply();
  rigs.push(rig);
  return rig;
}

/** Moves the clock of a rig. */
export function passSeconds(rig: Rig, seconds: number): void {
  advance(rig.clock, seconds * 1000);
}
