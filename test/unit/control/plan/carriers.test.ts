import { describe, expect, it } from 'vitest';
import { checkValue, requireConfig } from '../../../../src/control/config/check.js';
import type { ConfigInput } from '../../../../src/control/config/config.js';
import { type HostFacts, makePlan } from '../../../../src/control/plan/plan.js';
import type { Plan, UnderlayPlan } from '../../../../src/pipeline/plan.js';

const FACTS: HostFacts = {
  hostname: 'h',
  underlayMtu: new Map([
    ['lan', 1500],
    ['lan6', 1500],
  ]),
  underlayPrefixes: new Map([
    ['lan', ['192.0.2.1/24']],
    ['lan6', ['2001:db8::1/64']],
  ]),
  users: new Map(),
  groups: new Map(),
};
const UNDERLAYS = [
  { name: 'lan', address: '192.0.2.1' },
  { name: 'lan6', address: '2001:DB8:0::1' },
];

type Network = ConfigInput['networks'][number];

const planned = (
  networks: Network[],
  rest: Partial<ConfigInput> = {},
  previous: ReturnType<typeof makePlan> | null = null,
) => makePlan(requireConfig(checkValue({ underlays: UNDERLAYS, networks, ...rest })), FACTS, previous);
const plan = (...args: Parameters<typeof planned>): Plan => planned(...args).plan;

const tun = (name: string, rest: object = {}) => ({ name, type: 'tun' as const, ...rest });

