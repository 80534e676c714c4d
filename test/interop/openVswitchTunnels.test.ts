// weft and Open vSwitch's userspace datapath: tunnels that carry Ethernet frames.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { DropsDocument } from '../../src/observe/documents.js';
import { type NetworkInput, vniOf } from '../rig/guestTunnel.js';
import { makeHosts, pinOffloads, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { type OpenVswitch, startOpenVswitch, type TunnelSettings } from '../rig/openVswitch.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendTcp, sendUdp } from '../rig/traffic.js';
import { readFields, record } from '../rig/tshark.js';

const WEFT = '10.43.0.1';
const SWITCH = '10.43.0.2';
const BYTES = 10_000_000;
/** The overlay bridge has this MTU, which fits every tunnel. */
const MTU = 1400;
const IPV4_ICMP = 28;

interface Kind {
  name: string;
  /** Of the network. */
  encapsulation?: NetworkInput['encapsulation'];
  tunnel: Omit<TunnelSettings, 'remote'>;
  /** Display filter that each packet of the tunnel passes. */
  filter: string;
}

const kinds: Kind[] = [
  { name: 'VXLAN', tunnel: { type: 'vxlan', options: { key: '42' } }, filter: 'vxlan.vni == 42' },
  {
    name: 'VXLAN with checksums',
    tunnel: { type: 'vxlan', options: { key: '42', csum: 'true' } },
    filter: 'vxlan.vni == 42',
  },
  {
    name: 'Geneve',
    encapsulation: 'geneve',
    tunnel: { type: 'geneve', options: { key: '42' } },
    filter: 'geneve.vni == 42',
  },
  {
    name: 'Geneve with checksums',
    encapsulation: 'geneve',
    tunnel: { type: 'geneve', options: { key: '42', csum: 'true' } },
    filter: 'geneve.vni == 42',
  },
  { name: 'GRE', encapsulation: 'gre', tunnel: { type: 'gre' }, filter: 'gre.proto == 0x6558' },
  {
    name: 'GRE with key',
    encapsulation: { type: 'gre', key: 42 },
    tunnel: { type: 'gre', options: { key: '42' } },
    filter: 'gre.key == 42',
  },
  {
    name: 'GRE with key and checksum',
    encapsulation: { type: 'gre', key: 42, checksum: true },
    tunnel: { type: 'gre', options: { key: '42', csum: 'true' } },
    filter: 'gre.key == 42 && gre.checksum.status == 1',
  },
];

/** Packets that weft has sent so far, to each side. */
async function countsOf(node: WeftNode) {
  const { ports, underlays } = await node.stats();
  return {
    toPort: ports[0].txPackets,
    fromPort: ports[0].rxPackets,
    toWire: underlays[0].txPackets,
    fromWire: underlays[0].rxPackets,
  };
}

const needs = ['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'tcpdump', 'tshark', 'openVswitch'] as const;
describeWith([...needs], 'weft and Open vSwitch', () => {
  let a: string;
  let b: string;
  let openVswitch: OpenVswitch;
  let node: WeftNode | undefined;

  beforeAll(async () => {
    const hosts = makeHosts();
    pinOffloads(hosts);
    a = hosts.a.namespace;
    b = hosts.b.namespace;
    openVswitch = await startOpenVswitch({ host: hosts.b, addresses: [`${SWITCH}/24`], overlayMtu: MTU });
  });
  afterEach(async () => {
    await node?.end();
    node = undefined;
  });
  afterAll(removeNamespaces);

  it.each(kinds)(
    '$name: pings, packets of the MTU, TCP and UDP both ways',
    async ({ encapsulation, tunnel, filter }) => {
      openVswitch.setTunnel({ remote: UNDERLAY_A, ...tunnel });
      const port = { type: 'tap' as const, name: 'weft0', addresses: [`${WEFT}/24`] };
      const network = {
        name: 'blue',
        ...vniOf({ encapsulation }),
        underlay: 'wire',
        peers: [UNDERLAY_B],
        mtu: MTU,
        ports: [port],
        encapsulation,
      };
      node = await up(a, { underlays: [{ name: 'wire', address: UNDERLAY_A }], networks: [network] });

      const recording = await record(a, 'va');
      expect(await ping(a, SWITCH)).toBe(3);
      expect(await ping(b, WEFT)).toBe(3);
      expect(await ping(a, SWITCH, { size: MTU - IPV4_ICMP })).toBe(3);
      expect(await ping(b, WEFT, { size: MTU - IPV4_ICMP })).toBe(3);
      const path = await recording.stop();

      const toSwitch = await sendTcp(a, b, SWITCH, BYTES);
      expect(toSwitch.received).toEqual(toSwitch.sent);
      const toWeft = await sendTcp(b, a, WEFT, BYTES);
      expect(toWeft.received).toEqual(toWeft.sent);
      // Its packets have no outer checksum unless told otherwise, so the kernel joins none of them: the walk does.
      expect((await node.stats()).ports[0].txSuperframes).toBeGreaterThan(50);
      // All at once. What is lost where the switch has no room for it is not weft's: weft's own counts say that all went through it.
      const sent = await countsOf(node);
      const atSwitch = await sendUdp(a, b, SWITCH, 200, MTU - IPV4_ICMP);
      const between = await countsOf(node);
      const atWeft = await sendUdp(b, a, WEFT, 200, MTU - IPV4_ICMP);
      const received = await countsOf(node);
      expect([atSwitch.damaged, atWeft.damaged]).toEqual([0, 0]);
      expect(between.toWire - sent.toWire).toBeGreaterThanOrEqual(200);
      expect(received.toPort - between.toPort).toBeGreaterThanOrEqual(atWeft.datagrams);
      expect(Math.min(atSwitch.datagrams, atWeft.datagrams)).toBeGreaterThan(50);

      await expectQuiet(node);
      expect(await node.dropped()).toEqual({});
      expect((await node.read<DropsDocument>('drops')).missed).toBe(0);
      const counts = openVswitch.tunnelCounts();
      expect(Math.min(counts.rxPackets, counts.txPackets)).toBeGreaterThan(200 + BYTES / 65536);
      const pings = await readFields(path, ['icmp.checksum.status', '_ws.malformed'], { filter: `${filter} && icmp` });
      // At least: ping asks again where an answer takes its time.
      expect(pings.length).toBeGreaterThanOrEqual(24);
      for (const row of pings) expect(row).toEqual({ 'icmp.checksum.status': ['1'], '_ws.malformed': [] });
    },
  );
});
