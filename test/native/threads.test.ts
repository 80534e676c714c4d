// The addon in workers: used, stopped, killed in the middle, many times over.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type Tun, tun, type UdpSocket } from '../../src/native/tun.js';
import { describeWith } from '../rig/requirements.js';
import {
  ARENA_BYTES,
  type Binding,
  BURST,
  eventually,
  IO_WORDS,
  LAYOUT,
  least,
  makeBinding,
  OUT_AT,
  pattern,
} from './binding.js';

type Mode = 'busy' | 'blocked' | 'oneWait' | 'throws' | 'echo' | 'idle';

const fileOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const descriptors = () => readdirSync('/proc/self/fd').length;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

describeWith(['addon'], 'in threads', () => {
  let addon: Tun;
  let binding: Binding;
  let socket: UdpSocket;
  let doorbell: number;

  beforeAll(() => {
    addon = tun();
    binding = makeBinding();
    socket = addon.udpOpen({ family: 4, address: '127.0.0.1', port: 0 });
    doorbell = addon.eventfd();
    binding.destination(0, '127.0.0.1', socket.port);
  });
  // Nothing waits in the socket, and no message is described: a wait blocks, and a busy worker sends nothing.
  beforeEach(() => {
    const rx = addon.bindUdpRx(binding.arena, binding.io, LAYOUT, socket.fd);
    while (rx(BURST) > 0);
    binding.columns.msgCount.fill(0);
    addon.drain(doorbell);
  });
  afterAll(() => {
    addon.close(socket.fd);
    addon.close(doorbell);
  });

  async function start(mode: Mode, hears = true): Promise<Worker> {
    const { memory, io, destinations } = binding;
    const worker = new Worker(fileOf('boundWorker.mjs'), {
      workerData: {
        memory,
        io,
        layout: LAYOUT,
        ready: LAYOUT.ready,
        destinations,
        doorbell: hears ? doorbell : undefined,
        socket: socket.fd,
        mode,
      },
    });
    worker.on('error', () => {});
    // From the beginning: a worker that has ended by the time its message is read tells of both in the same breath.
    exits.set(worker, new Promise((resolve) => worker.once('exit', resolve)));
    // Not once(): that fails when the worker does, which is what one of them is for.
    expect(await new Promise((resolve) => worker.once('message', resolve))).toBe('bound');
    return worker;
  }
  async function endMs(worker: Worker, ring: boolean): Promise<number> {
    const begun = performance.now();
    const ended = worker.terminate();
    if (ring) addon.wake(doorbell);
    await ended;
    addon.drain(doorbell);
    return performance.now() - begun;
  }
  const exits = new WeakMap<Worker, Promise<number>>();
  const exited = (worker: Worker) => exits.get(worker);
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  it('wakes a worker that waits for a descriptor, and shares the arena with it', async () => {
    const worker = await start('echo');
    const { arena, io, destinations } = binding;
    const tx = addon.bindUdpTx(arena, io, LAYOUT, [socket.fd], destinations);
    binding.describe(0, [binding.place(OUT_AT, pattern(321))]);
    const message = once(worker, 'message');
    expect(tx(0, 1)).toBe(1);
    const [{ bytes, at }] = await message;
    expect(bytes).toBe(321);
    expect([...arena.subarray(at, at + 321)]).toEqual([...pattern(321)]);
    await endMs(worker, true);
  });

  // A wait that nobody ends lasts a second.
  it('wakes a worker by its doorbell from another thread', async () => {
    const waited = await least(500, async () => {
      addon.drain(doorbell);
      const worker = await start('oneWait');
      const message = once(worker, 'message');
      await pause(50);
      addon.wake(doorbell);
      const [{ count, waitedMs }] = await message;
      expect(count).toBe(0);
      await worker.terminate();
      return waitedMs;
    });
    expect(waited).toBeLessThan(500);
  });

  it('ends a worker that never stops calling', async () => {
    const worker = await start('busy');
    await pause(50);
    await endMs(worker, false);
  });

  it('ends a worker that is blocked in a wait, at once when its doorbell is rung', async () => {
    const ended = await least(500, async () => {
      const worker = await start('blocked');
      await pause(50);
      return endMs(worker, true);
    });
    expect(ended).toBeLessThan(500);
  });

  it('ends a worker whose doorbell nobody rings with its wait', async () => {
    // Counted from before its first wait began: it may be the second that it ends with.
    const begun = performance.now();
    const worker = await start('blocked', false);
    await pause(50);
    await endMs(worker, false);
    expect(performance.now() - begun).toBeGreaterThan(990);
  });

  it('survives another thread that scribbles over its io words', async () => {
    const worker = await start('busy');
    // The destination table is not part of io: whatever is sent goes to the socket itself.
    const { io } = binding;
    const kept = io.slice();
    const odd = [0, 1, -1, 64, 100, 1000, 65_535, 65_536, ARENA_BYTES - 1, ARENA_BYTES, 2 ** 31 - 1, -(2 ** 31)];
    for (const end = performance.now() + 500; performance.now() < end; ) {
      for (let i = 0; i < 10_000; i++) {
        const at = Math.floor(Math.random() * IO_WORDS);
        io[at] = Math.random() < 0.5 ? odd[i % odd.length] : Math.floor(Math.random() * 2048);
      }
    }
    await endMs(worker, false);
    io.set(kept);
  });

  it('outlives a worker that throws', async () => {
    const worker = await start('throws');
    expect(await exited(worker)).toBe(1);
  });

  it('leaks nothing over a hundred workers that end while they hold bindings', async () => {
    const modes: Mode[] = ['busy', 'idle', 'blocked', 'throws'];
    const round = async (count: number) => {
      for (let i = 0; i < count; i++) {
        const mode = modes[i % modes.length];
        const worker = await start(mode);
        // Node 20 aborts when terminate() meets an uncaught exception of a worker, with or without this addon.
        if (mode === 'throws') await exited(worker);
        else await endMs(worker, true);
      }
      collect();
    };
    await round(40);
    const [openBefore, residentBefore] = [descriptors(), process.memoryUsage.rss()];
    await round(100);
    expect(descriptors()).toBe(openBefore);
    // A worker binds 0.3 MB of scratch; its own heap is a dozen.
    expect(process.memoryUsage.rss() - residentBefore).toBeLessThan(20e6);
  });

  it('keeps what was bound alive, and lets go of it with the functions', async () => {
    collect();
    await pause(50);
    const before = descriptors();
    const bindAll = () => {
      const { arena, io, destinations, columns } = makeBinding();
      const poll = addon.bindPoll(io, LAYOUT, LAYOUT.ready, 8);
      poll.add(socket.fd, 0);
      return {
        poll,
        arena: new WeakRef(arena),
        ready: columns.ready,
        rx: addon.bindUdpRx(arena, io, LAYOUT, socket.fd),
        tx: addon.bindUdpTx(arena, io, LAYOUT, [socket.fd], destinations),
      };
    };
    const sets = Array.from({ length: 50 }, bindAll);
    expect(descriptors()).toBe(before + 50);
    // Once out of the turn that made them, and collected, only the bindings hold the arenas.
    await pause(1);
    collect();
    // In a function of its own, so that no local of this one holds the last set.
    const useAll = () => {
      for (const { poll, rx, tx, arena } of sets) {
        expect(poll.wait(0)).toBe(0);
        expect(rx(BURST)).toBe(0);
        expect(tx(0, 0)).toBe(0);
        expect(arena.deref()).toBeDefined();
      }
    };
    useAll();
    const arenas = sets.map(({ arena }) => arena);
    sets.length = 0;
    // Finalizers run between turns.
    await eventually(() => {
      collect();
      return descriptors() === before && arenas.every((arena) => arena.deref() === undefined) ? true : undefined;
    });
  });

  it('leaves the exit status alone while workers poll', async () => {
    const run = promisify(execFile);
    await expect(run(process.execPath, [fileOf('exitWhilePolling.mjs'), 'exit'])).rejects.toMatchObject({ code: 3 });
    await expect(run(process.execPath, [fileOf('exitWhilePolling.mjs'), 'throw'])).rejects.toMatchObject({ code: 1 });
    expect((await run(process.execPath, [fileOf('exitWhilePolling.mjs'), 'workersOnly'])).stdout).toBe('over\n');
  });

  it('dies of a signal at once while workers poll', async () => {
    const died = await least(500, async () => {
      const child = spawn(process.execPath, [fileOf('exitWhilePolling.mjs'), 'signal'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      const begun = performance.now();
      child.kill('SIGTERM');
      expect((await once(child, 'exit'))[1]).toBe('SIGTERM');
      return performance.now() - begun;
    });
    expect(died).toBeLessThan(500);
  });
});