describe('carriers', () => {
  const NETWORKS: Network[] = [
    { name: 'a', underlay: 'lan', vni: 1 },
    { name: 'b', underlay: 'lan', vni: 1, encapsulation: 'geneve' },
    { name: 'c', underlay: 'lan', vni: 2, encapsulation: 'geneve' },
    { name: 'd', underlay: 'lan', encapsulation: 'gre' },
    { name: 'e', underlay: 'lan', encapsulation: { type: 'gre', key: 5 } },
    { name: 'f', underlay: 'lan', encapsulation: 'ipip', ports: [tun('f0')] },
    { name: 'g', underlay: 'lan', encapsulation: { type: 'fou', udpPort: 5555 }, ports: [tun('g0')] },
    { name: 'h', underlay: 'lan', preset: 'flannel', ports: [tun('h0')] },
    { name: 'i', underlay: 'lan', vni: 9, encapsulation: { type: 'vxlan', gpe: true } },
  ];

  it('over raw sockets deliver what the kernel may have joined, unless told otherwise', () => {
    const delivers = (settings: object) =>
      plan(NETWORKS, { underlays: [{ ...UNDERLAYS[0], ...settings }] }).underlays.map((u) => u.deliverOffloadLeak);
    const isRaw = (u: UnderlayPlan) => u.kind === 'raw';
    expect(delivers({})).toEqual(plan(NETWORKS, { underlays: [UNDERLAYS[0]] }).underlays.map(isRaw));
    expect(new Set(delivers({}))).toEqual(new Set([true, false]));
    expect(new Set(delivers({ offloadLeak: 'drop' }))).toEqual(new Set([false]));
    expect(new Set(delivers({ offloadLeak: 'deliver' }))).toEqual(new Set([true]));
  });

  it('are one for each UDP port and each set of IP protocols, with names that stay', () => {
    const { underlays, networks } = plan(NETWORKS);
    expect(underlays.map((u) => [u.name, u.underlay, u.kind, u.tunnel, u.udpPort, u.address])).toEqual([
      ['lan', 'lan', 'udp', 'vxlan', 4789, '192.0.2.1'],
      ['lan/geneve', 'lan', 'udp', 'geneve', 6081, '192.0.2.1'],
      ['lan/gre', 'lan', 'raw', 'gre', 0, '192.0.2.1'],
      ['lan/ipip', 'lan', 'raw', 'ipip', 0, '192.0.2.1'],
      ['lan/fou:5555', 'lan', 'udp', 'fou', 5555, '192.0.2.1'],
      ['lan/vxlan:8472', 'lan', 'udp', 'vxlan', 8472, '192.0.2.1'],
      ['lan/vxlan:4790', 'lan', 'udp', 'vxlan', 4790, '192.0.2.1'],
      // Without networks it listens for VXLAN. Addresses are written the one way.
      ['lan6', 'lan6', 'udp', 'vxlan', 4789, '2001:db8::1'],
    ]);
    expect(networks.map((n) => underlays.find((u) => u.id === n.underlays[0])!.name)).toEqual([
      'lan',
      'lan/geneve',
      'lan/geneve',
      'lan/gre',
      'lan/gre',
      'lan/ipip',
      'lan/fou:5555',
      'lan/vxlan:8472',
      'lan/vxlan:4790',
    ]);
    expect(underlays.filter((u) => u.kind === 'raw').map((u) => u.sourcePortCount)).toEqual([0, 0]);
  });

  it('keep their ids when others go', () => {
    const first = planned(NETWORKS);
    const second = planned(NETWORKS.slice(3), {}, first);
    const idOf = (p: Plan, name: string) => p.underlays.find((u) => u.name === name)!.id;
    for (const name of ['lan/gre', 'lan/ipip', 'lan/fou:5555', 'lan/vxlan:8472'])
      expect(idOf(second.plan, name)).toBe(idOf(first.plan, name));
  });

  it('give the plain name to VXLAN on the port of the underlay', () => {
    const underlays = [{ name: 'lan', address: '192.0.2.1', udpPort: 8472 }];
    const networks: Network[] = [
      { name: 'a', underlay: 'lan', vni: 1 },
      { name: 'b', underlay: 'lan', vni: 1, encapsulation: { type: 'vxlan', udpPort: 4789 } },
    ];
    expect(plan(networks, { underlays }).underlays.map((u) => [u.name, u.udpPort])).toEqual([
      ['lan', 8472],
      ['lan/vxlan', 4789],
    ]);
  });

  it('of a frame underlay are one for all kinds', () => {
    const frame = {
      type: 'memory' as const,
      mac: '02:00:00:00:00:01',
      neighbours: { '2001:DB8::2': '02:00:00:00:00:02' },
    };
    const underlays = [{ name: 'lan', kind: 'frame' as const, address: '2001:db8::1', ttl: 'inherit' as const, frame }];
    const networks = NETWORKS.filter((n) => 'abdef'.includes(n.name));
    const made = plan(networks, { underlays }).underlays;
    expect(made).toHaveLength(1);
    expect(made[0]).toMatchObject({ name: 'lan', kind: 'frame', tunnel: 'none', ttl: 0 });
    expect(made[0].frame!.neighbours).toEqual({ '2001:db8::2': '02:00:00:00:00:02' });
  });

  it('have peers that listen on the port of the network', () => {
    const networks: Network[] = [
      {
        name: 'b',
        underlay: 'lan',
        vni: 1,
        encapsulation: 'geneve',
        peers: ['192.0.2.2', { address: '192.0.2.3', udpPort: 7 }],
      },
      { name: 'd', underlay: 'lan', encapsulation: 'gre', peers: ['192.0.2.2'] },
      { name: 'k', underlay: 'lan6', vni: 3, peers: ['2001:DB8::0:2'] },
    ];
    const { peers, underlays } = plan(networks);
    expect(peers.map((p) => [underlays.find((u) => u.id === p.underlay)!.name, p.address, p.udpPort])).toEqual([
      ['lan/geneve', '192.0.2.2', 6081],
      ['lan/geneve', '192.0.2.3', 7],
      ['lan/gre', '192.0.2.2', 0],
      ['lan6', '2001:db8::2', 4789],
    ]);
  });
});

