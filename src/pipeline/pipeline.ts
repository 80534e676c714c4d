import { bindLearn } from '../forward/learn.js';
import { bindLookup } from '../forward/lookup.js';
import { attachMacTable, sweep } from '../forward/macTable.js';
import { attachNeighbourTable, sweepNeighbours } from '../forward/neighbourTable.js';
import { bindRouteLookup } from '../forward/routeLookup.js';
import { createStormLimit } from '../forward/storm.js';
import type { Tun } from '../native/tun.js';
import { type ArenaShape, attachArena, columnAllocator, DATAGRAM_DATA } from '../packet/arena.js';
import { createBurst } from '../packet/burst.js';
import { instantiateChecksum } from '../packet/checksum.js';
import type { Clock } from '../packet/clock.js';
import { ICMP_ERRORS, LAST_ERRNO, NETWORKS_MAX, PEER_ROW, PEERS_MAX, ROW_WIDTH } from '../packet/counters.js';
import { bindOutbox, columnsBehindIo, ioBlock } from '../packet/outbox.js';
import { createRxWindow } from '../packet/rxWindow.js';
import { bindSlots, type SlotPool, type SlotState } from '../packet/slots.js';
import type { UnknownPeer } from '../tunnel/admit.js';
import { attachNextHops, makeNextHops } from '../underlay/nextHops.js';
import { bindOuter } from '../underlay/outer.js';
import { bindAnswers } from './answers.js';
import { bindArrival } from './arrival.js';
import { bindCapture } from './capture.js';
import { bindCoalesce } from './coalesce.js';
import { bindConnect } from './connect.js';
import { bindDecapStep } from './decap.js';
import { type BindCaptures, createDevices } from './devices.js';
import { instantiateEgress } from './egressKernel.js';
import { bindFragment } from './fragment.js';
import { bindFrameEgress } from './frameEgress.js';
import { bindHeartbeats, makeHeartbeatRing } from './heartbeats.js';
import { instantiateInbound } from './inboundKernel.js';
import { bindLinkHosts } from './linkHost.js';
import { bindLinkMessages } from './linkMessages.js';
import { bindMessages } from './messages.js';
import { bindMssClamp } from './mss.js';
import { bindNeighbourAnswers } from './neighbourAnswers.js';
import { bindOffloads } from './offloads.js';
import { bindParse } from './parse.js';
import type { Plan, WorkerDevices } from './plan.js';
import { bindPop } from './pop.js';
import { bindPortEgress } from './portEgress.js';
import { bindRoute } from './route.js';
import { bindSegment } from './segment.js';
import { bindSettlement } from './settle.js';
import { bindSocketEgress } from './socketEgress.js';
import { bindStraight, noShortWay } from './straight.js';
import { bindSuppress } from './suppress.js';
import { compilePlan, createTables, isPeerAddress } from './tables.js';
import { bindTransport } from './transport.js';
import { bindTunnelFields } from './tunnelFields.js';
import { bindWalk, type Steps, type Walk } from './walk.js';
import { instantiateWalk } from './walkKernel.js';

/** The shared memory of a node that every worker gets, and this worker's part of it. */
export interface PipelineMemory {
  arena: WebAssembly.Memory;
  shape: ArenaShape;
  slots: SlotState;
  /** This worker's counter block. */
  counters: SharedArrayBuffer;
  /** Sequence numbers of each peer, a word each, the same for all workers. */
  sequences: SharedArrayBuffer;
  /** Next hops of frame underlays (makeNextHops), the same for all workers; absent: of this one alone. */
  nextHops?: SharedArrayBuffer;
  /** This worker's ring of heartbeats (makeHeartbeatRing); absent: nobody reads them. */
  heartbeats?: SharedArrayBuffer;
}

export interface PipelineOptions {
  /** Partition of the arena. */
  worker: number;
  memory: PipelineMemory;
  clock: Clock;
  /** Absent in tests and replay: no kernel devices. */
  tun: Tun | null;
  /** Seconds with a fraction, for capture records. */
  preciseSeconds: () => number;
  /** The same at this moment, not at the begin of the turn: for heartbeats, whose round trip is measured. Default: preciseSeconds. */
  exactSeconds?: () => number;
  onUnknownPeer?: UnknownPeer;
  /** The path to an address (words of rxSrc from `addressAt`) takes `mtu` bytes at most; `isLocal`: the kernel of this machine says so. */
  onPathMtu?: (underlay: number, addressAt: number, mtu: number, isLocal: boolean) => void;
  /** Replay: what opens capture devices in place of those of live nodes. */
  bindCaptures?: BindCaptures;
  /** Wraps steps before they are bound into the walk: fault injection and step timing. */
  wrapSteps?: (steps: Steps) => Steps;
}

