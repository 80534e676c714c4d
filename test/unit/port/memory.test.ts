import { describe, expect, it } from 'vitest';
import { SMALL_DATA } from '../../../src/packet/arena.js';
import type { MemoryPort } from '../../../src/port/memory.js';
import { BROADCAST, noise, udp } from '../../rig/frames.js';
import { makeRig } from '../../rig/pipeline.js';

const toAll = (n: number) => udp({ src: 5, dst: BROADCAST, ipDst: 2, sport: n, payload: 20 });

function memoryRig(options: { isLoop?: boolean; queueMax?: number } = {}) {
  const rig = makeRig({ ports: { b: { id: 2, network: 1 } } });
  rig.pipeline.devices.memoryOptions.set('a', options);
  rig.plan.ports.push({ id: 1, name: 'a', network: 1, kind: 'memory', mtu: 1450, tap: null, pcap: null });
  rig.apply();
  const port = rig.pipeline.devices.memory.get('a') as MemoryPort;
  return { rig, port, walk: () => rig.pipeline.walk.fromPort(port.port) };
}

describe('a memory port', () => {
  it('gives injected frames in order, 64 at a time, over the end of its queue', () => {
    const { rig, port, walk } = memoryRig({ queueMax: 70 });
    const frames = Array.from({ length: 300 }, (_, n) => toAll(n));
    const got: Uint8Array[] = [];
    for (let k = 0; k < 300; k += 60) {
      for (const frame of frames.slice(k, k + 60)) expect(port.inject(frame)).toBe(true);
      expect([port.waiting, walk(), port.waiting]).toEqual([60, 60, 0]);
      got.push(...rig.took('b'));
    }
    expect(got).toEqual(frames);
    for (const frame of frames.slice(0, 70)) port.inject(frame);
    expect([walk(), port.port.hasMore(), walk(), port.port.hasMore(), walk()]).toEqual([64, true, 6, false, 0]);
    expect(rig.took('b')).toEqual(frames.slice(0, 70));
  });

  it('refuses frames when its queue or the arena is full, or a frame is longer than a slot', () => {
    const { rig, port, walk } = memoryRig({ queueMax: 3 });
    expect(port.inject(noise(SMALL_DATA + 1))).toBe(false);
    expect([1, 2, 3, 4].map((n) => port.inject(toAll(n)))).toEqual([true, true, true, false]);
    walk();
    expect(port.inject(toAll(4))).toBe(true);
    walk();
    rig.took('b');
    const big = memoryRig({ queueMax: 1024 });
    let taken = 0;
    while (big.port.inject(toAll(taken))) taken++;
    expect(taken).toBe(256);
    while (big.walk() > 0);
    expect(big.rig.took('b')).toHaveLength(256);
  });

  it('takes metadata with a frame, and forgets it with the next', () => {
    const { rig, port, walk } = memoryRig({ queueMax: 2 });
    const csum = { csumStart: 34, csumOffset: 6 };
    const frame = udp({ src: 5, dst: BROADCAST, ipDst: 2, payload: 20, checksum: 'unfinished' });
    for (let turn = 0; turn < 3; turn++) {
      port.inject(frame, csum);
      port.inject(frame);
      walk();
    }
    const out = rig.took('b');
    // Finished for the port that takes no offloads; without metadata the frame is what it is.
    expect(out.map((f) => f[40] === frame[40] && f[41] === frame[41])).toEqual([false, true, false, true, false, true]);
  });

  it('gives the same frames for ever in a loop, and keeps their slots', () => {
    const { rig, port, walk } = memoryRig({ isLoop: true });
    const free = rig.pipeline.pools.small.free();
    for (let n = 0; n < 100; n++) port.inject(toAll(n));
    for (let turn = 0; turn < 5; turn++) expect(walk()).toBe(64);
    expect(rig.took('b').map((f) => f[35])).toEqual(Array.from({ length: 320 }, (_, n) => n % 100));
    expect(rig.pipeline.pools.small.free()).toBe(free - 100);
    // A generator's slots go with its arena.
    expect(() => rig.check()).toThrow(/slots that are not home/);
    const { small } = rig.pipeline.pools;
    const { slot } = rig.pipeline.burst;
    for (let n = 0; n < 2; n++) {
      walk();
      for (let i = 0; i < 64 && small.free() < free; i++) small.give(slot[i]);
    }
    rig.took('b');
  });

  it('brings home what still waits when it is closed', () => {
    const { rig, port } = memoryRig({ queueMax: 8 });
    for (let n = 0; n < 5; n++) port.inject(toAll(n));
    rig.plan.ports = rig.plan.ports.filter((p) => p.name !== 'a');
    rig.apply();
    expect(rig.pipeline.walk.ports[1]).toBeUndefined();
  });
});
