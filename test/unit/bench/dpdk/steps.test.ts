import { expect, it } from 'vitest';
import { type Profile, stepTimes } from '../../../../bench/dpdk/steps.js';

const node = (id: number, functionName: string, url: string, ...children: number[]) => ({
  id,
  callFrame: { functionName, url },
  children,
});

it('gives the time of a turn to its steps, and no time that is not of a turn', () => {
  const profile: Profile = {
    nodes: [
      node(1, '(root)', '', 2, 9),
      node(2, 'turn', 'file:///w/dist/pipeline/turn.js', 3, 5, 6),
      node(3, 'rx', 'file:///w/dist/port/dpdk.js', 4),
      node(4, 'look', 'file:///w/dist/port/dpdk.js'),
      node(5, 'wasm-function[1]', 'wasm://wasm/97114bd6'),
      node(6, 'fromPort', 'file:///w/dist/pipeline/walk.js', 7),
      node(7, 'tx', 'file:///w/dist/port/dpdk.js'),
      node(9, 'sleep', 'file:///w/dist/pipeline/turn.js'),
    ],
    samples: [1, 2, 3, 4, 5, 6, 7, 9],
    timeDeltas: [1000, 1, 10, 20, 100, 2, 40, 5000],
  };
  expect([...stepTimes(profile).values()]).toEqual([30, 100, 3, 40]);
});
