// weft and Open vSwitch's userspace datapath over an IPv6 underlay.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addIpv6, makeHosts, pinOffloads } from '../rig/hosts.js';
import { removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { OVERLAY_BRIDGE, startOpenVswitch, UNDERLAY_BRIDGE } from '../rig/openVswitch.js';
import { describeWith } from '../rig/requirements.js';
import { exchange, ping, serveExchanges } from '../rig/traffic.js';

const UNDERLAY_WEFT = '2001:db8:18::1';
const UNDERLAY_SWITCH = '2001:db8:18::2';
const WEFT = ['10.43.0.1', 'fd00:43::1'];
const SWITCH = ['10.43.0.2', 'fd00:43::2'];
const MTU = 1400;

describeWith(
  ['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'python3', 'openVswitch'],
  'Open vSwitch over IPv6',
  () => {
    let a: string;
    let b: string;
    let node: WeftNode;

    beforeAll(async () => {
      const hosts = makeHosts();
      pinOffloads(hosts);
      a = hosts.a.namespace;
      b = hosts.b.namespace;
      const openVswitch = await startOpenVswitch({ host: hosts.b, addresses: [`${SWITCH[0]}/24`], overlayMtu: MTU });
      addIpv6(a, hosts.a.device, UNDERLAY_WEFT);
      addIpv6(b, UNDERLAY_BRIDGE, UNDERLAY_SWITCH);
      addIpv6(b, OVERLAY_BRIDGE, SWITCH[1]);
      openVswitch.setTunnel({
        type: 'vxlan',
        remote: UNDERLAY_WEFT,
        options: { key: '42', local_ip: UNDERLAY_SWITCH },
      });
      await serveExchanges(b);
      runIn(a, 'sh', '-c', 'cd /proc/sys/net/ipv6/conf/default && echo 0 >disable_ipv6 && echo 0 >accept_dad');
      node = await up(a, {
        underlays: [{ name: 'lan6', address: UNDERLAY_WEFT }],
        networks: [
          {
            name: 'blue',
            vni: 42,
            underlay: 'lan6',
            mtu: MTU,
            peers: [UNDERLAY_SWITCH],
            ports: [{ type: 'tap', name: 'weft0', addresses: [`${WEFT[0]}/24`, `${WEFT[1]}/64`] }],
          },
        ],
      });
    });
    afterAll(async () => {
      await node?.end();
      await removeNamespaces();
    });

    it('carries both families both ways', async () => {
      expect(await ping(a, SWITCH[0])).toBe(3);
      expect(await ping(b, WEFT[0])).toBe(3);
      const streams = { tcpUp: true, tcpDown: true };
      expect(await exchange(a, SWITCH, { bytes: 3_000_000 })).toEqual([streams, streams]);
      const [port] = (await node.stats()).ports;
      expect([port.rxSuperframes > 20, port.txSuperframes > 20]).toEqual([true, true]);
      const exchanged = await exchange(a, SWITCH, { bytes: 1, datagrams: 100, size: 1200 });
      for (const { udpUp, udpDown } of exchanged) {
        expect([udpUp?.damaged, udpUp?.late, udpDown?.damaged, udpDown?.late]).toEqual([0, 0, 0, 0]);
        expect(Math.min(udpUp?.arrived ?? 0, udpDown?.arrived ?? 0)).toBeGreaterThan(50);
      }
      expect((await node.stats()).account.dropped).toBe(0);
      await expectQuiet(node);
    });
  },
);
