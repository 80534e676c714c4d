import { receiveMessageOnPort, threadId } from 'node:worker_threads';
import { tun } from '../native/tun.js';
import { attachArena } from '../packet/arena.js';
import { createClock } from '../packet/clock.js';
import { IO_LAYOUT, ioBlock } from '../packet/outbox.js';
import { createPipeline, type Pipeline } from '../pipeline/pipeline.js';
import { createTurnLoop, type TurnLoop, UNDERLAY_IDS } from '../pipeline/turn.js';
import type { Steps } from '../pipeline/walk.js';
import { warmUp } from '../pipeline/warmup.js';
import {
  BEGUN,
  CONTROL_WORDS,
  type FromWorker,
  MAIL,
  SLEEPING,
  STOP,
  type ToWorker,
  TURNS,
  type WorkerTask,
} from './protocol.js';

/**
 * The one long task of a worker thread: warm up, wait for a plan, turn until told to stop. It ends its own thread when it throws: another
 * task in the same isolate would make second instances of every hot closure.
 */

/** Turns that a clean stop still makes for frames that are already waiting, and one before descriptors are given up. */
const DRAIN_TURNS = 64;

const UNKNOWN_PEER_INTERVAL_MS = 1000;
const PATH_MTU_INTERVAL_SEC = 5;

/** Tests ask for a step that throws; it does so once traffic flows, not in the warm-up. */
function withFault(steps: Steps, faultyStep: keyof Steps, isArmed: () => boolean): Steps {
  const healthy = steps[faultyStep] as (...args: never[]) => void;
  const faulty = (...args: never[]) => {
    if (isArmed()) throw new Error(`fault injected into ${faultyStep}`);
    healthy(...args);
  };
  return { ...steps, [faultyStep]: faulty };
}

/** CPUs that the thread may run on while no plan ties it to one. */
let anyCpu: number[] = [];
let tiedTo: number | undefined;

function runOn(cpu: number | undefined): void {
  if (cpu === tiedTo) return;
  if (tiedTo === undefined) anyCpu = tun().affinity();
  tun().setAffinity(cpu === undefined ? anyCpu : [cpu]);
  tiedTo = cpu;
}

/** A plan was taken over: the thread serves. */
let hasPlan = false;

function readMail(task: WorkerTask, pipeline: Pipeline, loop: TurnLoop): void {
  const post = (message: FromWorker) => task.port.postMessage(message);
  for (;;) {
    const received = receiveMessageOnPort(task.port);
    if (received === undefined) return;
    const mail = received.message as ToWorker;
    if (mail.type === 'capture') {
      pipeline.capture.key = mail.key;
      pipeline.capture.snapLen = mail.snapLen;
      post({ type: 'capturing', key: mail.key });
      continue;
    }
    const { generation } = mail.plan;
    try {
      // What has come on them is served by the plan that it came under.
      if (loop.givesUp(mail.devices)) loop.drain(DRAIN_TURNS);
      runOn(mail.plan.cpus?.[mail.role]);
      pipeline.apply(mail.plan, mail.devices, mail.routesAt, mail.role);
      loop.watch(mail.devices);
      loop.busyPollUs = mail.plan.busyPollUs;
      hasPlan = true;
      post({ type: 'applied', generation });
    } catch (error) {
      post({ type: 'applied', generation, error: (error as Error).message });
      // One that has a plan stays on it; one that has none is of no use.
      if (!hasPlan) throw error;
    }
  }
}

function open(task: WorkerTask): { pipeline: Pipeline; loop: TurnLoop } {
  const addon = tun();
  const clock = createClock();
  const { arena, shape } = task.memory;
  const io = ioBlock(attachArena(arena, shape), task.place);
  const precise = new Float64Array(arena.buffer, io.byteOffset + (IO_LAYOUT.clock + 2) * 4, 1);
  let isArmed = false;
  let toldAtMs = 0;
  let toldPath = '';
  let toldPathAt = 0;
  const { faultyStep } = task;
  const pipeline = createPipeline({
    worker: task.place,
    memory: task.memory,
    clock,
    tun: addon,
    preciseSeconds: () => precise[0],
    exactSeconds: () => addon.monotonicNs() / 1e9,
    onUnknownPeer(underlay, network, sourceAt) {
      // The control thread needs to hear of a stranger once, not of each of its packets.
      if (((clock.millis - toldAtMs) & 0x7fffffff) < UNKNOWN_PEER_INTERVAL_MS) return;
      toldAtMs = clock.millis;
      const address = pipeline.outbox.rxSrc.slice(sourceAt, sourceAt + 4);
      task.port.postMessage({ type: 'unknown-peer', underlay, network, address } satisfies FromWorker);
    },
    onPathMtu(underlay, addressAt, bytes, isLocal) {
      // A path that is too narrow says so for every packet on its way; the control thread acts on the first.
      const address = pipeline.outbox.rxSrc.slice(addressAt, addressAt + 4);
      const told = `${underlay} ${address.join()} ${bytes}`;
      if (told === toldPath && clock.seconds - toldPathAt < PATH_MTU_INTERVAL_SEC) return;
      toldPath = told;
      toldPathAt = clock.seconds;
      task.port.postMessage({ type: 'path-mtu', underlay, address, bytes, isLocal } satisfies FromWorker);
    },
    wrapSteps: faultyStep === null ? undefined : (steps) => withFault(steps, faultyStep, () => isArmed),
  });
  const control = new Int32Array(task.control, 0, CONTROL_WORDS);
  const loop = createTurnLoop(pipeline, addon, clock, task.doorbell, control, SLEEPING);
  warmUp(pipeline, clock, loop, task.standIns);
  loop.onFailed = (id) => {
    const failed =
      id < UNDERLAY_IDS ? { kind: 'port' as const, id } : { kind: 'underlay' as const, id: id - UNDERLAY_IDS };
    task.port.postMessage({ type: 'device-failed', ...failed } satisfies FromWorker);
  };
  isArmed = true;
  loop.readClock();
  return { pipeline, loop };
}

function run(task: WorkerTask): void {
  const control = new Int32Array(task.control, 0, CONTROL_WORDS);
  Atomics.store(control, BEGUN, 1);
  // Stopped while its modules were loaded: nothing is worth a warm-up.
  if (Atomics.load(control, STOP) === 0) serve(task, control);
  task.port.close();
}

function serve(task: WorkerTask, control: Int32Array): void {
  const { pipeline, loop } = open(task);
  task.port.postMessage({ type: 'ready', threadId } satisfies FromWorker);
  let mail = 0;
  while (Atomics.load(control, STOP) === 0) {
    const posted = Atomics.load(control, MAIL);
    if (posted !== mail) {
      mail = posted;
      readMail(task, pipeline, loop);
    }
    loop.turn();
    control[TURNS]++;
  }
  loop.drain(DRAIN_TURNS);
  loop.close();
}

export default function workerTask(task: WorkerTask): void {
  // Given up before it had a thread.
  if (task.memory === undefined) return;
  try {
    run(task);
  } catch (error) {
    const { message, stack } = error as Error;
    task.port.postMessage({ type: 'failed', message, stack: stack ?? message } satisfies FromWorker);
    process.exit(1);
  }
}
