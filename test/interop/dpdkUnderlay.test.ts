// Whole nodes on devices of DPDK: the underlay answers ARP and neighbour discovery for its address, and finds its peer by them. The peer is the
// kernel's own VXLAN.
import { afterEach, expect, it } from 'vitest';
import { dpdkNode, makeDpdkHosts, OWN_MAC, STATION_MTU } from '../rig/dpdkHosts.js';
import { addIpv6, addKernelVxlan, macOf, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendTcp } from '../rig/traffic.js';
import { until } from '../rig/waiting.js';

afterEach(removeNamespaces);

const STATION = '10.0.0.1';
const OVERLAY_B = '10.0.0.2';
/** A first packet, with all that has to be learned for it. */
const carries = (from: string, to: string) =>
  until('the tunnel carries', async () => (await ping(from, to, { count: 1, withinSec: 1 })) === 1);
const nextHopOf = async (node: WeftNode) => (await node.status()).peers[0].nextHop;

describeWith(
  ['root', 'addon', 'dpdk', 'ip', 'ping', 'ethtool', 'vxlan', 'python3'],
  'a node on devices of DPDK alone, and VXLAN of the kernel',
  () => {
    it('find each other by ARP: pings of all sizes and TCP both ways, and a new MAC', {
      timeout: 120_000,
    }, async () => {
      const { weft, peer, station } = makeDpdkHosts();
      addKernelVxlan({ host: peer, local: UNDERLAY_B, remote: UNDERLAY_A, addresses: [`${OVERLAY_B}/24`] });
      runIn(peer.namespace, 'ip', 'link', 'set', 'vx0', 'mtu', `${STATION_MTU}`);
      const node = await up(weft, dpdkNode(UNDERLAY_A, UNDERLAY_B));
      await until('the next hop answers', async () => (await nextHopOf(node))?.state === 'reachable');
      expect(await nextHopOf(node)).toEqual({
        address: UNDERLAY_B,
        mac: macOf(peer.namespace, peer.device),
        state: 'reachable',
        by: 'weft',
      });
      expect(await ping(peer.namespace, UNDERLAY_A)).toBe(3);
      expect(runIn(peer.namespace, 'ip', 'neigh', 'show', UNDERLAY_A)).toContain(OWN_MAC);
      await carries(station.namespace, OVERLAY_B);
      expect(await ping(station.namespace, OVERLAY_B)).toBe(3);
      expect(await ping(peer.namespace, STATION, { size: STATION_MTU - 28 })).toBe(3);
      for (const [from, to, address] of [
        [station.namespace, peer.namespace, OVERLAY_B],
        [peer.namespace, station.namespace, STATION],
      ]) {
        const { sent, received } = await sendTcp(from, to, address, 300_000);
        expect(received).toEqual(sent);
      }
      // It tells all neighbours at once.
      runIn(peer.namespace, 'sh', '-c', `echo 1 >/proc/sys/net/ipv4/conf/${peer.device}/arp_notify`);
      runIn(peer.namespace, 'ip', 'link', 'set', peer.device, 'address', '02:00:00:00:0a:0c');
      await until('the new MAC is known', async () => (await nextHopOf(node))?.mac === '02:00:00:00:0a:0c');
      expect(await ping(station.namespace, OVERLAY_B)).toBe(3);
      await expectQuiet(node);
    });

    it('find each other by neighbour discovery', { timeout: 120_000 }, async () => {
      const { weft, peer, station } = makeDpdkHosts();
      addIpv6(peer.namespace, peer.device, '2001:db8::2');
      addKernelVxlan({ host: peer, local: '2001:db8::2', remote: '2001:db8::1', addresses: [`${OVERLAY_B}/24`] });
      const node = await up(weft, dpdkNode('2001:db8::1', '2001:db8::2'));
      expect(await ping(peer.namespace, '2001:db8::1')).toBe(3);
      await carries(station.namespace, OVERLAY_B);
      expect(await ping(station.namespace, OVERLAY_B, { size: STATION_MTU - 28 })).toBe(3);
      expect(await nextHopOf(node)).toMatchObject({ mac: macOf(peer.namespace, peer.device), state: 'reachable' });
      expect(runIn(peer.namespace, 'ip', '-6', 'neigh', 'show', '2001:db8::1')).toContain(OWN_MAC);
      await expectQuiet(node);
    });

    it("take the kernel's neighbours where it has the address", { timeout: 120_000 }, async () => {
      const { weft, peer, station } = makeDpdkHosts();
      runIn(weft, 'ip', 'address', 'add', `${UNDERLAY_A}/24`, 'dev', 'ua');
      addKernelVxlan({ host: peer, local: UNDERLAY_B, remote: UNDERLAY_A, addresses: [`${OVERLAY_B}/24`] });
      const node = await up(weft, dpdkNode(UNDERLAY_A, UNDERLAY_B, { mac: macOf(weft, 'ua') }));
      await until('the kernel has found it', async () => (await nextHopOf(node))?.state === 'reachable');
      expect(await nextHopOf(node)).toMatchObject({ mac: macOf(peer.namespace, peer.device), by: 'kernel' });
      await carries(station.namespace, OVERLAY_B);
      expect(await ping(station.namespace, OVERLAY_B)).toBe(3);
      expect(await ping(peer.namespace, UNDERLAY_A)).toBe(3);
      // The kernel, which sees the packets of the tunnel, too, says nothing about them.
      expect(runIn(weft, 'nstat', '-asz', 'IcmpOutDestUnreachs')).toMatch(/IcmpOutDestUnreachs\s+0\s/);
      const { made, held } = (await node.status()).account;
      expect({ made, held }).toEqual({ made: 0, held: 0 });
    });
  },
);
