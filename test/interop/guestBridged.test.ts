// weft and the kernel of a guest, joined by tunnels that carry Ethernet frames.

import { afterAll, afterEach, beforeAll, it } from 'vitest';
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
import { removeNamespaces } from '../rig/namespaces.js';
import { up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';

const WEFT = '10.42.0.1';
const GUEST = '10.42.0.2';

interface Kind {
  name: string;
  /** Of the network. */
  encapsulation?: NetworkInput['encapsulation'];
  /** `ip link add t0 type ...` */
  link: string;
  mtu: number;
  filter: string;
  isV6?: boolean;
}

const ends = `local ${UNDERLAY_B} remote ${UNDERLAY_A} ttl 64`;
const ends6 = `local ${UNDERLAY_B6} remote ${UNDERLAY_A6}`;

const kinds: Kind[] = [
  { name: 'VXLAN', link: `vxlan id 42 ${ends} dstport 4789`, mtu: 1450, filter: 'vxlan.vni == 42' },
  {
    name: 'VXLAN without checksums',
    link: `vxlan id 42 ${ends} dstport 4789 noudpcsum`,
    mtu: 1450,
    filter: 'vxlan.vni == 42',
  },
  {
    name: 'VXLAN over IPv6',
    link: `vxlan id 42 ${ends6} ttl 64 dstport 4789`,
    mtu: 1430,
    filter: 'vxlan.vni == 42',
    isV6: true,
  },
  {
    name: 'Geneve',
    encapsulation: 'geneve',
    link: `geneve id 42 remote ${UNDERLAY_A} ttl 64`,
    mtu: 1450,
    filter: 'geneve.vni == 42',
  },
  {
    name: 'Geneve with checksums',
    encapsulation: 'geneve',
    link: `geneve id 42 remote ${UNDERLAY_A} ttl 64 udpcsum`,
    mtu: 1450,
    filter: 'geneve.vni == 42',
  },
  {
    name: 'Geneve over IPv6',
    encapsulation: 'geneve',
    link: `geneve id 42 remote ${UNDERLAY_A6} ttl 64`,
    mtu: 1430,
    filter: 'geneve.vni == 42',
    isV6: true,
  },
  { name: 'GRE', encapsulation: 'gre', link: `gretap ${ends}`, mtu: 1462, filter: 'gre.proto == 0x6558' },
  {
    name: 'GRE with key',
    encapsulation: { type: 'gre', key: 42 },
    link: `gretap ${ends} key 42`,
    mtu: 1458,
    filter: 'gre.key == 42',
  },
  {
    name: 'GRE with key, checksum and sequence numbers',
    encapsulation: { type: 'gre', key: 42, checksum: true, sequence: true },
    link: `gretap ${ends} key 42 csum seq`,
    mtu: 1450,
    filter: 'gre.key == 42 && gre.sequence_number && gre.checksum.status == 1',
  },
  {
    name: 'GRE over IPv6',
    encapsulation: 'gre',
    link: `ip6gretap ${ends6} hoplimit 64 encaplimit none`,
    mtu: 1442,
    filter: 'gre.proto == 0x6558',
    isV6: true,
  },
];

describeWith(
  ['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'tcpdump', 'tshark', 'guest'],
  'weft and a guest',
  () => {
    let rig: GuestRig;
    let node: WeftNode | undefined;
    beforeAll(async () => {
      rig = await makeGuestRig();
    }, GUEST_HOOK_MS);
    afterEach(async () => {
      await node?.end();
      node = undefined;
      await rig.guest.exec(`ip link del ${GUEST_TUNNEL}`);
    });
    afterAll(removeNamespaces);

    it.each(kinds)(
      '$name: pings, packets of the MTU, TCP both ways',
      { timeout: GUEST_TEST_MS },
      async ({ encapsulation, link, isV6, ...talk }) => {
        await rig.guest.run(
          `ip link add ${GUEST_TUNNEL} type ${link} && ip link set ${GUEST_TUNNEL} mtu ${talk.mtu} up`,
        );
        await rig.guest.run(`ip address add ${GUEST}/24 dev ${GUEST_TUNNEL}`);
        const port = { type: 'tap' as const, name: 'weft0', addresses: [`${WEFT}/24`] };
        node = await up(rig.namespace, nodeConfig({ encapsulation, ports: [port] }, { isV6 }));
        await expectTalk(rig, node, { weft: WEFT, guest: GUEST, ...talk });
      },
    );
  },
);
