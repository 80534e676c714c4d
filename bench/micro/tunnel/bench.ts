import { learnSource, macTableBytes } from '../../../dist/forward/macTable.js';
import { type ArenaShape, createArenaMemory, DEFAULT_SHAPE } from '../../../dist/packet/arena.js';
import { LANES, TO_PEER } from '../../../dist/packet/burst.js';
import { type Clock, createClock } from '../../../dist/packet/clock.js';
import { makeCounterBlock, PEERS_MAX } from '../../../dist/packet/counters.js';
import { createSlotState } from '../../../dist/packet/slots.js';
import { createPipeline, type Pipeline } from '../../../dist/pipeline/pipeline.js';
import { placeRoutes } from '../../../dist/pipeline/routes.js';
import type { Steps } from '../../../dist/pipeline/walk.js';
import { warmUp } from '../../../dist/pipeline/warmup.js';
import { gatherMessage, type MemoryPort } from '../../../dist/port/memory.js';
import type { Port } from '../../../dist/port/port.js';
import type { FrameUnderlay } from '../../../dist/underlay/underlay.js';
import * as Ethernet from '../../../dist/wire/ethernet.js';
import * as Ipv4 from '../../../dist/wire/ipv4.js';
import * as Ipv6 from '../../../dist/wire/ipv6.js';
import * as Udp from '../../../dist/wire/udp.js';
import { type Flow, innerFrame, stationMac } from '../../pipeline/frames.js';
import { FORMS, type Form, idOf, localOf, planOfForms, wireOf } from './forms.js';

/** Bytes of an inner frame; a bare packet is one without its Ethernet header. */
export const INNER_BYTES = 64;
const PACKET_BYTES = INNER_BYTES - Ethernet.HEADER_BYTES;
const FOR_EVER_SEC = 1 << 28;
/** A GRE peer that was silent for so long may begin its numbers anew: the same packets are in order every time. */
const SILENCE_SEC = 10;

/** One form, ready to be measured. Each piece is one burst; what stands before it is not measured. */
export interface OpenedForm {
  name: string;
  /** Bytes in front of the inner packet. */
  headerBytes: number;
  /** The way out as far as encap: afterwards the columns hold its burst, and encap leaves them as they are. */
  fill(): void;
  /** Headers, messages, tx into nothing, account. */
  encap(): void;
  /** Takes a burst from the device. */
  receive(): void;
  /** Outer headers, the tunnel's header, network and peer, options and sequence numbers. */
  decap(): void;
}

interface Node {
  pipeline: Pipeline;
  clock: Clock;
  steps: Steps;
  /** The walk's own list of lanes: encap wants one that lies in the arena. */
  list: Int32Array;
}

const flows: Flow[] = Array.from({ length: LANES }, (_, n) => ({
  src: n,
  dst: 1000 + n,
  srcPort: 1024 + n * 7,
  dstPort: 2000 + n,
  transport: 'udp',
}));

function innerV6(flow: Flow): Uint8Array {
  const packet = new Uint8Array(PACKET_BYTES);
  const address = (station: number) =>
    Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, station >> 8, station);
  const payloadBytes = PACKET_BYTES - Ipv6.HEADER_BYTES;
  Ipv6.write(packet, 0, 0, 0, payloadBytes, Ipv6.NEXT_UDP, 64);
  Ipv6.setSrc(packet, 0, address(flow.src), 0);
  Ipv6.setDst(packet, 0, address(flow.dst), 0);
  Udp.write(packet, Ipv6.HEADER_BYTES, flow.srcPort, flow.dstPort, payloadBytes, 0);
  return packet;
}

function innerOf(form: Form, flow: Flow): Uint8Array {
  if (form.inner === 6) return innerV6(flow);
  const frame = innerFrame(flow, INNER_BYTES);
  return form.inner === 4 ? frame.slice(Ethernet.HEADER_BYTES) : frame;
}

function exchange(bytes: Uint8Array, a: number, b: number, length: number): void {
  const first = bytes.slice(a, a + length);
  bytes.copyWithin(a, b, b + length);
  bytes.set(first, b);
}

