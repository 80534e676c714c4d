import { readFileSync } from 'node:fs';
import type { MacTable } from '../forward/macTable.js';
import type { Arena } from '../packet/arena.js';
import { type Burst, sharedInts, TO_PEER, TO_PORT } from '../packet/burst.js';
import type { Clock } from '../packet/clock.js';
import {
  LAST_HEARD,
  PEER_ROW,
  PORT_ROW,
  PORTS_MAX,
  ROW_WIDTH,
  RX_BYTES,
  RX_PACKETS,
  UNDERLAY_ROW,
  UNDERLAYS_MAX,
} from '../packet/counters.js';
import { IS_SHARED, NEXT_EXTENT, NEXT_MESSAGE, type Outbox } from '../packet/outbox.js';
import type { Port } from '../port/port.js';
import { ROW_NETWORK, vtepKey } from '../tunnel/vtep.js';
import type { FrameUnderlay, Underlay } from '../underlay/underlay.js';
import type { InboundKernel } from './inboundKernel.js';
import type { LinkHosts } from './linkHost.js';
import type { Messages, Sender } from './messages.js';
import { MODE_L2, type Tables } from './tables.js';
import { bindAddresses } from './walkKernel.js';

/**
 * The short way of a burst: plain frames of one port, from known stations to known stations behind one frame underlay or one other port, go
 * through one call of the kernel (straight.as.ts) in place of parse, prefetch, learn, lookup and encap; plain packets of one peer through a
 * frame underlay, for stations behind one port, in place of outer, decap and the rest. What it does is what those steps do.
 *
 * It is tried where the last burst of the port or underlay went to one egress as a whole. A burst that turns out to be another has cost a
 * look; then the next few go through the steps without one.
 */
export interface Straight {
  /** Bytes of a burst of a port that has become messages to where its last one went; -1: the steps are to take it. */
  pass(
    n: number,
    port: number,
    network: number,
    ports: readonly (Port | undefined)[],
    underlays: readonly (Underlay | undefined)[],
  ): number;
  /** The same for packets that came through a frame underlay, counted for their peer; they have not been looked at. */
  passInward(n: number, underlay: FrameUnderlay, ports: readonly (Port | undefined)[]): number;
  /** Sends what they made. */
  send(n: number): void;
  /** `source` and `egress` are egress lists: a port's id, or UNDERLAY_LIST and an underlay's. A burst of one went to the other as a whole; -1: to several, or none. */
  note(source: number, egress: number): void;
}

/** Egress lists: ports first, then underlays. */
export const UNDERLAY_LIST = PORTS_MAX;

/** Bursts without a try after one that failed. */
const PAUSE = 8;

interface Exports {
  bind(...addresses: number[]): void;
  straight(n: number, now: number, network: number, origin: number, underlay: number, tosMask: number): number;
  across(
    n: number,
    now: number,
    network: number,
    origin: number,
    target: number,
    vnetAt: number,
    vnetLen: number,
  ): number;
  head(): number;
  inward(
    n: number,
    now: number,
    network: number,
    origin: number,
    target: number,
    vnetAt: number,
    vnetLen: number,
    refusesTcp: number,
  ): number;
}

function instantiate(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  tables: Tables,
  macTable: MacTable,
  inbound: Pick<InboundKernel, 'rules'>,
): Exports {
  const module = new WebAssembly.Module(readFileSync(new URL('./straight.wasm', import.meta.url)));
  const { memory } = arena;
  const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  const { address, run } = bindAddresses(memory);
  const { msgFirst, msgCount, msgPackets, msgBytes, msgPeerRow, extAt, extLen } = outbox;
  exports.bind(
    run(Object.values(burst)),
    address(tables.templates),
    address(tables.peerFrameMax),
    run([msgFirst, msgCount, msgPackets, msgBytes, msgPeerRow]),
    run([extAt, extLen]),
    PEER_ROW,
    address(tables.ageingSec),
    address(macTable.entries),
    macTable.entryMask,
    address(tables.peerUnderlay),
    address(outbox.rxSrc),
    address(inbound.rules),
  );
  return exports;
}

