import { describe, expect, it } from 'vitest';
import { forEachMac, macTableBytes } from '../../../src/forward/macTable.js';
import { type ArenaShape, createArenaMemory, DEFAULT_SHAPE } from '../../../src/packet/arena.js';
import { createClock } from '../../../src/packet/clock.js';
import { account, makeCounterBlock, PEERS_MAX, PORT_ROW, readRow } from '../../../src/packet/counters.js';
import { countHeld, createSlotState } from '../../../src/packet/slots.js';
import { createPipeline, type Pipeline } from '../../../src/pipeline/pipeline.js';
import type { Plan } from '../../../src/pipeline/plan.js';
import type { MemoryPort } from '../../../src/port/memory.js';
import { arpRequest, udp } from '../../rig/frames.js';
import { network } from '../../rig/pipeline.js';

/** Two workers of one node: shared arena, slots and MAC table, counters each their own. */
function twoWorkers() {
  const shape: ArenaShape = { ...DEFAULT_SHAPE, captureBytes: 4096, macBytes: macTableBytes(100), workers: 2 };
  const slots = createSlotState(shape);
  const shared = { arena: createArenaMemory(shape), shape, slots };
  const clock = createClock(50);
  const plan: Plan = {
    generation: 1,
    node: 'n',
    workers: 2,
    busyPollUs: 0,
    underlays: [],
    routes: [],
    networks: [network(1, { underlay: 0, broadcastPps: 10 })],
    ports: ['a', 'b'].map((name, k) => ({
      id: k + 1,
      name,
      network: 1,
      kind: 'memory',
      mtu: 1450,
      tap: null,
      pcap: null,
    })),
    peers: [],
    statics: [],
    staticNeighbours: [],
  };
  const counters = [makeCounterBlock(), makeCounterBlock()];
  const workers = counters.map((block, worker) => {
    const pipeline = createPipeline({
      worker,
      memory: { ...shared, counters: block, sequences: new SharedArrayBuffer(PEERS_MAX * 4) },
      clock,
      tun: null,
      preciseSeconds: () => 0,
    });
    pipeline.apply(plan, { ports: [], underlays: [] });
    return pipeline;
  });
  const from = (pipeline: Pipeline, name: string, frame: Uint8Array) => {
    const port = pipeline.devices.memory.get(name) as MemoryPort;
    port.inject(frame);
    pipeline.walk.fromPort(port.port);
  };
  const blocks = counters.map((block) => new Float64Array(block));
  return { workers, from, blocks, shape, slots, clock };
}

describe('two workers of one node', () => {
  it('share what they learn', () => {
    const { workers, from, blocks } = twoWorkers();
    from(workers[0], 'a', arpRequest(1));
    from(workers[1], 'b', udp({ src: 2, dst: 1, payload: 3 }));
    from(workers[0], 'a', udp({ src: 1, dst: 2, payload: 3 }));
    expect(readRow(blocks, PORT_ROW + 1)).toMatchObject({ rxPackets: 2, txPackets: 1 });
    expect(readRow(blocks, PORT_ROW + 2)).toMatchObject({ rxPackets: 1, txPackets: 2 });
    expect(account(blocks)).toMatchObject({ received: 3, sent: 3, copied: 0, dropped: 0, held: 0 });
  });

  it('have slots and counters of their own', () => {
    const { workers, from, blocks, shape, slots } = twoWorkers();
    from(workers[1], 'a', arpRequest(1));
    expect([countHeld(shape, slots, 0), countHeld(shape, slots, 1)]).toEqual([64, 64]);
    expect(blocks[0].every((n) => n === 0)).toBe(true);
    expect(readRow([blocks[1]], PORT_ROW + 1).rxPackets).toBe(1);
  });

  it('share the broadcast limit of a network', () => {
    const { workers, from, blocks } = twoWorkers();
    for (let n = 0; n < 20; n++) for (const w of workers) from(w, 'a', arpRequest(1));
    expect(account(blocks)).toMatchObject({ received: 40, sent: 10, dropped: 30 });
  });

  it('are swept by the first of them', () => {
    const { workers, from, clock } = twoWorkers();
    from(workers[0], 'a', arpRequest(1));
    clock.seconds += 1000;
    const entries = () => {
      let n = 0;
      forEachMac(workers[0].macTable, clock.seconds, true, () => n++);
      return n;
    };
    workers[1].tick();
    expect(entries()).toBe(1);
    workers[0].tick();
    expect(entries()).toBe(0);
  });
});

it('an arena too small for one burst is refused', () => {
  const macBytes = macTableBytes(1);
  const shape: ArenaShape = {
    ...DEFAULT_SHAPE,
    workers: 1,
    smallSlots: 4,
    largeSlots: 63,
    headerBytes: 4096,
    captureBytes: 4096,
    macBytes,
    neighbourBytes: 0,
    routeBytes: 0,
  };
  expect(() =>
    createPipeline({
      worker: 0,
      memory: {
        arena: createArenaMemory(shape),
        shape,
        slots: createSlotState(shape),
        counters: makeCounterBlock(),
        sequences: new SharedArrayBuffer(PEERS_MAX * 4),
      },
      clock: createClock(),
      tun: null,
      preciseSeconds: () => 0,
    }),
  ).toThrow(/arena too small/);
});
