import { describe, expect, it } from 'vitest';
import { checkValue } from '../../../../src/control/config/check.js';
import { faultsOf, ONE_TUN } from '../faultsOf.js';

describe('faults of an encapsulation', () => {
  it.each<[string, object, RegExp]>([
    ['no VNI', {}, /^networks\[0\]: `vni` is missing: VXLAN tells networks apart by it/],
    ['no VNI, Geneve', { encapsulation: 'geneve' }, /`vni` is missing: Geneve/],
    ['a VNI of GRE', { vni: 1, encapsulation: 'gre' }, /^networks\[0\]\.vni: GRE has no `vni` \(.*`key`/],
    ['a VNI of IPIP', { ...ONE_TUN, vni: 1, encapsulation: 'ipip' }, /IP-in-IP has no `vni`/],
    [
      'no such word',
      { vni: 1, encapsulation: 'vxlam' },
      /encapsulation: `encapsulation` is "vxlam", not one of "vxlan", "geneve"/,
    ],
    ['no such type', { vni: 1, encapsulation: { type: 'vxlam' } }, /encapsulation\.type: `type` is "vxlam"/],
    [
      'a key of another kind',
      { vni: 1, encapsulation: { type: 'vxlan', key: 7 } },
      /encapsulation\.key: unknown key `key` \(keys known here: type, udpPort, gpe, group\)/,
    ],
    [
      'a port of GRE',
      { encapsulation: { type: 'gre', udpPort: 7 } },
      /unknown key `udpPort`.*type, key, checksum, sequence/,
    ],
    ['a key beyond 32 bits', { encapsulation: { type: 'gre', key: 2 ** 32 } }, /must be at most 4294967295/],
    ['gpe and group', { vni: 1, encapsulation: { type: 'vxlan', gpe: true, group: 7 } }, /group: .*same bits/],
    [
      'ipip as a switch',
      { mode: 'l2', encapsulation: 'ipip' },
      /mode: IP-in-IP carries bare IP packets, which mode l2 cannot take/,
    ],
    [
      'fou as a wire',
      { mode: 'xconnect', encapsulation: 'fou', peers: ['192.0.2.2'], ports: [{ name: 'p', type: 'memory' }] },
      /FOU carries bare IP/,
    ],
    [
      'a tap of a router',
      { encapsulation: 'ipip', ports: [{ name: 'p', type: 'tap' }] },
      /ports\[0\]\.type: a tap carries Ethernet.*type: tun/,
    ],
    ['a tun of a switch', { vni: 1, ports: [{ name: 'p', type: 'tun' }] }, /ports\[0\]\.type: a tun carries bare IP/],
    [
      'prefixes of a switch',
      { vni: 1, ports: [{ name: 'p', type: 'memory', prefixes: ['10.0.0.0/8'] }] },
      /ports\[0\]\.prefixes: a network of mode l2 routes nothing/,
    ],
    [
      'prefixes of a tap',
      { vni: 1, ports: [{ name: 'p', type: 'tap', prefixes: ['10.0.0.0/8'] }] },
      /unknown key `prefixes`/,
    ],
    [
      'prefixes of a peer of a switch',
      { vni: 1, peers: [{ address: '192.0.2.2', prefixes: ['10.0.0.0/8'] }] },
      /peers\[0\]\.prefixes: a network of mode l2/,
    ],
    [
      'static MACs of a router',
      { encapsulation: 'ipip', peers: ['192.0.2.2'], staticMacs: [{ mac: '02:00:00:00:00:01', peer: '192.0.2.2' }] },
      /staticMacs: a network of mode l3 looks at no MACs/,
    ],
    [
      'strangers of a router',
      { ...ONE_TUN, encapsulation: 'ipip', unknownPeers: 'accept' },
      /unknownPeers: a network of mode l3/,
    ],
    [
      'a wire with two peers',
      { vni: 1, mode: 'xconnect', peers: ['192.0.2.2', '192.0.2.3'], ports: [{ name: 'p', type: 'memory' }] },
      /this one has 1 and 2/,
    ],
    ['a wire without a port', { vni: 1, mode: 'xconnect', peers: ['192.0.2.2'] }, /this one has 0 and 1/],
    ['routing of a switch', { vni: 1, routing: 'direct' }, /routing: a network of mode l2 routes nothing/],
    ['a VTEP MAC of a switch', { vni: 1, vtepMac: '02:00:00:00:00:01' }, /vtepMac: only VXLAN networks of mode l3/],
    [
      'a VTEP MAC of Geneve',
      {
        ...ONE_TUN,
        vni: 1,
        mode: 'l3',
        encapsulation: 'geneve',
        peers: [{ address: '192.0.2.2', mac: '02:00:00:00:00:01' }],
      },
      /peers\[0\]\.mac: only VXLAN/,
    ],
    [
      'a port of a GRE peer',
      { encapsulation: 'gre', peers: [{ address: '192.0.2.2', udpPort: 5 }] },
      /peers\[0\]\.udpPort: GRE has no UDP ports/,
    ],
    [
      'a peer of another family',
      { vni: 1, peers: ['2001:db8::2'] },
      /peers\[0\]: 2001:db8::2 is an IPv6 address, underlay "lan" has IPv4/,
    ],
    [
      'flannel over Geneve',
      { ...ONE_TUN, preset: 'flannel', encapsulation: 'geneve' },
      /encapsulation: preset flannel is VXLAN, not Geneve/,
    ],
    ['flannel as a switch', { preset: 'flannel', mode: 'l2' }, /mode: preset flannel is mode l3, not l2/],
    [
      'flannel with gpe',
      { ...ONE_TUN, preset: 'flannel', encapsulation: { type: 'vxlan', gpe: true } },
      /flannel uses neither/,
    ],
    [
      'an encapsulation of nothing',
      { underlay: undefined, encapsulation: 'ipip' },
      /has `encapsulation` but no `underlay`/,
    ],
    [
      'a direct route in a namespace',
      { encapsulation: 'ipip', routing: 'direct', ports: [{ name: 'r0', type: 'tun', netns: 'x' }] },
      /ports\[0\]: routing direct lets the kernel route/,
    ],
    [
      'a direct route of a memory port',
      { encapsulation: 'ipip', routing: 'crossSubnet', ports: [{ name: 'r0', type: 'memory' }] },
      /ports\[0\]: routing crossSubnet/,
    ],
    [
      'a direct IPv6 route over IPv4',
      {
        ...ONE_TUN,
        encapsulation: 'ipip',
        routing: 'direct',
        peers: [{ address: '192.0.2.2', prefixes: ['fd00::/64'] }],
      },
      /prefixes\[0\]: fd00::\/64 cannot be routed by way of an IPv4/,
    ],
  ])('%s', (_name, network, message) => {
    const found = faultsOf(network);
    expect(
      found.some((fault) => message.test(fault)),
      found.join('\n') || 'none',
    ).toBe(true);
  });

  it('a TTL that only frame underlays can copy', () => {
    expect(faultsOf({ vni: 1 }, { underlay: { ttl: 'inherit' } })[0]).toMatch(/^underlays\[0\]\.ttl: sockets send all/);
    const frame = { type: 'memory', mac: '02:00:00:00:00:01' };
    expect(faultsOf({ vni: 1 }, { underlay: { ttl: 'inherit', kind: 'frame', frame } })).toEqual([]);
    expect(faultsOf({ vni: 1 }, { underlay: { ttl: 'copy' } })[0]).toMatch(/underlays\[0\]\.ttl: .*'inherit'/);
  });

  it.each<[string, RegExp]>([
    ['ff02::1', /multicast/],
    ['fe80::1', /link-local address/],
    ['::', /not a unicast/],
    ['::ffff:192.0.2.9', /in IPv6 form \(write 192.0.2.9\)/],
    ['2001:db8::/64', /without a prefix length/],
    ['2001:db8::g', /not an IP address/],
  ])('an underlay address like %s', (address, message) => {
    expect(faultsOf({ vni: 1 }, { underlay: { address } })[0]).toMatch(message);
  });

  it('none for a network of local ports', () => {
    expect(faultsOf({ underlay: undefined })).toEqual([]);
    expect(faultsOf({ underlay: undefined, mode: 'l3', ...ONE_TUN })).toEqual([]);
    expect(faultsOf({ underlay: undefined, vni: 7 })).toEqual([]);
  });

  it.each<[string, object, object]>([
    ['VXLAN', { vni: 7 }, { vni: 7, encapsulation: { type: 'vxlan', udpPort: 8472 } }],
    ['FOU', { encapsulation: 'fou' }, { encapsulation: { type: 'fou', udpPort: 5555 } }],
  ])('%s networks of a frame underlay that differ by their UDP port alone', (_name, first, second) => {
    const frame = { type: 'memory', mac: '02:00:00:00:00:01' };
    const networks = [{ name: 'm', underlay: 'lan', ...second }];
    expect(faultsOf(first, { underlay: { kind: 'frame', frame }, networks })[0]).toMatch(/already used by/);
  });

  it('crossSubnet over a frame underlay that does not say what is on its link', () => {
    const frame = { type: 'memory', mac: '02:00:00:00:00:01' };
    const network = { encapsulation: 'ipip', routing: 'crossSubnet', ports: [{ name: 'p', type: 'memory' }] };
    expect(faultsOf(network, { underlay: { kind: 'frame', frame } })[0]).toMatch(/does not say what is on its link/);
    const withPrefix = { kind: 'frame', frame: { ...frame, prefix: '192.0.2.0/24' } };
    expect(faultsOf(network, { underlay: withPrefix })).toEqual([]);
  });
});

describe('networks of one underlay that cannot be told apart', () => {
  it.each<[string, object, object, RegExp | null]>([
    ['one VNI', { vni: 7 }, { vni: 7 }, /networks\[1\]\.vni: VNI 7 is already used by network "n"/],
    ['one VNI of two kinds', { vni: 7 }, { vni: 7, encapsulation: 'geneve' }, null],
    ['one VNI on two ports', { vni: 7 }, { vni: 7, encapsulation: { type: 'vxlan', udpPort: 8472 } }, null],
    [
      'GRE twice',
      { encapsulation: 'gre' },
      { encapsulation: 'gre' },
      /networks\[1\]\.encapsulation: GRE without a key/,
    ],
    [
      'GRE without a key and with key 0',
      { encapsulation: 'gre' },
      { encapsulation: { type: 'gre', key: 0 } },
      /GRE without a key/,
    ],
    [
      'GRE with one key',
      { encapsulation: { type: 'gre', key: 9 } },
      { encapsulation: { type: 'gre', key: 9 } },
      /GRE key 9 is already/,
    ],
    ['GRE with two keys', { encapsulation: { type: 'gre', key: 9 } }, { encapsulation: 'gre' }, null],
    ['IPIP twice', { encapsulation: 'ipip' }, { encapsulation: 'ipip' }, /IP-in-IP is already used/],
    ['FOU on two ports', { encapsulation: 'fou' }, { encapsulation: { type: 'fou', udpPort: 5555 } }, null],
    [
      'two kinds on one port',
      { vni: 7 },
      { vni: 8, encapsulation: { type: 'geneve', udpPort: 4789 } },
      /networks\[1\]\.encapsulation: UDP port 4789 of underlay "lan" is that of VXLAN network "n"/,
    ],
    [
      'flannel twice',
      { ...ONE_TUN, preset: 'flannel' },
      { preset: 'flannel', ports: [{ name: 'r1', type: 'tun' }] },
      /VNI 1 is already used/,
    ],
  ])('%s', (_name, first, second, message) => {
    const found = faultsOf(first, { networks: [{ name: 'm', underlay: 'lan', ...second }] });
    if (message === null) expect(found).toEqual([]);
    else
      expect(
        found.some((fault) => message.test(fault)),
        found.join('\n') || 'none',
      ).toBe(true);
  });

  it('sockets of two underlays on one address', () => {
    const both = (a: object, b: object) =>
      checkValue({
        underlays: [
          { name: 'lan', address: '2001:db8::1' },
          { name: 'wan', address: '2001:DB8:0:0::1', udpPort: 8472 },
        ],
        networks: [
          { name: 'a', underlay: 'lan', ...a },
          { name: 'b', underlay: 'wan', ...b },
        ],
      }).problems.map((p) => `${p.path}: ${p.message}`);
    expect(both({ vni: 1 }, { vni: 1 })).toEqual([]);
    expect(both({ vni: 1, encapsulation: 'geneve' }, { vni: 2, encapsulation: 'geneve' })).toEqual([
      'underlays[1].address: 2001:db8::1 port 6081 is already used by underlay "lan"',
    ]);
    expect(both({ encapsulation: 'gre' }, { encapsulation: { type: 'gre', key: 1 } })).toEqual([
      'underlays[1].address: 2001:db8::1 IP protocol 47 is already used by underlay "lan"',
    ]);
  });

  it('source ports that contain the port of a network', () => {
    const found = faultsOf({ vni: 1, encapsulation: 'geneve' }, { underlay: { sourcePorts: '6080-6090' } });
    expect(found[0]).toMatch(/contain the listening port 6081/);
  });
});
