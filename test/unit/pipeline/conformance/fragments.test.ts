// IPv4 packets without DF that are too big for a tunnel: cut into fragments, the same for every encapsulation.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BenchOptions, casesOf, makeBench, WAYS } from '../../../rig/conformance.js';
import { fragmentTwin, reassemble } from '../../../rig/fragmentTwin.js';
import { BROADCAST, ip, join, noise, onesSum, tcp, udp } from '../../../rig/frames.js';
import { segmentTwin } from '../../../rig/segmentTwin.js';

const MTU = 500;
const FRAGMENTED = { mtu: MTU, also: { fragment: true } };
/** Record route (not copied), no operation, and strict source routing (copied), RFC 791 section 3.1; 20 bytes. */
const OPTIONS = join('07 07 04 00000000', '01', '89 0b 04 0a000005 0a000006', '00');

/** An inner IPv4 packet of so many bytes that may be cut. */
const sized = (bytes: number, fields: Parameters<typeof udp>[0] = {}) =>
  udp({ src: 1, dst: 9, fragment: 0, ...fields, payload: bytes - 28 - (fields.options?.length ?? 0) });

describe.each(casesOf(WAYS))('$name', ({ e, way }) => {
  const isL2 = e.mode === 'l2';
  const bench = (options: BenchOptions = FRAGMENTED) => makeBench(e, way, options);

  it.each([
    ['one byte more than fits', sized(MTU + 1), 14],
    ['several times of what fits', sized(1900), 14],
    ['with options, of which some are copied', sized(3 * MTU, { options: OPTIONS }), 14],
    ['a first fragment', sized(MTU + 500, { fragment: 0x2000 }), 14],
    ['a fragment in the middle', sized(MTU + 500, { fragment: 0x2000 | 100 }), 14],
    ['a last fragment', sized(MTU + 500, { fragment: 100 }), 14],
    ['another protocol', ip({ src: 1, dst: 9, fragment: 0 }, 89, noise(1500)), 14],
    ['TCP', tcp({ src: 1, dst: 9, fragment: 0, payload: 1400 }), 14],
  ])('cuts %s', (_, frame, l3) => {
    const b = bench();
    b.from(frame);
    const twin = fragmentTwin(frame, l3, MTU);
    expect(b.sent().map((s) => s.payload)).toEqual(twin.map((f, k) => b.expected(f, 'a', k)));
    expect(reassemble(twin, l3, (frame[l3 + 6] & 0x20) !== 0)).toEqual(frame.slice(l3 + (frame[l3] % 16) * 4));
    expect(b.took('a')).toEqual([]);
    expect(b.rig.drops()).toEqual({});
    expect(b.rig.row('peer', 1)).toMatchObject({ txPackets: twin.length });
    expect(b.rig.row('underlay', way.over === 'frame' ? 2 : 1)).toMatchObject({ made: twin.length - 1 });
  });

  it('keeps tags, leaves padding behind, and floods to every peer', () => {
    if (!isL2) return;
    const b = bench();
    const tagged = sized(MTU + 100, { tags: [[0x8100, 0x0007]] });
    b.from(tagged);
    expect(b.sent().map((s) => s.payload)).toEqual(fragmentTwin(tagged, 18, MTU).map((f, k) => b.expected(f, 'a', k)));
    const flooded = sized(MTU + 100, { dst: BROADCAST, ipDst: 9, trailer: 6 });
    b.from(flooded);
    const twin = fragmentTwin(flooded, 14, MTU);
    const sent = b.sent();
    expect(sent).toHaveLength(2 * twin.length);
    for (const [k, f] of twin.entries()) expect(sent[k].payload).toEqual(b.expected(f, 'a', k + 2));
    expect(b.took('b')).toEqual([flooded]);
  });

  it('cuts segments of superframes, and finishes checksums', () => {
    const b = bench({ ...FRAGMENTED, offloads: true });
    const big = tcp({ src: 1, dst: 9, fragment: 0, payload: 1600, checksum: 'unfinished' });
    const link = isL2 ? 14 : 0;
    b.from(big, { gsoType: 1, gsoSize: 700, csumStart: link + 20, csumOffset: 16 });
    const segments = segmentTwin(big, 700);
    const wanted = segments.flatMap((s) => (s.length - 14 > MTU ? fragmentTwin(s, 14, MTU) : [s]));
    expect(b.sent().map((s) => s.payload)).toEqual(wanted.map((f, k) => b.expected(f, 'a', k)));
    const unfinished = sized(MTU + 200, { checksum: 'unfinished' });
    b.from(unfinished, { csumStart: link + 20, csumOffset: 6 });
    const finished = fragmentTwin(sized(MTU + 200), 14, MTU);
    expect(b.sent().map((s) => s.payload)).toEqual(finished.map((f, k) => b.expected(f, 'a', wanted.length + k)));
  });

  it('cuts the datagrams of a UDP superframe', () => {
    const b = bench({ ...FRAGMENTED, offloads: true });
    const payload = noise(1600);
    const link = isL2 ? 14 : 0;
    const big = udp({ src: 1, dst: 9, fragment: 0, id: 0x1234, payload, checksum: 'unfinished' });
    b.from(big, { gsoType: 5, gsoSize: 700, csumStart: link + 20, csumOffset: 6 });
    const datagrams = [0, 1, 2].map((k) =>
      udp({ src: 1, dst: 9, fragment: 0, id: 0x1234 + k, payload: payload.slice(k * 700, (k + 1) * 700) }),
    );
    const wanted = datagrams.flatMap((d) => (d.length - 14 > MTU ? fragmentTwin(d, 14, MTU) : [d]));
    expect(wanted).toHaveLength(5);
    expect(b.sent().map((s) => s.payload)).toEqual(wanted.map((f, k) => b.expected(f, 'a', k)));
  });

  it('drops, without a word, where the network says so, and what would run past the end of a datagram', () => {
    const strict = bench({ mtu: MTU });
    strict.from(sized(MTU + 1));
    expect(strict.rig.drops()).toEqual({ 'too-big': 1 });
    expect(strict.took('a')).toEqual([]);
    const b = bench();
    // RFC 791: offset and length together are 65,535 at most.
    b.from([
      sized(MTU + 1, { fragment: 0x1fff }),
      sized(MTU + 1, { fragment: 0x4000 }),
      sized(MTU + 1, { fragment: 0xc000 }),
    ]);
    expect(b.rig.drops()).toEqual({ 'too-big': 3 });
    expect(b.sent()).toEqual([]);
    expect(b.took('a')).toHaveLength(2);
  });
});

