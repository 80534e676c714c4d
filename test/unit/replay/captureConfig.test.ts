import { describe, expect, it } from 'vitest';
import { checkValue, requireConfig } from '../../../src/control/config/check.js';
import { captureConfig, capturePlan } from '../../../src/replay/captureConfig.js';

const config = requireConfig(
  checkValue({
    node: { workers: 4 },
    underlays: [
      { name: 'lan', address: '198.18.0.1', udpPort: 4790, dscp: 'inherit' },
      { name: 'six', address: 'fd00::1' },
    ],
    networks: [
      {
        name: 'blue',
        vni: 42,
        underlay: 'lan',
        mtu: 1400,
        peers: ['198.18.0.2', { address: '198.18.1.3', udpPort: 9999 }],
        ports: [{ type: 'tap', name: 'web', owner: 'nobody-knows-him', mtu: 1300 }],
      },
      {
        name: 'green',
        underlay: 'six',
        encapsulation: 'geneve',
        vni: 7,
        peers: ['fd00::2'],
        ports: [{ type: 'tap', name: 'db' }],
      },
      {
        name: 'routed',
        underlay: 'lan',
        encapsulation: 'ipip',
        peers: [{ address: '198.18.0.9', prefixes: ['10.42.2.0/24'] }],
        ports: [{ type: 'tun', name: 'r0', addresses: ['10.42.1.1/24'], prefixes: ['10.42.1.0/24'] }],
      },
    ],
  }),
);

describe('a configuration turned over', () => {
  const plan = capturePlan(config);

  it('has captures for all devices, and one worker', () => {
    expect(plan.workers).toBe(1);
    expect(plan.ports.map((p) => [p.name, p.kind, p.mtu, p.tap])).toEqual([
      ['web', 'pcap', 1300, null],
      ['db', 'pcap', 1430, null],
      ['r0', 'pcap', expect.any(Number), null],
    ]);
    // One carrier for all encapsulations of an underlay.
    expect(plan.underlays.map((u) => [u.name, u.kind, u.address, u.frame?.kind])).toEqual([
      ['lan', 'frame', '198.18.0.1', 'pcap'],
      ['six', 'frame', 'fd00::1', 'pcap'],
    ]);
  });

  it('knows MACs of itself and of all peers: 02:00 and the last four bytes of their addresses', () => {
    expect(plan.underlays.map((u) => [u.frame?.mac, u.frame?.neighbours])).toEqual([
      [
        '02:00:c6:12:00:01',
        {
          '198.18.0.2': '02:00:c6:12:00:02',
          '198.18.1.3': '02:00:c6:12:01:03',
          '198.18.0.9': '02:00:c6:12:00:09',
        },
      ],
      ['02:00:00:00:00:01', { 'fd00::2': '02:00:00:00:00:02' }],
    ]);
  });

  it('leaves networks, peers and routes as they are', () => {
    expect(plan.networks.map((n) => [n.name, n.mode, n.tunnel.kind, n.mtu])).toEqual([
      ['blue', 'l2', 'vxlan', 1400],
      ['green', 'l2', 'geneve', expect.any(Number)],
      ['routed', 'l3', 'ipip', expect.any(Number)],
    ]);
    expect(plan.peers.map((p) => [p.address, p.udpPort])).toEqual([
      ['198.18.0.2', 4790],
      ['198.18.1.3', 9999],
      ['fd00::2', 6081],
      ['198.18.0.9', expect.any(Number)],
    ]);
    expect(plan.routes.map((r) => r.prefix).sort()).toEqual(['10.42.1.0/24', '10.42.2.0/24']);
  });

  it('can leave devices real', () => {
    const partly = captureConfig(config, (name) => name === 'web');
    expect(partly.underlays.map((u) => u.kind)).toEqual(['udp', 'udp']);
    expect(partly.networks.flatMap((n) => n.ports.map((p) => p.type))).toEqual(['pcap', 'tap', 'tun']);
  });
});

it('networks that differ by their UDP port alone cannot be replayed', () => {
  const fou = (name: string, udpPort: number, net: number) => ({
    name,
    underlay: 'lan',
    encapsulation: { type: 'fou', udpPort },
    ports: [{ type: 'tun', name: `${name}0`, prefixes: [`10.${net}.1.0/24`] }],
    peers: [{ address: '198.18.0.2', prefixes: [`10.${net}.2.0/24`] }],
  });
  const underlays = [{ name: 'lan', address: '198.18.0.1' }];
  const twins = requireConfig(checkValue({ underlays, networks: [fou('a', 8285, 42), fou('b', 8286, 43)] }));
  expect(() => capturePlan(twins)).toThrow(/networks a and b differ by their UDP port alone/);
});
