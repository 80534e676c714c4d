import { describe, expect, it } from 'vitest';
import { forEachMac, setStatic } from '../../../src/forward/macTable.js';
import { TO_PEER, TO_PORT } from '../../../src/packet/burst.js';
import { decodeOuter } from '../../rig/decode.js';
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
const A = { id: 1, network: 1 };
const B = { id: 2, network: 1 };
const C = { id: 3, network: 1 };

/** Three ports, two peers; nothing is known yet. */
const lab = (rest: Partial<RigOptions> = {}): Rig =>
  makeRig({ ports: { a: A, b: B, c: C }, peers: [peer(1, 1, PEER_A), peer(2, 1, PEER_B)], ...rest });

const hello = (station: number) => arpRequest(station);
const between = (src: number, dst: number, payload = 30) => udp({ src, dst, payload });

/** Who got something: ports by name, peers by address. */
function got(rig: Rig): string[] {
  const ports = rig.delivered().map((d) => d.port);
  const peers = rig.kernel.sent.splice(0).flatMap((m) => m.datagrams.map(() => m.address));
  const wire = rig.wire().map((o) => `wire ${decodeOuter(o).dst}`);
  return [...ports, ...peers, ...wire];
}

describe('a frame from a port', () => {
  it('goes everywhere while its destination is unknown, and only there once it is known', () => {
    const rig = lab();
    rig.from('a', between(1, 2));
    expect(got(rig)).toEqual(['b', 'c', PEER_A, PEER_B]);
    rig.from('b', between(2, 1));
    expect(got(rig)).toEqual(['a']);
    rig.from('a', between(1, 2));
    expect(got(rig)).toEqual(['b']);
    rig.fromPeer(PEER_B, VNI, between(9, 1));
    expect(got(rig)).toEqual(['a']);
    rig.from('a', between(1, 9));
    expect(got(rig)).toEqual([PEER_B]);
    expect(rig.drops()).toEqual({});
  });

  it('arrives byte for byte', () => {
    const rig = lab();
    const frames = [
      hello(1),
      between(1, 2, 0),
      tcp({ src: 1, dst: 2, payload: 1400, tags: [[0x8100, 9]] }),
      ethernet({ src: 1 }, 0x88b5, noise(77)),
    ];
    rig.from('a', frames);
    expect(rig.took('b')).toEqual(frames);
    expect(rig.took('c')).toEqual(frames);
    for (const address of [PEER_A, PEER_B]) {
      const datagrams = rig.kernel.sent.filter((m) => m.address === address).flatMap((m) => m.datagrams);
      expect(datagrams.map((d) => d.slice(8))).toEqual(frames);
    }
  });

  it('to its own port is dropped', () => {
    const rig = lab();
    rig.from('a', hello(1));
    rig.from('a', hello(2));
    got(rig);
    rig.from('a', between(1, 2));
    expect(got(rig)).toEqual([]);
    expect(rig.row('port', 1).drops).toEqual({ 'same-port': 1 });
    expect(rig.row('network', 1).drops).toEqual({ 'same-port': 1 });
  });

  it('of one burst goes each its own way, and flows stay in order', () => {
    const rig = lab();
    rig.from('b', hello(2));
    rig.from('c', hello(3));
    rig.fromPeer(PEER_A, VNI, hello(9));
    got(rig);
    const burst = Array.from({ length: 60 }, (_, n) =>
      udp({ src: 1, dst: [2, 3, 9, 77][n % 4], sport: 1, payload: n }),
    );
    rig.from('a', burst);
    const of = (dst: number) => burst.filter((_, n) => [2, 3, 9, 77][n % 4] === dst);
    const flooded = of(77);
    expect(rig.took('b')).toEqual([...of(2), ...flooded]);
    expect(rig.took('c')).toEqual([...of(3), ...flooded]);
    const toA = rig.kernel.sent.filter((m) => m.address === PEER_A).flatMap((m) => m.datagrams.map((d) => d.slice(8)));
    expect(toA).toEqual([...of(9), ...flooded]);
    expect(rig.row('port', 1)).toMatchObject({ rxPackets: 60, copied: 15 * 3 });
  });

  it('with several destinations and drops among them loses none', () => {
    const rig = lab({ networks: [network(1, { mtu: 500 })] });
    rig.from('b', hello(2));
    rig.fromPeer(PEER_A, VNI, hello(9));
    got(rig);
    const frames = [
      between(1, 2),
      Uint8Array.of(1, 2, 3),
      between(1, 9),
      between(1, 9, 600),
      udp({ src: BROADCAST, dst: 2, payload: 3 }),
      between(1, 1),
      between(1, 2, 1000),
    ];
    rig.from('a', frames);
    // The sender hears of the one that is too big.
    expect(got(rig).sort()).toEqual([PEER_A, 'a', 'b', 'b']);
    expect(rig.drops()).toEqual({ 'malformed-frame': 1, 'too-big': 1, 'invalid-source': 1, 'same-port': 1 });
  });
});

