import { describe, expect, it } from 'vitest';
import { checkValue, requireConfig } from '../../../../src/control/config/check.js';
import type { ConfigInput } from '../../../../src/control/config/config.js';
import { type HostFacts, makePlan } from '../../../../src/control/plan/plan.js';

type Frame = NonNullable<NonNullable<ConfigInput['underlays']>[number]['frame']>;

const FACTS: HostFacts = {
  hostname: 'host-a',
  underlayMtu: new Map(),
  underlayPrefixes: new Map(),
  users: new Map(),
  groups: new Map(),
};

const checked = (frame: Partial<Frame>, peers: string[]) =>
  checkValue({
    underlays: [
      {
        name: 'lan',
        kind: 'frame',
        address: '198.18.0.1',
        frame: { type: 'dpdk', devargs: 'net_null0', mac: '02:00:00:00:00:01', ...frame },
      },
    ],
    networks: ['blue', 'green'].map((name, k) => ({ name, vni: k + 1, underlay: 'lan', peers })),
  });
const planned = (frame: Partial<Frame>, peers: string[], facts = FACTS, previous?: ReturnType<typeof makePlan>) =>
  makePlan(requireConfig(checked(frame, peers)), facts, previous);
const planOf = (...args: Parameters<typeof planned>) => planned(...args).plan;

describe('next hops of a plan', () => {
  it('are the peers themselves on the link, each once, and the gateway for all others', () => {
    const plan = planOf({ prefix: '198.18.0.0/24', gateway: '198.18.0.254' }, ['198.18.0.2', '10.1.0.1', '10.2.0.1']);
    expect(plan.nextHops).toEqual([
      { id: 1, underlay: 1, address: '198.18.0.2' },
      { id: 2, underlay: 1, address: '198.18.0.254' },
    ]);
    expect(plan.peers.map(({ address, via, nextHop }) => [address, via, nextHop])).toEqual([
      ...[1, 2].flatMap(() => [
        ['198.18.0.2', undefined, 1],
        ['10.1.0.1', '198.18.0.254', 2],
        ['10.2.0.1', '198.18.0.254', 2],
      ]),
    ]);
  });

  it('that are configured are not looked for', () => {
    const plan = planOf({ neighbours: { '198.18.0.2': '02:00:00:00:00:02' } }, ['198.18.0.2', '198.18.0.3']);
    expect(plan.nextHops).toEqual([{ id: 1, underlay: 1, address: '198.18.0.3' }]);
    expect(plan.peers.map(({ nextHop }) => nextHop)).toEqual([undefined, 1, undefined, 1]);
  });

  it.each<[string, Partial<Frame>, object | undefined]>([
    ['weft, on devices of DPDK', {}, { by: 'weft' }],
    ['nobody, when told so', { resolve: false }, undefined],
    ['nobody, in memory', { type: 'memory', devargs: undefined }, undefined],
    ['weft, in memory, when told so', { type: 'memory', devargs: undefined, resolve: true }, { by: 'weft' }],
    ['the kernel, where it is told which interface', { kernel: 'eth1' }, { by: 'kernel', device: 'eth1' }],
  ])('are found by %s', (_name, frame, resolver) => {
    const plan = planOf(frame, ['198.18.0.2']);
    expect(plan.underlays[0].frame?.resolver).toEqual(resolver);
    expect(plan.nextHops === undefined).toBe(resolver === undefined);
  });

  it('are found by the kernel where one of its interfaces has the address, unless told otherwise', () => {
    const facts = { ...FACTS, underlayKernel: new Map([['lan', 'eth7']]) };
    expect(planOf({}, [], facts).underlays[0].frame?.resolver).toEqual({ by: 'kernel', device: 'eth7' });
    expect(planOf({ kernel: false }, [], facts).underlays[0].frame?.resolver).toEqual({ by: 'weft' });
  });

  it('keep their ids, and get those of others only when there are no fresh ones', () => {
    const first = planned({}, ['198.18.0.2', '198.18.0.3']);
    const second = planned({}, ['198.18.0.3', '198.18.0.4'], FACTS, first);
    expect(second.plan.nextHops?.map(({ id, address }) => [id, address])).toEqual([
      [2, '198.18.0.3'],
      [3, '198.18.0.4'],
    ]);
  });

  it.each<[string, Partial<Frame>, RegExp]>([
    ['a gateway without a prefix', { gateway: '198.18.0.254' }, /gateway: a gateway needs `prefix`/],
    [
      'a gateway elsewhere',
      { prefix: '198.18.0.0/24', gateway: '10.0.0.1' },
      /10\.0\.0\.1 is not within 198\.18\.0\.0\/24/,
    ],
    [
      "the kernel's neighbours in memory",
      { type: 'memory', devargs: undefined, kernel: 'eth1' },
      /kernel: .*devices of DPDK/,
    ],
  ])('cannot have %s', (_name, frame, message) => {
    const { problems } = checked(frame, []);
    expect(problems.map(({ path, message: text }) => `${path}: ${text}`).join('\n')).toMatch(message);
  });
});
