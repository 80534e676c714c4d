import { describe, expect, it } from 'vitest';
import { setStatic } from '../../../src/forward/macTable.js';
import { TO_PORT } from '../../../src/packet/burst.js';
import { DROP_REASONS, type DropName } from '../../../src/packet/drop.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { installNeighbours } from '../../../src/worker/neighbourRows.js';
import {
  arpRequest,
  BROADCAST,
  ethernet,
  join,
  macWords,
  noise,
  outer,
  stationMac,
  tcp,
  u32,
  udp,
  v4,
  vxlan,
} from '../../rig/frames.js';
import { gratuitous } from '../../rig/neighbours.js';
import {
  FRAMES,
  makeRig,
  network,
  PEER_A,
  PEER_B,
  passSeconds,
  peer,
  type Rig,
  type RigOptions,
  SELF,
} from '../../rig/pipeline.js';
import { tunnelFrame } from '../../rig/tunnels.js';

const VNI = 41;
const WIRE_VNI = 42;

const option = { class: 0x0103, type: 3, data: join('cafef00d') };
const others = [
  network(3, { tunnel: tunnelPlan('geneve', 43, { match: [option] }), underlay: FRAMES }),
  network(4, { tunnel: tunnelPlan('gre', 44, { sequence: true }), underlay: FRAMES }),
  network(5, { tunnel: tunnelPlan('ipip'), mode: 'l3', underlay: FRAMES }),
  network(6, {
    tunnel: tunnelPlan('vxlan', 46, { udpPort: 8472 }),
    mode: 'l3',
    underlay: FRAMES,
    vtepMac: '02:00:00:00:0b:01',
  }),
];

/**
 * Station 1 behind port a, 2 behind b, 9 behind peer A, 19 behind peer A of the second network, which has a frame underlay. Networks 3 to 6 have
 * one kind of tunnel each; the fifth routes stations 1 and 2 behind its ports r and s, and 9 behind peer A.
 */
function everything(rest: Partial<RigOptions> = {}): Rig {
  const rig = makeRig({
    ports: {
      a: { id: 1, network: 1 },
      b: { id: 2, network: 1 },
      t: { id: 3, network: 1, kind: 'tap', vnetHdrLen: 12, offloads: 7 },
      x: { id: 4, network: 2 },
      r: { id: 5, network: 5 },
      s: { id: 6, network: 5 },
      y: { id: 7, network: 4 },
    },
    networks: [network(1), network(2, { underlay: FRAMES }), ...others],
    peers: [
      peer(1, 1, PEER_A),
      peer(2, 1, PEER_B),
      peer(3, 2, PEER_A, { underlay: FRAMES }),
      peer(4, 2, '198.18.0.66', { underlay: FRAMES }),
      ...[3, 4, 5, 6].map((net) => peer(net + 2, net, PEER_A, { underlay: FRAMES })),
    ],
    routes: [
      { network: 5, prefix: '10.0.0.1/32', port: 5, peer: 0 },
      { network: 5, prefix: '10.0.0.2/32', port: 6, peer: 0 },
      { network: 5, prefix: '10.0.0.9/32', port: 0, peer: 7 },
    ],
    ...rest,
  });
  rig.from('a', arpRequest(1));
  rig.from('b', arpRequest(2));
  rig.fromPeer(PEER_A, VNI, arpRequest(9));
  rig.fromWire(outer({ src: PEER_A }, vxlan(WIRE_VNI, arpRequest(19))));
  rig.delivered();
  rig.wire();
  rig.pipeline.counters.fill(0);
  return rig;
}

const between = (src: number, dst: number, payload = 20) => udp({ src, dst, payload });
const fromA = (fields = {}) => outer({ src: PEER_A, ...fields }, vxlan(WIRE_VNI, between(19, 1)));

/** From peer A over IPv4: behind UDP, or an IP protocol. */
const overUdp = (dport: number, payload: Uint8Array) =>
  tunnelFrame({ src: PEER_A, dst: SELF, protocol: 17, dport }, payload);
const overIp = (protocol: number, payload: Uint8Array) => tunnelFrame({ src: PEER_A, dst: SELF, protocol }, payload);
const geneve = (options: string, flags = 0) =>
  overUdp(6081, join(join(options).length / 4, flags, '6558 00002b00', options, between(19, 1)));
const gre = (sequence: number) => overIp(47, join('3000 6558 0000002c', u32(sequence), between(19, 1)));
const packet = (frame: Uint8Array) => frame.slice(14);