describe('a frame from a peer', () => {
  it('goes to ports alone, flooded or not (split horizon)', () => {
    const rig = lab();
    rig.fromPeer(PEER_A, VNI, hello(9));
    expect(got(rig)).toEqual(['a', 'b', 'c']);
    rig.fromPeer(PEER_B, VNI, between(8, 9));
    expect(got(rig)).toEqual([]);
    expect(rig.row('peer', 2).drops).toEqual({ 'split-horizon': 1 });
    rig.fromPeer(PEER_A, VNI, between(9, 9));
    expect(rig.row('peer', 1).drops).toEqual({ 'split-horizon': 1 });
  });

  it('that is a stranger is dropped, or accepted where the network says so', () => {
    const strict = lab();
    strict.fromPeer('198.18.0.77', VNI, hello(9));
    expect(got(strict)).toEqual([]);
    expect(strict.drops()).toEqual({ 'unknown-peer': 1 });

    const told: number[][] = [];
    const open = lab({
      networks: [network(1, { acceptUnknownPeers: true })],
      onUnknownPeer: (underlay, net) => told.push([underlay, net]),
    });
    open.from('a', hello(1));
    open.fromPeer(PEER_A, VNI, hello(9));
    got(open);
    open.fromPeer('198.18.0.77', VNI, [hello(7), between(7, 1)]);
    expect(got(open)).toEqual(['a', 'a', 'b', 'c'].sort());
    // Once for a run of its packets.
    expect(told).toEqual([[1, 1]]);
    // It has no id to be learned by, and is still no way around split horizon.
    open.fromPeer('198.18.0.77', VNI, between(7, 9));
    expect(got(open)).toEqual([]);
    open.from('a', between(1, 7));
    expect(got(open)).toEqual(['b', 'c', PEER_A, PEER_B]);
    expect(open.drops()).toEqual({ 'split-horizon': 1 });
  });

  it('of an unknown VNI, without its flag or cut off is dropped at the underlay', () => {
    const rig = lab();
    rig.fromPeer(PEER_A, 999, hello(9));
    rig.datagrams({ bytes: vxlan(VNI, hello(9), 0), from: PEER_A }, { bytes: noise(5), from: PEER_A });
    expect(got(rig)).toEqual([]);
    expect(rig.row('underlay', 1).drops).toEqual({ 'unknown-vni': 1, 'tunnel-flags': 1, 'malformed-tunnel': 1 });
  });
});

describe('what a bridge does not forward', () => {
  it('is control frames of the link', () => {
    const rig = lab();
    const frames = ['0180c2000000', '0180c2000002', '0180c200000e'].map((dst) =>
      ethernet({ src: 1, dst: join(dst) }, 0x88cc, noise(50)),
    );
    rig.from('a', frames);
    rig.fromPeer(PEER_A, VNI, frames[0]);
    expect(got(rig)).toEqual([]);
    expect(rig.row('port', 1).drops).toEqual({ 'link-local-control': 3 });
    expect(rig.row('peer', 1).drops).toEqual({ 'link-local-control': 1 });
    rig.from('a', ethernet({ src: 1, dst: join('0180c2000010') }, 0x88cc, noise(50)));
    expect(got(rig)).toHaveLength(4);
  });

  it('is a frame that nobody is there for', () => {
    const rig = makeRig({ ports: { a: A } });
    rig.from('a', hello(1));
    expect(rig.row('port', 1).drops).toEqual({ 'no-destination': 1 });
    rig.fromPeer(PEER_A, VNI, hello(9));
    expect(rig.drops()).toEqual({ 'no-destination': 1, 'unknown-peer': 1 });
  });
});

