// Superframes of local devices: cut into segments, each with a tunnel header of its own, the same for every encapsulation.
import { describe, expect, it } from 'vitest';
import { ADDRESS, casesOf, makeBench, WAYS } from '../../../rig/conformance.js';
import { BROADCAST, type TcpFields, tcp } from '../../../rig/frames.js';
import { segmentTwin } from '../../../rig/segmentTwin.js';

const MSS = 400;

describe.each(casesOf(WAYS))('$name', ({ e, way }) => {
  const isL2 = e.mode === 'l2';
  const { a, b } = ADDRESS[way.family];

  /** What a device says of a frame, or of the packet in it. */
  function offload(f: TcpFields) {
    const link = isL2 ? 14 + 4 * (f.tags?.length ?? 0) : 0;
    const ipLen = f.family === 6 ? 40 : 20;
    return { flags: 1, gsoType: f.family === 6 ? 4 : 1, gsoSize: MSS, csumStart: link + ipLen, csumOffset: 16 };
  }
  const superframe = (f: TcpFields) => tcp({ src: 1, dst: 9, seq: 0xfffffe00, checksum: 'unfinished', ...f });

  it('leave as segments, whatever the sizes', () => {
    const bench = makeBench(e, way, { offloads: true });
    let sequence = 0;
    for (const family of [4, 6] as const)
      for (const payload of [MSS + 1, 2 * MSS, 1777]) {
        const f: TcpFields = { family, payload, flags: 0x99, tcpOptions: payload % 2 ? [1, 1, 1, 0] : [] };
        bench.from(superframe(f), offload(f));
        const wanted = segmentTwin(superframe(f), MSS);
        const sent = bench.sent();
        expect(sent.map((s) => s.payload)).toEqual(wanted.map((frame) => bench.expected(frame, 'a', sequence++)));
        for (const { outer } of sent)
          if (outer !== null)
            expect(outer).toMatchObject({
              protocol: e.protocol(family),
              isLengthRight: true,
              isIpChecksumRight: true,
              isUdpChecksumRight: true,
              hasUdpChecksum: e.protocol(4) === 17,
            });
      }
    expect(bench.rig.drops()).toEqual({});
    expect(bench.rig.row('peer', 1).txPackets).toBe(sequence);
  });

  it('may stand among others, tagged or not', () => {
    if (!isL2) return;
    const bench = makeBench(e, way, { offloads: true });
    const f: TcpFields = { payload: 1500, tags: [[0x8100, 7]] };
    bench.from(superframe(f), offload(f));
    bench.from(tcp({ src: 1, dst: 9, payload: 4 }));
    const wanted = [...segmentTwin(superframe(f), MSS), tcp({ src: 1, dst: 9, payload: 4 })];
    expect(bench.sent().map((s) => s.payload)).toEqual(wanted.map((frame, k) => bench.expected(frame, 'a', k)));
  });

  it('go to every peer when they are flooded', () => {
    if (!isL2) return;
    const bench = makeBench(e, way, { offloads: true });
    const f: TcpFields = { payload: 1500, dst: BROADCAST, ipDst: 9 };
    bench.from(superframe(f), offload(f));
    const wanted = segmentTwin(superframe(f), MSS);
    const sent = bench.sent();
    for (const [who, address] of [
      ['a', a],
      ['b', b],
    ] as const)
      expect(sent.filter((s) => s.to === address).map((s) => s.payload)).toEqual(
        wanted.map((frame, k) => bench.expected(frame, who, k)),
      );
    expect(bench.took('b')).toEqual(wanted);
  });

  it('and unfinished checksums are finished before a header covers them', () => {
    const bench = makeBench(e, way, { offloads: true });
    for (const [k, family] of ([4, 6] as const).entries()) {
      const f: TcpFields = { src: 1, dst: 9, family, payload: 333 };
      const { csumStart, csumOffset } = offload(f);
      bench.from(superframe(f), { flags: 1, csumStart, csumOffset });
      expect(bench.sent().map((s) => s.payload)).toEqual([bench.expected(tcp({ ...f, seq: 0xfffffe00 }), 'a', k)]);
    }
  });
});