export type Pipeline = ReturnType<typeof createPipeline>;

/** Lock word of worker 0 in the MAC and the neighbour table; 1 is the control thread. */
export const MAC_HOLDER = 2;

/** Entries of each of the two tables that one sweep looks at. */
const SWEEP_SLICE = 4096;

/**
 * One worker's pipeline: every step bound once to the arena, the lane columns and the tables. Make one per isolate where speed matters: V8
 * folds the addresses of typed arrays into code only while a closure has a single instance.
 */
export function createPipeline(options: PipelineOptions) {
  const { memory, worker, clock } = options;
  const arena = attachArena(memory.arena, memory.shape);
  const partition = arena.partitions[worker];
  const pools: { small: SlotPool; large: SlotPool } = bindSlots(memory.shape, memory.slots, worker);
  const counters = new Float64Array(memory.counters);
  const kernel = instantiateChecksum(memory.arena);
  const allocate = columnAllocator(arena, worker, columnsBehindIo(arena, worker));
  const burst = createBurst(allocate);
  // The first line of the header region stays zero: the virtio-net header of every frame without metadata.
  const zeroVnetAt = partition.headersAt;
  const outbox = bindOutbox(ioBlock(arena, worker), allocate, partition.headersAt + 64, partition.headersEnd);
  const window = createRxWindow(arena, memory.slots, worker, pools.large, outbox);
  outbox.rxCap.fill(pools.large.capacity);
  outbox.rxDatagramCap.fill(DATAGRAM_DATA);
  const tables = createTables(allocate);
  const macTable = attachMacTable(
    memory.arena.buffer as SharedArrayBuffer,
    MAC_HOLDER + worker,
    arena.macAt,
    memory.shape.macBytes,
  );
  const neighbours = attachNeighbourTable(
    memory.arena.buffer as SharedArrayBuffer,
    MAC_HOLDER + worker,
    arena.neighbourAt,
    memory.shape.neighbourBytes,
  );
  const walkKernel = instantiateWalk(arena, burst, tables, macTable);
  const egress = instantiateEgress(arena, burst, outbox, tables);
  const inbound = instantiateInbound(arena, burst, outbox, allocate);
  const storm = createStormLimit(NETWORKS_MAX, clock);

  const transport = bindTransport(arena, burst, kernel);
  const segmenter = bindSegment(arena, burst, outbox, kernel, transport);
  const fragmenter = bindFragment(arena, burst, outbox, kernel, segmenter);
  const coalescer = bindCoalesce(arena, burst, transport);
  const settlement = bindSettlement(outbox, counters, egress);
  const capture = bindCapture(arena, partition, burst, outbox, kernel, options.preciseSeconds);
  const messages = bindMessages(outbox, settlement, capture);
  const arrival = bindArrival(arena, burst, transport, counters);
  const outer = bindOuter(arena, burst, outbox, kernel);
  const answers = bindAnswers(arena, burst, outbox, kernel, messages, clock, counters, zeroVnetAt);
  const neighbourAnswers = bindNeighbourAnswers(arena, burst, outbox, kernel, messages, counters, zeroVnetAt);
  const fields = bindTunnelFields(arena, burst, tables, kernel, new Int32Array(memory.sequences));
  const onUnknownPeer = options.onUnknownPeer ?? (() => {});
  const ring = memory.heartbeats ?? makeHeartbeatRing();
  const exactSeconds = options.exactSeconds ?? options.preciseSeconds;
  const heartbeats = bindHeartbeats(arena, burst, outbox, tables, counters, ring, exactSeconds);
  const tunnels = bindDecapStep(
    arena,
    burst,
    outbox,
    tables,
    kernel,
    inbound,
    clock,
    counters,
    onUnknownPeer,
    heartbeats,
  );
  const pop = bindPop(arena, burst, outer, tables, tunnels.takeOff);
  const parse = bindParse(arena, burst, walkKernel);
  const nextHops = attachNextHops(memory.nextHops ?? makeNextHops());
  const linkMessages = bindLinkMessages(arena, outbox, kernel, messages, counters);
  const hosts = bindLinkHosts(arena, burst, tables, kernel, counters, nextHops, clock, linkMessages);

  const steps: Steps = {
    parse: parse.frames,
    parsePackets: parse.packets,
    checkOffloads: bindOffloads(burst, transport),
    decap: (n, underlay) =>
      underlay.kind === 'frame' && underlay.popDepth > 0 ? pop(n, underlay) : tunnels.decap(n, underlay),
    arrive(n, underlay) {
      arrival.markCongestion(n);
      // Outer frames were checked whole; only a socket hides that the sender counted on an offload.
      if (underlay.kind !== 'frame') arrival.findLeaks(n, underlay.deliverOffloadLeak, tables.networkMtu);
    },
    prefetch: walkKernel.prefetch,
    learn: bindLearn(burst, macTable, tables.ageingSec, clock, counters, walkKernel),
    lookup: bindLookup(burst, macTable, clock, walkKernel, tables.peerNetwork),
    suppress:
      neighbours === null
        ? () => {}
        : bindSuppress(arena, burst, tables, neighbours, macTable, kernel, transport, neighbourAnswers, clock),
    route: bindRoute(arena, burst, tables, bindRouteLookup(arena, burst, allocate), answers),
    connect: bindConnect(arena, burst, tables),
    clampMss: bindMssClamp(arena, burst, tables),
    answer: answers.send,
    sendToPort: bindPortEgress(arena, burst, outbox, zeroVnetAt, segmenter, coalescer, transport, messages, egress),
    sendToSocket: bindSocketEgress(
      arena,
      burst,
      outbox,
      tables,
      segmenter,
      fragmenter,
      transport,
      settlement,
      messages,
      kernel,
      fields,
      answers,
    ),
    sendToFrame: bindFrameEgress(
      arena,
      burst,
      outbox,
      tables,
      kernel,
      segmenter,
      fragmenter,
      transport,
      settlement,
      messages,
      egress,
      fields,
      answers,
      hosts,
    ),
    completeChecksum: transport.complete,
  };
  const walk: Walk = bindWalk(
    allocate,
    burst,
    outbox,
    tables,
    counters,
    storm,
    capture,
    heartbeats,
    hosts,
    walkKernel.arriveFrom,
    // Whoever wraps steps wants to see every burst go through them.
    options.wrapSteps === undefined
      ? bindStraight(arena, burst, outbox, tables, macTable, clock, messages, hosts, counters, inbound, zeroVnetAt)
      : noShortWay,
    options.wrapSteps?.(steps) ?? steps,
  );
  const devices = createDevices({
    arena,
    burst,
    outbox,
    outer,
    inbound,
    place: worker,
    window,
    partition,
    pools,
    tables,
    walk,
    tun: options.tun,
    allocate,
    bindCaptures: options.bindCaptures,
  });

  let errorUnderlay = 0;
  /** Charges an error to every peer behind the address: each network has its own row for it. */
  function onSendError(addressAt: number, errno: number, mtu: number, isLocal: boolean): void {
    if (mtu > 0) options.onPathMtu?.(errorUnderlay, addressAt, mtu, isLocal);
    for (let peer = 1; peer < PEERS_MAX; peer++) {
      if (tables.peerUnderlay[peer] !== errorUnderlay || !isPeerAddress(tables, peer, outbox.rxSrc, addressAt))
        continue;
      const base = (PEER_ROW + peer) * ROW_WIDTH;
      if (!isLocal) counters[base + ICMP_ERRORS]++;
      counters[base + LAST_ERRNO] = errno;
    }
  }

  let sweepFrom = 0;
  let neighbourSweep = 0;
  let isSweeper = false;
  return {
    arena,
    burst,
    outbox,
    pools,
    tables,
    macTable,
    neighbours,
    nextHops,
    counters,
    capture,
    walk,
    devices,
    kernel,
    /**
     * Takes a plan over, between two turns. `routesAt`: where its route table lies in the arena (placeRoutes), 0 for none. `role`: which of the
     * plan's workers this is.
     */
    apply(plan: Plan, opened: WorkerDevices, routesAt = 0, role = worker): void {
      isSweeper = role === 0;
      compilePlan(tables, plan);
      tables.whole.routesAt = routesAt;
      tunnels.configure(plan.networks);
      for (const n of plan.networks) {
        storm.configure(n.id, n.broadcastPps / plan.workers);
        macTable.limits[n.id] = n.macLimit;
        if (neighbours !== null) neighbours.limits[n.id] = n.neighbourLimit;
      }
      devices.apply(plan, opened);
      hosts.configure(plan);
      if (isSweeper) hosts.tick(walk.underlays);
    },
    /** Housekeeping, once a second or so. The first of the plan's workers sweeps for all. */
    tick(): void {
      for (const underlay of walk.underlays) {
        if (underlay === undefined || underlay.kind === 'frame') continue;
        errorUnderlay = underlay.id;
        underlay.readErrors(onSendError);
      }
      if (isSweeper) sweepFrom = sweep(macTable, sweepFrom, SWEEP_SLICE, clock.seconds);
      if (isSweeper) hosts.tick(walk.underlays);
      if (isSweeper && neighbours !== null)
        neighbourSweep = sweepNeighbours(neighbours, neighbourSweep, SWEEP_SLICE, clock.seconds);
    },
  };
}