describe('broadcast limit', () => {
  it('counts what is flooded, not what is known, and lets the rate pass again', () => {
    const rig = lab({ networks: [network(1, { broadcastPps: 10 })] });
    rig.from('b', hello(2));
    got(rig);
    rig.from(
      'a',
      Array.from({ length: 30 }, () => hello(1)),
    );
    expect(got(rig)).toHaveLength(9 * 4);
    expect(rig.row('port', 1).drops).toEqual({ 'broadcast-limit': 21 });
    rig.from(
      'a',
      Array.from({ length: 30 }, () => between(1, 2)),
    );
    expect(got(rig)).toHaveLength(30);
    passSeconds(rig, 0.5);
    rig.from(
      'a',
      Array.from({ length: 30 }, () => between(1, 99)),
    );
    expect(got(rig)).toHaveLength(5 * 4);
    passSeconds(rig, 60);
    rig.from(
      'a',
      Array.from({ length: 30 }, () => hello(1)),
    );
    expect(got(rig)).toHaveLength(10 * 4);
  });

  it('is each network for itself', () => {
    const rig = makeRig({
      ports: { a: A, b: B, x: { id: 4, network: 2 }, y: { id: 5, network: 2 } },
      networks: [network(1, { broadcastPps: 1 }), network(2)],
    });
    rig.from('a', [hello(1), hello(1), hello(1)]);
    rig.from('x', [hello(1), hello(1), hello(1)]);
    expect(got(rig)).toEqual(['b', 'y', 'y', 'y']);
  });
});

describe('stations', () => {
  it('that move are followed at once', () => {
    const rig = lab();
    rig.from('a', hello(1));
    rig.from('b', hello(5));
    got(rig);
    rig.from('a', between(1, 5));
    expect(got(rig)).toEqual(['b']);
    rig.from('c', hello(5));
    got(rig);
    rig.from('a', between(1, 5));
    expect(got(rig)).toEqual(['c']);
    rig.fromPeer(PEER_A, VNI, hello(5));
    got(rig);
    rig.from('a', between(1, 5));
    expect(got(rig)).toEqual([PEER_A]);
    expect(rig.row('network', 1).macMoves).toBe(2);
  });

  it('that flap are held where they are, for a time', () => {
    const rig = lab();
    for (let n = 0; n < 6; n++) rig.from(n % 2 ? 'b' : 'a', hello(5));
    expect(rig.row('port', 2).drops).toEqual({ 'mac-flap': 1 });
    got(rig);
    rig.from('c', between(3, 5));
    expect(got(rig)).toEqual(['a']);
    rig.from('b', hello(5));
    expect(rig.row('port', 2).drops).toEqual({ 'mac-flap': 2 });
    passSeconds(rig, 10);
    rig.from('b', hello(5));
    got(rig);
    rig.from('c', between(3, 5));
    expect(got(rig)).toEqual(['b']);
  });

  it('are forgotten after the ageing time, in the walk and by the sweep', () => {
    const rig = lab({ networks: [network(1, { ageingSec: 30 })] });
    rig.from('a', hello(1));
    rig.from('b', hello(2));
    got(rig);
    passSeconds(rig, 29);
    rig.from('a', between(1, 2));
    expect(got(rig)).toEqual(['b']);
    passSeconds(rig, 1);
    rig.from('a', between(1, 2));
    expect(got(rig)).toEqual(['b', 'c', PEER_A, PEER_B]);
    passSeconds(rig, 100);
    rig.pipeline.tick();
    let left = 0;
    forEachMac(rig.pipeline.macTable, rig.clock.seconds, true, () => left++);
    expect(left).toBe(0);
  });

  it('that are configured stay where they are', () => {
    const rig = lab();
    const { lo, hi } = macWords(stationMac(5));
    setStatic(rig.pipeline.macTable, lo, hi, 1, TO_PORT | 2);
    rig.from('a', hello(5));
    expect(got(rig)).toEqual([]);
    expect(rig.row('port', 1).drops).toEqual({ 'static-mac': 1 });
    rig.from('a', between(1, 5));
    expect(got(rig)).toEqual(['b']);
    rig.fromPeer(PEER_A, VNI, hello(5));
    expect(rig.row('peer', 1).drops).toEqual({ 'static-mac': 1 });
    const behind = macWords(stationMac(6));
    setStatic(rig.pipeline.macTable, behind.lo, behind.hi, 1, TO_PEER | 2);
    rig.from('a', between(1, 6));
    expect(got(rig)).toEqual([PEER_B]);
  });

  it('beyond the limit of the network are flooded to, and counted', () => {
    const rig = lab({ networks: [network(1, { macLimit: 2 })] });
    for (const n of [1, 2, 3]) rig.from('a', hello(n));
    got(rig);
    rig.from('b', between(7, 1));
    rig.from('b', between(7, 3));
    expect(got(rig)).toEqual(['a', 'a', 'c', PEER_A, PEER_B]);
    expect(rig.row('network', 1).learnRefused).toBe(3);
  });
});

