import type { Steps } from '../../dist/pipeline/walk.js';
import type { Scenario } from './scenario.js';

/**
 * Times the steps of the walk, a burst at a time. Two looks at the clock cost about as much as a nanosecond or two a packet, so the total
 * is measured without it and the cost of looking is taken off each step.
 */
export interface StepTimer {
  wrap(steps: Steps): Steps;
  /** The same for any function. */
  timed(name: string, step: AnyStep): AnyStep;
  /** Devices are not steps: their rx and tx are timed by replacing the functions. */
  wrapDevices(scenario: Scenario): void;
  reset(): void;
  /** Nanoseconds since reset by step, each without what other timed parts within it took; `clock` is what looking at the clock took. */
  read(): { byStep: Map<string, number>; clockNs: number };
}

// biome-ignore lint/suspicious/noExplicitAny: steps have all kinds of arguments, handed on as they are
export type AnyStep = (a?: any, b?: any, c?: any, d?: any, e?: any, f?: any, g?: any, h?: any) => any;

const PARTS_MAX = 96;
/** A part of a burst takes a few microseconds; what takes this long was preempted. Its time is left to the others of its kind. */
const PREEMPTED_MS = 0.05;
const EMPTY_LAPS = 5000;
const EMPTY_ATTEMPTS = 10;

export function createStepTimer(): StepTimer {
  const names: string[] = [];
  const spent = new Float64Array(PARTS_MAX);
  const calls = new Float64Array(PARTS_MAX);
  const preempted = new Float64Array(PARTS_MAX);
  /** Time and calls of timed parts inside the part that runs now. */
  let inside = 0;
  let callsInside = 0;

  function timed(name: string, step: AnyStep): AnyStep {
    const known = names.indexOf(name);
    const k = known >= 0 ? known : names.push(name) - 1;
    return (a, b, c, d, e, f, g, h) => {
      const outerInside = inside;
      inside = 0;
      const start = performance.now();
      const result = step(a, b, c, d, e, f, g, h);
      const took = performance.now() - start;
      calls[k]++;
      if (took < PREEMPTED_MS) spent[k] += took - inside;
      else preempted[k]++;
      inside = outerInside + took;
      callsInside++;
      return result;
    };
  }

  /** Milliseconds that an empty part seems to take, and that it takes as seen from outside: the quickest of a few tries. */
  function costOfLooking(): { seen: number; whole: number } {
    const empty = timed('', () => 0);
    const k = names.length - 1;
    const cost = { seen: Number.POSITIVE_INFINITY, whole: Number.POSITIVE_INFINITY };
    for (let attempt = 0; attempt < EMPTY_ATTEMPTS; attempt++) {
      spent[k] = 0;
      const start = performance.now();
      for (let lap = 0; lap < EMPTY_LAPS; lap++) empty();
      cost.whole = Math.min(cost.whole, (performance.now() - start) / EMPTY_LAPS);
      cost.seen = Math.min(cost.seen, spent[k] / EMPTY_LAPS);
    }
    names.pop();
    spent[k] = 0;
    calls[k] = 0;
    preempted[k] = 0;
    return cost;
  }

  return {
    timed,
    wrap(steps) {
      const wrapped: Record<string, AnyStep> = {};
      for (const [name, step] of Object.entries(steps)) wrapped[name] = timed(name, step as AnyStep);
      return wrapped as unknown as Steps;
    },
    wrapDevices({ pipeline, port, underlay }) {
      const { walk } = pipeline;
      const timedPort = { ...port, rx: timed('rx', port.rx), tx: timed('tx', port.tx) };
      const rx = timed('rx', underlay.rx);
      const nextLanes = timed('outer', underlay.nextLanes);
      const timedUnderlay = { ...underlay, rx, nextLanes, tx: timed('tx', underlay.tx) };
      for (let id = 0; id < walk.ports.length; id++) if (walk.ports[id] === port) walk.ports[id] = timedPort;
      for (let id = 0; id < walk.underlays.length; id++)
        if (walk.underlays[id] === underlay) walk.underlays[id] = timedUnderlay;
    },
    reset() {
      spent.fill(0);
      calls.fill(0);
      preempted.fill(0);
      callsInside = 0;
    },
    read() {
      const before = names.map((_, k) => ({
        calls: calls[k],
        spent: calls[k] === 0 ? 0 : (spent[k] * calls[k]) / Math.max(1, calls[k] - preempted[k]),
      }));
      const looks = callsInside;
      const { seen, whole } = costOfLooking();
      const byStep = new Map<string, number>();
      names.forEach((name, k) => {
        const ns = (before[k].spent - before[k].calls * seen) * 1e6;
        if (before[k].calls > 0) byStep.set(name, (byStep.get(name) ?? 0) + ns);
      });
      return { byStep, clockNs: looks * whole * 1e6 };
    },
  };
}
