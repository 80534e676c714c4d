import { readFileSync } from 'node:fs';
import type { MacTable } from '../forward/macTable.js';
import type { Arena } from '../packet/arena.js';
import { type Burst, sharedInts, TO_PORT } from '../packet/burst.js';
import type { Clock } from '../packet/clock.js';
import { PEER_ROW, PORT_ROW, PORTS_MAX, UNDERLAY_ROW } from '../packet/counters.js';
import { IS_SHARED, NEXT_EXTENT, NEXT_MESSAGE, type Outbox } from '../packet/outbox.js';
import type { Port } from '../port/port.js';
import type { FrameUnderlay, Underlay } from '../underlay/underlay.js';
import type { LinkHosts } from './linkHost.js';
import type { Messages, Sender } from './messages.js';
import type { Tables } from './tables.js';
import { bindAddresses } from './walkKernel.js';

/**
 * The short way of a burst: plain frames of one port, from known stations to known stations behind one frame underlay or one other port, go
 * through one call of the kernel (straight.as.ts) in place of parse, prefetch, learn, lookup and encap. What it does is what those steps do.
 *
 * It is tried where the last burst of the port went to a frame underlay or a port as a whole. A burst that turns out to be another has cost a
 * look; then the next few go through the steps without one.
 */
export interface Straight {
  /** Bytes of a burst that has become messages to where this port's last one went; -1: the steps are to take it. */
  pass(
    n: number,
    port: number,
    network: number,
    ports: readonly (Port | undefined)[],
    underlays: readonly (Underlay | undefined)[],
  ): number;
  /** Sends what `pass` made. */
  send(n: number): void;
  /** Egress list that a burst of the port went to as a whole: a port's id, or UNDERLAY_LIST and an underlay's; -1: several, or none. */
  note(port: number, egress: number): void;
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
}

function instantiate(arena: Arena, burst: Burst, outbox: Outbox, tables: Tables, macTable: MacTable): Exports {
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
  zeroVnetAt: number,
): Straight {
  const { cursor } = outbox;
  const { straight, across } = instantiate(arena, burst, outbox, tables, macTable);
  /** Of each port: 1 + the egress list of its last burst, 0 for none, and bursts without a try. */
  const ways = sharedInts(PORTS_MAX);
  const pauses = sharedInts(PORTS_MAX);
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

  function toPort(n: number, port: number, network: number, target: Port): number {
    out = target;
    outRow = PORT_ROW + target.id;
    outPort = target.id;
    outVnet = target.vnetHdrLen;
    return across(n, clock.seconds, network, TO_PORT | port, TO_PORT | target.id, zeroVnetAt, outVnet);
  }

  return {
    pass(n, port, network, ports, underlays) {
      const egress = ways[port] - 1;
      if (egress < 0) return -1;
      if (pauses[port] > 0) {
        pauses[port]--;
        return -1;
      }
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
    send(n) {
      messages.begin(out, outRow, outPort, outVnet > 0);
      cursor[IS_SHARED] = 0;
      cursor[NEXT_MESSAGE] = n;
      cursor[NEXT_EXTENT] = outVnet > 0 ? 2 * n : n;
      messages.flush();
    },
    note(port, egress) {
      ways[port] = egress + 1;
    },
  };
}

/** For pipelines whose steps are wrapped: every burst goes through them. */
export const noShortWay: Straight = { pass: () => -1, send() {}, note() {} };