describe('two tenants', () => {
  const tenants = () =>
    makeRig({
      ports: { a1: A, b1: B, a2: { id: 4, network: 2 }, b2: { id: 5, network: 2 } },
      networks: [network(1, { vni: 100 }), network(2, { vni: 200, acceptUnknownPeers: false })],
      peers: [peer(1, 1, PEER_A), peer(2, 2, PEER_A), peer(3, 2, PEER_B)],
    });

  it('with equal MACs and addresses never see each other', () => {
    const rig = tenants();
    for (const [first, second] of [
      ['a1', 'b1'],
      ['a2', 'b2'],
    ]) {
      rig.from(first, hello(1));
      rig.from(second, hello(2));
    }
    got(rig);
    rig.from('a1', between(1, 2));
    expect(got(rig)).toEqual(['b1']);
    rig.from('b2', between(2, 1));
    expect(got(rig)).toEqual(['a2']);
    rig.fromPeer(PEER_A, 100, between(9, 1));
    rig.fromPeer(PEER_A, 200, between(9, 1));
    expect(got(rig)).toEqual(['a1', 'a2']);
    expect(rig.drops()).toEqual({});
  });

  it('have floods and VNIs of their own', () => {
    const rig = tenants();
    rig.from('a1', hello(1));
    rig.from('a2', hello(1));
    const vnis = rig.kernel.sent.map((m) => [m.address, m.bytes[6]]);
    expect(vnis).toEqual([
      [PEER_A, 100],
      [PEER_A, 200],
      [PEER_B, 200],
    ]);
    expect(rig.delivered().map((d) => d.port)).toEqual(['b1', 'b2']);
  });

  it('take frames of their own peers alone', () => {
    const rig = tenants();
    rig.fromPeer(PEER_B, 100, hello(9));
    expect(rig.drops()).toEqual({ 'unknown-peer': 1 });
    rig.fromPeer(PEER_B, 200, hello(9));
    expect(got(rig)).toEqual(['a2', 'b2']);
  });

  it('in one burst from the underlay are told apart', () => {
    const rig = tenants();
    rig.datagrams(
      ...Array.from({ length: 30 }, (_, n) => ({ bytes: vxlan(n % 2 ? 200 : 100, hello(20 + n)), from: PEER_A })),
    );
    const ports = rig.delivered();
    for (const [name, own] of [
      ['a1', 0],
      ['b1', 0],
      ['a2', 1],
      ['b2', 1],
    ] as const) {
      const frames = ports.filter((d) => d.port === name).map((d) => d.frame);
      expect(frames).toEqual(Array.from({ length: 15 }, (_, k) => hello(20 + 2 * k + own)));
    }
  });
});

describe('VLAN tags', () => {
  it('are carried, and are no networks of their own', () => {
    const rig = lab();
    const tagged = (src: number, dst: number) => udp({ src, dst, payload: 10, tags: [[0x8100, 77]] });
    rig.from('a', tagged(1, 2));
    got(rig);
    rig.from('b', between(2, 1));
    expect(rig.took('a')).toEqual([between(2, 1)]);
    rig.from('a', tagged(1, 2));
    expect(rig.took('b')).toEqual([tagged(1, 2)]);
  });
});