/** A sent packet as the other end would send it: addresses change places, which leaves every checksum as it is. */
function turnRound(packet: Uint8Array, { outer }: Form): Uint8Array {
  const ip = Ethernet.HEADER_BYTES;
  exchange(packet, Ethernet.DST_OFF, Ethernet.SRC_OFF, Ethernet.MAC_BYTES);
  if (outer === 4) exchange(packet, ip + Ipv4.SRC_OFF, ip + Ipv4.DST_OFF, 4);
  else exchange(packet, ip + Ipv6.SRC_OFF, ip + Ipv6.DST_OFF, Ipv6.ADDRESS_BYTES);
  return packet;
}

function createNode(): Node {
  const shape: ArenaShape = {
    ...DEFAULT_SHAPE,
    workers: 1,
    smallSlots: FORMS.length * LANES * 2 + 256,
    macBytes: macTableBytes(16384),
    routeBytes: 1 << 20,
  };
  const memory = {
    arena: createArenaMemory(shape),
    shape,
    slots: createSlotState(shape),
    counters: makeCounterBlock(),
    sequences: new SharedArrayBuffer(PEERS_MAX * 4),
  };
  const clock = createClock();
  const found: { steps?: Steps; list?: Int32Array } = {};
  const wrapSteps = (steps: Steps): Steps => {
    found.steps = steps;
    const sendToFrame: Steps['sendToFrame'] = (underlay, list, count, onlyPeer) => {
      found.list = list;
      steps.sendToFrame(underlay, list, count, onlyPeer);
    };
    return { ...steps, sendToFrame };
  };
  const options = { worker: 0, workers: 1, memory, clock, tun: null, preciseSeconds: () => 0, wrapSteps };
  const pipeline = createPipeline(options);
  warmUp(pipeline, clock);

  const { devices, arena } = pipeline;
  for (let k = 0; k < FORMS.length; k++) {
    for (const name of [wireOf(k), localOf(k)]) devices.memoryOptions.set(name, { isLoop: true, queueMax: LANES });
  }
  const plan = planOfForms();
  pipeline.apply(plan, { ports: [], underlays: [] }, placeRoutes(arena, plan, 0));
  return { pipeline, clock, steps: found.steps as Steps, list: found.list as Int32Array };
}

/** Its peer has the stations that frames are for. */
function learnStations({ pipeline, clock }: Node, k: number): void {
  for (const { dst } of flows) {
    const [lo, hi] = Ethernet.macWords(Ethernet.macToText(stationMac(dst), 0)) as [number, number];
    learnSource(pipeline.macTable, lo, hi, idOf(k), TO_PEER | idOf(k), clock.seconds + FOR_EVER_SEC, clock.seconds);
  }
}

/** Gives a form frames for its port, and its wire what it makes of them, turned round. */
function openForm(node: Node, form: Form, k: number): OpenedForm {
  const { pipeline, clock, steps, list } = node;
  const { devices, walk, burst, arena, outbox } = pipeline;
  const port = walk.ports[idOf(k)] as Port;
  const underlay = walk.underlays[idOf(k)] as FrameUnderlay;
  const fill = () => void walk.fromPort(port);
  const encap = () => steps.sendToFrame(underlay, list, LANES, 0);
  const receive = () => {
    clock.seconds += SILENCE_SEC;
    underlay.rx();
    burst.network.fill(0);
    burst.origin.fill(0);
  };
  const decap = () => void steps.decap(underlay.nextLanes(), underlay);

  learnStations(node, k);
  const inner = flows.map((flow) => innerOf(form, flow));
  for (const packet of inner) (devices.memory.get(localOf(k)) as MemoryPort).inject(packet);
  fill();
  encap();
  const sent = inner.map((_, m) => gatherMessage(arena, outbox, m));
  for (const packet of sent) (devices.memory.get(wireOf(k)) as MemoryPort).inject(turnRound(packet, form));
  receive();
  decap();
  // What comes out must be what went in: a quick way to a drop would look good.
  inner.forEach((packet, i) => {
    const out = arena.bytes.subarray(burst.at[i], burst.at[i] + burst.len[i]);
    const isTaken = burst.drop[i] === 0 && burst.origin[i] === (TO_PEER | idOf(k));
    if (!isTaken || Buffer.compare(out, packet) !== 0) throw new Error(`${form.name}: lane ${i} was not taken`);
  });
  return { name: form.name, headerBytes: sent[0].length - inner[0].length, fill, encap, receive, decap };
}

/** One for each thread: a second pipeline in an isolate would make a second instance of every hot closure. */
export function openForms(): OpenedForm[] {
  const node = createNode();
  return FORMS.map((form, k) => openForm(node, form, k));
}
