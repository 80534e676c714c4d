// Threads that end where a replacement is under way: in their warm-up, and in a place that was another worker's before.
import { Piscina } from 'piscina';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeCounterBlock } from '../../src/packet/counters.js';
import type { Plan, WorkerDevices } from '../../src/pipeline/plan.js';
import type { Crew } from '../../src/worker/crew.js';
import type { NodeMemory } from '../../src/worker/nodeMemory.js';
import type { WorkerThread } from '../../src/worker/workerThread.js';
import { describeWith } from '../rig/requirements.js';
import { sleep, until } from '../rig/waiting.js';

// Threads run the built package.
const built = (file: string) => new URL(`../../dist/worker/${file}.js`, import.meta.url).href;
const { createCrew } = (await import(built('crew'))) as typeof import('../../src/worker/crew.js');
const { createWorkerThread } = (await import(
  built('workerThread')
)) as typeof import('../../src/worker/workerThread.js');
const { createNodeMemory } = (await import(built('nodeMemory'))) as typeof import('../../src/worker/nodeMemory.js');

const isUsed = (counters: Float64Array) => counters.some((n) => n !== 0);
/** The warm-up counts its own packets. */
const warmsUp = ({ state, counters }: WorkerThread) => state === 'warming' && isUsed(counters);

describeWith(['addon'], 'a thread that is ended while it warms up', () => {
  let pool: Piscina;
  let thread: WorkerThread;

  beforeEach(() => {
    const memory: NodeMemory = createNodeMemory(1);
    pool = new Piscina({ filename: built('task'), minThreads: 0, maxThreads: 1 });
    thread = createWorkerThread(0, memory, () => {});
  });
  afterEach(async () => {
    await pool.destroy();
    thread.close();
  });

  it('has ended when it writes nothing any more, and leaves nothing of its own packets', async () => {
    const past = new Float64Array(makeCounterBlock());
    const launched = thread.launch(pool, null).catch((error: Error) => error.message);
    await until('it warms up', () => warmsUp(thread), { everyMs: 1 });
    let hasExited = false;
    pool.threads[0].once('exit', () => {
      hasExited = true;
    });
    thread.terminate();
    await thread.ended();
    expect(hasExited).toBe(true);
    expect(isUsed(thread.counters)).toBe(true);
    thread.cleanUp(past);
    expect(await launched).toMatch(/aborted/);
    await sleep(50);
    expect([isUsed(thread.counters), isUsed(past)]).toEqual([false, false]);
  });

  it('ends before it warms up when it still loads its modules, and the process lives', {
    timeout: 120_000,
  }, async () => {
    const past = new Float64Array(makeCounterBlock());
    // Node 20 aborts when such a thread is terminated: in one process of five, of as many threads on a busy machine.
    for (let ms = 0; ms < 150; ms += 10) {
      const launched = thread.launch(pool, null).catch((error: Error) => error.message);
      await sleep(ms);
      thread.terminate();
      await thread.ended();
      // It may just have begun.
      expect(await launched).toMatch(ms === 0 ? /^ended at once$/ : /ended at once|aborted/);
      if (ms === 0) expect(isUsed(thread.counters)).toBe(false);
      thread.cleanUp(past);
    }
    expect(isUsed(past)).toBe(false);
  });
});

describeWith(['addon'], 'a thread that the system does not have', () => {
  it('is an error at once, and the next one has its place', { timeout: 60_000 }, async () => {
    // Refused when it is to be started, as for want of threads.
    const pool = new Piscina({ filename: built('task'), minThreads: 0, maxThreads: 1, execArgv: ['--no-such-option'] });
    pool.on('error', () => {});
    const unseen: unknown[] = [];
    const note = (error: unknown) => unseen.push(error);
    process.on('unhandledRejection', note);
    const memory: NodeMemory = createNodeMemory(1);
    const thread = createWorkerThread(0, memory, () => {});
    await expect(thread.launch(pool, null)).rejects.toMatchObject({
      code: 'WORKER',
      message: expect.stringMatching(/^no thread could be started: /),
    });
    await thread.ended();
    thread.cleanUp(new Float64Array(makeCounterBlock()));
    expect(thread.state).toBe('free');
    (pool.options as { execArgv: string[] }).execArgv = [];
    await thread.launch(pool, null);
    expect(thread.state).toBe('warm');
    thread.askToStop();
    await thread.ended();
    await pool.destroy();
    thread.close();
    process.off('unhandledRejection', note);
    expect(unseen).toEqual([]);
  });
});

describeWith(['addon'], 'a worker without a thread', () => {
  const plan: Plan = {
    generation: 1,
    node: 'crew',
    workers: 2,
    busyPollUs: 0,
    underlays: [],
    networks: [],
    ports: [],
    peers: [],
    statics: [],
    staticNeighbours: [],
    routes: [],
  };
  const devices: WorkerDevices[] = [0, 1].map(() => ({ ports: [], underlays: [] }));
  let crew: Crew;

  beforeEach(async () => {
    // A place for each, and none for a spare.
    crew = createCrew(createNodeMemory(1), {
      workers: 2,
      faultyStep: null,
      onReport() {},
      onLost() {},
      onReplaced() {},
    });
    crew.prepare();
    await crew.warm();
    await crew.apply({ plan, devices, routesAt: 0 });
  });
  afterEach(() => crew.stop());

  it('has nothing to do with the one that is in its former place now', async () => {
    const [first, second] = crew.threads;
    const [role0, role1] = crew.roles;
    // Worker 0 loses its thread and the next one too, which warms up in the same place. The third comes seconds later.
    first.terminate();
    await until('the next one warms up', () => warmsUp(first), { everyMs: 1 });
    first.terminate();
    await until('the place is free', () => first.state === 'free');
    // Worker 1 takes that place, and loses its thread there.
    second.terminate();
    await until('worker 1 goes on in the place of worker 0', () => role1.thread === first && !role1.isVacant);
    await crew.apply({ plan: { ...plan, generation: 2 }, devices, routesAt: 0 });
    first.terminate();
    await until('both workers go on', () => crew.roles.every(({ state }) => state === 'running'));
    expect(role0.thread).not.toBe(role1.thread);
    expect([role0.thread.state, role1.thread.state]).toEqual(['warm', 'warm']);
  }, 90_000);
});