describe('an egress that has gone', () => {
  it('is noticed by frames for it: device-gone', () => {
    const rig = lab();
    rig.from('b', hello(2));
    rig.fromPeer(PEER_A, VNI, hello(9));
    got(rig);
    rig.plan.ports = rig.plan.ports.filter((p) => p.name !== 'b');
    rig.plan.peers = rig.plan.peers.filter((p) => p.id !== 1);
    rig.apply();
    rig.from('a', [between(1, 2), between(1, 9)]);
    expect(got(rig)).toEqual([]);
    expect(rig.row('port', 1).drops).toEqual({ 'device-gone': 2 });
    rig.from('a', [between(1, 2), between(1, 2)]);
    expect(rig.row('port', 1).drops).toEqual({ 'device-gone': 4 });
    rig.from('a', hello(1));
    expect(got(rig)).toEqual(['c', PEER_B]);
  });

  it('is counted when the device says so', () => {
    const rig = lab();
    rig.refuse = (device) => (device === 'b' ? -77 : undefined);
    rig.from('a', hello(1));
    expect(got(rig)).toEqual(['c', PEER_A, PEER_B]);
    expect(rig.row('port', 2).drops).toEqual({ 'device-gone': 1 });
    expect(rig.row('port', 2).lastErrno).toBe(77);
  });
});

describe('a frame for several receivers', () => {
  it('is finished before the first of them sees it', () => {
    const rig = makeRig({
      ports: {
        a: { id: 1, network: 1, kind: 'tap', vnetHdrLen: 12, offloads: 7 },
        b: { id: 2, network: 1, kind: 'tap', vnetHdrLen: 12, offloads: 7 },
        c: { id: 3, network: 1 },
      },
      peers: [peer(1, 1, PEER_A)],
    });
    const frame = udp({ src: 1, dst: 77, payload: 60, checksum: 'unfinished' });
    const finished = udp({ src: 1, dst: 77, payload: 60 });
    rig.from('a', frame, { flags: 1, csumStart: 34, csumOffset: 6 });
    const out = rig.delivered();
    expect(out.map((d) => d.port).sort()).toEqual(['b', 'c']);
    for (const d of out) expect(d.frame).toEqual(finished);
    expect(out.find((d) => d.port === 'b')?.vnet?.flags).toBe(0);
    expect(rig.kernel.sent[0].bytes.slice(8)).toEqual(finished);
  });

  it('of both kinds of underlay has one payload and several headers', () => {
    const rig = makeRig({
      ports: { a: A, x: { id: 4, network: 2 } },
      networks: [network(1), network(2, { vni: 77, underlay: FRAMES })],
      peers: [
        peer(1, 1, PEER_A),
        peer(2, 1, PEER_B),
        peer(3, 2, PEER_A, { underlay: FRAMES }),
        peer(4, 2, PEER_B, { underlay: FRAMES }),
      ],
    });
    rig.from('a', hello(1));
    rig.from('x', hello(1));
    expect(rig.kernel.sent.map((m) => m.bytes.slice(8))).toEqual([hello(1), hello(1)]);
    expect(rig.wire().map((o) => decodeOuter(o))).toMatchObject([
      { dst: PEER_A, vni: 77, inner: hello(1) },
      { dst: PEER_B, vni: 77, inner: hello(1) },
    ]);
    rig.fromWire(outer({ src: PEER_B }, vxlan(77, hello(9))));
    expect(rig.took('x')).toEqual([hello(9)]);
    expect(rig.took('a')).toEqual([]);
  });
});

describe('what the node counts', () => {
  it('is packets and bytes of each port, peer and underlay', () => {
    const rig = lab();
    rig.from('a', [hello(1), between(1, 2, 100)]);
    rig.fromPeer(PEER_A, VNI, between(9, 1, 50));
    const bytes = hello(1).length + 142;
    expect(rig.row('port', 1)).toMatchObject({ rxPackets: 2, rxBytes: bytes, copied: 6, txPackets: 1, txBytes: 92 });
    expect(rig.row('port', 2)).toMatchObject({ txPackets: 2, txBytes: bytes });
    expect(rig.row('peer', 1)).toMatchObject({
      txPackets: 2,
      txBytes: bytes,
      rxPackets: 1,
      rxBytes: 92,
      lastHeard: 100,
    });
    expect(rig.row('peer', 2)).toMatchObject({ txPackets: 2, rxPackets: 0, lastHeard: 0 });
    expect(rig.row('underlay', 1)).toMatchObject({ rxPackets: 1, txPackets: 4, txBytes: 2 * bytes });
  });
});
