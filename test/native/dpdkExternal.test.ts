// Slots of weft's own on their way through devices of DPDK: sent from where they lie, home when the last mbuf is freed, whoever frees it.
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { QUEUE_AWAY, QUEUE_CHAINED, QUEUE_COPIED, QUEUE_EXTERNAL } from '../../src/native/dpdk.js';
import { describeWith } from '../rig/requirements.js';
import {
  addon,
  columnsOf,
  HEADS,
  LARGE,
  LAYOUT,
  layFrames,
  makeArena,
  message,
  OWN,
  ownReferences,
  ownStart,
  SMALL,
} from './dpdkRig.js';

const BYTES = 1400;
const OURS = 1;

describeWith(['dpdk'], 'slots of a worker that DPDK sends', () => {
  const made = makeArena();
  const { memory, arena, holders } = made;
  let frames = 0;
  const ports: Record<string, number> = {};

  beforeAll(() => {
    frames = layFrames(made);
    // net_null frees at once; net_ring keeps what it is given until somebody receives it.
    for (const devargs of ['net_null8,no-rx=1', 'net_ring0'])
      ports[devargs.slice(0, 8)] = addon().open({
        devargs,
        queues: 1,
        mtu: 1500,
        superframes: false,
        offloads: 0,
        frames,
      }).port;
  });
  afterAll(() => {
    for (const port of Object.values(ports)) addon().close(port);
    addon().dropFrames(frames);
  });
  beforeEach(() => {
    holders.fill(0);
    holders.fill(OURS, 0, OWN);
    for (let slot = 0; slot < OWN; slot++) arena.fill(slot + 1, ownStart(slot), ownStart(slot) + BYTES);
  });

  function bind(device: string, chains = false) {
    const { io, layout, columns, state } = columnsOf(memory);
    const request = { frames, port: ports[device], rxQueues: [0], txQueue: 0, vnet: false, chains, place: 0 };
    return { ...addon().bindQueue(request, io, LAYOUT, layout, state), io, columns, state };
  }
  const references = () => Array.from({ length: OWN }, (_, slot) => ownReferences(arena, slot));
  const everythingIsHome = () => {
    expect(references()).toEqual(Array(OWN).fill(0));
    expect(addon().framesState(frames)).toEqual({
      small: { total: SMALL, free: SMALL },
      large: { total: LARGE, free: LARGE },
      heads: { total: HEADS, free: HEADS },
    });
  };

  it('go from where they lie, and are home when the device has let go of them', () => {
    const { tx, io, state } = bind('net_null');
    for (let slot = 0; slot < OWN; slot++) message(io, slot, ownStart(slot) - 50, BYTES);
    expect(tx(OWN, 0)).toBe(OWN);
    expect([state[QUEUE_EXTERNAL], state[QUEUE_COPIED], state[QUEUE_AWAY]]).toEqual([OWN, 0, 0]);
    everythingIsHome();
  });

  it.each([
    ['a short piece', ownStart(0), 100],
    ['what begins in a preamble', ownStart(1) - 300, BYTES],
    ['what ends in another slot', ownStart(2) - 1000, BYTES],
  ])('are copied: %s', (_what, at, length) => {
    const { tx, io, state } = bind('net_null');
    message(io, 0, at, length);
    expect(tx(1, 0)).toBe(1);
    expect([state[QUEUE_EXTERNAL], state[QUEUE_COPIED]]).toEqual([0, 1]);
    everythingIsHome();
  });

  it('are copied when somebody else holds them', () => {
    const { tx, io, state } = bind('net_null');
    holders[3] = -1;
    message(io, 0, ownStart(3), BYTES);
    expect(tx(1, 0)).toBe(1);
    expect([state[QUEUE_EXTERNAL], state[QUEUE_COPIED]]).toEqual([0, 1]);
  });

  it('stay away as long as a device keeps them, and no more of them than there are spare ones', () => {
    const { tx, rx, release, spare, io, columns, state } = bind('net_ring');
    expect(spare(3)).toBe(0);
    for (let slot = 0; slot < 6; slot++) message(io, slot, ownStart(slot), BYTES);
    expect(tx(6, 0)).toBe(6);
    expect([state[QUEUE_EXTERNAL], state[QUEUE_COPIED], state[QUEUE_AWAY]]).toEqual([3, 3, 1]);
    expect(references()).toEqual([1, 1, 1, 0, 0, 0, 0, 0]);
    // The same slots again need no more spare ones: two mbufs point into each.
    expect(tx(3, 1)).toBe(3);
    expect(references()).toEqual([2, 2, 2, 0, 0, 0, 0, 0]);
    // What comes back are mbufs of others; they become slots of the pool, and the bytes are right.
    expect(rx()).toBe(9);
    expect([...columns.at.subarray(0, 9)].map((at) => arena[at + BYTES - 1])).toEqual([1, 2, 3, 4, 5, 6, 1, 2, 3]);
    expect([...columns.len.subarray(0, 9)]).toEqual(Array(9).fill(BYTES));
    release(9);
    everythingIsHome();
    expect(spare(OWN)).toBe(0);
    expect(tx(6, 0)).toBe(6);
    expect(state[QUEUE_EXTERNAL]).toBe(3 + 3 + 6);
    rx();
    release(6);
    everythingIsHome();
  });

  it('lose nothing in a million bursts: whole, in chains, shared, kept for a while', () => {
    const [quick, slow] = [bind('net_null', true), bind('net_ring', true)];
    slow.spare(OWN);
    let sent = 0;
    for (let burst = 0; burst < 1_000_000; burst++) {
      const { io, tx } = burst % 8 === 0 ? slow : quick;
      const slot = burst % OWN;
      // Headers from elsewhere, then two slots; or one slot alone.
      io[LAYOUT.msgFirst] = 0;
      io[LAYOUT.msgCount] = 1 + (burst % 3);
      io[LAYOUT.extAt] = burst % 3 === 0 ? ownStart(slot) : 1000;
      io[LAYOUT.extLen] = burst % 3 === 0 ? BYTES : 60;
      for (const e of [1, 2]) {
        io[LAYOUT.extAt + e] = ownStart((slot + e) % OWN);
        io[LAYOUT.extLen + e] = BYTES + e;
      }
      sent += tx(1, burst % 5 === 0 ? 1 : 0);
      if (burst % 8 === 0) slow.release(slow.rx());
      if (burst % 1000 === 0) slow.spare(OWN);
    }
    expect(sent).toBe(1_000_000);
    expect(quick.state[QUEUE_CHAINED]).toBe(0);
    everythingIsHome();
  });

  it('come home after the thread that sent them has ended', { timeout: 20_000 }, async () => {
    const { io, layout, state } = columnsOf(memory);
    for (let slot = 0; slot < OWN; slot++) message(io, slot, ownStart(slot), BYTES);
    const request = { frames, port: ports.net_ring, rxQueues: [], txQueue: 0, vnet: false, chains: false, place: 0 };
    const worker = new Worker(new URL('dpdkSender.mjs', import.meta.url), {
      workerData: { request, io, layout: LAYOUT, lanes: layout, state, messages: OWN },
    });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await worker.terminate();
    expect(addon().sweep(frames, 0)).toBe(0);
    expect(references()).toEqual(Array(OWN).fill(1));
    const { rx, release } = bind('net_ring');
    expect(rx()).toBe(OWN);
    release(OWN);
    everythingIsHome();
  });
});
