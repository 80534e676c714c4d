import { learnSource, macTableBytes } from '../../dist/forward/macTable.js';
import { type ArenaShape, createArenaMemory, DEFAULT_SHAPE } from '../../dist/packet/arena.js';
import { TO_PEER, TO_PORT } from '../../dist/packet/burst.js';
import { type Clock, createClock } from '../../dist/packet/clock.js';
import { makeCounterBlock, PEERS_MAX } from '../../dist/packet/counters.js';
import { createSlotState } from '../../dist/packet/slots.js';
import { createPipeline, type Pipeline, type PipelineMemory } from '../../dist/pipeline/pipeline.js';
import type { Plan } from '../../dist/pipeline/plan.js';
import type { Steps } from '../../dist/pipeline/walk.js';
import { warmUp } from '../../dist/pipeline/warmup.js';
import type { MemoryPort } from '../../dist/port/memory.js';
import type { Port } from '../../dist/port/port.js';
import { tunnelPlan } from '../../dist/tunnel/tunnel.js';
import type { Underlay } from '../../dist/underlay/underlay.js';
import * as Address from '../../dist/wire/address.js';
import * as Ethernet from '../../dist/wire/ethernet.js';
import { createRandom, type Flow, innerFrame, OUTER_BYTES, outerFrame, stationMac, type Transport } from './frames.js';

/** Which way frames go, and how they look. Posted to a worker thread, so plain data. */
export interface Variant {
  name: string;
  direction: 'encap' | 'decap';
  /** Bytes of the inner frame, without FCS. */
  frameBytes: number;
  /** Outer UDP checksums: written on the way out, present (and verified) on the way in. */
  checksum: boolean;
  /** Transport of the inner packets; `mixed` is one UDP packet in four. */
  transport: Transport | 'mixed';
  flows: number;
  macs: number;
  /** Bytes from a slot's frame start to where a staged frame lies. */
  frameOffset: number;
}

export interface Scenario {
  pipeline: Pipeline;
  clock: Clock;
  /** One burst in, all the way out; returns the frames. */
  walkOnce: () => number;
  /** Arena positions of the staged frames, in the order in which they come. */
  staged: Int32Array;
  /** Bytes of each of them. */
  stagedBytes: number;
  port: Port;
  underlay: Underlay;
}

const PORT = 1;
const PEER = 1;
const NETWORK = 1;
const UNDERLAY = 1;
const VNI = 42;
const SELF = '198.18.0.1';
const VTEP = '198.18.0.2';
const SELF_MAC = '02:00:00:00:00:01';
const VTEP_MAC = '02:00:00:00:00:02';
const LOCAL = 'local';
const WIRE = 'wire';
const FOR_EVER_SEC = 1 << 28;
/** Room in the MAC table, as a node has it. */
const MACS = 16384;

function makePlan(variant: Variant): Plan {
  return {
    generation: 1,
    node: 'bench',
    workers: 1,
    busyPollUs: 0,
    underlays: [
      {
        id: UNDERLAY,
        name: 'frames',
        underlay: 'frames',
        kind: 'frame',
        tunnel: 'none',
        address: SELF,
        device: null,
        udpPort: 4789,
        checksum: variant.checksum,
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
          mac: SELF_MAC,
          neighbours: { [VTEP]: VTEP_MAC },
          popDepth: 0,
        },
      },
    ],
    networks: [
      {
        id: NETWORK,
        name: 'bench',
        mode: 'l2',
        tunnel: tunnelPlan('vxlan', VNI),
        domain: NETWORK,
        vtepMac: null,
        underlays: [UNDERLAY],
        mtu: 1450,
        ageingSec: 300,
        macLimit: 16384,
        neighbourLimit: 0,
        broadcastPps: 1000,
        acceptUnknownPeers: false,
      },
    ],
    ports: [{ id: PORT, name: LOCAL, network: NETWORK, kind: 'memory', mtu: 1450, tap: null, pcap: null }],
    peers: [
      {
        id: PEER,
        network: NETWORK,
        underlay: UNDERLAY,
        address: VTEP,
        udpPort: 4789,
        mac: null,
        direct: false,
        dynamic: false,
      },
    ],
    statics: [],
    staticNeighbours: [],
    routes: [],
  };
}

/** Half of the stations are behind the local port, half behind the peer; flows run from where the frames come in to the other side. */
function makeFlows(variant: Variant, seed: number): Flow[] {
  const random = createRandom(seed);
  const side = variant.macs / 2;
  const [from, to] = variant.direction === 'encap' ? [0, side] : [side, 0];
  return Array.from({ length: variant.flows }, (_, k) => ({
    src: from + (k < side ? k : random(side)),
    dst: to + random(side),
    srcPort: 1024 + random(60000),
    dstPort: 1024 + random(60000),
    transport: variant.transport === 'mixed' ? (random(4) === 0 ? 'udp' : 'tcp') : variant.transport,
  }));
}

