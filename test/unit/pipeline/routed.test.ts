import { describe, expect, it } from 'vitest';
import type { RoutePlan } from '../../../src/pipeline/plan.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { decode, isIpChecksumRight, isTransportChecksumRight } from '../../rig/decode.js';
import { ACK, arpRequest, ethernet, join, noise, PSH, tcp, toHex, u32, udp, vxlan } from '../../rig/frames.js';
import { FRAMES, makeRig, network, PEER_A, PEER_B, peer, type RigOptions, SELF, SOCKETS } from '../../rig/pipeline.js';
import { readTunnelFrame, tunnelFrame } from '../../rig/tunnels.js';

/** The packet of a frame, and a frame around a packet. */
const packet = (frame: Uint8Array) => frame.slice(14);
const framed = (bytes: Uint8Array) => ethernet({}, bytes[0] >> 4 === 4 ? 0x0800 : 0x86dd, bytes);
const route = (prefix: string, port: number, toPeer = 0, net = 1): RoutePlan => ({
  network: net,
  prefix,
  port,
  peer: toPeer,
});

/** Station n is behind: 1 port a, 2 port b, 9 peer A, 8 peer B. */
const routes = [
  route('10.0.0.1/32', 1),
  route('fd00::1/128', 1),
  route('10.0.0.2/32', 2),
  route('fd00::2/128', 2),
  route('10.0.0.8/29', 0, 1),
  route('10.0.0.8/32', 0, 2),
  route('fd00::9/128', 0, 1),
];

function routedRig(rest: Partial<RigOptions> = {}) {
  return makeRig({
    ports: { a: { id: 1, network: 1 }, b: { id: 2, network: 1 } },
    networks: [network(1, { mode: 'l3', tunnel: tunnelPlan('ipip'), underlay: FRAMES })],
    peers: [peer(1, 1, PEER_A, { underlay: FRAMES }), peer(2, 1, PEER_B, { underlay: FRAMES })],
    routes,
    ...rest,
  });
}

const ttlOf = (bytes: Uint8Array) => (bytes[0] >> 4 === 4 ? bytes[8] : bytes[7]);
const checksumsAreRight = (bytes: Uint8Array) => {
  const frame = framed(bytes);
  const d = decode(frame);
  return d !== null && (d.family === 6 || isIpChecksumRight(frame, d)) && isTransportChecksumRight(frame, d);
};
const fromA = (bytes: Uint8Array, protocol = 4) => tunnelFrame({ src: PEER_A, dst: SELF, protocol }, bytes);

describe('a packet of an L3 network', () => {
  it('goes where the longest prefix says', () => {
    const rig = routedRig();
    for (const n of [8, 9, 10, 15]) rig.from('a', packet(udp({ src: 1, dst: n, payload: n })));
    expect(rig.wire().map((f) => readTunnelFrame(f).dst)).toEqual([PEER_B, PEER_A, PEER_A, PEER_A]);
    rig.from('a', packet(udp({ src: 1, dst: 9, payload: 3, family: 6 })));
    expect(rig.wire().map((f) => readTunnelFrame(f).protocol)).toEqual([41]);
  });

  it('without a route is dropped, and its sender told (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1)', () => {
    const rig = routedRig();
    const lost = [udp({ src: 1, dst: 77, payload: 4 }), udp({ src: 1, dst: 77, payload: 4, family: 6 })].map(packet);
    rig.from('a', lost);
    expect(rig.drops()).toEqual({ 'no-route': 2 });
    const [v4, v6] = rig.took('a');
    expect(toHex(v4.slice(9, 10))).toBe('01');
    expect([v4[20], v4[21]]).toEqual([3, 0]);
    expect(v4.slice(28)).toEqual(lost[0]);
    expect([v6[40], v6[41]]).toEqual([1, 0]);
    expect(v6.slice(48)).toEqual(lost[1]);
    // Nobody to tell behind a tunnel.
    rig.fromWire(fromA(packet(udp({ src: 9, dst: 77, payload: 4 }))));
    expect(rig.drops()).toEqual({ 'no-route': 3 });
    expect([rig.wire(), rig.delivered()]).toEqual([[], []]);
  });

  it('in a plan without routes goes nowhere', () => {
    const rig = routedRig({ routes: [] });
    rig.from('a', packet(udp({ src: 1, dst: 9, payload: 4 })));
    expect(rig.drops()).toEqual({ 'no-route': 1 });
    rig.delivered();
  });

  it('loses a hop between two ports, and none between port and peer', () => {
    const rig = routedRig();
    for (const family of [4, 6] as const) {
      for (const ttl of [2, 64, 255]) {
        rig.from('a', packet(udp({ src: 1, dst: 2, ttl, family, payload: 5 })));
        const [came] = rig.took('b');
        expect(ttlOf(came)).toBe(ttl - 1);
        expect(checksumsAreRight(came)).toBe(true);
        rig.from('a', packet(udp({ src: 1, dst: 9, ttl, family, payload: 5 })));
        expect(ttlOf(readTunnelFrame(rig.wire()[0]).payload)).toBe(ttl);
      }
      rig.from(
        'a',
        [0, 1].map((ttl) => packet(udp({ src: 1, dst: 2, ttl, family, payload: 5 }))),
      );
    }
    expect(rig.drops()).toEqual({ 'ttl-exceeded': 4 });
  });

  it('for where it came from is dropped', () => {
    const rig = routedRig();
    rig.from('a', packet(udp({ src: 3, dst: 1, payload: 4 })));
    expect(rig.drops()).toEqual({ 'same-port': 1 });
    rig.fromWire(fromA(packet(udp({ src: 9, dst: 8, payload: 4 }))));
    expect(rig.drops()).toEqual({ 'same-port': 1, 'split-horizon': 1 });
  });

  it('is an IP packet, and whole', () => {
    const rig = routedRig();
    const whole = packet(udp({ src: 1, dst: 9, payload: 9 }));
    const six = packet(udp({ src: 1, dst: 9, payload: 9, family: 6 }));
    rig.from('a', [noise(1), arpRequest(1), new Uint8Array(60)]);
    expect(rig.drops()).toEqual({ 'malformed-packet': 3 });
    for (const bytes of [whole, six]) for (let n = 1; n < bytes.length; n++) rig.from('a', bytes.slice(0, n));
    expect(rig.drops()).toEqual({ 'malformed-packet': 3 + whole.length - 1 + six.length - 1 });
    expect(rig.wire()).toEqual([]);
    expect(rig.row('port', 1).rxPackets).toBe(3 + whole.length - 1 + six.length - 1);
  });

  it('travels without what is behind it', () => {
    const rig = routedRig();
    const plain = packet(udp({ src: 1, dst: 9, payload: 9 }));
    rig.from('a', packet(udp({ src: 1, dst: 9, payload: 9, trailer: 13 })));
    expect(rig.wire().map((f) => readTunnelFrame(f).payload)).toEqual([plain]);
  });
});

