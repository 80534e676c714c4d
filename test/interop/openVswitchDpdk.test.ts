// Open vSwitch over DPDK as the other end of a VXLAN between devices of DPDK, where each side finds the other by ARP, and of a vhost-user link.
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dpdkNode, makeDpdkHosts, OWN_MAC } from '../rig/dpdkHosts.js';
import { UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { namespacePath, removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, scratchFile, up, type WeftNode } from '../rig/node.js';
import {
  addDpdkBridge,
  type OpenVswitch,
  OVERLAY_BRIDGE,
  startOpenVswitchDpdk,
  UNDERLAY_BRIDGE,
} from '../rig/openVswitch.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendTcp } from '../rig/traffic.js';
import { until } from '../rig/waiting.js';

const VM_BRIDGE = 'br-vm';
/** With the headers of ICMP: what an interface of its bridges takes. */
const LONGEST_PING = 1400 - 28;

describeWith(
  ['root', 'addon', 'dpdk', 'hugepages', 'openVswitch', 'openVswitchDpdk', 'ip', 'ping', 'ethtool', 'tun'],
  'Open vSwitch over DPDK',
  () => {
    let node: WeftNode;
    let ovs: OpenVswitch;
    let station: string;

    beforeAll(async () => {
      const { weft, peer, station: s } = makeDpdkHosts();
      station = s.namespace;
      const path = scratchFile('vm0.sock');
      const config = dpdkNode(UNDERLAY_A, UNDERLAY_B);
      // The huge pages are those of Open vSwitch.
      config.node = { ...config.node, dpdk: { ...config.node?.dpdk, hugepages: false } };
      const netns = namespacePath(station);
      config.networks.push({
        name: 'green',
        mtu: 1400,
        ports: [
          { type: 'vhost-user', name: 'vm0', path },
          { type: 'tap', name: 't1', netns, addresses: ['10.0.1.1/24'] },
        ],
      });
      [node, ovs] = await Promise.all([up(weft, config), startOpenVswitchDpdk(peer.namespace)]);
      runIn(peer.namespace, 'ip', 'address', 'flush', 'dev', peer.device);
      runIn(peer.namespace, 'ip', 'link', 'set', peer.device, 'arp', 'off');
      addDpdkBridge(ovs, UNDERLAY_BRIDGE, `${UNDERLAY_B}/24`, `net_af_packet0,iface=${peer.device}`);
      runIn(peer.namespace, 'ip', 'link', 'set', UNDERLAY_BRIDGE, 'mtu', '1500');
      addDpdkBridge(ovs, OVERLAY_BRIDGE, '10.0.0.2/24', null);
      const tunnel = ['type=vxlan', `options:remote_ip=${UNDERLAY_A}`, 'options:key=42'];
      ovs.vsctl('add-port', OVERLAY_BRIDGE, 'tunnel', '--', 'set', 'interface', 'tunnel', ...tunnel);
      await until('the socket of the port', () => existsSync(path));
      addDpdkBridge(ovs, VM_BRIDGE, '10.0.1.2/24', `net_virtio_user0,path=${path},queue_size=256`);
    }, 90_000);
    afterAll(removeNamespaces);

    it('finds the node by ARP, and is found, for a VXLAN between devices of DPDK', { timeout: 120_000 }, async () => {
      await until('the tunnel carries', async () => (await ping(station, '10.0.0.2', { count: 1 })) === 1);
      expect(await ping(ovs.namespace, '10.0.0.1', { size: LONGEST_PING })).toBe(3);
      expect(ovs.appctl('tnl/arp/show')).toMatch(new RegExp(`${UNDERLAY_A} +${OWN_MAC} +${UNDERLAY_BRIDGE}`));
      const { nextHop } = (await node.status()).peers[0];
      expect(nextHop).toMatchObject({ address: UNDERLAY_B, state: 'reachable', by: 'weft' });
      expect(await ping(ovs.namespace, UNDERLAY_A)).toBe(3);
      for (const [from, to, address] of [
        [station, ovs.namespace, '10.0.0.2'],
        [ovs.namespace, station, '10.0.0.1'],
      ]) {
        const { sent, received } = await sendTcp(from, to, address, 300_000);
        expect(received).toEqual(sent);
      }
    });

    it('is the machine at a port of type vhost-user', { timeout: 120_000 }, async () => {
      await until('the link carries', async () => (await ping(station, '10.0.1.2', { count: 1 })) === 1);
      expect(await ping(ovs.namespace, '10.0.1.1', { size: LONGEST_PING })).toBe(3);
      for (const [from, to, address] of [
        [station, ovs.namespace, '10.0.1.2'],
        [ovs.namespace, station, '10.0.1.1'],
      ]) {
        const { sent, received } = await sendTcp(from, to, address, 300_000);
        expect(received).toEqual(sent);
      }
      await expectQuiet(node);
    });
  },
);