describe('any packet', () => {
  const [{ e, way }] = casesOf(WAYS);
  const option = fc
    .tuple(fc.constantFrom(7, 68, 0x89, 0x94), fc.uint8Array({ maxLength: 6 }))
    .map(([type, data]) => [type, data.length + 2, ...data]);
  const options = fc.array(fc.oneof(option, fc.constant([1])), { maxLength: 4 }).map((list) => {
    const bytes = list.flat().slice(0, 36);
    return Uint8Array.from([...bytes, ...new Array((4 - (bytes.length % 4)) % 4).fill(0)]);
  });

  it('is what its fragments make when they are put together, whatever its options are', () => {
    const fields = fc.record({
      bytes: fc.integer({ min: 600, max: 1900 }),
      room: fc.integer({ min: 68, max: 600 }),
      fragment: fc.oneof(fc.constant(0), fc.constant(0x2000), fc.integer({ min: 0, max: 1000 })),
      options: fc.oneof(options, fc.uint8Array({ minLength: 8, maxLength: 8 })),
    });
    fc.assert(
      fc.property(fields, ({ bytes, room, fragment, options: own }) => {
        const b = makeBench(e, way, { mtu: room, also: { fragment: true } });
        const frame = ip({ src: 1, dst: 9, fragment, options: own }, 253, noise(bytes));
        b.from(frame);
        const sent = b.sent();
        if (room - 20 - own.length < 8) {
          expect(sent).toEqual([]);
          return;
        }
        const prefix = b.expected(frame, 'a', 0).length - frame.length;
        const frames = sent.map((s) => s.payload.slice(prefix));
        for (const f of frames) {
          expect(f.length - 14).toBeLessThanOrEqual(room);
          expect(onesSum(f.slice(14, 14 + (f[14] % 16) * 4))).toBe(0xffff);
        }
        expect(reassemble(frames, 14, (fragment & 0x2000) !== 0)).toEqual(frame.slice(34 + own.length));
        b.rig.check();
      }),
      { numRuns: 60 },
    );
  });
});