function shuffle<T>(items: T[]): T[] {
  const random = createRandom(2);
  for (let i = items.length - 1; i > 0; i--) {
    const k = random(i + 1);
    [items[i], items[k]] = [items[k], items[i]];
  }
  return items;
}

function makeFrame(variant: Variant, flow: Flow): Uint8Array {
  const inner = innerFrame(flow, variant.frameBytes);
  if (variant.direction === 'encap') return inner;
  return outerFrame(inner, {
    dstMac: Ethernet.macFromText(SELF_MAC) as Uint8Array,
    srcMac: Ethernet.macFromText(VTEP_MAC) as Uint8Array,
    src: Address.ipv4WordFromText(VTEP) as number,
    dst: Address.ipv4WordFromText(SELF) as number,
    srcPort: 0xc000 | (flow.srcPort & 0x3fff),
    vni: VNI,
    checksum: variant.checksum,
  });
}

/** Every station is known where it is before the first frame: what is measured is the steady state. */
function learnStations(pipeline: Pipeline, variant: Variant, now: number): void {
  for (let station = 0; station < variant.macs; station++) {
    const mac = stationMac(station);
    const lo = mac[0] | (mac[1] << 8) | (mac[2] << 16) | (mac[3] << 24);
    const hi = mac[4] | (mac[5] << 8);
    const value = station < variant.macs / 2 ? TO_PORT | PORT : TO_PEER | PEER;
    learnSource(pipeline.macTable, lo, hi, NETWORK, value, now + FOR_EVER_SEC, now);
  }
}

/** What the workers of a node have in common, and the counters of one of them: plain data, for a thread's workerData. */
export type SharedMemory = PipelineMemory;

/** Memory of a node for so many workers; `worker` of it takes the first part unless told otherwise. */
export function makeMemory(variant: Variant, workers = 1): SharedMemory {
  const shape: ArenaShape = {
    ...DEFAULT_SHAPE,
    workers,
    smallSlots: variant.flows + 256,
    macBytes: macTableBytes(MACS),
  };
  return {
    arena: createArenaMemory(shape),
    shape,
    slots: createSlotState(shape),
    counters: makeCounterBlock(),
    sequences: new SharedArrayBuffer(PEERS_MAX * 4),
  };
}

/**
 * One worker's pipeline between a memory port and a frame underlay on a memory device, with all frames of the variant staged in slots of their
 * own. One for each thread: a second pipeline in an isolate would make a second instance of every hot closure.
 */
export function createScenario(
  variant: Variant,
  wrapSteps?: (steps: Steps) => Steps,
  memory = makeMemory(variant),
  worker = 0,
): Scenario {
  const clock = createClock();
  const options = { worker, memory, clock, tun: null, preciseSeconds: () => 0, wrapSteps };
  const pipeline = createPipeline(options);
  warmUp(pipeline, clock);

  const { devices, walk } = pipeline;
  const source = variant.direction === 'encap' ? LOCAL : WIRE;
  devices.memoryOptions.set(source, { isLoop: true, queueMax: variant.flows });
  pipeline.apply(makePlan(variant), { ports: [], underlays: [] });
  learnStations(pipeline, variant, clock.seconds);

  const loop = devices.memory.get(source) as MemoryPort;
  for (const flow of shuffle(makeFlows(variant, 1 + worker))) {
    if (!loop.inject(makeFrame(variant, flow), undefined, variant.frameOffset))
      throw new RangeError('the arena is too small');
  }
  const port = walk.ports[PORT] as Port;
  const underlay = walk.underlays[UNDERLAY] as Underlay;
  // Looked up each time: step timing puts timed devices in their place.
  const walkOnce =
    variant.direction === 'encap'
      ? () => walk.fromPort(walk.ports[PORT] as Port)
      : () => walk.fromUnderlay(walk.underlays[UNDERLAY] as Underlay);
  const receive = variant.direction === 'encap' ? port.rx : underlay.rx;
  const staged = findStaged(pipeline, receive, variant.flows);
  const stagedBytes = variant.frameBytes + (variant.direction === 'encap' ? 0 : OUTER_BYTES);
  return { pipeline, clock, walkOnce, staged, stagedBytes, port, underlay };
}

/** Where the frames lie: goes once round the loop. */
function findStaged(pipeline: Pipeline, receive: () => number, count: number): Int32Array {
  const staged = new Int32Array(count);
  for (let k = 0; k < count; ) {
    const n = receive();
    for (let i = 0; i < n && k < count; i++) staged[k++] = pipeline.burst.at[i];
  }
  return staged;
}
