import { describe, expect, it } from 'vitest';
import { checkValue, requireConfig } from '../../../../src/control/config/check.js';
import type { ConfigInput } from '../../../../src/control/config/config.js';
import { type HostFacts, makePlan } from '../../../../src/control/plan/plan.js';
import { compilePlan, createTables } from '../../../../src/pipeline/tables.js';
import { capturePlan } from '../../../../src/replay/captureConfig.js';
import { KIND } from '../../../../src/tunnel/tunnel.js';
import { vtepKey } from '../../../../src/tunnel/vtep.js';

// A network over an IPv4 and an IPv6 underlay: each peer is reached over that of its family.

type Network = ConfigInput['networks'][number];
type Underlay = NonNullable<ConfigInput['underlays']>[number];

const LAN4: Underlay = { name: 'lan4', address: '192.0.2.1' };
const LAN6: Underlay = { name: 'lan6', address: '2001:db8::1' };
const OTHER: Underlay = { name: 'other', address: '192.0.2.9' };
const V4 = '192.0.2.2';
const V6 = '2001:db8::2';

function factsOf(mtu4: number, mtu6: number): HostFacts {
  return {
    hostname: 'h',
    underlayMtu: new Map([
      ['lan4', mtu4],
      ['lan6', mtu6],
    ]),
    underlayPrefixes: new Map([
      ['lan4', ['192.0.2.1/24']],
      ['lan6', ['2001:db8::1/64']],
    ]),
    users: new Map(),
    groups: new Map(),
  };
}

const BLUE: Network = { name: 'blue', underlay: ['lan4', 'lan6'], vni: 42, peers: [V4, V6] };

const configOf = (network: Partial<Network> = {}, underlays: Underlay[] = [LAN4, LAN6]): ConfigInput => ({
  underlays,
  networks: [{ ...BLUE, ...network }],
});
const planned = (network: Partial<Network> = {}, facts = factsOf(1500, 1500), dynamic: string[] = []) => {
  const config = requireConfig(checkValue(configOf(network)));
  return makePlan(
    config,
    facts,
    null,
    dynamic.map((address) => ({ network: 'blue', address })),
  ).plan;
};
const faultsOf = (network: Partial<Network>, underlays?: Underlay[]) =>
  checkValue(configOf(network, underlays)).problems.map(({ path, message }) => `${path}: ${message}`);

describe('a network over two underlays', () => {
  it('has a carrier on each, and reaches peers over that of their family', () => {
    const { underlays, networks, peers } = planned();
    expect(underlays.map((u) => [u.id, u.name])).toEqual([
      [1, 'lan4'],
      [2, 'lan6'],
    ]);
    expect(networks[0].underlays).toEqual([1, 2]);
    expect(peers.map((p) => [p.address, p.underlay])).toEqual([
      [V4, 1],
      [V6, 2],
    ]);
  });

  it('puts peers that were heard on the underlay of their family', () => {
    const { peers } = planned({ peers: [], unknownPeers: 'accept' }, undefined, ['2001:db8::77', '192.0.2.77']);
    expect(peers.map((p) => [p.address, p.underlay, p.dynamic])).toEqual([
      ['2001:db8::77', 2, true],
      ['192.0.2.77', 1, true],
    ]);
  });

  // RFC 7348: 20 (IPv4) or 40 (IPv6), 8 UDP, 8 VXLAN, 14 Ethernet.
  it.each([
    [1500, 1500, 1430],
    [1500, 9000, 1450],
    [9000, 1500, 1430],
  ])('has the smallest MTU that its underlays leave: %i and %i give %i', (mtu4, mtu6, mtu) => {
    expect(planned({}, factsOf(mtu4, mtu6)).networks[0].mtu).toBe(mtu);
  });

  it('takes an MTU that fits both, and refuses one that fits the first alone', () => {
    expect(planned({ mtu: 1430 }).networks[0].mtu).toBe(1430);
    expect(() => planned({ mtu: 1440 })).toThrow(/MTU 1440 and 70 bytes.*underlay lan6/);
  });

  it('sends plain packets to peers on the link of their own underlay', () => {
    const far = ['198.51.100.2', '2001:db8:5::2'];
    const peers = [V4, V6, ...far].map((address, k) => ({
      address,
      prefixes: [address.includes(':') ? `fd00:${k}::/64` : `10.42.${k}.0/24`],
    }));
    const ports = [{ name: 'g0', type: 'tun' as const }];
    const gre = { encapsulation: 'gre' as const, vni: undefined, mode: 'l3' as const, ports };
    const made = planned({ ...gre, routing: 'crossSubnet', peers });
    expect(made.peers.map((p) => p.direct)).toEqual([true, true, false, false]);
  });

  it('is known to decap by its VNI on both carriers, and its peers on one', () => {
    const tables = createTables((words) => new Int32Array(new SharedArrayBuffer(words * 4)));
    const plan = planned();
    compilePlan(tables, plan);
    const bytes = (...numbers: number[]) => new Int32Array(Uint8Array.from(numbers).buffer);
    const v4 = bytes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 2);
    const v6 = bytes(0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2);
    const found = (address: Int32Array) =>
      [1, 2].map((carrier) => tables.vteps.findPeer(vtepKey(carrier, KIND.vxlan), 42, address, 0));
    expect([1, 2].map((c) => tables.vteps.findNetwork(vtepKey(c, KIND.vxlan), 42) >= 0)).toEqual([true, true]);
    expect([found(v4), found(v6)]).toEqual([
      [1, 0],
      [0, 2],
    ]);
  });
});

