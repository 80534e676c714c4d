import { parentPort, workerData } from 'node:worker_threads';
import { account } from '../../dist/packet/counters.js';
import { timeWork } from '../report/threadTime.js';
import { type Calibration, calibrate } from './calibration.js';
import { type HeapGrowth, measureHeap } from './heap.js';
import { createScenario, type Scenario, type Variant } from './scenario.js';
import { createStepTimer, type StepTimer } from './stepTimer.js';

/** What the main thread asks of one worker thread. */
export interface Assignment {
  variant: Variant;
  mode: 'total' | 'steps' | 'heap';
  samples: number;
  packetsPerSample: number;
  /** Monotonic seconds and milliseconds, written by the main thread as a native poll would. */
  clockWords: SharedArrayBuffer;
}

/** One sample, nanoseconds a packet. */
export interface Sample {
  totalNs: number;
  wallNs: number;
  calibration: Calibration;
  /** By step, in order of the walk; only in mode `steps`. */
  steps: [string, number][];
}

export interface Outcome {
  samples: Sample[];
  heap: HeapGrowth | null;
  packets: number;
  /** Nothing may be dropped in a steady state: a fast path to the floor would look good. */
  dropped: number;
  sent: number;
}

const WARM_UP_PACKETS = 1_000_000;

const { variant, mode, samples, packetsPerSample, clockWords } = workerData as Assignment;
const words = new Int32Array(clockWords);

function turns(scenario: Scenario, packets: number): void {
  const { clock, walkOnce } = scenario;
  for (let done = 0; done < packets; ) {
    clock.seconds = words[0];
    clock.millis = words[1];
    done += walkOnce();
  }
}

function takeSample(scenario: Scenario, timer: StepTimer | null): Sample {
  const calibration = calibrate(scenario, (work) => timeWork(work).onCoreNs);
  timer?.reset();
  const { wallNs, onCoreNs } = timeWork(() => turns(scenario, packetsPerSample));
  const steps: [string, number][] = [];
  if (timer !== null) {
    const { byStep, clockNs } = timer.read();
    let rest = onCoreNs - clockNs;
    for (const [name, ns] of byStep) {
      steps.push([name, ns / packetsPerSample]);
      rest -= ns;
    }
    steps.push(['rest', rest / packetsPerSample]);
  }
  return { totalNs: onCoreNs / packetsPerSample, wallNs: wallNs / packetsPerSample, calibration, steps };
}

async function run(): Promise<Outcome> {
  const timer = mode === 'steps' ? createStepTimer() : null;
  const scenario = createScenario(variant, timer === null ? undefined : (steps) => timer.wrap(steps));
  timer?.wrapDevices(scenario);
  turns(scenario, WARM_UP_PACKETS);
  const { counters } = scenario.pipeline;
  const before = account([counters]);
  const taken: Sample[] = [];
  let heap: HeapGrowth | null = null;
  if (mode === 'heap') heap = await measureHeap(() => turns(scenario, packetsPerSample));
  else for (let s = 0; s < samples; s++) taken.push(takeSample(scenario, timer));
  const after = account([counters]);
  return {
    samples: taken,
    heap,
    packets: after.received - before.received,
    dropped: after.dropped - before.dropped,
    sent: after.sent - before.sent,
  };
}

void run().then((outcome) => parentPort?.postMessage(outcome));
