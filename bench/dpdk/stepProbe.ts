import { readFileSync, writeFileSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';
import { isMainThread } from 'node:worker_threads';
import { type AnyStep, createStepTimer } from '../pipeline/stepTimer.js';
import { type Probed, SHORT, UP_TO_FORWARD, UP_TO_PARSE } from './steps.js';

/*
 * Loaded into a node before its own code (`node --import`): looks at the clock around the native calls and the kernels of a worker that moves
 * frames, and at its heap. Bursts are of several sorts, in turn: nothing is timed but the whole; every step is; or, before the burst goes its way,
 * kernels that end after parse and after forward, which a benchmark has built, do so much of it.
 *
 * STEP_PROBE is JSON: file that the result goes to, and those kernels.
 */
const WHOLE = 0;
const STEPS = 1;
const PARSE = 2;
const FORWARD = 3;
/** Nothing is timed: the heap is looked at. */
const QUIET = 4;
/** A turn has four bursts: with five each sort comes first, second, third and last. */
const SORTS = [WHOLE, STEPS, PARSE, WHOLE, FORWARD];

/** Code is compiled, and tables are filled, until then. */
const WARM_BURSTS = 50_000;
const TIMED_BURSTS = 100_000;
const HEAP_BURSTS = 30_000;
const HEAP_LOOKS = 8;
/** What takes this long was preempted. */
const PREEMPTED_MS = 0.1;

export interface ProbeSettings {
  file: string;
  /** The short way's kernel, up to parse and up to forward. */
  partial: [string, string];
}

type Functions = Record<string, AnyStep>;

function install({ file, partial }: ProbeSettings): void {
  const timer = createStepTimer();
  let sort = QUIET;
  let bursts = 0;
  let wasBurst = false;
  let since = 0;
  let wholeMs = 0;
  const packets = new Float64Array(5);
  /** Of whole bursts that were not preempted. */
  let wholePackets = 0;
  let last = 0;
  const used = new Float64Array(HEAP_LOOKS);
  const moved = new Float64Array(HEAP_LOOKS);
  let looks = 0;
  const timedSort = (at: number, timed: AnyStep, plain: AnyStep): AnyStep =>
    function either(a, b, c, d, e, f, g, h) {
      return sort === at ? timed(a, b, c, d, e, f, g, h) : plain(a, b, c, d, e, f, g, h);
    };

  function lookAtHeap(): void {
    used[looks] = getHeapStatistics().used_heap_size;
    moved[looks] = packets[QUIET];
    if (++looks === HEAP_LOOKS) finish();
  }

  function finish(): void {
    const { byStep } = timer.read();
    const of = (name: string) => (name === UP_TO_PARSE ? PARSE : name === UP_TO_FORWARD ? FORWARD : STEPS);
    const ns = Object.fromEntries([...byStep].map(([name, sum]) => [name, sum / packets[of(name)]]));
    const probed: Probed = {
      wholeNs: (wholeMs * 1e6) / wholePackets,
      ns,
      heap: Array.from(used, (bytes, k) => ({ bytes, packets: moved[k] })),
    };
    writeFileSync(file, JSON.stringify(probed));
  }

  /** Between the end of a burst and the next look for one. */
  function nextBurst(): void {
    bursts++;
    if (sort === WHOLE) {
      const took = performance.now() - since;
      if (took < PREEMPTED_MS) {
        wholeMs += took;
        wholePackets += last;
      }
    }
    if (bursts <= WARM_BURSTS) return;
    const timed = bursts - WARM_BURSTS;
    sort = timed < TIMED_BURSTS ? SORTS[timed % SORTS.length] : QUIET;
    if (sort === WHOLE) since = performance.now();
    if (sort === QUIET && looks < HEAP_LOOKS && (timed - TIMED_BURSTS) % HEAP_BURSTS === 0) lookAtHeap();
    if (timed === TIMED_BURSTS) packets[QUIET] = 0;
  }

  function watchQueue(queue: Functions): void {
    for (const name of ['tx', 'release']) queue[name] = timedSort(STEPS, timer.timed(name, queue[name]), queue[name]);
    const { rx } = queue;
    const either = timedSort(STEPS, timer.timed('rx', rx), rx);
    queue.rx = () => {
      if (wasBurst) nextBurst();
      const n = either() as number;
      wasBurst = n > 0;
      if (wasBurst) {
        packets[sort] += n;
        last = n;
      }
      return n;
    };
  }

  const { dlopen } = process;
  process.dlopen = (module, ...rest) => {
    dlopen.call(process, module, ...(rest as [string]));
    const addon = (module as { exports: Functions }).exports;
    if (addon.bindQueue === undefined) return;
    const { bindQueue } = addon;
    addon.bindQueue = (...args) => {
      const queue = bindQueue(...args) as Functions;
      watchQueue(queue);
      return queue;
    };
  };

  const { Instance, Module } = WebAssembly;
  const partials = partial.map((path) => new Module(readFileSync(path)));
  /** Every kernel's functions, timed; the short way's are preceded by the partial ones. */
  function instantiate(module: WebAssembly.Module, imports: WebAssembly.Imports): { exports: object } {
    const instance = new Instance(module, imports);
    const own = instance.exports as Functions;
    // Node has kernels, too.
    if (own.bind === undefined && own.bindLanes === undefined) return instance;
    const others = own.straight === undefined ? [] : partials.map((m) => new Instance(m, imports).exports as Functions);
    const exports: Functions = {};
    for (const [name, step] of Object.entries(own)) {
      const whole = timedSort(STEPS, timer.timed(name, step), step);
      if (name.startsWith('bind')) {
        exports[name] = (...args) => {
          for (const kernel of [own, ...others]) kernel[name](...args);
        };
      } else if (SHORT[name] === undefined) exports[name] = whole;
      else {
        const upToParse = timer.timed(UP_TO_PARSE, others[0][name]);
        const upToForward = timer.timed(UP_TO_FORWARD, others[1][name]);
        exports[name] = (a, b, c, d, e, f, g, h) => {
          if (sort === PARSE) upToParse(a, b, c, d, e, f, g, h);
          else if (sort === FORWARD) upToForward(a, b, c, d, e, f, g, h);
          return whole(a, b, c, d, e, f, g, h);
        };
      }
    }
    return { exports };
  }
  WebAssembly.Instance = function Probe(module: WebAssembly.Module, imports: WebAssembly.Imports) {
    return instantiate(module, imports);
  } as unknown as typeof WebAssembly.Instance;
}

if (!isMainThread && process.env.STEP_PROBE !== undefined) install(JSON.parse(process.env.STEP_PROBE));
