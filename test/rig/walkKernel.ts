// The walk's kernel over an arena of its own, and its twin that leaves every lane to TypeScript.
import { attachMacTable, type MacTable, macHash, macKey, macTableBytes } from '../../src/forward/macTable.js';
import {
  type Arena,
  type ArenaShape,
  attachArena,
  columnAllocator,
  createArenaMemory,
} from '../../src/packet/arena.js';
import { type Burst, createBurst, FROM_PEER, LANES, SUMMARY_BYTES, SUMMARY_PACKETS } from '../../src/packet/burst.js';
import { bindOutbox, columnsBehindIo, ioBlock, type Outbox } from '../../src/packet/outbox.js';
import { type InboundKernel, instantiateInbound } from '../../src/pipeline/inboundKernel.js';
import { createTables, type Tables } from '../../src/pipeline/tables.js';
import { instantiateWalk, type WalkKernel } from '../../src/pipeline/walkKernel.js';
import { RULE_WORDS } from '../../src/underlay/kernel.js';

export interface KernelRig {
  arena: Arena;
  burst: Burst;
  outbox: Outbox;
  tables: Tables;
  macTable: MacTable;
  kernel: WalkKernel;
  inbound: InboundKernel;
}

export function makeKernelRig(macs = 100): KernelRig {
  const shape: ArenaShape = {
    workers: 1,
    smallSlots: 1,
    largeSlots: LANES,
    headerBytes: 512 * 1024,
    captureBytes: 4096,
    macBytes: macTableBytes(macs),
    neighbourBytes: 0,
    routeBytes: 0,
  };
  const arena = attachArena(createArenaMemory(shape), shape);
  const allocate = columnAllocator(arena, 0, columnsBehindIo(arena, 0));
  const burst = createBurst(allocate);
  const [partition] = arena.partitions;
  const outbox = bindOutbox(ioBlock(arena, 0), allocate, partition.headersAt + 64, partition.headersEnd);
  const tables = createTables(allocate);
  const macTable = attachMacTable(arena.memory.buffer as SharedArrayBuffer, 2, arena.macAt, shape.macBytes);
  const inbound = instantiateInbound(arena, burst, outbox, allocate);
  const kernel = instantiateWalk(arena, burst, tables, macTable);
  return { arena, burst, outbox, tables, macTable, kernel, inbound };
}

/** Names every lane that lives in `careful`. */
const leaveAllOf =
  ({ careful, drop }: Burst) =>
  (n: number): number => {
    let left = 0;
    for (let i = 0; i < n; i++) if (drop[i] === 0) careful[left++] = i;
    return left;
  };

/** Does nothing but what TypeScript needs from a kernel: every lane is left to it. */
export function idleKernel(burst: Burst, macTable: MacTable) {
  const { srcLo, srcHi, dstLo, dstHi, srcEntry, dstEntry, network } = burst;
  const leaveAll = leaveAllOf(burst);
  return {
    prefetch(n: number) {
      for (let i = 0; i < n; i++) {
        srcEntry[i] = macHash(srcLo[i], macKey(srcHi[i], network[i]), macTable.entryMask);
        dstEntry[i] = macHash(dstLo[i], macKey(dstHi[i], network[i]), macTable.entryMask);
      }
    },
    parse: leaveAll,
    learn: leaveAll,
    lookup: leaveAll,
  };
}

/** The same for the way in: admission takes one lane a call. */
export function idleInbound(burst: Burst): InboundKernel {
  const { from, network, origin, flags, len, summary } = burst;
  const leaveAll = leaveAllOf(burst);
  return {
    rules: new Int32Array(RULE_WORDS),
    outer(n) {
      for (let i = 0; i < n; i++) from[i] = i;
      return leaveAll(n);
    },
    decap(n) {
      network.fill(0, 0, n);
      origin.fill(0, 0, n);
      return leaveAll(n);
    },
    admit(i, _n, net, from) {
      network[i] = net;
      origin[i] = from;
      flags[i] |= FROM_PEER;
      summary[SUMMARY_PACKETS] = 1;
      summary[SUMMARY_BYTES] = len[i];
      return i + 1;
    },
  };
}
