// What comes from a peer: the same list for every encapsulation, over IPv4 and IPv6, as whole frames and through sockets.
import { describe, expect, it } from 'vitest';
import { ADDRESS, casesOf, makeBench, WAYS } from '../../../rig/conformance.js';
import { decode, isIpChecksumRight } from '../../../rig/decode.js';
import { arpRequest, ethernet, noise, tcp, toHex, udp } from '../../../rig/frames.js';

const between = (fields: Parameters<typeof udp>[0]) => udp({ src: 9, dst: 1, ...fields });
const frames = [
  between({ payload: 0 }),
  between({ payload: 1 }),
  between({ payload: 18, family: 6 }),
  between({ payload: 1422 }),
  tcp({ src: 9, dst: 1, payload: 777 }),
  tcp({ src: 9, dst: 1, payload: 778, family: 6 }),
];

/** The TOS of a frame's IP header, after a look at its checksum. */
function tosOf(frame: Uint8Array, isPacket: boolean): number {
  const whole = isPacket ? ethernet({}, frame[0] >> 4 === 4 ? 0x0800 : 0x86dd, frame) : frame;
  const d = decode(whole);
  if (d === null || d.l3 === 0) throw new Error(`no IP: ${toHex(frame)}`);
  if (d.family === 4) expect(isIpChecksumRight(whole, d)).toBe(true);
  return d.tos;
}

describe.each(casesOf(WAYS))('$name', ({ e, way }) => {
  const isL2 = e.mode === 'l2';

  it('gives the inner packet back, and counts it at its peer', () => {
    const bench = makeBench(e, way);
    bench.arrives(frames);
    expect(bench.took('a')).toEqual(frames.map(bench.inner));
    expect(bench.rig.drops()).toEqual({});
    const bytes = frames.reduce((n, frame) => n + bench.inner(frame).length, 0);
    expect(bench.rig.row('peer', 1)).toMatchObject({ rxPackets: frames.length, rxBytes: bytes, lastHeard: 100 });
  });

  it('tells peers apart, and keeps what comes from one away from the other (split horizon)', () => {
    const bench = makeBench(e, way);
    bench.arrives(udp({ src: 8, dst: 2, payload: 4 }), { from: 'b' });
    expect(bench.took('b')).toHaveLength(1);
    expect(bench.rig.row('peer', 2)).toMatchObject({ rxPackets: 1 });
    bench.arrives(udp({ src: 8, dst: 9, payload: 4 }), { from: 'b' });
    expect(bench.rig.row('peer', 2).drops).toEqual({ 'split-horizon': 1 });
    if (isL2) {
      bench.arrives(arpRequest(9));
      expect([bench.took('a'), bench.took('b')]).toEqual([[arpRequest(9)], [arpRequest(9)]]);
    }
    expect(bench.sent()).toEqual([]);
  });

  it('drops what a stranger sends, or takes it where that is allowed', () => {
    const bench = makeBench(e, way);
    bench.arrives(frames[0], { from: 'stranger' });
    expect(bench.rig.drops()).toEqual({ 'unknown-peer': 1 });
    const told: string[] = [];
    const open = makeBench(e, way, {
      acceptUnknownPeers: true,
      onUnknownPeer: (underlay, network) => told.push(`${underlay} ${network}`),
    });
    open.arrives(frames[1], { from: 'stranger' });
    expect(open.took('a')).toEqual([open.inner(frames[1])]);
    expect(told).toEqual([way.over === 'frame' ? '2 1' : '1 1']);
  });

  it('drops what is for no network', () => {
    const bench = makeBench(e, way);
    if (e.otherId === undefined) return;
    bench.arrives(frames[0], { wrap: e.otherId });
    expect(bench.rig.drops()).toEqual({ 'unknown-vni': 1 });
  });

  it('drops protocols that the network does not carry', () => {
    const { otherProtocol } = e;
    if (otherProtocol === undefined) return;
    const types = isL2 ? [0x0800, 0x86dd, 0x0806] : [0x6558, 0x0806];
    for (const type of types) {
      const bench = makeBench(e, way);
      bench.arrives(frames[0], { wrap: (inner, f) => otherProtocol(inner, f, type) });
      expect(bench.rig.drops()).toEqual({ 'tunnel-protocol': 1 });
    }
  });

  it('marks congestion inside, and drops it where the flow cannot hear of it (RFC 6040 section 4.2)', () => {
    for (const family of [4, 6] as const) {
      const bench = makeBench(e, way);
      // Rows: inner ECN; columns: outer ECN. -1: dropped.
      const table = [
        [0, 0, 0, -1],
        [1, 1, 1, 3],
        [2, 1, 2, 3],
        [3, 3, 3, 3],
      ];
      for (const [inner, row] of table.entries())
        for (const [outer, wanted] of row.entries()) {
          bench.arrives(between({ tos: 0xb8 | inner, family, payload: 5 }), { tos: 0x28 | outer });
          const came = bench.took('a').map((frame) => tosOf(frame, !isL2));
          expect(came, `${inner} in ${outer}`).toEqual(wanted < 0 ? [] : [0xb8 | wanted]);
        }
      expect(bench.rig.drops()).toEqual({ ecn: 1 });
    }
  });

  it('is dropped or delivered in part, but counted, when the tunnel packet ends early', () => {
    const whole = between({ payload: 3 });
    const bench = makeBench(e, way);
    const fields = { family: 4 as const, sequence: 0, dstMac: '020000000b01', srcMac: '020000000b02' };
    const wrapped = e.wrap(bench.inner(whole), fields);
    const headerLen = wrapped.length - bench.inner(whole).length;
    for (let length = 0; length < wrapped.length; length++) {
      bench.arrivesRaw(wrapped.slice(0, length), 4);
      const came = bench.took('a');
      const drops = Object.values(bench.rig.drops()).reduce((n, count) => n + count, 0);
      expect(drops + came.length, `${length} bytes`).toBe(1);
      // A frame may be shorter than its packet; a packet may not.
      if (!isL2) expect(came).toEqual([]);
      else if (length < headerLen + 14) expect(came).toEqual([]);
      for (const frame of came) expect(frame).toEqual(whole.slice(0, length - headerLen));
      bench.rig.pipeline.counters.fill(0);
      bench.took('b');
    }
  });

  it('loses padding of its carrier behind a packet, and keeps what is in a frame', () => {
    const bench = makeBench(e, way);
    const padded = [between({ payload: 1, trailer: 17 }), between({ payload: 1, trailer: 3, family: 6 })];
    bench.arrives(padded);
    const wanted = isL2 ? padded : [between({ payload: 1 }), between({ payload: 1, family: 6 })].map(bench.inner);
    expect(bench.took('a')).toEqual(wanted);
  });

  it('carries tags, and frames that are no IP; a packet network carries packets alone', () => {
    const bench = makeBench(e, way);
    const odd = [
      between({ tags: [[0x8100, 7]], payload: 9 }),
      ethernet({ src: 9, dst: 1 }, 0x88f7, noise(46)),
      ethernet({ src: 9, dst: 1 }, 0x0800, noise(46)),
    ];
    if (isL2) {
      bench.arrives(odd);
      expect(bench.took('a')).toEqual(odd);
      return;
    }
    // Version 4, but a header length of 16 and a length beyond the end.
    bench.arrives([between({ payload: 3 })].map((f) => Uint8Array.from(f, (x, k) => (k === 14 ? 0x44 : x))));
    bench.arrives([between({ payload: 3 })].map((f) => Uint8Array.from(f, (x, k) => (k === 16 ? 0x40 : x))));
    bench.arrives([between({ payload: 3, family: 6 })].map((f) => Uint8Array.from(f, (x, k) => (k === 18 ? 0x40 : x))));
    expect(bench.rig.drops()).toEqual({ 'malformed-packet': 3 });
  });
});

