// Threads that use DPDK and are ended wherever they are.
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { describeWith } from '../rig/requirements.js';
import { addon, columnsOf, HEADS, LARGE, LAYOUT, layFrames, makeArena, SMALL } from './dpdkRig.js';

/** DPDK has 128 lcores: more threads than that only when each gives its own back. The sanitizer makes each one slow. */
const THREADS = process.env.WEFT_SANITIZED_ADDON ? 16 : 140;
const AT_A_TIME = 4;

describeWith(['dpdk'], 'threads that poll queues of DPDK', () => {
  it('leave nothing behind when they are ended: no slot, no cache, no lcore', { timeout: 120_000 }, async () => {
    const made = makeArena();
    const frames = layFrames(made);
    const open = (n: number) =>
      addon().open({ devargs: `net_null${n},size=64`, queues: 1, mtu: 1500, superframes: false, offloads: 0, frames });
    const devices = Array.from({ length: AT_A_TIME }, (_, n) => open(n));
    let held = 0;
    const runOne = async (place: number) => {
      const { io, layout, state } = columnsOf(made.memory, place);
      const { port, chains } = devices[place];
      const request = { frames, port, rxQueues: [0], txQueue: 0, vnet: false, chains, place };
      const worker = new Worker(new URL('dpdkWorker.mjs', import.meta.url), {
        workerData: { request, io, layout: LAYOUT, lanes: layout, state },
      });
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      await worker.terminate();
      held += addon().sweep(frames, place);
    };
    for (let thread = 0; thread < THREADS; thread += AT_A_TIME)
      await Promise.all(devices.map((_, place) => runOne(place)));
    expect(held).toBeGreaterThan(0);
    expect(addon().framesState(frames)).toEqual({
      small: { total: SMALL, free: SMALL },
      large: { total: LARGE, free: LARGE },
      heads: { total: HEADS, free: HEADS },
    });
    expect(made.holders.every((holder) => holder === 0)).toBe(true);
    for (const { port } of devices) addon().close(port);
    addon().dropFrames(frames);
  });
});
