// Packets that are too big for a tunnel: dropped, counted and answered, the same for every encapsulation.
import { describe, expect, it } from 'vitest';
import { casesOf, makeBench, WAYS } from '../../../rig/conformance.js';
import { decode } from '../../../rig/decode.js';
import {
  BROADCAST,
  ethernet,
  ip,
  join,
  noise,
  onesSum,
  read16,
  read32,
  stationMac,
  tcp,
  u32,
  udp,
} from '../../../rig/frames.js';

const MTU = 1000;
/** An inner IP packet of so many bytes. */
const sized = (bytes: number, fields: Parameters<typeof udp>[0] = {}) =>
  udp({ src: 1, dst: 9, ...fields, payload: bytes - (fields.family === 6 ? 48 : 28) - (fields.options?.length ?? 0) });

interface Answer {
  src: number[];
  dst: number[];
  type: number;
  code: number;
  mtu: number;
  quote: Uint8Array;
}

/** An ICMP or ICMPv6 error, both checksums looked at. */
function readAnswer(frame: Uint8Array): Answer {
  const d = decode(frame);
  if (d === null || d.l3 === 0) throw new Error('no answer');
  const isV4 = d.family === 4;
  const icmp = frame.slice(d.l3 + (isV4 ? 20 : 40), d.end);
  const src = frame.slice(d.l3 + (isV4 ? 12 : 8), d.l3 + (isV4 ? 16 : 24));
  const dst = frame.slice(d.l3 + (isV4 ? 16 : 24), d.l3 + (isV4 ? 20 : 40));
  expect(d.protocol).toBe(isV4 ? 1 : 58);
  expect(frame.length).toBe(d.end);
  if (isV4) expect(onesSum(frame.slice(d.l3, d.l3 + 20))).toBe(0xffff);
  expect(onesSum(isV4 ? icmp : join(src, dst, u32(icmp.length), 0, 0, 0, 58, icmp))).toBe(0xffff);
  const mtu = isV4 ? read16(icmp, 6) : read32(icmp, 4);
  return { src: [...src], dst: [...dst], type: icmp[0], code: icmp[1], mtu, quote: icmp.slice(8) };
}

