import { LANES } from '../../../dist/packet/burst.js';
import type { Steps } from '../../../dist/pipeline/walk.js';
import { createScenario, type Scenario, type Variant } from '../../pipeline/scenario.js';
import type { Case } from '../cases.js';

/** One burst whose frames and columns stay in the cache: what the instructions of a step cost, not the memory. */
const HOT = { flows: LANES, macs: 64, transport: 'udp', frameBytes: 64, frameOffset: 0, checksum: false } as const;

interface Opened {
  scenario: Scenario;
  steps: Steps;
  /** The walk's own list of lanes: encap wants one that lies in the arena. */
  list: Int32Array;
}

function open(variant: Variant): Opened {
  const opened: Partial<Opened> = {};
  const scenario = createScenario(variant, (steps) => {
    opened.steps = steps;
    const sendToFrame: Steps['sendToFrame'] = (underlay, list, count, onlyPeer) => {
      opened.list = list;
      steps.sendToFrame(underlay, list, count, onlyPeer);
    };
    return { ...steps, sendToFrame };
  });
  // Every step has its final form, and the columns hold a whole burst.
  for (let k = 0; k < 2000; k++) scenario.walkOnce();
  return { ...(opened as Opened), scenario };
}

const burst = (name: string, run: () => unknown): Case => ({ name, operations: LANES, run });

/** The way out: local frames to a frame underlay. */
export function outCases(): Case[] {
  const { scenario, steps, list } = open({ ...HOT, name: 'out', direction: 'encap' });
  const { port, underlay } = scenario;
  const { flags } = scenario.pipeline.burst;
  if (underlay.kind !== 'frame') throw new Error('a frame underlay is expected');
  return [
    burst('out: rx of a memory port', () => port.rx()),
    burst('out: parse', () => {
      flags.fill(0);
      steps.parse(LANES);
    }),
    burst('out: learn, sources known', () => {
      steps.prefetch(LANES);
      steps.learn(LANES);
    }),
    burst('out: lookup, destinations known', () => {
      steps.prefetch(LANES);
      steps.lookup(LANES);
    }),
    burst('out: prefetch alone', () => steps.prefetch(LANES)),
    burst('out: VXLAN encap and count', () => steps.sendToFrame(underlay, list, LANES, 0)),
    burst('out: the whole walk', scenario.walkOnce),
  ];
}

/** The way in: outer frames to a local port. Steps move the lanes, so each case begins with rx. */
export function inCases(): Case[] {
  const { scenario, steps } = open({ ...HOT, name: 'in', direction: 'decap' });
  const { underlay } = scenario;
  const receive = () => {
    underlay.rx();
    underlay.nextLanes();
  };
  return [
    burst('in: rx and outer headers', receive),
    burst('in: the same and VXLAN decap', () => {
      receive();
      steps.decap(LANES, underlay);
    }),
    burst('in: the same and parse', () => {
      receive();
      steps.decap(LANES, underlay);
      steps.parse(LANES);
    }),
    burst('in: the whole walk', scenario.walkOnce),
  ];
}
