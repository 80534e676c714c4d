import { attachMacTable, type MacTable, macTableBytes } from '../forward/macTable.js';
import { attachNeighbourTable, type NeighbourTable } from '../forward/neighbourTable.js';
import { tun } from '../native/tun.js';
import {
  type Arena,
  type ArenaShape,
  attachArena,
  createArenaMemory,
  DEFAULT_SHAPE,
  isWithinReach,
} from '../packet/arena.js';
import { PEERS_MAX } from '../packet/counters.js';
import { createSlotState, type SlotState } from '../packet/slots.js';
import { makeHeartbeatRing } from '../pipeline/heartbeats.js';
import { attachNextHops, makeNextHops, type NextHops } from '../underlay/nextHops.js';

/** All shared memory of a node. The control thread owns it, so whatever a dead worker held is still here. */
export interface NodeMemory {
  readonly shape: ArenaShape;
  readonly memory: WebAssembly.Memory;
  readonly arena: Arena;
  readonly slots: SlotState;
  /** The control thread's attachment. */
  readonly macTable: MacTable;
  readonly neighbours: NeighbourTable | null;
  /** Sequence numbers of the packets to each peer, which all workers count in (GRE). */
  readonly sequences: SharedArrayBuffer;
  /** A ring of heartbeats for each place. */
  readonly heartbeats: readonly SharedArrayBuffer[];
  readonly nextHops: NextHops;
  /** DPDK's pools over its slots (layFrames); 0 until there is a device of DPDK. */
  dpdkFrames: number;
}

/** Room for MACs when the node does not say otherwise. */
const MACS_DEFAULT = 16384;
const CONTROL_HOLDER = 1;

/** With a place for each worker, and as long as so many slots are within reach one for the thread that stands by, and spare slots of DPDK. */
export function shapeWithinReach(workers: number, wanted: Omit<ArenaShape, 'workers'>): ArenaShape {
  const { dpdkSlots, ...rest } = wanted;
  const needed = dpdkSlots?.isSpare === true ? rest : wanted;
  const shapes = [
    { ...wanted, workers: workers + 1 },
    { ...needed, workers: workers + 1 },
  ];
  return shapes.find(isWithinReach) ?? { ...needed, workers };
}

export function createNodeMemory(workers: number, macs?: number, shape?: Partial<ArenaShape>): NodeMemory {
  const macBytes = macTableBytes(macs ?? MACS_DEFAULT);
  const whole = shapeWithinReach(workers, { ...DEFAULT_SHAPE, ...shape, macBytes });
  const memory = createArenaMemory(whole);
  const arena = attachArena(memory, whole);
  const buffer = memory.buffer as SharedArrayBuffer;
  return {
    shape: whole,
    memory,
    arena,
    slots: createSlotState(whole),
    dpdkFrames: 0,
    sequences: new SharedArrayBuffer(PEERS_MAX * 4),
    nextHops: attachNextHops(makeNextHops()),
    heartbeats: Array.from({ length: whole.workers }, makeHeartbeatRing),
    macTable: attachMacTable(buffer, CONTROL_HOLDER, arena.macAt, macBytes),
    neighbours: attachNeighbourTable(buffer, CONTROL_HOLDER, arena.neighbourAt, whole.neighbourBytes),
  };
}

/** Monotonic seconds, the clock of MAC entries and of the counters' gauges. */
export function nowSec(): number {
  return Math.floor(tun().monotonicNs() / 1e9);
}