describe('a replay of it', () => {
  it('has a capture for each underlay, with the next hops of all peers', () => {
    const { underlays, networks, peers } = capturePlan(requireConfig(checkValue(configOf())));
    expect(underlays.map(({ name, kind }) => [name, kind])).toEqual([
      ['lan4', 'frame'],
      ['lan6', 'frame'],
    ]);
    expect(networks[0].underlays).toEqual([1, 2]);
    for (const peer of peers) expect(underlays[peer.underlay - 1].frame?.neighbours).toHaveProperty([peer.address]);
  });
});

describe('what a list of underlays may not be', () => {
  it.each<[string, Partial<Network>, string]>([
    [
      'unknown names',
      { underlay: ['lan4', 'lan5'], peers: [] },
      'networks[0].underlay[1]: there is no underlay "lan5"',
    ],
    [
      'a peer of a family that none has',
      { underlay: ['lan4'] },
      `networks[0].peers[1]: ${V6} is an IPv6 address, underlay "lan4" has IPv4`,
    ],
    [
      'an own address among the peers',
      { peers: ['2001:db8::1'] },
      "networks[0].peers[0]: peer 2001:db8::1 is this node's own address",
    ],
    [
      'two of one family',
      { underlay: ['lan4', 'other'], peers: [V4] },
      'networks[0].underlay[1]: underlays "lan4" and "other" both have IPv4 addresses: peers could be reached over either',
    ],
    [
      'endpoints whose MACs follow from either address',
      { mode: 'l3' },
      'networks[0]: a network of mode l3 over VXLAN and two underlays needs `vtepMac`',
    ],
  ])('%s', (_, network, fault) => {
    expect(faultsOf(network, [LAN4, LAN6, OTHER])).toContain(fault);
  });

  it('different UDP ports for one network', () => {
    const faults = faultsOf({}, [LAN4, { ...LAN6, udpPort: 8472 }]);
    expect(faults).toContain('networks[0].underlay: its underlays have different UDP ports: 4789 and 8472');
    expect(faultsOf({ encapsulation: { type: 'vxlan', udpPort: 5000 } }, [LAN4, { ...LAN6, udpPort: 8472 }])).toEqual(
      [],
    );
  });

  it('two networks with one id on one of their underlays', () => {
    const value = configOf();
    value.networks.push({ name: 'green', underlay: 'lan6', vni: 42 });
    expect(checkValue(value).problems.map((p) => p.message)).toEqual([
      'VNI 42 is already used by network "blue" on underlay "lan6"',
    ]);
  });

  it('but one may be', () => {
    expect(faultsOf({ underlay: ['lan6'], peers: [V6] })).toEqual([]);
  });
});
