import type { NetworkPlan, PeerPlan, Plan, PortPlan, UnderlayPlan } from '../../../dist/pipeline/plan.js';
import { type TunnelPlan, tunnelPlan } from '../../../dist/tunnel/tunnel.js';

/** One way to carry a packet: the tunnel, the family of the outer header, and what is inside. */
export interface Form {
  name: string;
  tunnel: TunnelPlan;
  outer: 4 | 6;
  /** Frames of Ethernet, or bare packets of a family. */
  inner: 'frame' | 4 | 6;
}

/** What the others are compared with. */
export const YARDSTICK = 'VXLAN';
export const GENEVE = 'Geneve';

const VNI = 42;
// As OVN sends it: class, type with the critical bit, four bytes.
const OVN_OPTION = { class: 0x0102, type: 0x80, data: Uint8Array.of(0, 1, 0, 2) };
const withOption = { options: [OVN_OPTION], match: [{ ...OVN_OPTION, data: null }] };

const form = (name: string, tunnel: TunnelPlan, inner: Form['inner'] = 'frame', outer: Form['outer'] = 4): Form => ({
  name,
  tunnel,
  outer,
  inner,
});

export const FORMS: Form[] = [
  form(YARDSTICK, tunnelPlan('vxlan', VNI)),
  form('VXLAN over IPv6', tunnelPlan('vxlan', VNI), 'frame', 6),
  form('VXLAN-GPE', tunnelPlan('vxlan', VNI, { gpe: true })),
  form(GENEVE, tunnelPlan('geneve', VNI)),
  form('Geneve, one option', tunnelPlan('geneve', VNI, withOption)),
  form('GRE', tunnelPlan('gre')),
  form('GRE, key', tunnelPlan('gre', VNI)),
  form('GRE, key, checksum, sequence', tunnelPlan('gre', VNI, { checksum: true, sequence: true })),
  form('IPv4 in IPv4', tunnelPlan('ipip'), 4),
  form('IPv6 in IPv4', tunnelPlan('ipip'), 6),
  form('IPv4 in IPv6', tunnelPlan('ipip'), 4, 6),
  form('IPv6 in IPv6', tunnelPlan('ipip'), 6, 6),
  form('IPv4 in UDP (fou)', tunnelPlan('fou'), 4),
  form('GUE', tunnelPlan('gue'), 4),
];

const SELF = { 4: '198.18.0.1', 6: 'fd00::1' };
const VTEP = { 4: '198.18.0.2', 6: 'fd00::2' };
const SELF_MAC = '02:00:00:00:00:01';
const VTEP_MAC = '02:00:00:00:00:02';
const MTU = 1400;

/** Id of everything that belongs to form k, and the names of its devices. */
export const idOf = (k: number) => k + 1;
export const wireOf = (k: number) => `wire-${k}`;
export const localOf = (k: number) => `local-${k}`;

const underlayOf = ({ outer }: Form, k: number): UnderlayPlan => ({
  id: idOf(k),
  name: wireOf(k),
  underlay: wireOf(k),
  kind: 'frame',
  tunnel: 'none',
  address: SELF[outer],
  device: null,
  udpPort: 0,
  checksum: false,
  sourcePortFirst: 0,
  sourcePortCount: 1,
  dscp: 0,
  ttl: 64,
  deliverOffloadLeak: false,
  offloads: { segment: true, gro: true },
  frame: {
    kind: 'memory',
    name: wireOf(k),
    input: null,
    output: null,
    mac: SELF_MAC,
    neighbours: { [VTEP[outer]]: VTEP_MAC },
    popDepth: 0,
  },
});

const networkOf = ({ tunnel, inner }: Form, k: number): NetworkPlan => ({
  id: idOf(k),
  name: localOf(k),
  mode: inner === 'frame' ? 'l2' : 'l3',
  tunnel,
  domain: idOf(k),
  vtepMac: null,
  underlays: [idOf(k)],
  mtu: MTU,
  ageingSec: 300,
  macLimit: 256,
  neighbourLimit: 0,
  broadcastPps: 0,
  acceptUnknownPeers: false,
});

const portOf = (_: Form, k: number): PortPlan => ({
  id: idOf(k),
  name: localOf(k),
  network: idOf(k),
  kind: 'memory',
  mtu: MTU,
  tap: null,
  pcap: null,
});

const peerOf = ({ tunnel, outer }: Form, k: number): PeerPlan => ({
  id: idOf(k),
  network: idOf(k),
  underlay: idOf(k),
  address: VTEP[outer],
  udpPort: tunnel.udpPort,
  mac: null,
  direct: false,
  dynamic: false,
});

/** A node that runs them all at once, each between a port and a frame underlay of its own. */
export function planOfForms(): Plan {
  return {
    generation: 1,
    node: 'bench',
    workers: 1,
    busyPollUs: 0,
    underlays: FORMS.map(underlayOf),
    networks: FORMS.map(networkOf),
    ports: FORMS.map(portOf),
    peers: FORMS.map(peerOf),
    statics: [],
    staticNeighbours: [],
    routes: FORMS.flatMap(({ inner }, k) =>
      inner === 'frame'
        ? []
        : [{ network: idOf(k), prefix: inner === 4 ? '0.0.0.0/0' : '::/0', port: 0, peer: idOf(k) }],
    ),
  };
}