describe('routed VXLAN', () => {
  const mac = '02:00:00:00:0b:01';
  const options = {
    networks: [
      network(1, { mode: 'l3', tunnel: tunnelPlan('vxlan', 1, { udpPort: 8472 }), underlay: FRAMES, vtepMac: mac }),
    ],
    peers: [peer(1, 1, PEER_A, { underlay: FRAMES, udpPort: 8472, mac: '02:00:00:00:0b:02' })],
    routes: routes.filter((r) => r.peer !== 2),
  };

  it('takes frames for its own MAC alone', () => {
    const rig = routedRig(options);
    const arrives = (frame: Uint8Array) =>
      rig.fromWire(tunnelFrame({ src: PEER_A, dst: SELF, protocol: 17, dport: 8472 }, vxlan(1, frame)));
    const own = join('020000000b01');
    arrives(udp({ src: 9, dst: own, ipDst: 1, payload: 5 }));
    expect(rig.took('a')).toEqual([packet(udp({ src: 9, dst: 1, payload: 5 }))]);
    for (const dst of [1, join('ffffffffffff'), join('020000000b02'), join('020000000c01')])
      arrives(udp({ src: 9, dst, ipDst: 1, payload: 5 }));
    expect(rig.drops()).toEqual({ 'wrong-mac': 4 });
    arrives(ethernet({ dst: own }, 0x0806, noise(28)));
    expect(rig.drops()).toEqual({ 'wrong-mac': 4, 'tunnel-protocol': 1 });
    arrives(ethernet({ dst: own }, 0x0800, []));
    expect(rig.drops()).toEqual({ 'wrong-mac': 4, 'tunnel-protocol': 1, 'malformed-tunnel': 1 });
  });
});

