import { parentPort, workerData } from 'node:worker_threads';
import { LANES } from '../../../dist/packet/burst.js';
import { openForms } from './bench.js';

export interface TunnelAssignment {
  passes: number;
}

/** Of one form: nanoseconds a packet, a figure for each pass. Pass n of all forms was taken within the same few milliseconds. */
export interface TunnelOutcome {
  name: string;
  headerBytes: number;
  encapNs: number[];
  decapNs: number[];
}

const WARM_UP_BURSTS = 3000;
const BURSTS = 100;
/** A burst takes a few microseconds; one that took this long was preempted. */
const PREEMPTED_MS = 0.05;
const nothing = () => {};

/** Milliseconds of `work` in the middle one of some bursts: what disturbs one burst must not move the figure. */
function timeBursts(before: () => void, work: () => void): number {
  const taken: number[] = [];
  for (let n = 0; n < BURSTS; n++) {
    before();
    const start = performance.now();
    work();
    const took = performance.now() - start;
    if (took < PREEMPTED_MS) taken.push(took);
  }
  return taken.sort((a, b) => a - b)[taken.length >> 1] ?? Number.NaN;
}

function measure(passes: number): TunnelOutcome[] {
  const forms = openForms();
  // All of them first: code that has met every form is what a node runs.
  for (let n = 0; n < WARM_UP_BURSTS; n++) {
    for (const { fill, encap, receive, decap } of forms) {
      if (n < WARM_UP_BURSTS / 10) {
        fill();
        encap();
      }
      receive();
      decap();
    }
  }
  const outcomes = forms.map(
    ({ name, headerBytes }): TunnelOutcome => ({ name, headerBytes, encapNs: [], decapNs: [] }),
  );
  const perPacket = (ms: number) => (ms * 1e6) / LANES;
  for (let pass = 0; pass < passes; pass++) {
    const clock = timeBursts(nothing, nothing);
    forms.forEach(({ fill, encap, receive, decap }, k) => {
      fill();
      outcomes[k].encapNs.push(perPacket(timeBursts(nothing, encap) - clock));
      outcomes[k].decapNs.push(perPacket(timeBursts(receive, decap) - clock));
    });
  }
  return outcomes;
}

if (parentPort !== null) parentPort.postMessage(measure((workerData as TunnelAssignment).passes));
