import { readFileSync } from 'node:fs';
import type { Arena } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import { PEER_ROW } from '../packet/counters.js';
import type { Outbox } from '../packet/outbox.js';
import type { Tables } from './tables.js';
import { bindAddresses } from './walkKernel.js';

/** Loads the kernel of the way out (egress.as.ts) and hands it the addresses of the columns. */
export interface EgressKernel {
  /** Outer headers and messages for lanes of a list; returns the place in the list of the first lane that needs more care. */
  encap(
    this: void,
    listAt: number,
    from: number,
    end: number,
    message: number,
    extent: number,
    tosMask: number,
  ): number;
  /** Messages to a port for lanes of a list; returns the same. */
  hand(
    this: void,
    listAt: number,
    from: number,
    end: number,
    message: number,
    extent: number,
    vnetAt: number,
    vnetLen: number,
  ): number;
  /** The headers of template `row` in front of `bytes` bytes at `at`; `ttl` where the template copies the inner one. */
  writeHeaders(this: void, at: number, row: number, bytes: number, hash: number, mark: number, ttl: number): void;
  /** Bytes of messages 0..n when all went, are one packet each and of one peer; else -1. */
  sentAlike(this: void, n: number): number;
}

type Exports = EgressKernel & { bind(...addresses: number[]): void };

export function instantiateEgress(arena: Arena, burst: Burst, outbox: Outbox, tables: Tables): EgressKernel {
  const module = new WebAssembly.Module(readFileSync(new URL('./egress.wasm', import.meta.url)));
  const { memory } = arena;
  const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  const { address, run } = bindAddresses(memory);
  const { msgFirst, msgCount, msgPackets, msgBytes, msgPeerRow, msgDest, msgSocket, msgGso, msgTos, msgResult } =
    outbox;
  exports.bind(
    run(Object.values(burst)),
    address(tables.templates),
    address(tables.peerFrameMax),
    run([msgFirst, msgCount, msgPackets, msgBytes, msgPeerRow, msgDest, msgSocket, msgGso, msgTos, msgResult]),
    run([outbox.extAt, outbox.extLen]),
    PEER_ROW,
  );
  const { encap, hand, writeHeaders, sentAlike } = exports;
  return { encap, hand, writeHeaders, sentAlike };
}