describe('peers on the same link', () => {
  const direct = (rest: Partial<RigOptions> = {}) =>
    routedRig({
      peers: [peer(1, 1, PEER_A, { underlay: FRAMES, direct: true }), peer(2, 1, PEER_B, { underlay: FRAMES })],
      ...rest,
    });
  const own = join('020000000a01');

  it('get plain routed packets, others the tunnel', () => {
    for (const checksum of [true, false]) {
      const rig = direct({ underlay: { checksum } });
      const frames = [udp({ src: 1, dst: 9, payload: 7 }), udp({ src: 1, dst: 9, payload: 8, family: 6 })];
      rig.from('a', [...frames, udp({ src: 1, dst: 8, payload: 9 })].map(packet));
      const [v4, v6, tunnelled] = rig.wire();
      expect(toHex(v4)).toBe(toHex(join('020000000a02 020000000a01 0800', packet(frames[0]))));
      expect(toHex(v6)).toBe(toHex(join('020000000a02 020000000a01 86dd', packet(frames[1]))));
      expect(readTunnelFrame(tunnelled)).toMatchObject({ dst: PEER_B, protocol: 4 });
    }
  });

  it('send plain routed packets to our MAC', () => {
    const rig = direct();
    const frames = [
      udp({ src: 9, dst: own, ipDst: 1, payload: 7 }),
      udp({ src: 9, dst: own, ipDst: 1, payload: 8, family: 6 }),
    ];
    rig.fromWire(...frames);
    expect(rig.took('a')).toEqual(frames.map(packet));
    rig.fromWire(udp({ src: 9, dst: 5, ipDst: 1, payload: 7 }));
    expect(rig.drops()).toEqual({ 'not-for-us': 1 });
    // To another peer: split horizon, though nobody knows who sent it.
    rig.fromWire(udp({ src: 9, dst: own, ipDst: 8, payload: 7 }));
    expect(rig.drops()).toEqual({ 'not-for-us': 1, 'split-horizon': 1 });
    rig.fromWire(udp({ src: 9, dst: own, ipDst: 1, payload: 7, fragment: 0x2000, trailer: 4 }));
    expect(rig.took('a')).toEqual([packet(udp({ src: 9, dst: own, ipDst: 1, payload: 7, fragment: 0x2000 }))]);
  });

  it('and tunnels may share a burst, in any order', () => {
    const rig = direct({
      networks: [
        network(1, { mode: 'l3', tunnel: tunnelPlan('gre', 77, { payload: 'ip' }), underlay: FRAMES }),
        network(2, { tunnel: tunnelPlan('vxlan', 42), underlay: FRAMES }),
      ],
      ports: { a: { id: 1, network: 1 }, b: { id: 2, network: 1 }, c: { id: 3, network: 2 } },
    });
    rig.plan.peers.push(peer(3, 2, PEER_A, { underlay: FRAMES }));
    rig.apply();
    const plain = (payload: number) => udp({ src: 9, dst: own, ipDst: 1, payload });
    const gre = (payload: number) =>
      tunnelFrame(
        { src: PEER_A, dst: SELF, protocol: 47 },
        join('2000 0800', u32(77), packet(udp({ src: 9, dst: 1, payload }))),
      );
    const l2 = (payload: number) =>
      tunnelFrame({ src: PEER_A, dst: SELF, protocol: 17, dport: 4789 }, vxlan(42, udp({ src: 9, dst: 30, payload })));
    const kinds = [plain, gre, l2];
    for (let turn = 0; turn < 6; turn++)
      rig.fromWire(...Array.from({ length: 60 }, (_, n) => kinds[(n + turn * (n >> 3)) % 3](n)));
    expect(rig.drops()).toEqual({});
    expect(rig.took('a').length + rig.took('c').length).toBe(360);
  });
});

describe('a burst for networks of several modes', () => {
  it('is walked once for each mode, and every lane once', () => {
    const rig = makeRig({
      ports: {
        a: { id: 1, network: 1 },
        b: { id: 2, network: 1 },
        r: { id: 3, network: 2 },
        x: { id: 4, network: 3 },
      },
      networks: [
        network(1, { tunnel: tunnelPlan('vxlan', 41), underlay: FRAMES }),
        network(2, { tunnel: tunnelPlan('ipip'), mode: 'l3', underlay: FRAMES }),
        network(3, { tunnel: tunnelPlan('geneve', 43), mode: 'xconnect', underlay: FRAMES }),
      ],
      peers: [1, 2, 3].map((id) => peer(id, id, PEER_A, { underlay: FRAMES })),
      routes: [route('10.0.0.1/32', 3, 0, 2)],
    });
    const outer = { src: PEER_A, dst: SELF };
    const bridged = udp({ src: 9, dst: 50, payload: 10 });
    const crossed = udp({ src: 7, dst: 7, payload: 12 });
    const ways = [
      tunnelFrame({ ...outer, protocol: 17, dport: 4789 }, vxlan(41, bridged)),
      tunnelFrame({ ...outer, protocol: 4 }, packet(udp({ src: 9, dst: 1, payload: 11 }))),
      tunnelFrame({ ...outer, protocol: 17, dport: 6081 }, join('0000 6558', u32(43 * 256), crossed)),
      // Dropped by decap, by parse of packets, by route.
      tunnelFrame({ ...outer, protocol: 17, dport: 4789 }, vxlan(99, bridged)),
      tunnelFrame({ ...outer, protocol: 4 }, packet(udp({ src: 9, dst: 1, payload: 11 })).slice(0, 25)),
      tunnelFrame({ ...outer, protocol: 4 }, packet(udp({ src: 9, dst: 66, payload: 11 }))),
      tunnelFrame({ ...outer, protocol: 17, dport: 4789 }, vxlan(41, noise(5))),
    ];
    for (const order of [
      [0, 1, 2, 3, 4, 5, 6],
      [6, 5, 4, 3, 2, 1, 0],
      [2, 6, 0, 3, 1, 5, 4],
    ]) {
      rig.fromWire(...Array.from({ length: 8 }, () => order.map((k) => ways[k])).flat());
      const eight = (frame: Uint8Array) => Array.from({ length: 8 }, () => frame);
      expect(rig.took('a')).toEqual(eight(bridged));
      expect(rig.took('b')).toEqual(eight(bridged));
      expect(rig.took('r')).toEqual(eight(packet(udp({ src: 9, dst: 1, payload: 11 }))));
      expect(rig.took('x')).toEqual(eight(crossed));
      expect(rig.drops()).toEqual({ 'unknown-vni': 8, 'malformed-packet': 8, 'no-route': 8, 'malformed-frame': 8 });
      expect(rig.row('underlay', FRAMES)).toMatchObject({ rxPackets: 56, copied: 8 });
      rig.pipeline.counters.fill(0);
    }
  });
});