describe('the MTU of a network', () => {
  const mtus = (networks: Network[], rest: Partial<ConfigInput> = {}) =>
    plan(networks, rest).networks.map((n) => n.mtu);

  it('is what the tunnel leaves', () => {
    expect(
      mtus([
        { name: 'a', underlay: 'lan', vni: 1 },
        { name: 'b', underlay: 'lan6', vni: 1 },
        { name: 'c', underlay: 'lan', encapsulation: 'ipip', ports: [tun('c0')] },
        {
          name: 'd',
          underlay: 'lan6',
          vni: 2,
          encapsulation: { type: 'geneve', options: [{ class: 1, type: 2, data: '00000000' }] },
        },
      ]),
    ).toEqual([1450, 1430, 1480, 1422]);
  });

  it('is the smallest of all that are bridged, unless it is given', () => {
    const networks: Network[] = [
      { name: 'a', underlay: 'lan', vni: 1 },
      { name: 'b', underlay: 'lan6', vni: 1 },
      { name: 'c', vni: 5 },
      { name: 'd', underlay: 'lan', vni: 4, mtu: 1400 },
    ];
    expect(
      mtus(networks, {
        bridge: [
          ['a', 'b'],
          ['b', 'c'],
        ],
      }),
    ).toEqual([1430, 1430, 1430, 1400]);
    expect(mtus(networks, { bridge: ['a', 'd'] })).toEqual([1400, 1430, 1500, 1400]);
  });

  it('that does not fit is refused, with the bytes of its tunnel', () => {
    expect(() =>
      mtus([{ name: 'a', underlay: 'lan', mtu: 1477, encapsulation: 'gre', mode: 'l3', ports: [tun('t')] }]),
    ).toThrow(/MTU 1477 and 24 bytes of GRE headers do not fit/);
  });
});

describe('domains', () => {
  it('have the static MACs of all their networks', () => {
    const mac = '02:00:00:00:00:01';
    const networks = ['a', 'b'].map((name, i) => ({
      name,
      underlay: 'lan',
      vni: i + 1,
      peers: [`192.0.2.${i + 2}`],
      staticMacs: name === 'b' ? [{ mac, peer: '192.0.2.3' }] : [],
    }));
    expect(plan(networks).statics).toEqual([{ network: 2, mac, port: 0, peer: 2 }]);
    expect(plan(networks, { bridge: ['a', 'b'] }).statics).toEqual([{ network: 1, mac, port: 0, peer: 2 }]);
  });

  it('are the smallest network of all that are joined', () => {
    const networks = ['a', 'b', 'c', 'd', 'e'].map((name, i) => ({ name, underlay: 'lan', vni: i + 1 }));
    const made = plan(networks, {
      bridge: [
        ['c', 'e'],
        ['b', 'e'],
      ],
    });
    expect(made.networks.map((n) => n.domain)).toEqual([1, 2, 2, 4, 2]);
  });
});