/** One way to each reason. */
const ways: { [Reason in DropName]?: (rig: Rig) => void } = {
  'malformed-frame': (rig) => rig.from('a', noise(13)),
  'malformed-outer': (rig) => rig.fromWire(fromA().slice(0, 30)),
  'malformed-tunnel': (rig) => rig.datagrams({ bytes: noise(8), from: PEER_A }),
  'tunnel-flags': (rig) => rig.datagrams({ bytes: vxlan(VNI, between(9, 1), 0), from: PEER_A }),
  'outer-checksum': (rig) => rig.fromWire(fromA({ checksum: 'bad' })),
  'outer-fragment': (rig) => rig.fromWire(fromA({ fragment: 0x2000 })),
  'not-for-us': (rig) => rig.fromWire(fromA({ dport: 4790 })),
  'unknown-vni': (rig) => rig.fromPeer(PEER_A, 7, between(9, 1)),
  'unknown-peer': (rig) => rig.fromPeer('198.18.0.200', VNI, between(9, 1)),
  'link-local-control': (rig) => rig.from('a', ethernet({ src: 1, dst: join('0180c2000000') }, 0x0026, noise(40))),
  'invalid-source': (rig) => rig.from('a', udp({ src: BROADCAST, dst: 2, payload: 2 })),
  'same-port': (rig) => rig.from('a', between(3, 1)),
  'split-horizon': (rig) => rig.fromPeer(PEER_B, VNI, between(8, 9)),
  'no-destination': (rig) => {
    rig.plan.ports = rig.plan.ports.filter((p) => p.name === 'x');
    rig.plan.peers = [];
    rig.apply();
    rig.from('x', arpRequest(4));
  },
  'broadcast-limit': (rig) => {
    rig.plan.networks[0].broadcastPps = 1;
    rig.apply();
    rig.from('a', [arpRequest(1), arpRequest(1)]);
  },
  'mac-flap': (rig) => {
    for (let n = 0; n < 5; n++) rig.from(n % 2 ? 'a' : 'b', arpRequest(1));
  },
  'static-mac': (rig) => {
    const { lo, hi } = macWords(stationMac(5));
    setStatic(rig.pipeline.macTable, lo, hi, 1, TO_PORT | 2);
    rig.from('a', between(5, 2));
  },
  'static-neighbour': (rig) => {
    rig.plan.networks[0].neighbourLimit = 10;
    rig.apply();
    const statics = [{ network: 1, address: '10.0.0.5', mac: '02:00:00:00:00:05', isRouter: false }];
    installNeighbours(rig.pipeline.neighbours, statics);
    rig.from('a', gratuitous(5, 1));
  },
  'too-big': (rig) => rig.from('a', between(1, 9, 1423)),
  'bad-offload': (rig) => rig.from('t', between(3, 1), { flags: 1, csumStart: 5, csumOffset: 6 }),
  'offload-leak': (rig) => rig.fromPeer(PEER_A, VNI, tcp({ src: 9, dst: 1, payload: 9, checksum: 'unfinished' })),
  ecn: (rig) => rig.fromPeer(PEER_A, VNI, between(9, 1), { tos: 3 }),
  truncated: (rig) => rig.fromPeer(PEER_A, VNI, between(9, 1), { isTruncated: true }),
  'no-neighbour': (rig) => rig.from('x', arpRequest(4)),
  'device-gone': (rig) => {
    rig.plan.ports = rig.plan.ports.filter((p) => p.name !== 'b');
    rig.apply();
    rig.from('a', between(1, 2));
  },
  'tx-full': (rig) => {
    rig.kernel.refuse = () => -11;
    rig.from('a', between(1, 9));
  },
  'tx-too-big': (rig) => {
    rig.kernel.refuse = () => -90;
    rig.from('a', between(1, 9));
  },
  'tx-error': (rig) => {
    rig.kernel.refuse = () => -1;
    rig.from('a', between(1, 9));
  },
  'tunnel-protocol': (rig) => rig.fromWire(overIp(47, join('2000 0800 0000002c', packet(between(19, 1))))),
  // A critical type that the network does not name, with the C bit left clear.
  'critical-option': (rig) => rig.fromWire(geneve('0103 03 01 cafef00d 0103 83 00')),
  'option-mismatch': (rig) => rig.fromWire(geneve('0103 03 01 cafef00e')),
  'tunnel-control': (rig) => rig.fromWire(geneve('0103 03 01 cafef00d', 0x80)),
  'tunnel-checksum': (rig) => rig.fromWire(overIp(47, join('a000 6558 12340000 0000002c', between(19, 1)))),
  'tunnel-sequence': (rig) => rig.fromWire(gre(7), gre(7)),
  'malformed-packet': (rig) => rig.from('r', noise(19)),
  'no-route': (rig) => rig.from('r', packet(between(1, 77))),
  'stray-heartbeat': (rig) => rig.from('a', ethernet({ src: 1, dst: join('027765667400') }, 0x88b5, noise(72))),
  'not-routed': (rig) => {
    const group = packet(between(1, 77));
    group.set(v4('224.0.0.251'), 16);
    rig.from('r', group);
  },
  'ttl-exceeded': (rig) => rig.from('r', packet(udp({ src: 1, dst: 2, ttl: 1 }))),
  'nesting-limit': (rig) => {
    const { frame } = rig.plan.underlays[1];
    if (frame === null) throw new Error('no frame device');
    frame.popDepth = 1;
    rig.apply();
    rig.fromWire(overUdp(4789, vxlan(1, overUdp(6081, join('0000 6558 00000100', between(3, 4))))));
  },
  'wrong-mac': (rig) => rig.fromWire(overUdp(8472, vxlan(46, between(19, 1)))),
};

/** Reasons that no frame can get in memory, and why. */
const unreachable: { [Reason in DropName]?: string } = {
  none: 'it says that a lane lives',
  'no-slot':
    'nothing gives it: rx windows hold their slots from the start, and memory ports refuse what they have no slot for',
  'worker-lost': 'the supervisor gives it to what a dead worker held: test/native/worker.test.ts',
};

describe('every drop reason', () => {
  it('is reached by a way of this list, or is named with the reason why not', () => {
    const named = [...Object.keys(ways), ...Object.keys(unreachable)];
    expect(named.sort()).toEqual(DROP_REASONS.map((r) => r.name).sort());
  });

  it.each(Object.entries(ways))('%s: one packet, counted once', (reason, way) => {
    const rig = everything();
    way(rig);
    expect(rig.drops()).toEqual({ [reason]: 1 });
    // Where the network is known it shows the drop as well.
    const shown = [1, 2, 3, 4, 5, 6].map((id) => rig.row('network', id).drops[reason] ?? 0).reduce((a, b) => a + b);
    expect(shown).toBeLessThanOrEqual(1);
    rig.delivered();
    passSeconds(rig, 1);
  });
});
