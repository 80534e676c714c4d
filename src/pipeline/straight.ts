import { readFileSync } from 'node:fs';
import type { MacTable } from '../forward/macTable.js';
import type { Arena } from '../packet/arena.js';
import { type Burst, sharedInts, TO_PORT } from '../packet/burst.js';
import type { Clock } from '../packet/clock.js';
import { PEER_ROW, PORTS_MAX, UNDERLAY_ROW } from '../packet/counters.js';
import { NEXT_EXTENT, NEXT_MESSAGE, type Outbox } from '../packet/outbox.js';
import type { FrameUnderlay, Underlay } from '../underlay/underlay.js';
import type { LinkHosts } from './linkHost.js';
import type { Messages } from './messages.js';
import type { Tables } from './tables.js';
import { bindAddresses } from './walkKernel.js';

/**
 * The short way of a burst: plain frames of one port, from known stations to known stations behind one frame underlay, go through one call
 * of the kernel (straight.as.ts) in place of parse, prefetch, learn, lookup and encap. What it does is what those steps do.
 *
 * It is tried where the last burst of the port went to a frame underlay as a whole. A burst that turns out to be another has cost a look;
 * then the next few go through the steps without one.
 */
export interface Straight {
  /** Bytes of a burst that has become messages to the underlay that this port's last one went to; -1: the steps are to take it. */
  pass(n: number, port: number, network: number, underlays: readonly (Underlay | undefined)[]): number;
  /** Sends what `pass` made. */
  send(n: number): void;
  /** Where a burst of the port went as a whole; undefined: to several, or not to an underlay. */
  note(port: number, underlay: Underlay | undefined): void;
}

/** Bursts without a try after one that failed. */
const PAUSE = 8;

interface Exports {
  bind(...addresses: number[]): void;
  straight(n: number, now: number, network: number, origin: number, underlay: number, tosMask: number): number;
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
): Straight {
  const { cursor } = outbox;
  const { straight } = instantiate(arena, burst, outbox, tables, macTable);
  /** Of each port: id of the underlay, 0 for none, and bursts without a try. */
  const ways = sharedInts(PORTS_MAX);
  const pauses = sharedInts(PORTS_MAX);
  let out: FrameUnderlay;

  return {
    pass(n, port, network, underlays) {
      if (ways[port] === 0) return -1;
      const underlay = underlays[ways[port]];
      if (underlay?.kind !== 'frame') return -1;
      if (pauses[port] > 0) {
        pauses[port]--;
        return -1;
      }
      out = underlay;
      hosts.refresh();
      const tosMask = underlay.tos < 0 ? 0xff : 3;
      const bytes = straight(n, clock.seconds, network, TO_PORT | port, underlay.id, tosMask);
      if (bytes < 0) pauses[port] = PAUSE;
      return bytes;
    },
    send(n) {
      messages.begin(out, UNDERLAY_ROW + out.id, 0, false);
      cursor[NEXT_MESSAGE] = n;
      cursor[NEXT_EXTENT] = n;
      messages.flush();
    },
    note(port, underlay) {
      ways[port] = underlay?.kind === 'frame' ? underlay.id : 0;
    },
  };
}

/** For pipelines whose steps are wrapped: every burst goes through them. */
export const noShortWay: Straight = { pass: () => -1, send() {}, note() {} };