describe('routes', () => {
  const routed = (rest: Partial<Network>, more: Network[] = [], config: Partial<ConfigInput> = {}) =>
    plan([{ name: 'r', underlay: 'lan', encapsulation: 'ipip', ...rest }, ...more], config);
  const shown = (p: Plan) =>
    p.routes.map((r) => `${r.network} ${r.prefix} ${r.port ? `port ${r.port}` : `peer ${r.peer}`}`);

  it('lead to peers, and everything else to the only port', () => {
    const made = routed({
      ports: [tun('r0', { addresses: ['10.1.0.1/16'] })],
      peers: [
        { address: '192.0.2.2', prefixes: ['10.2.0.0/16', 'FD00:2::/32'] },
        { address: '192.0.2.3', prefixes: ['10.3.0.0/16'] },
      ],
    });
    expect(shown(made)).toEqual([
      '1 0.0.0.0/0 port 1',
      '1 ::/0 port 1',
      '1 10.2.0.0/16 peer 1',
      '1 fd00:2::/32 peer 1',
      '1 10.3.0.0/16 peer 2',
    ]);
    expect(made.ports[0].tap).toMatchObject({ hostRoutes: ['10.2.0.0/16', 'fd00:2::/32', '10.3.0.0/16'], mac: null });
    expect(made.networks[0]).toMatchObject({ mode: 'l3', vtepMac: null });
  });

  it('of several ports are their prefixes, and hosts reach those that are elsewhere', () => {
    const made = routed({
      ports: [
        tun('a', { prefixes: ['10.1.0.0/24'] }),
        tun('b', { prefixes: ['10.1.1.0/24'], netns: 'x' }),
        tun('c', { prefixes: ['10.1.2.0/24'], netns: '/run/netns/x' }),
        { name: 'm', type: 'memory', prefixes: ['10.1.3.0/24'] },
      ],
      peers: [{ address: '192.0.2.2', prefixes: ['10.2.0.0/16'] }],
    });
    expect(made.ports.map((p) => p.tap?.hostRoutes)).toEqual([
      ['10.1.1.0/24', '10.1.2.0/24', '10.1.3.0/24', '10.2.0.0/16'],
      ['10.1.0.0/24', '10.1.3.0/24', '10.2.0.0/16'],
      // A namespace has each route once.
      [],
      undefined,
    ]);
  });

  it('of bridged networks are one table', () => {
    const made = routed(
      { ports: [tun('r0')], peers: [{ address: '192.0.2.2', prefixes: ['10.2.0.0/16'] }] },
      [
        {
          name: 's',
          underlay: 'lan',
          encapsulation: 'gue',
          peers: [{ address: '192.0.2.9', prefixes: ['10.9.0.0/16'] }],
        },
      ],
      { bridge: ['s', 'r'] },
    );
    expect(shown(made)).toEqual([
      '1 0.0.0.0/0 port 1',
      '1 ::/0 port 1',
      '1 10.2.0.0/16 peer 1',
      '1 10.9.0.0/16 peer 2',
    ]);
    expect(made.ports[0].tap!.hostRoutes).toEqual(['10.2.0.0/16', '10.9.0.0/16']);
  });

  it('leave the kernel those to peers on the own link', () => {
    const peers = [
      { address: '192.0.2.2', prefixes: ['10.2.0.0/16'] },
      { address: '192.0.3.3', prefixes: ['10.3.0.0/16'] },
    ];
    const of = (routing: 'tunnel' | 'crossSubnet' | 'direct') => {
      const made = routed({ routing, ports: [tun('r0')], peers });
      return { direct: made.peers.map((p) => p.direct), hostRoutes: made.ports[0].tap!.hostRoutes };
    };
    expect(of('tunnel')).toEqual({ direct: [false, false], hostRoutes: ['10.2.0.0/16', '10.3.0.0/16'] });
    expect(of('crossSubnet')).toEqual({ direct: [true, false], hostRoutes: ['10.3.0.0/16'] });
    expect(of('direct')).toEqual({ direct: [true, true], hostRoutes: [] });
  });

  it('behind a frame underlay go through weft, also direct ones', () => {
    const frame = { type: 'memory' as const, mac: '02:00:00:00:00:01', prefix: '198.18.0.0/24' };
    const made = routed(
      {
        routing: 'crossSubnet',
        ports: [tun('r0', { netns: 'x' })],
        peers: [
          { address: '198.18.0.2', prefixes: ['10.2.0.0/16'] },
          { address: '198.19.0.2', prefixes: ['10.3.0.0/16'] },
        ],
      },
      [],
      { underlays: [{ name: 'lan', kind: 'frame', address: '198.18.0.1', frame }] },
    );
    expect(made.peers.map((p) => p.direct)).toEqual([true, false]);
    expect(made.ports[0].tap!.hostRoutes).toEqual(['10.2.0.0/16', '10.3.0.0/16']);
  });
});

describe('MACs of tunnel endpoints', () => {
  it('are given, or made of the last four bytes of the address', () => {
    const made = plan([
      {
        name: 'f',
        underlay: 'lan',
        preset: 'flannel',
        ports: [tun('f0')],
        peers: ['192.0.2.2', { address: '192.0.2.3', mac: '06:AB:00:00:00:01' }],
      },
      {
        name: 'g',
        underlay: 'lan6',
        mode: 'l3',
        vni: 2,
        vtepMac: '02:00:00:00:00:AA',
        ports: [tun('g0')],
        peers: ['2001:db8::a:b0c'],
      },
      { name: 'h', underlay: 'lan', vni: 3, peers: ['192.0.2.2'] },
    ]);
    expect(made.networks.map((n) => n.vtepMac)).toEqual(['02:00:c0:00:02:01', '02:00:00:00:00:aa', null]);
    expect(made.peers.map((p) => p.mac)).toEqual(['02:00:c0:00:02:02', '06:ab:00:00:00:01', '02:00:00:0a:0b:0c', null]);
  });
});
