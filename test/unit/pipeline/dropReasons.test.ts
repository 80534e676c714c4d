import { describe, expect, it } from 'vitest';
import { setStatic } from '../../../src/forward/macTable.js';
import { TO_PORT } from '../../../src/packet/burst.js';
import { DROP_REASONS, type DropName } from '../../../src/packet/drop.js';
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
  udp,
  vxlan,
} from '../../rig/frames.js';
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
} from '../../rig/pipeline.js';

const VNI = 41;
const WIRE_VNI = 42;

/** Station 1 behind port a, 2 behind b, 9 behind peer A, 19 behind peer A of the second network, which has a frame underlay. */
function everything(rest: Partial<RigOptions> = {}): Rig {
  const rig = makeRig({
    ports: {
      a: { id: 1, network: 1 },
      b: { id: 2, network: 1 },
      t: { id: 3, network: 1, kind: 'tap', vnetHdrLen: 12, offloads: 7 },
      x: { id: 4, network: 2 },
    },
    networks: [network(1), network(2, { underlay: FRAMES })],
    peers: [
      peer(1, 1, PEER_A),
      peer(2, 1, PEER_B),
      peer(3, 2, PEER_A, { underlay: FRAMES }),
      peer(4, 2, '198.18.0.66', { underlay: FRAMES }),
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
    const shown = [1, 2].map((id) => rig.row('network', id).drops[reason] ?? 0).reduce((a, b) => a + b);
    expect(shown).toBeLessThanOrEqual(1);
    rig.delivered();
    passSeconds(rig, 1);
  });
});