describe('a cross-connect', () => {
  const crossed = (kind: 'gre' | 'ipip') =>
    makeRig({
      ports: { a: { id: 1, network: 1 } },
      networks: [network(1, { tunnel: tunnelPlan(kind), mode: 'xconnect', underlay: FRAMES })],
      peers: [peer(1, 1, PEER_A, { underlay: FRAMES })],
    });

  it('carries everything both ways, and learns nothing', () => {
    const rig = crossed('gre');
    const frames = [
      arpRequest(1),
      udp({ src: 1, dst: 1, payload: 3 }),
      ethernet({ dst: join('0180c2000000') }, 0x88cc, noise(46)),
    ];
    rig.from('a', frames);
    expect(rig.wire().map((f) => readTunnelFrame(f).payload)).toEqual(frames.map((f) => join('0000 6558', f)));
    rig.fromWire(...frames.map((f) => tunnelFrame({ src: PEER_A, dst: SELF, protocol: 47 }, join('0000 6558', f))));
    expect(rig.took('a')).toEqual(frames);
    rig.plan.peers = [];
    rig.apply();
    rig.from('a', frames[1]);
    expect(rig.drops()).toEqual({ 'no-destination': 1 });
  });

  it('leaves the Ethernet header behind where the tunnel carries packets', () => {
    const rig = crossed('ipip');
    rig.from('a', [
      udp({ src: 1, dst: 2, payload: 3, trailer: 9 }),
      udp({ src: 1, dst: 2, payload: 3, family: 6, tags: [[0x8100, 5]] }),
      arpRequest(1),
    ]);
    const sent = rig.wire().map(readTunnelFrame);
    expect(sent.map((s) => s.protocol)).toEqual([4, 41]);
    expect(sent.map((s) => s.payload)).toEqual([udp({ payload: 3 }), udp({ payload: 3, family: 6 })].map(packet));
    expect(rig.drops()).toEqual({ 'tunnel-protocol': 1 });
  });
});

describe('TCP segments of a flow out of a tunnel', () => {
  it('become one superframe of a TUN device, with right headers', () => {
    for (const family of [4, 6] as const) {
      const rig = makeRig({
        ports: { t: { id: 1, network: 1, kind: 'tun', vnetHdrLen: 12, offloads: 7 } },
        networks: [network(1, { mode: 'l3', tunnel: tunnelPlan('fou') })],
        peers: [peer(1, 1, PEER_A, { udpPort: 8285 })],
        carrier: { tunnel: 'fou', udpPort: 8285 },
        routes,
      });
      const segment = (k: number, payload: number, flags: number) =>
        packet(tcp({ src: 9, dst: 1, seq: 1000 + k * 500, payload: noise(payload, k), flags, family }));
      const segments = [0, 1, 2, 3].map((k) => segment(k, k === 3 ? 77 : 500, k === 3 ? ACK | PSH : ACK));
      rig.datagrams(...segments.map((bytes) => ({ bytes, from: PEER_A })));
      const [{ frame, vnet }, ...more] = rig.delivered();
      expect(more).toEqual([]);
      const headers = family === 4 ? 40 : 60;
      expect(vnet).toMatchObject({
        flags: 1,
        gsoType: family === 4 ? 1 : 4,
        gsoSize: 500,
        csumStart: headers - 20,
        csumOffset: 16,
      });
      expect(frame.slice(headers)).toEqual(join(...segments.map((s) => s.slice(headers))));
      const whole = decode(framed(frame));
      expect(whole?.end).toBe(14 + headers + 1577);
      expect(rig.row('port', 1)).toMatchObject({ txPackets: 4, txSuperframes: 1 });
      expect(rig.row('underlay', SOCKETS).rxPackets).toBe(4);
    }
  });
});
