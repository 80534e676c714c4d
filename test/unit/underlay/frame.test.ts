import { describe, expect, it } from 'vitest';
import { decodeOuter } from '../../rig/decode.js';
import { arpRequest, BROADCAST, noise, type OuterFields, outer, tcp, udp, vxlan } from '../../rig/frames.js';
import { FRAMES, makeRig, network, PEER_A, PEER_B, peer, type RigOptions, SELF } from '../../rig/pipeline.js';

const VNI = 41;

function frameRig(rest: Partial<RigOptions> = {}) {
  return makeRig({
    ports: { a: { id: 1, network: 1 }, b: { id: 2, network: 1 } },
    networks: [network(1, { underlay: FRAMES })],
    peers: [peer(1, 1, PEER_A, { underlay: FRAMES }), peer(2, 1, PEER_B, { underlay: FRAMES })],
    ...rest,
  });
}

const inner = udp({ src: 9, dst: 1, payload: 20 });
const fromA = (fields: OuterFields = {}, frame: Uint8Array = inner) =>
  outer({ src: PEER_A, ...fields }, vxlan(VNI, frame));

describe('whole outer frames that come in', () => {
  it('are delivered without a byte of the outer headers', () => {
    const rig = frameRig();
    rig.fromWire(
      fromA(),
      fromA({ checksum: 'good' }),
      fromA({ options: [1, 1, 1, 0] }),
      fromA({ trailer: 7 }),
      fromA({ ttl: 1 }),
    );
    expect(rig.took('a')).toEqual([inner, inner, inner, inner, inner]);
    expect(rig.drops()).toEqual({});
    expect(rig.row('peer', 1)).toMatchObject({ rxPackets: 5, rxBytes: 5 * inner.length, lastHeard: 100 });
    expect(rig.row('underlay', FRAMES)).toMatchObject({ rxPackets: 5 });
  });

  /** Offsets in the outer frame: IP at 14, UDP at 34. */
  const hostile: [string, string, Uint8Array][] = [
    ['another EtherType', 'not-for-us', fromA({ patches: [[12, [0x88, 0x47]]] })],
    ['the EtherType of IPv6', 'malformed-outer', fromA({ patches: [[12, [0x86, 0xdd]]] })],
    ['an ARP request', 'not-for-us', arpRequest(9)],
    ['IP version 5', 'malformed-outer', fromA({ patches: [[14, [0x55]]] })],
    ['a header length of 16', 'malformed-outer', fromA({ patches: [[14, [0x44]]] })],
    ['a total length below its header', 'malformed-outer', fromA({ patches: [[16, [0, 19]]] })],
    ['a total length without UDP', 'malformed-outer', fromA({ patches: [[16, [0, 27]]] })],
    ['a total length beyond the frame', 'malformed-outer', fromA({ patches: [[16, [0x40, 0]]] })],
    ['a wrong IP checksum', 'outer-checksum', fromA({ isIpChecksumBad: true })],
    ['another protocol', 'not-for-us', fromA({ patches: [[23, [6]]] })],
    ['another destination', 'not-for-us', fromA({ dst: '198.18.0.7' })],
    ['more fragments', 'outer-fragment', fromA({ fragment: 0x2000 })],
    ['a fragment offset', 'outer-fragment', fromA({ fragment: 0x0001 })],
    ['another UDP port', 'not-for-us', fromA({ dport: 8472 })],
    ['a UDP length of 7', 'malformed-outer', fromA({ patches: [[38, [0, 7]]] })],
    ['a UDP length of 0', 'malformed-outer', fromA({ patches: [[38, [0, 0]]] })],
    ['a UDP length beyond the packet', 'malformed-outer', fromA({ patches: [[38, [0xff, 0xff]]] })],
    [
      'a UDP length that takes bytes from behind the packet',
      'malformed-outer',
      fromA({ patches: [[38, [0, 8 + 8 + inner.length + 1]]], trailer: 9 }),
    ],
    ['a wrong UDP checksum', 'outer-checksum', fromA({ checksum: 'bad' })],
    ['nothing behind UDP', 'malformed-tunnel', outer({ src: PEER_A }, new Uint8Array(0))],
    ['a VXLAN header alone', 'malformed-tunnel', outer({ src: PEER_A }, vxlan(VNI, new Uint8Array(0)))],
    ['no I flag', 'tunnel-flags', outer({ src: PEER_A }, vxlan(VNI, inner, 0))],
    ['an unknown VNI', 'unknown-vni', outer({ src: PEER_A }, vxlan(7, inner))],
    ['an unknown peer', 'unknown-peer', fromA({ src: '198.18.0.9' })],
    ['an inner frame of 13 bytes', 'malformed-frame', fromA({}, noise(13))],
    ['an inner frame from no station', 'invalid-source', fromA({}, udp({ src: BROADCAST, payload: 4 }))],
    ['congestion that the inner flow cannot hear of', 'ecn', fromA({ tos: 3 })],
  ];

  it.each(hostile)('with %s are dropped as %s', (_name, reason, frame) => {
    const rig = frameRig();
    rig.fromWire(frame, fromA());
    expect(rig.drops()).toEqual({ [reason]: 1 });
    expect(rig.took('a')).toEqual([inner]);
  });

  it('cut off at every length are dropped under a reason, and nothing is delivered', () => {
    for (const whole of [fromA(), fromA({ checksum: 'good', options: [1, 1, 1, 0] })]) {
      const rig = frameRig();
      for (let length = 0; length < whole.length; length++) rig.fromWire(whole.slice(0, length));
      expect(rig.delivered()).toEqual([]);
      // Whatever is left of the packet, its length field says more than the frame has.
      expect(rig.drops()).toEqual({ 'malformed-outer': whole.length });
    }
  });

  it('may lie at any place in the arena', () => {
    const rig = frameRig();
    const device = rig.pipeline.devices.memory.get('wire');
    const underlay = rig.pipeline.walk.underlays[FRAMES];
    if (device === undefined || underlay === undefined) throw new Error('no underlay');
    for (let offset = 0; offset < 64; offset++) {
      device.inject(fromA({ checksum: 'good' }), undefined, offset);
      rig.pipeline.walk.fromUnderlay(underlay);
    }
    expect(rig.took('a')).toEqual(Array.from({ length: 64 }, () => inner));
  });
});

