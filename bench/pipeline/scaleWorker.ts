import { parentPort, workerData } from 'node:worker_threads';
import { tun } from '../../dist/native/tun.js';
import { account } from '../../dist/packet/counters.js';
import { timeWork } from '../report/threadTime.js';
import { createScenario, type SharedMemory, type Variant } from './scenario.js';

/** One of the workers that run side by side. */
export interface ScaleAssignment {
  variant: Variant;
  memory: SharedMemory;
  worker: number;
  /** CPU that the thread is tied to, -1 for none. */
  cpu: number;
  clockWords: SharedArrayBuffer;
}

/** From the main thread: run until so many milliseconds have passed. */
export interface Lap {
  durationMs: number;
}

export interface LapResult {
  packets: number;
  wallNs: number;
  onCoreNs: number;
  dropped: number;
}

const WARM_UP_PACKETS = 1_000_000;
/** Packets between two looks at the time. */
const STRETCH = 16_384;

const { variant, memory, worker, cpu, clockWords } = workerData as ScaleAssignment;
if (cpu >= 0) tun().setAffinity([cpu]);
const words = new Int32Array(clockWords);
const scenario = createScenario(variant, undefined, memory, worker);
const { clock, walkOnce } = scenario;
const { counters } = scenario.pipeline;

function run(packets: number): number {
  let done = 0;
  while (done < packets) {
    clock.seconds = words[0];
    clock.millis = words[1];
    done += walkOnce();
  }
  return done;
}

parentPort?.on('message', ({ durationMs }: Lap) => {
  const droppedBefore = account([counters]).dropped;
  let packets = 0;
  const end = performance.now() + durationMs;
  const elapsed = timeWork(() => {
    while (performance.now() < end) packets += run(STRETCH);
  });
  const dropped = account([counters]).dropped - droppedBefore;
  parentPort?.postMessage({ packets, ...elapsed, dropped } satisfies LapResult);
});
run(WARM_UP_PACKETS);
parentPort?.postMessage('ready');
