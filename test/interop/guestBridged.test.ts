// weft and the kernel of a guest, joined by tunnels that carry Ethernet frames.
import { afterAll, afterEach, beforeAll, it } from 'vitest';
import {
  expectTalk,
  GUEST_TUNNEL,
  type GuestRig,
  makeGuestRig,
  type NetworkInput,
  nodeConfig,
} from '../rig/guestTunnel.js';
import { UNDERLAY_A } from '../rig/hosts.js';
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

const kinds: Kind[] = [
  {
    name: 'VXLAN',
    link: `vxlan id 42 remote ${UNDERLAY_A} dstport 4789 ttl 64`,
    mtu: 1450,
    filter: 'vxlan.vni == 42',
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
    });
    afterEach(async () => {
      await node?.end();
      node = undefined;
      await rig.guest.exec(`ip link del ${GUEST_TUNNEL}`);
    });
    afterAll(removeNamespaces);

    it.each(kinds)(
      '$name: pings, packets of the MTU, TCP both ways',
      async ({ encapsulation, link, isV6, ...talk }) => {
        await rig.guest.run(`ip link add ${GUEST_TUNNEL} type ${link} && ip link set ${GUEST_TUNNEL} up`);
        await rig.guest.run(`ip address add ${GUEST}/24 dev ${GUEST_TUNNEL}`);
        const port = { type: 'tap' as const, name: 'weft0', addresses: [`${WEFT}/24`] };
        node = await up(rig.namespace, nodeConfig({ encapsulation, ports: [port] }, { isV6 }));
        await expectTalk(rig, node, { weft: WEFT, guest: GUEST, ...talk });
      },
    );
  },
);
