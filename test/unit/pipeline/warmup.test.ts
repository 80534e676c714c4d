import { describe, expect, it } from 'vitest';
import { forEachMac, learnSource } from '../../../src/forward/macTable.js';
import { TO_PORT } from '../../../src/packet/burst.js';
import { openStandIns } from '../../../src/pipeline/standIns.js';
import { createTurnLoop } from '../../../src/pipeline/turn.js';
import type { Steps } from '../../../src/pipeline/walk.js';
import { warmUp } from '../../../src/pipeline/warmup.js';
import { readNeighbours } from '../../../src/worker/neighbourRows.js';
import { arpRequest, udp } from '../../rig/frames.js';
import { makeRig, type Rig } from '../../rig/pipeline.js';

const calls = new Map<string, number>();

/** A rig whose steps are counted, floods to peers apart from frames for one peer. */
function countedRig(): Rig {
  calls.clear();
  const count = (name: string) => calls.set(name, (calls.get(name) ?? 0) + 1);
  return makeRig({
    ports: { a: { id: 1, network: 1 }, b: { id: 2, network: 1 } },
    wrapSteps(steps) {
      const counted = { ...steps } as Record<string, unknown>;
      for (const [name, step] of Object.entries(steps)) {
        counted[name] = (...args: unknown[]) => {
          count(name.startsWith('sendTo') && args[3] ? `${name} ${args[3] === true ? 'joined' : 'flooded'}` : name);
          return (step as (...args: unknown[]) => unknown)(...args);
        };
      }
      return counted as unknown as Steps;
    },
  });
}

describe('the warm-up', () => {
  const rig = countedRig();
  const { pipeline, clock, kernel } = rig;
  learnSource(pipeline.macTable, 2, 0, 1, TO_PORT | 2, 5000, 100);
  pipeline.counters[77] = 123;
  const before = { counters: pipeline.counters.slice(), clock: { ...clock } };
  const loop = createTurnLoop(pipeline, kernel.tun, clock, 7, new Int32Array(16), 2);
  warmUp(pipeline, clock, loop, openStandIns(kernel.tun));

  it('calls every step of the walk, and often', () => {
    const l2 = ['parse', 'prefetch', 'learn', 'lookup', 'suppress'];
    const l3 = ['parsePackets', 'route'];
    const steps = [
      ...l2,
      ...l3,
      'connect',
      'checkOffloads',
      'decap',
      'arrive',
      'completeChecksum',
      'answer',
      'clampMss',
    ];
    const sends = ['sendToPort', 'sendToPort joined'];
    for (const to of ['sendToSocket', 'sendToFrame']) sends.push(to, `${to} flooded`);
    for (const name of [...steps, ...sends]) expect(calls.get(name) ?? 0, name).toBeGreaterThan(20);
    expect([...calls.keys()].sort()).toEqual([...steps, ...sends].sort());
  });

  it('leaves nothing behind: no count, no MAC, no slot, no device', () => {
    expect(pipeline.counters).toEqual(before.counters);
    expect(clock).toEqual(before.clock);
    const macs: number[] = [];
    forEachMac(pipeline.macTable, 100, true, (e) => macs.push(e.network));
    expect(macs).toEqual([1]);
    expect(readNeighbours(pipeline.neighbours, 0)).toEqual([]);
    expect([...pipeline.devices.memory.keys()]).toEqual([]);
    expect(kernel.sent).toEqual([]);
    expect(kernel.written).toEqual([]);
    rig.check();
    const { walk } = pipeline;
    expect([...walk.ports, ...walk.underlays].filter((d) => d !== undefined)).toEqual([]);
  });

  it('is followed by real frames as if it had not been', () => {
    rig.apply();
    rig.from('a', [arpRequest(1), udp({ src: 1, dst: 9, payload: 5 })]);
    expect(rig.took('b')).toEqual([arpRequest(1), udp({ src: 1, dst: 9, payload: 5 })]);
    expect(rig.row('port', 1)).toMatchObject({ rxPackets: 2 });
  });
});
