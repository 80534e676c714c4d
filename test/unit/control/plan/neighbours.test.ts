import { describe, expect, it } from 'vitest';
import { checkValue } from '../../../../src/control/config/check.js';
import type { ConfigInput } from '../../../../src/control/config/config.js';
import { neighbourBytesOf } from '../../../../src/control/plan/neighbours.js';
import { makePlan } from '../../../../src/control/plan/plan.js';
import { neighbourTableBytes } from '../../../../src/forward/neighbourTable.js';
import { faultsOf } from '../faultsOf.js';

type Network = ConfigInput['networks'][number];

const MAC = '02:00:00:00:00:05';
const FACTS = {
  hostname: 'host-a',
  underlayMtu: new Map([['wan', 1500]]),
  underlayPrefixes: new Map(),
  users: new Map(),
  groups: new Map(),
};

const configOf = (networks: Partial<Network>[], bridge: string[] = []): ConfigInput => ({
  underlays: [{ name: 'wan', address: '192.0.2.1' }],
  networks: networks.map((network, n) => ({ name: `n${n}`, vni: 10 + n, underlay: 'wan', ...network })),
  bridge,
});

function planOf(networks: Partial<Network>[], bridge?: string[]) {
  const { config, problems } = checkValue(configOf(networks, bridge));
  expect(problems).toEqual([]);
  return makePlan(config!, FACTS).plan;
}

const limitsOf = (...args: Parameters<typeof planOf>) => planOf(...args).networks.map((n) => n.neighbourLimit);

describe('a network answers for neighbours', () => {
  it('where it is a switch with an underlay, unless it is told not to', () => {
    expect(limitsOf([{}, { suppressNeighbours: false }, { neighbourLimit: 7 }])).toEqual([8192, 0, 7]);
    expect(limitsOf([{ mode: 'l3' }])).toEqual([0]);
  });

  it('of local ports alone if it is told to, or given static ones', () => {
    const local = { underlay: undefined };
    const staticNeighbours = [{ address: '10.0.0.5', mac: MAC }];
    expect(limitsOf([local, { ...local, suppressNeighbours: true }, { ...local, staticNeighbours }])).toEqual([
      0, 8192, 8192,
    ]);
  });

  it('only if those that it is bridged with do', () => {
    expect(limitsOf([{}, { suppressNeighbours: false }, {}], ['n0', 'n1'])).toEqual([0, 0, 8192]);
  });

  it('with static ones, which belong to the domain, in one way to write them', () => {
    const staticNeighbours = [
      { address: '10.0.0.5', mac: '02:00:00:00:00:AA' },
      { address: 'FE80:0::5', mac: MAC, router: true },
    ];
    expect(planOf([{}, { staticNeighbours }], ['n0', 'n1']).staticNeighbours).toEqual([
      { network: 1, address: '10.0.0.5', mac: '02:00:00:00:00:aa', isRouter: false },
      { network: 1, address: 'fe80::5', mac: MAC, isRouter: true },
    ]);
  });

  it('in a table with room for all that are wanted', () => {
    const bytes = (networks: Partial<Network>[]) => neighbourBytesOf(checkValue(configOf(networks)).config!);
    expect(bytes([{ neighbourLimit: 1 }])).toBe(neighbourTableBytes(8192));
    expect(bytes([{ neighbourLimit: 20_000 }, { neighbourLimit: 20_000 }])).toBe(neighbourTableBytes(40_000));
  });
});

describe('refused is', () => {
  const staticOf = (address: string, mac = MAC): Partial<Network> => ({ staticNeighbours: [{ address, mac }] });
  const twice = [
    { address: 'fd00::5', mac: MAC },
    { address: 'FD00:0::5', mac: MAC },
  ];
  it.each<[string, Partial<Network>, RegExp]>([
    ['suppression in a router', { mode: 'l3', suppressNeighbours: true }, /mode l3 looks into no ARP/],
    ['a static one in a router', { mode: 'l3', ...staticOf('10.0.0.5') }, /mode l3 looks into no ARP/],
    ['a static one that would not count', { suppressNeighbours: false, ...staticOf('10.0.0.5') }, /count only where/],
    ['an address with two MACs', { staticNeighbours: twice }, /fd00::5 has a MAC already/],
    ['a prefix', staticOf('10.0.0.5/24'), /not an IP address/],
    ['a group', staticOf('ff02::1'), /multicast/],
    ['an address in another form', staticOf('::ffff:10.0.0.5'), /IPv4 address in IPv6 form/],
    ['a group MAC', staticOf('10.0.0.5', '03:00:00:00:00:05'), /multicast/],
    ['no room at all', { neighbourLimit: 0 }, /neighbourLimit/],
  ])('%s', (_, network, message) => {
    expect(faultsOf({ vni: 1, ...network }).join('\n')).toMatch(message);
  });
});
