// What leaves for a peer: the same list for every encapsulation, over IPv4 and IPv6, as whole frames and through sockets.
import { describe, expect, it } from 'vitest';
import { ADDRESS, casesOf, makeBench, WAYS } from '../../../rig/conformance.js';
import { arpRequest, BROADCAST, ethernet, noise, tcp, toHex, udp } from '../../../rig/frames.js';

/** Flows may be sent one after the other, whichever was first. */
const anyOrder = (payloads: Uint8Array[]) => payloads.map(toHex).sort();

const between = (fields: Parameters<typeof udp>[0]) => udp({ src: 1, dst: 9, ...fields });
/** Sizes around words and the MTU of 1450, both families. */
const frames = [
  between({ payload: 0 }),
  between({ payload: 1 }),
  between({ payload: 18, family: 6 }),
  between({ payload: 1422 }),
  between({ payload: 1402, family: 6 }),
  tcp({ src: 1, dst: 9, payload: 777 }),
  tcp({ src: 1, dst: 9, payload: 778, family: 6 }),
];

describe.each(casesOf(WAYS))('$name', ({ e, way }) => {
  const { self, a, b } = ADDRESS[way.family];

  it('has the header that its RFC draws, in front of every byte of the inner packet', () => {
    const bench = makeBench(e, way);
    bench.from(frames);
    const sent = bench.sent();
    expect(sent.map((s) => s.to)).toEqual(frames.map(() => a));
    expect(anyOrder(sent.map((s) => s.payload))).toEqual(
      anyOrder(frames.map((frame, k) => bench.expected(frame, 'a', k))),
    );
    expect(bench.rig.drops()).toEqual({});
    const bytes = frames.reduce((n, frame) => n + bench.inner(frame).length, 0);
    expect(bench.rig.row('peer', 1)).toMatchObject({ txPackets: frames.length, txBytes: bytes });
  });

  it('copies DSCP and ECN, or sets its DSCP beside the inner ECN (RFC 6040 section 4.1)', () => {
    for (const dscp of [-1, 0, 10]) {
      const bench = makeBench(e, way, { underlay: { dscp } });
      const inner = [0, 1, 2, 3, 0xb8, 0xba, 0xff];
      for (const family of [4, 6] as const) {
        bench.from(inner.map((tos) => between({ tos, family, payload: 3 })));
        const wanted = inner.map((tos) => (dscp < 0 ? tos : (dscp << 2) | (tos & 3)));
        // A socket has its DSCP already, and is told only what differs.
        const told = inner.map((tos, k) => (way.over === 'socket' && dscp >= 0 && (tos & 3) === 0 ? -1 : wanted[k]));
        expect(bench.sent().map((s) => s.tos)).toEqual(told);
      }
    }
  });

  it('floods to every peer, each with its own header, and to the other ports', () => {
    if (e.mode === 'l3') return;
    const bench = makeBench(e, way);
    const flooded = [
      arpRequest(1),
      between({ dst: BROADCAST, payload: 33, ipDst: 9 }),
      between({ dst: 77, payload: 8 }),
    ];
    bench.from(flooded);
    const sent = bench.sent();
    for (const [who, address] of [
      ['a', a],
      ['b', b],
    ] as const)
      expect(sent.filter((s) => s.to === address).map((s) => s.payload)).toEqual(
        flooded.map((frame, k) => bench.expected(frame, who, k)),
      );
    expect(bench.took('b')).toEqual(flooded);
    expect(bench.rig.row('port', 1)).toMatchObject({ rxPackets: 3, copied: 6 });
  });

  it('carries tags, and frames that are no IP', () => {
    if (e.mode === 'l3') return;
    const bench = makeBench(e, way);
    const odd = [
      between({ tags: [[0x8100, 0x6007]], payload: 9 }),
      between({
        tags: [
          [0x88a8, 5],
          [0x8100, 6],
        ],
        payload: 1422,
      }),
      ethernet({ src: 1, dst: 9 }, 0x88f7, noise(46)),
      ethernet({ src: 1, dst: 9 }, 0x0800, noise(46)),
    ];
    bench.from(odd);
    expect(bench.sent().map((s) => s.payload)).toEqual(odd.map((frame, k) => bench.expected(frame, 'a', k)));
  });

  it('keeps the order of a flow, in bursts of more than one', () => {
    const bench = makeBench(e, way);
    const many = Array.from({ length: 150 }, (_, k) => between({ payload: (k * 37) % 200, family: k % 3 ? 4 : 6 }));
    bench.from(many);
    const sent = bench.sent().map((s) => toHex(s.payload));
    expect(sent).toHaveLength(many.length);
    for (const ofFlow of [(k: number) => k % 3 !== 0, (k: number) => k % 3 === 0]) {
      const flow = many.map((frame, k) => toHex(bench.expected(frame, 'a', k))).filter((_, k) => ofFlow(k));
      expect(sent.filter((payload) => flow.includes(payload))).toEqual(flow);
    }
  });

  if (way.over === 'frame') {
    it.each([false, true])('has every outer field right, with UDP checksums %s', (checksum) => {
      const bench = makeBench(e, way, { underlay: { checksum, ttl: 17, dscp: 46 } });
      bench.from(frames);
      const isUdp = e.protocol(4) === 17;
      for (const [k, { outer, payload }] of bench.sent().entries()) {
        expect(payload).toEqual(bench.expected(frames[k], 'a', k));
        const family = [4, 4, 6, 4, 6, 4, 6][k] as 4 | 6;
        expect(outer).toMatchObject({
          dstMac: '02:00:00:00:0a:02',
          srcMac: '02:00:00:00:0a:01',
          src: self,
          dst: a,
          tos: 46 << 2,
          ttl: 17,
          id: 0,
          fragment: 0x4000,
          protocol: e.protocol(family),
          isLengthRight: true,
          isIpChecksumRight: true,
          isUdpChecksumRight: true,
          hasUdpChecksum: isUdp && checksum,
          dport: isUdp ? e.tunnel.udpPort : 0,
        });
        if (isUdp) expect(outer?.sport).toBeGreaterThanOrEqual(49152);
      }
    });

    it('has one source port or flow label for a flow, and others for others (RFC 7348 section 5, RFC 6438)', () => {
      const bench = makeBench(e, way);
      bench.from([1, 2, 3, 4, 1, 2, 3, 4].map((sport, k) => between({ sport, payload: k })));
      const seen = bench.sent().map(({ outer }) => (way.family === 6 ? outer?.flowLabel : outer?.sport));
      expect(seen.slice(4)).toEqual(seen.slice(0, 4));
      expect(new Set(seen).size).toBe(way.family === 4 && e.tunnel.udpPort === 0 ? 1 : 4);
    });

    it('takes the inner TTL along when told to', () => {
      const bench = makeBench(e, way, { underlay: { ttl: 0, checksum: false } });
      const ttls = [1, 2, 63, 64, 255];
      for (const family of [4, 6] as const) {
        bench.from(ttls.map((ttl) => between({ ttl, family, payload: 5 })));
        const sent = bench.sent();
        expect(sent.map((s) => s.outer?.ttl)).toEqual(ttls);
        expect(sent.every((s) => s.outer?.isIpChecksumRight)).toBe(true);
      }
    });
  }
});
