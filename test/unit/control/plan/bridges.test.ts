import { describe, expect, it } from 'vitest';
import { faultsOf } from '../faultsOf.js';

describe('prefixes', () => {
  const routed = (ports: object[], peers: object[], rest: object = {}) =>
    faultsOf({ encapsulation: 'ipip', ports, peers, ...rest });
  const tun = (name: string, prefixes?: string[]) => ({ name, type: 'tun', ...(prefixes ? { prefixes } : {}) });
  const peer = (n: number, ...prefixes: string[]) => ({ address: `192.0.2.${n}`, prefixes });

  it.each<[string, object[], object[], RegExp | null]>([
    ['good', [tun('a', ['10.1.0.0/16'])], [peer(2, '10.2.0.0/16', '10.1.2.0/24'), peer(3, 'fd00::/8')], null],
    ['one port has the rest', [tun('a')], [peer(2, '10.2.0.0/16')], null],
    [
      'bits behind the length',
      [tun('a', ['10.1.0.1/16'])],
      [],
      /ports\[0\]\.prefixes\[0\]: 10.1.0.1\/16 has bits set.*write 10.1.0.0\/16, or 10.1.0.1\/32/,
    ],
    ['IPv6 bits behind the length', [tun('a')], [peer(2, 'fd00::1/63')], /write fd00::\/63, or fd00::1\/128/],
    ['no length', [tun('a')], [peer(2, '10.2.0.0')], /peers\[0\]\.prefixes\[0\]: 10.2.0.0 has no prefix length/],
    [
      'one prefix, two peers',
      [tun('a')],
      [peer(2, '10.2.0.0/16'), peer(3, '10.2.0.0/16')],
      /peers\[1\]\.prefixes\[0\]: 10.2.0.0\/16 is behind peer 192.0.2.2 already/,
    ],
    [
      'one IPv6 prefix in two forms',
      [tun('a', ['fd00:0::/32'])],
      [peer(3, 'fd00::/32')],
      /fd00::\/32 is behind port "a" already/,
    ],
    [
      'two ports, one with nothing',
      [tun('a', ['10.1.0.0/16']), tun('b')],
      [],
      /ports\[1\]: nothing is routed to port "b": it is one of 2 ports/,
    ],
    [
      'the default route of a peer',
      [tun('a')],
      [peer(2, '0.0.0.0/0')],
      /nothing is routed to port "a": a peer has the default route/,
    ],
    ['the default route of a peer, prefixes of the port', [tun('a', ['10.1.0.0/16'])], [peer(2, '0.0.0.0/0')], null],
  ])('%s', (_name, ports, peers, message) => {
    const found = routed(ports, peers);
    if (message === null) expect(found).toEqual([]);
    else
      expect(
        found.some((fault) => message.test(fault)),
        found.join('\n') || 'none',
      ).toBe(true);
  });

  it('of bridged networks are one table', () => {
    const other = { name: 'm', underlay: 'lan', encapsulation: 'gue', ports: [], peers: [peer(9, '10.2.0.0/16')] };
    const found = faultsOf(
      { encapsulation: 'ipip', ports: [tun('a')], peers: [peer(2, '10.2.0.0/16')] },
      { networks: [other], bridge: ['n', 'm'] },
    );
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(
      /^networks\[1\]\.peers\[0\]\.prefixes\[0\]: 10.2.0.0\/16 is behind peer 192.0.2.2 already/,
    );
  });
});

describe('bridges', () => {
  const networks = [
    { name: 'm', underlay: 'lan', vni: 2, encapsulation: 'geneve' },
    { name: 'o', underlay: 'lan', vni: 3 },
    { name: 'r', underlay: 'lan', encapsulation: 'ipip' },
    {
      name: 'x',
      underlay: 'lan',
      vni: 5,
      mode: 'xconnect',
      peers: ['192.0.2.9'],
      ports: [{ name: 'xp', type: 'memory' }],
    },
  ];
  const bridged = (bridge: unknown, rest: object = {}) => faultsOf({ vni: 1, ...rest }, { networks, bridge });

  it.each<[string, unknown, RegExp | null]>([
    ['a pair', ['n', 'm'], null],
    [
      'pairs',
      [
        ['n', 'm'],
        ['m', 'o'],
      ],
      null,
    ],
    ['nothing', [], null],
    ['an unknown name', ['n', 'mm'], /^bridge: there is no network "mm" \(did you mean m\?\)/],
    ['a network with itself', [['n', 'n']], /^bridge\[0\]: network "n" is bridged with itself/],
    ['three in a row', ['n', 'm', 'o'], /^bridge: `bridge` is neither a pair of networks nor a list of pairs/],
    ['a pair and a name', [['n', 'm'], 'o'], /neither a pair/],
    ['a switch with a router', ['n', 'r'], /networks "n" \(l2\) and "r" \(l3\) are of different modes/],
    ['a wire', ['n', 'x'], /network "x" is of mode xconnect/],
    [
      'a ring',
      [
        ['n', 'm'],
        ['m', 'o'],
        ['o', 'n'],
      ],
      /^bridge\[2\]: networks "o" and "n" are joined already/,
    ],
    [
      'a pair twice',
      [
        ['n', 'm'],
        ['m', 'n'],
      ],
      /^bridge\[1\]: .* joined already/,
    ],
    ['a number', [1, 2], /bridge/],
  ])('%s', (_name, bridge, message) => {
    const found = bridged(bridge);
    if (message === null) expect(found).toEqual([]);
    else
      expect(
        found.some((fault) => message.test(fault)),
        found.join('\n') || 'none',
      ).toBe(true);
  });

  it('with one peer in two of the joined networks are a loop', () => {
    const value = (bridge: unknown) =>
      faultsOf(
        { vni: 1, peers: ['192.0.2.2'] },
        {
          networks: [networks[0], { ...networks[1], peers: [{ address: '192.0.2.2' }] }],
          bridge,
        },
      );
    expect(value([['n', 'm']])).toEqual([]);
    expect(
      value([
        ['n', 'm'],
        ['m', 'o'],
      ])[0],
    ).toMatch(/^networks\[2\]\.peers\[0\]\.address: peer 192.0.2.2 is also in network "n", .* a loop/);
  });
});