describe('whole outer frames that go out', () => {
  const local = (payload: number) => udp({ src: 1, dst: 9, payload });

  /** A rig in which station 9 is known behind peer A. */
  function learned(rest: Partial<RigOptions> = {}) {
    const rig = frameRig(rest);
    rig.fromWire(fromA());
    rig.delivered();
    return rig;
  }

  it.each([false, true])('have every outer field right, with UDP checksums %s', (checksum) => {
    const rig = learned({ underlay: { checksum, ttl: 17, dscp: 46 } });
    const frames = [local(0), local(1), local(18), local(1399), local(1400)];
    rig.from('a', frames);
    const out = rig.wire().map(decodeOuter);
    expect(out.map((o) => o.inner)).toEqual(frames);
    for (const [k, o] of out.entries()) {
      const bytes = frames[k].length;
      expect(o).toMatchObject({
        dstMac: '02:00:00:00:0a:02',
        srcMac: '02:00:00:00:0a:01',
        tos: 46 << 2,
        totalLen: 20 + 8 + 8 + bytes,
        id: 0,
        fragment: 0x4000,
        ttl: 17,
        src: SELF,
        dst: PEER_A,
        dport: 4789,
        udpLen: 16 + bytes,
        isIpChecksumRight: true,
        isUdpChecksumRight: true,
        flags: 8,
        reserved: [0, 0, 0, 0],
        vni: VNI,
      });
      expect(o.udpChecksum !== 0).toBe(checksum);
      expect(o.sport).toBeGreaterThanOrEqual(49152);
    }
  });

  it('are the same wherever the inner frame lies: word form and byte form agree', () => {
    for (const checksum of [false, true]) {
      const rig = learned({ underlay: { checksum, dscp: -1 } });
      const frame = udp({ src: 1, dst: 9, payload: 33, tos: 0x2a });
      const outs: Uint8Array[] = [];
      for (let offset = 0; offset < 64; offset++) {
        rig.from('a', frame, undefined, offset);
        outs.push(...rig.wire());
      }
      expect(outs).toHaveLength(64);
      for (const o of outs) expect(o).toEqual(outs[0]);
      expect(decodeOuter(outs[0])).toMatchObject({
        tos: 0x2a,
        isIpChecksumRight: true,
        isUdpChecksumRight: true,
        inner: frame,
      });
    }
  });

  it('keep every bit of addresses that look like NaN, cold and hot', () => {
    // Words of the template are copied as doubles. These MACs and addresses make exponents of all ones, quiet and signalling.
    const addresses = ['198.18.240.255', '198.18.241.127', '198.18.247.255', '198.18.248.255'];
    const macs = ['f2:ff:00:00:00:01', 'f6:7f:12:34:56:78', 'f0:ff:00:00:00:00', 'fa:7f:00:00:00:00'];
    const neighbours = Object.fromEntries(addresses.map((a, k) => [a, macs[k]]));
    const rig = frameRig({
      underlay: { checksum: false },
      neighbours,
      peers: addresses.map((a, k) => peer(k + 1, 1, a, { underlay: FRAMES })),
    });
    addresses.forEach((src, k) => {
      rig.fromWire(outer({ src }, vxlan(VNI, udp({ src: 20 + k, dst: 1, payload: 4 }))));
    });
    rig.delivered();
    for (let round = 0; round < 400; round++) {
      for (const [k, dst] of addresses.entries()) {
        rig.from(
          'a',
          [1, 2, 3].map(() => udp({ src: 1, dst: 20 + k, payload: 4 })),
        );
        for (const o of rig.wire().map(decodeOuter)) {
          expect([o.dst, o.dstMac, o.srcMac]).toEqual([dst, macs[k], '02:00:00:00:0a:01']);
          expect(o.isIpChecksumRight).toBe(true);
        }
      }
    }
  });

  it('have one source port for each flow, from the inner headers alone', () => {
    const rig = learned();
    const port = (frame: Uint8Array) => {
      rig.from('a', frame);
      return decodeOuter(rig.wire()[0]).sport;
    };
    const flow = port(tcp({ src: 1, dst: 9, payload: 1, sport: 1 }));
    expect(port(tcp({ src: 1, dst: 9, payload: 900, sport: 1, seq: 99, tos: 2 }))).toBe(flow);
    const ports = new Set(Array.from({ length: 100 }, (_, sport) => port(tcp({ src: 1, dst: 9, payload: 1, sport }))));
    expect(ports.size).toBeGreaterThan(90);
  });

  it.each([
    [10, 0, 10 << 2],
    [10, (46 << 2) | 2, (10 << 2) | 2],
    [10, 3, (10 << 2) | 3],
    [-1, (46 << 2) | 1, (46 << 2) | 1],
    [-1, 0xff, 0xff],
    [0, 0xfc, 0],
  ])('with DSCP %i and an inner TOS of %i have the outer TOS %i (RFC 6040 section 4.1)', (dscp, tos, wanted) => {
    const rig = learned({ underlay: { dscp } });
    for (const family of [4, 6] as const) {
      rig.from('a', udp({ family, src: 1, dst: 9, payload: 5, tos }));
      expect(decodeOuter(rig.wire()[0])).toMatchObject({ tos: wanted, isIpChecksumRight: true });
    }
  });

  it('are one for each peer when a frame is flooded: own headers, one payload', () => {
    for (const checksum of [false, true]) {
      const rig = frameRig({ underlay: { checksum } });
      const frames = [arpRequest(1), udp({ src: 1, dst: 77, payload: 301 })];
      rig.from('a', frames);
      const out = rig.wire().map(decodeOuter);
      expect(out.map((o) => [o.dst, o.dstMac])).toEqual([
        [PEER_A, '02:00:00:00:0a:02'],
        [PEER_A, '02:00:00:00:0a:02'],
        [PEER_B, '02:00:00:00:0a:03'],
        [PEER_B, '02:00:00:00:0a:03'],
      ]);
      expect(out.map((o) => o.inner)).toEqual([...frames, ...frames]);
      expect(out.every((o) => o.isUdpChecksumRight && o.isIpChecksumRight && (o.udpChecksum !== 0) === checksum)).toBe(
        true,
      );
      expect(rig.took('b')).toEqual(frames);
    }
  });

  it('are not sent to a peer whose next hop is unknown', () => {
    const rig = frameRig({ neighbours: { [PEER_B]: '02:00:00:00:0a:03' } });
    rig.from('a', arpRequest(1));
    expect(rig.wire().map((o) => decodeOuter(o).dst)).toEqual([PEER_B]);
    rig.fromWire(fromA());
    rig.from('a', local(5));
    expect(rig.wire()).toEqual([]);
    expect(rig.row('peer', 1).drops).toEqual({ 'no-neighbour': 2 });
  });

  it('are judged by the MTU of the network: the packet behind Ethernet and tags', () => {
    const rig = learned();
    const sizes = (frames: Uint8Array[]) => {
      rig.from('a', frames);
      return rig.wire().length;
    };
    const of = (total: number) => udp({ src: 1, dst: 9, payload: total - 28 });
    expect(sizes([of(1450), of(1451)])).toBe(1);
    expect(sizes([udp({ src: 1, dst: 9, payload: 1422, tags: [[0x8100, 1]] })])).toBe(1);
    expect(sizes([udp({ src: 1, dst: 9, payload: 1423, tags: [[0x8100, 1]] })])).toBe(0);
    expect(rig.row('peer', 1).drops).toEqual({ 'too-big': 2 });
  });

  it('carry plain frames and frames with something to finish in one burst, in order', () => {
    const rig = learned({ underlay: { checksum: false } });
    const frames = Array.from({ length: 20 }, (_, k) => udp({ src: 1, dst: 9, payload: 40 + k, sport: k }));
    frames[5] = udp({ src: 1, dst: 9, payload: 1500 });
    rig.from('a', frames);
    expect(rig.wire().map((o) => decodeOuter(o).inner)).toEqual(frames.filter((_, k) => k !== 5));
    expect(rig.drops()).toEqual({ 'too-big': 1 });
  });

  it('that the device refuses are counted at the peer', () => {
    const rig = learned();
    const results = [undefined, -11, -105, -90, -19, -1];
    rig.refuse = (_device, m) => results[m];
    rig.from(
      'a',
      results.map(() => local(5)),
    );
    expect(rig.wire()).toHaveLength(1);
    expect(rig.row('peer', 1).drops).toEqual({ 'tx-full': 2, 'tx-too-big': 1, 'device-gone': 1, 'tx-error': 1 });
    expect(rig.row('peer', 1)).toMatchObject({ txPackets: 1, lastErrno: 1 });
    expect(rig.row('underlay', FRAMES)).toMatchObject({ txPackets: 1, txBytes: local(5).length });
  });
});