describe.each(casesOf(WAYS))('$name', ({ e, way }) => {
  const isL2 = e.mode === 'l2';
  const answers = (bench: ReturnType<typeof makeBench>) =>
    bench.took('a').map((f) => readAnswer(isL2 ? f : ethernet({}, f[0] >> 4 === 4 ? 0x0800 : 0x86dd, f)));

  it('takes what just fits', () => {
    const bench = makeBench(e, way, { mtu: MTU });
    const fits = [sized(MTU), sized(MTU, { family: 6 })];
    bench.from(fits);
    expect(bench.sent().map((s) => s.payload)).toEqual(fits.map((f, k) => bench.expected(f, 'a', k)));
    expect(bench.took('a')).toEqual([]);
  });

  it('drops and counts one byte more, and tells the sender (RFC 1191, RFC 4443 section 3.2)', () => {
    const bench = makeBench(e, way, { mtu: MTU });
    const big = [sized(MTU + 1), sized(MTU + 1, { family: 6 })];
    bench.from(big);
    expect(bench.sent()).toEqual([]);
    expect(bench.rig.row('peer', 1).drops).toEqual({ 'too-big': 2 });
    expect(bench.rig.row('port', 1)).toMatchObject({ rxPackets: 2, made: 2, txPackets: 2 });
    const frames = bench.took('a');
    if (isL2) for (const frame of frames) expect(frame.slice(0, 12)).toEqual(join(stationMac(1), stationMac(9)));
    const [v4, v6] = frames.map((f) => readAnswer(isL2 ? f : ethernet({}, f[0] >> 4 === 4 ? 0x0800 : 0x86dd, f)));
    expect(v4).toMatchObject({ src: [10, 0, 0, 9], dst: [10, 0, 0, 1], type: 3, code: 4, mtu: MTU });
    expect(v6).toMatchObject({ type: 2, code: 0, mtu: MTU });
    expect([v6.src.at(-1), v6.dst.at(-1)]).toEqual([9, 1]);
    // RFC 792: header and 64 bits at least. RFC 1812 section 4.3.2.3: 576 bytes at most. RFC 4443: 1280 at most.
    for (const [k, { quote }] of [v4, v6].entries()) {
      expect(quote.length).toBeGreaterThanOrEqual(500);
      expect(quote.length).toBeLessThanOrEqual([576 - 28, 1280 - 48][k]);
      expect(quote).toEqual(big[k].slice(14, 14 + quote.length));
    }
  });

  it('does not answer what must not be answered (RFC 1122 section 3.2.2, RFC 4443 section 2.4)', () => {
    const bench = makeBench(e, way, { mtu: MTU });
    const icmp = (type: number) => join(type, 0, 0, 0, noise(MTU));
    const fragmentHeader = { number: 44, bytes: [0, 0, 0x05, 0xb8, 0, 0, 0, 1] };
    const hops = { number: 0, bytes: [0, 0, 1, 4, 0, 0, 0, 0] };
    const v6 = { src: 1, dst: 9, family: 6 as const };
    const unspecified = sized(MTU + 1, { family: 6 });
    unspecified.fill(0, 14 + 8, 14 + 24);
    const silent = [
      // May be fragmented, is a later fragment.
      sized(MTU + 1, { fragment: 0 }),
      sized(MTU + 1, { fragment: 0x4001 }),
      // ICMP errors: unreachable, redirect, time exceeded, parameter problem; ICMPv6 errors, redirect, and one behind options.
      ...[3, 5, 11, 12].map((type) => ip({ src: 1, dst: 9 }, 1, icmp(type))),
      ...[1, 2, 3, 4, 137].map((type) => ip(v6, 58, icmp(type))),
      ip({ ...v6, extensions: [hops] }, 58, icmp(1)),
      ip({ ...v6, extensions: [fragmentHeader] }, 17, noise(MTU)),
      ip({ ...v6, extensions: [hops, fragmentHeader] }, 17, noise(MTU)),
      unspecified,
    ];
    bench.from(silent);
    expect(bench.rig.drops()).toEqual({ 'too-big': silent.length });
    expect(bench.took('a')).toEqual([]);
    const heard = [
      ip({ src: 1, dst: 9 }, 1, icmp(8)),
      ip({ src: 1, dst: 9 }, 1, icmp(0)),
      ip(v6, 58, icmp(128)),
      ip({ ...v6, extensions: [hops] }, 58, icmp(129)),
    ];
    bench.from(heard);
    expect(answers(bench)).toHaveLength(heard.length);
  });

  it('answers once what is flooded to many, and nobody about a group (RFC 1122 section 3.2.2)', () => {
    if (!isL2) return;
    const bench = makeBench(e, way, { mtu: MTU });
    bench.from([
      sized(MTU + 1, { dst: BROADCAST, ipDst: 9 }),
      sized(MTU + 1, { dst: Uint8Array.of(1, 0, 0x5e, 0, 0, 9) }),
    ]);
    expect(bench.rig.drops()).toEqual({ 'too-big': 4 });
    expect(bench.took('a')).toEqual([]);
    bench.from([sized(MTU + 1, { dst: 77 }), sized(MTU + 2, { dst: 78 })]);
    expect(answers(bench)).toHaveLength(2);
    bench.took('b');
  });

  it('answers within the tags of the frame', () => {
    if (!isL2) return;
    const bench = makeBench(e, way, { mtu: MTU });
    bench.from([sized(MTU, { tags: [[0x8100, 0x0007]] }), sized(MTU + 1, { tags: [[0x8100, 0x0007]] })]);
    expect(bench.sent()).toHaveLength(1);
    const [frame] = bench.took('a');
    expect(frame.slice(12, 18)).toEqual(join('8100 0007 0800'));
    expect(readAnswer(frame)).toMatchObject({ type: 3, code: 4, mtu: MTU });
  });

  it('judges a superframe by its segments', () => {
    const mtu = 500;
    const bench = makeBench(e, way, { mtu, offloads: true });
    const frame = tcp({ src: 1, dst: 9, payload: 1800, checksum: 'unfinished', fragment: 0 });
    const link = isL2 ? 14 : 0;
    const offload = { flags: 1, gsoType: 1, csumStart: link + 20, csumOffset: 16 };
    bench.from(frame, { ...offload, gsoSize: mtu - 40 });
    expect(bench.sent()).toHaveLength(4);
    bench.from(frame, { ...offload, gsoSize: mtu - 39 });
    expect(bench.sent()).toEqual([]);
    expect(bench.rig.row('peer', 1).drops).toEqual({ 'too-big': 4 });
    expect(answers(bench)).toMatchObject([{ type: 3, code: 4, mtu }]);
  });

  it('answers a thousand times a second, and not more', () => {
    if (way.over === 'socket') return;
    const bench = makeBench(e, way, { mtu: MTU });
    const big = Array.from({ length: 64 }, () => sized(MTU + 1));
    for (let n = 0; n < 17; n++) bench.from(big);
    expect(bench.took('a')).toHaveLength(1000);
    bench.rig.clock.seconds++;
    bench.from(big);
    expect(bench.took('a')).toHaveLength(64);
  });
});