const frameWays = WAYS.filter((way) => way.over === 'frame');

describe.each(casesOf(frameWays))('$name, whole frames', ({ e, way }) => {
  const isUdp = e.protocol(4) === 17;

  it('takes checksums that are right or absent, over both families (RFC 6936), and no wrong ones', () => {
    if (!isUdp) return;
    const bench = makeBench(e, way);
    for (const checksum of ['good', 'zero', 'bad'] as const)
      bench.arrives(between({ payload: 7 }), { checksum, trailer: 5 });
    expect(bench.took('a')).toHaveLength(2);
    expect(bench.rig.drops()).toEqual({ 'outer-checksum': 1 });
  });

  it('is for its own address and port alone', () => {
    const bench = makeBench(e, way);
    bench.arrives(frames[0], { outer: { dst: ADDRESS[way.family].stranger } });
    expect(bench.rig.drops()).toEqual({ 'not-for-us': 1 });
    bench.arrives(frames[0], { outer: isUdp ? { dport: 53 } : { protocol: 89 } });
    expect(bench.rig.drops()).toEqual({ 'not-for-us': 2 });
  });

  it('is no fragment', () => {
    const bench = makeBench(e, way);
    if (way.family === 4) bench.arrives(frames[0], { outer: { fragment: 0x2000 } });
    else bench.arrivesRaw(noise(30), 4, { outer: { protocol: 44 } });
    expect(bench.rig.drops()).toEqual({ 'outer-fragment': 1 });
  });
});