export function bindStraight(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  tables: Tables,
  macTable: MacTable,
  clock: Clock,
  messages: Messages,
  hosts: Pick<LinkHosts, 'refresh'>,
  counters: Float64Array,
  inbound: Pick<InboundKernel, 'rules'>,
  zeroVnetAt: number,
): Straight {
  const { cursor, rxSrc } = outbox;
  const { summary } = burst;
  const { vteps, networkCarries, networkMode, whole } = tables;
  const { networkRows } = vteps;
  const { straight, across, head, inward } = instantiate(arena, burst, outbox, tables, macTable, inbound);
  /** Of each port and underlay: 1 + the egress list of its last burst, 0 for none, and bursts without a try. */
  const ways = sharedInts(PORTS_MAX + UNDERLAYS_MAX);
  const pauses = sharedInts(PORTS_MAX + UNDERLAYS_MAX);
  let out: Sender;
  let outRow = 0;
  /** 0 where `pass` has made messages to an underlay. */
  let outPort = 0;
  let outVnet = 0;

  function toUnderlay(n: number, port: number, network: number, underlay: FrameUnderlay): number {
    out = underlay;
    outRow = UNDERLAY_ROW + underlay.id;
    outPort = 0;
    outVnet = 0;
    hosts.refresh();
    const tosMask = underlay.tos < 0 ? 0xff : 3;
    return straight(n, clock.seconds, network, TO_PORT | port, underlay.id, tosMask);
  }

  function aimAt(target: Port): void {
    out = target;
    outRow = PORT_ROW + target.id;
    outPort = target.id;
    outVnet = target.vnetHdrLen;
  }

  function toPort(n: number, port: number, network: number, target: Port): number {
    aimAt(target);
    return across(n, clock.seconds, network, TO_PORT | port, TO_PORT | target.id, zeroVnetAt, outVnet);
  }

  /** Who sent the burst, and into which network, is asked once: the kernel takes it where all of its packets are as the first. */
  function fromPeer(n: number, underlay: FrameUnderlay, target: Port): number {
    underlay.handOver();
    const kind = head();
    if (kind === 0) return -1;
    const key = vtepKey(underlay.id, kind);
    const id = summary[0];
    const row = vteps.findNetwork(key, id);
    const peer = row < 0 ? 0 : vteps.findPeer(key, id, rxSrc, 0);
    if (peer === 0) return -1;
    const network = networkRows[row + ROW_NETWORK];
    if (networkMode[network] !== MODE_L2 || networkCarries[network] !== 0) return -1;
    aimAt(target);
    const [from, to] = [TO_PEER | peer, TO_PORT | target.id];
    const refusesTcp = n > 1 && target.takesTso4 && target.takesTso6 ? 1 : 0;
    const bytes = inward(n, clock.seconds, network, from, to, zeroVnetAt, outVnet, refusesTcp);
    if (bytes < 0) return -1;
    const counts = (PEER_ROW + peer) * ROW_WIDTH;
    counters[counts + RX_PACKETS] += n;
    counters[counts + RX_BYTES] += bytes;
    counters[counts + LAST_HEARD] = clock.seconds;
    return bytes;
  }

  /** Egress list to try for a burst of `source`, or -1. */
  function wayOf(source: number): number {
    if (pauses[source] === 0) return ways[source] - 1;
    pauses[source]--;
    return -1;
  }

  return {
    pass(n, port, network, ports, underlays) {
      const egress = wayOf(port);
      if (egress < 0) return -1;
      let bytes = -1;
      if (egress < UNDERLAY_LIST) {
        const target = ports[egress];
        if (target === undefined) return -1;
        bytes = toPort(n, port, network, target);
      } else {
        const underlay = underlays[egress - UNDERLAY_LIST];
        if (underlay?.kind !== 'frame') return -1;
        bytes = toUnderlay(n, port, network, underlay);
      }
      if (bytes < 0) pauses[port] = PAUSE;
      return bytes;
    },
    passInward(n, underlay, ports) {
      const source = UNDERLAY_LIST + underlay.id;
      const egress = wayOf(source);
      const target = egress < 0 ? undefined : ports[egress];
      if (target === undefined || target.takesUso || underlay.popDepth > 0 || whole.hasBridges) return -1;
      const bytes = fromPeer(n, underlay, target);
      if (bytes < 0) pauses[source] = PAUSE;
      return bytes;
    },
    send(n) {
      messages.begin(out, outRow, outPort, outVnet > 0);
      cursor[IS_SHARED] = 0;
      cursor[NEXT_MESSAGE] = n;
      cursor[NEXT_EXTENT] = outVnet > 0 ? 2 * n : n;
      messages.flush();
    },
    note(source, egress) {
      ways[source] = egress + 1;
    },
  };
}

/** For pipelines whose steps are wrapped: every burst goes through them. */
export const noShortWay: Straight = { pass: () => -1, passInward: () => -1, send() {}, note() {} };
