// One network over an IPv4 and an IPv6 underlay, with the kernel's VXLAN as peers: over IPv4, over IPv6, and over IPv6 without UDP checksums.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PeerDocument } from '../../src/observe/documents.js';
import { addIpv6, KERNEL_DEVICE, makeMesh } from '../rig/hosts.js';
import { removeNamespaces, runIn, type VethEnd } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { exchange, ping, serveExchanges } from '../rig/traffic.js';

const TAP = 'weft0';
/** 1500 bytes less 40 (IPv6), 8 (UDP), 8 (VXLAN) and 14 (Ethernet): the smaller of the two underlays' MTUs. */
const MTU = 1430;
const underlay4 = (n: number) => `198.18.0.${n}`;
const underlay6 = (n: number) => `2001:db8:18::${n}`;
const overlay4 = (n: number) => `10.1.0.${n}`;
const overlay6 = (n: number) => `fd00:1::${n}`;

interface Peer {
  name: string;
  /** Number of its host. */
  n: number;
  address: (n: number) => string;
  settings: string[];
}

const peers: Peer[] = [
  { name: 'over IPv4', n: 2, address: underlay4, settings: ['udpcsum'] },
  { name: 'over IPv6', n: 3, address: underlay6, settings: [] },
  {
    name: 'over IPv6 without checksums',
    n: 4,
    address: underlay6,
    settings: ['udp6zerocsumtx', 'udp6zerocsumrx'],
  },
];

function addVxlan({ namespace, device }: VethEnd, { n, address, settings }: Peer): void {
  const ends = ['local', address(n), 'remote', address(1), 'dstport', '4789', 'dev', device];
  runIn(namespace, 'ip', 'link', 'add', KERNEL_DEVICE, 'type', 'vxlan', 'id', '42', ...ends, ...settings);
  runIn(namespace, 'ip', 'address', 'add', `${overlay4(n)}/24`, 'dev', KERNEL_DEVICE);
  addIpv6(namespace, KERNEL_DEVICE, overlay6(n));
  runIn(namespace, 'ip', 'link', 'set', KERNEL_DEVICE, 'mtu', `${MTU}`, 'up');
}

describeWith(
  ['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'python3', 'vxlan', 'bridge'],
  'a dual-stack network',
  () => {
    let a: string;
    let node: WeftNode;

    beforeAll(async () => {
      const hosts = makeMesh(4);
      a = hosts[0].namespace;
      hosts.forEach(({ namespace, device }, i) => {
        addIpv6(namespace, device, underlay6(i + 1));
        runIn(namespace, 'ethtool', '-K', device, 'tx', 'off', 'gro', 'on');
      });
      for (const peer of peers) {
        addVxlan(hosts[peer.n - 1], peer);
        await serveExchanges(hosts[peer.n - 1].namespace);
      }
      runIn(a, 'sh', '-c', 'cd /proc/sys/net/ipv6/conf/default && echo 0 >disable_ipv6 && echo 0 >accept_dad');
      node = await up(a, {
        underlays: [
          { name: 'lan4', address: underlay4(1) },
          { name: 'lan6', address: underlay6(1) },
        ],
        networks: [
          {
            name: 'blue',
            vni: 42,
            underlay: ['lan4', 'lan6'],
            peers: peers.map(({ n, address }) => address(n)),
            ports: [{ type: 'tap', name: TAP, addresses: [`${overlay4(1)}/24`, `${overlay6(1)}/64`] }],
          },
        ],
      });
    });
    afterAll(async () => {
      await node?.end();
      await removeNamespaces();
    });

    it('has the smaller MTU, and each peer at the underlay of its family', async () => {
      const { networks, ports } = await node.status();
      expect(networks[0]).toMatchObject({ underlays: ['lan4', 'lan6'], mtu: MTU });
      expect(ports[0]).toMatchObject({ mtu: MTU, offloads: ['checksum', 'tso', 'uso'], path: { reasons: [] } });
      const documents = await node.read<PeerDocument[]>('peers');
      expect(documents.map((p) => [p.address, p.underlay])).toEqual([
        ['198.18.0.2', 'lan4'],
        ['2001:db8:18::3', 'lan6'],
        ['2001:db8:18::4', 'lan6'],
      ]);
    });

    it.each(peers)('carries both families to the kernel $name', async ({ n }) => {
      const whole = { arrived: 300, late: 0, damaged: 0 };
      const both = [overlay4(n), overlay6(n)];
      const before = (await node.stats()).ports[0];
      const streams = { tcpUp: true, tcpDown: true };
      expect(await exchange(a, both, { bytes: 5_000_000 })).toEqual([streams, streams]);
      const tcp = (await node.stats()).ports[0];
      const some = { bytes: 1, datagrams: 300, size: 1200, segments: 20 };
      const datagrams = { ...streams, udpUp: whole, udpDown: whole };
      expect(await exchange(a, both, some)).toEqual([datagrams, datagrams]);
      const udp = (await node.stats()).ports[0];
      // Superframes from the TAP and to it, of segments and of datagrams, whether the peer's packets have checksums or not.
      expect(tcp.rxSuperframes - before.rxSuperframes).toBeGreaterThan(20);
      expect(tcp.txSuperframes - before.txSuperframes).toBeGreaterThan(20);
      expect(udp.rxSuperframes - tcp.rxSuperframes).toBe(2 * (300 / 20));
      expect(udp.txSuperframes - tcp.txSuperframes).toBeGreaterThan(10);
      const { account } = await node.stats();
      expect(account.dropped).toBe(0);
      await expectQuiet(node);
    });

    it('floods to peers of both families', async () => {
      runIn(a, 'ip', 'neighbour', 'flush', 'dev', TAP);
      expect(await Promise.all(peers.map(({ n }) => ping(a, overlay4(n), { count: 2 })))).toEqual(peers.map(() => 2));
    });
  },
);
