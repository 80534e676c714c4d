import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What V8's sampling profiler writes for a thread (`node --cpu-prof`), as far as it is read here. */
export interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string }; children?: number[] }[];
  samples: number[];
  /** Microseconds before each sample. */
  timeDeltas: number[];
}

export const STEPS = [
  'rx',
  'parse, learn, lookup, encap or decap',
  'the turn itself, and native code that V8 gives to it',
  'tx',
] as const;
export type Step = (typeof STEPS)[number];

/** The step that a function of the turn belongs to; null: what is below it belongs to the function above. */
function stepOf({ functionName, url }: Profile['nodes'][number]['callFrame']): Step | null {
  if (url.startsWith('wasm:')) return STEPS[1];
  if (!url.endsWith('/port/dpdk.js')) return null;
  if (functionName === 'rx') return 'rx';
  return functionName === 'tx' || functionName === 'release' ? 'tx' : null;
}

/** Microseconds that a thread spent in each step of its turns; warm-up, sleep and whatever is not a turn is left out. */
export function stepTimes({ nodes, samples, timeDeltas }: Profile): Map<Step, number> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const places = new Map<number, Step>();
  const visit = (id: number, step: Step | null): void => {
    const node = byId.get(id);
    if (node === undefined) return;
    const { callFrame, children = [] } = node;
    const isTurn = callFrame.functionName === 'turn' && callFrame.url.endsWith('/pipeline/turn.js');
    const own = isTurn ? STEPS[2] : step === null ? null : (stepOf(callFrame) ?? step);
    if (own !== null) places.set(id, own);
    for (const child of children) visit(child, own);
  };
  visit(nodes[0].id, null);
  const times = new Map<Step, number>(STEPS.map((step) => [step, 0]));
  samples.forEach((id, k) => {
    const step = places.get(id);
    if (step !== undefined) times.set(step, (times.get(step) ?? 0) + timeDeltas[k]);
  });
  return times;
}

/** Shares of the steps in the busiest thread of a program that wrote its profiles to a folder. */
export function sharesOf(folder: string): Map<Step, number> {
  let best = new Map<Step, number>();
  let most = 0;
  for (const name of readdirSync(folder)) {
    const times = stepTimes(JSON.parse(readFileSync(join(folder, name), 'utf8')) as Profile);
    const sum = [...times.values()].reduce((a, b) => a + b, 0);
    if (sum > most) [best, most] = [times, sum];
  }
  return new Map([...best].map(([step, time]) => [step, time / most]));
}
