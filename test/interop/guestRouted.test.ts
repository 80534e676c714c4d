// weft and the kernel of a guest, joined by tunnels that carry IP packets.

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { PeerInput, PortInput } from '../../src/control/config/config.js';
import { GUEST_HOOK_MS, GUEST_TEST_MS } from '../rig/guest.js';
import {
  expectTalk,
  GUEST_TUNNEL,
  type GuestRig,
  makeGuestRig,
  type NetworkInput,
  nodeConfig,
  UNDERLAY_A6,
  UNDERLAY_B6,
} from '../rig/guestTunnel.js';
import { UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces, runIn } from '../rig/namespaces.js';
import { up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';

/** Behind weft and behind the guest: a prefix each. */
const V4 = { weft: '10.42.1.1', guest: '10.42.2.1', weftPrefix: '10.42.1.0/24', guestPrefix: '10.42.2.0/24', bits: 24 };
const V6 = { weft: 'fd42:1::1', guest: 'fd42:2::1', weftPrefix: 'fd42:1::/64', guestPrefix: 'fd42:2::/64', bits: 64 };

interface Kind {
  name: string;
  network: Partial<NetworkInput>;
  /** Commands that make t0; default: `ip link add t0 type LINK`. */
  link: string;
  /** Commands in front of it. */
  before?: string;
  /** Commands behind it. */
  after?: string;
  mtu: number;
  filter: string;
  decode?: string[];
  /** How the guest reaches what is behind weft; default: by t0 alone. */
  route?: string;
  /** Of the peer. */
  peer?: { mac: string };
  /** Addresses of the underlay and inside are IPv6. */
  isV6?: boolean;
  isInnerV6?: boolean;
}

const ends = `local ${UNDERLAY_B} remote ${UNDERLAY_A} ttl 64`;
const ends6 = `local ${UNDERLAY_B6} remote ${UNDERLAY_A6} hoplimit 64 encaplimit none`;
/** MACs of the two VTEPs. */
const FLANNEL = { weft: '02:00:00:00:f1:01', guest: '02:00:00:00:f1:02' };
const gre = (rest: object = {}) => ({ mode: 'l3' as const, encapsulation: { type: 'gre' as const, ...rest } });

const kinds: Kind[] = [
  { name: 'IPIP', network: { encapsulation: 'ipip' }, link: `ipip ${ends}`, mtu: 1480, filter: 'ip.proto == 4' },
  {
    name: 'IPv6 in IPv4',
    network: { encapsulation: 'ipip' },
    link: `sit ${ends}`,
    mtu: 1480,
    filter: 'ip.proto == 41',
    isInnerV6: true,
  },
  {
    name: 'IPv4 in IPv6',
    network: { encapsulation: 'ipip' },
    link: `ip6tnl mode ipip6 ${ends6}`,
    mtu: 1460,
    filter: 'ipv6.nxt == 4',
    isV6: true,
  },
  {
    name: 'IPv6 in IPv6',
    network: { encapsulation: 'ipip' },
    link: `ip6tnl mode ip6ip6 ${ends6}`,
    mtu: 1460,
    filter: 'ipv6.nxt == 41',
    isV6: true,
    isInnerV6: true,
  },
  { name: 'GRE', network: gre(), link: `gre ${ends}`, mtu: 1476, filter: 'gre.proto == 0x0800' },
  {
    name: 'GRE with key, checksum and sequence numbers',
    network: gre({ key: 42, checksum: true, sequence: true }),
    link: `gre ${ends} key 42 csum seq`,
    mtu: 1464,
    filter: 'gre.key == 42 && gre.sequence_number && gre.checksum.status == 1',
  },
  {
    name: 'GRE over IPv6',
    network: gre(),
    link: `ip6gre ${ends6}`,
    mtu: 1456,
    filter: 'gre.proto == 0x0800',
    isV6: true,
  },
  {
    name: "IP in UDP, as flannel's udp backend has it",
    network: { encapsulation: 'fou' },
    before: 'modprobe fou; ip fou add port 8285 ipproto 4;',
    link: `ipip ${ends} encap fou encap-sport auto encap-dport 8285`,
    mtu: 1472,
    filter: 'udp.port == 8285',
    decode: ['udp.port==8285,ip'],
  },
  {
    name: 'GUE',
    network: { encapsulation: 'gue' },
    before: 'modprobe fou; ip fou add port 6080 gue;',
    link: `ipip ${ends} encap gue encap-sport auto encap-dport 6080`,
    mtu: 1468,
    filter: 'udp.port == 6080',
  },
  {
    name: 'VXLAN with Generic Protocol Extension',
    network: { mode: 'l3', encapsulation: { type: 'vxlan', gpe: true } },
    link: 'vxlan dstport 4790 ttl 64 gpe external',
    route: `encap ip id 42 dst ${UNDERLAY_A} ttl 64`,
    mtu: 1464,
    filter: 'udp.port == 4790 && vxlan.next_proto == 1 && vxlan.vni == 42',
  },
  {
    name: 'VXLAN as flannel has it',
    network: { preset: 'flannel', vtepMac: FLANNEL.weft },
    // One neighbour for each node, with its VTEP's MAC, and a route through it: nothing is learned.
    link: `vxlan id 1 local ${UNDERLAY_B} dstport 8472 ttl 64 nolearning`,
    after: `ip link set t0 address ${FLANNEL.guest}; bridge fdb add ${FLANNEL.weft} dev t0 dst ${UNDERLAY_A};
      ip neigh add 10.42.1.0 lladdr ${FLANNEL.weft} dev t0 nud permanent`,
    route: 'via 10.42.1.0 onlink',
    peer: { mac: FLANNEL.guest },
    mtu: 1450,
    filter: 'vxlan.vni == 1',
    decode: ['udp.port==8472,vxlan'],
  },
];

describeWith(
  ['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'tcpdump', 'tshark', 'guest'],
  'routes to a guest',
  () => {
    let rig: GuestRig;
    let node: WeftNode | undefined;
    beforeAll(async () => {
      rig = await makeGuestRig();
    }, GUEST_HOOK_MS);
    afterEach(async () => {
      await node?.end();
      node = undefined;
      await rig.guest.exec(`ip link del ${GUEST_TUNNEL}; ip fou del port 8285; ip fou del port 6080`);
    });
    afterAll(removeNamespaces);

    it.each(kinds)('$name: pings, packets of the MTU, TCP both ways', { timeout: GUEST_TEST_MS }, async (kind) => {
      const { network, link, before = '', after = 'true', mtu, filter, decode, isV6, isInnerV6 } = kind;
      const inner = isInnerV6 ? V6 : V4;
      await rig.guest.run(`${before} ip link add ${GUEST_TUNNEL} type ${link}`);
      const on = isInnerV6 ? `sysctl -qw net.ipv6.conf.${GUEST_TUNNEL}.disable_ipv6=0;` : '';
      await rig.guest.run(`${on} ip link set ${GUEST_TUNNEL} mtu ${mtu} up`);
      const nodad = isInnerV6 ? 'nodad' : '';
      await rig.guest.run(`ip address add ${inner.guest}/${inner.bits} dev ${GUEST_TUNNEL} ${nodad}`);
      await rig.guest.run(after);
      const { route = '' } = kind;

      await rig.guest.run(`ip route add ${inner.weftPrefix} ${route} dev ${GUEST_TUNNEL} src ${inner.guest}`);

      // For the device that weft makes; without a link-local address it asks for no router.
      const conf = '/proc/sys/net/ipv6/conf/default';
      if (isInnerV6) runIn(rig.namespace, 'sh', '-c', `echo 0 >${conf}/disable_ipv6; echo 1 >${conf}/addr_gen_mode`);
      const port: PortInput = { type: 'tun', name: 'weft0', addresses: [`${inner.weft}/${inner.bits}`] };
      const peers: PeerInput[] = [
        { address: isV6 ? UNDERLAY_B6 : UNDERLAY_B, prefixes: [inner.guestPrefix], ...kind.peer },
      ];
      node = await up(rig.namespace, nodeConfig({ ...network, ports: [port], peers }, { isV6 }));
      const device = JSON.parse(runIn(rig.namespace, 'ip', '-j', 'link', 'show', 'dev', 'weft0'));
      expect(device[0].mtu).toBe(mtu);
      await expectTalk(rig, node, { weft: inner.weft, guest: inner.guest, mtu, filter, decode });
    });
  },
);
