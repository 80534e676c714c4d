import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NEXT_EXTENT, NEXT_HEADER } from '../../../src/packet/outbox.js';
import { BLOCK_BYTES_MAX, bindSegment, CUT_HEADERS_MAX } from '../../../src/pipeline/segment.js';
import { tcpFields } from '../../rig/arbitrary.js';
import { decode, isIpChecksumRight, isTransportChecksumRight } from '../../rig/decode.js';
import {
  ACK,
  CWR,
  ECE,
  FIN,
  join,
  noise,
  PSH,
  read16,
  read32,
  type TcpFields,
  tcp,
  toHex,
  type UdpFields,
  udp,
} from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';
import { segmentTwin } from '../../rig/segmentTwin.js';

const lanes = makeLanes();
const { arena, burst, outbox, kernel, transport } = lanes;
const segmenter = bindSegment(arena, burst, outbox, kernel, transport);

interface Cut {
  offset?: number;
  prefix?: number;
}

/** The messages of all segments, prefix included; the slices of payload must lie in the superframe itself. */
function cut(frame: Uint8Array, mss: number, { offset = 0, prefix = 0 }: Cut = {}): Uint8Array[] {
  lanes.lay([frame], { gsoType: 1, gsoSize: mss, offset });
  lanes.parse(1);
  lanes.resetOutbox();
  arena.bytes.set(noise(prefix, 3), burst.at[0] - prefix);
  const segments = segmenter.begin(0, prefix);
  const out: Uint8Array[] = [];
  for (let k = 0; k < segments; k++) {
    const first = outbox.cursor[NEXT_EXTENT];
    const headerFrom = outbox.cursor[NEXT_HEADER];
    const bytes = segmenter.add(k);
    expect(outbox.cursor[NEXT_EXTENT]).toBe(first + 2);
    expect(outbox.extAt[first]).toBe(segmenter.blockAt());
    expect(outbox.extAt[first]).toBeGreaterThanOrEqual(headerFrom);
    expect(outbox.extAt[first] + outbox.extLen[first]).toBeLessThanOrEqual(outbox.cursor[NEXT_HEADER]);
    expect(outbox.cursor[NEXT_HEADER] - headerFrom).toBeLessThanOrEqual(BLOCK_BYTES_MAX);
    expect(outbox.extAt[first + 1]).toBeGreaterThan(burst.at[0]);
    const message = lanes.extents(first, first + 2);
    expect(message.length).toBe(bytes);
    out.push(message);
  }
  expect(toHex(lanes.frame(0)), 'the superframe stays as it is').toBe(toHex(frame));
  expect(lanes.isGuarded(0, prefix)).toBe(true);
  return out;
}

const twin = (frame: Uint8Array, mss: number, prefix = 0) =>
  segmentTwin(frame, mss).map((segment) => join(noise(prefix, 3), segment));

const base: TcpFields = { payload: 4321, checksum: 'unfinished', seq: 1000, flags: ACK | PSH };

describe('segments', () => {
  it.each<[string, TcpFields, number]>([
    ['IPv4', {}, 1410],
    ['IPv6', { family: 6 }, 1390],
    ['a TCP header with timestamps', { tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] }, 1398],
    ['a TCP header as long as it gets', { tcpOptions: noise(40) }, 1370],
    ['IPv4 options', { options: noise(40) }, 1370],
    ['one VLAN tag', { tags: [[0x8100, 0x6007]] }, 1406],
    [
      'two VLAN tags and IPv6',
      {
        family: 6,
        tags: [
          [0x88a8, 1],
          [0x8100, 2],
        ],
      },
      1382,
    ],
    ['IPv6 extensions', { family: 6, extensions: [{ number: 60, bytes: noise(8).fill(0, 1, 2) }] }, 1382],
    ['an odd size', {}, 41],
    ['an odd size of more', {}, 999],
    ['a last segment of one byte', { payload: 2821 }, 1410],
    ['a last segment of full size', { payload: 2820 }, 1410],
    ['one segment', { payload: 500 }, 500],
    ['a size larger than the payload', { payload: 500 }, 60_000],
    ['IPv4 without DF', { fragment: 0 }, 1410],
    ['an id that wraps', { id: 0xfffe }, 1000],
    ['a sequence number that wraps', { seq: 0xffffff00 }, 1000],
    ['a sequence number at the sign', { seq: 0x7fffff00 }, 1000],
    ['payload of zeros', { payload: new Uint8Array(4000) }, 1000],
    ['payload of ones', { payload: new Uint8Array(4001).fill(255) }, 1000],
    ['an urgent pointer and reserved bits', { urgent: 77, reserved: 0xf, window: 0xffff }, 1000],
  ])('of a superframe with %s', (_name, fields, mss) => {
    const frame = tcp({ ...base, ...fields });
    for (const prefix of [0, 8, 50]) {
      for (const offset of [0, 2, 58, 63]) {
        expect(cut(frame, mss, { offset, prefix }).map(toHex), `offset ${offset}, prefix ${prefix}`).toEqual(
          twin(frame, mss, prefix).map(toHex),
        );
      }
    }
  });

  it('are those of the twin for any superframe', () => {
    const superframe = fc.tuple(tcpFields, fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(
        superframe,
        fc.integer({ min: 40, max: 1500 }),
        fc.nat(63),
        fc.constantFrom(0, 8, 50),
        ([f, payload, seed], mss, offset, prefix) => {
          const frame = tcp({ ...f, payload: noise(payload, seed), trailer: 0 });
          const d = decode(frame);
          if (d === null || d.l4 === 0 || d.l4 + 60 > CUT_HEADERS_MAX) return;
          expect(cut(frame, mss, { offset, prefix }).map(toHex)).toEqual(twin(frame, mss, prefix).map(toHex));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('of 64 KiB have checksums that are right', () => {
    const frame = tcp({ ...base, payload: 65_000 });
    const segments = cut(frame, 1410);
    expect(segments).toHaveLength(47);
    for (const s of segments) {
      const d = decode(s);
      if (d === null) throw new Error('no frame');
      expect(isIpChecksumRight(s, d)).toBe(true);
      expect(isTransportChecksumRight(s, d)).toBe(true);
    }
    expect(toHex(join(...segments.map((s) => s.slice(54))))).toBe(toHex(frame.slice(54)));
  });
});

describe('what each segment carries', () => {
  const field = (segments: Uint8Array[], read: (s: Uint8Array) => number) => segments.map(read);

  it('FIN and PSH only the last, CWR only the first (RFC 3168), ECE all', () => {
    const segments = cut(tcp({ ...base, payload: 400, flags: ACK | FIN | PSH | CWR | ECE }), 100);
    expect(field(segments, (s) => s[47])).toEqual([ACK | CWR | ECE, ACK | ECE, ACK | ECE, ACK | ECE | FIN | PSH]);
  });

  it('its own length, id and sequence number', () => {
    const segments = cut(tcp({ ...base, payload: 250, id: 0xffff, seq: 0xffffffce }), 100);
    expect(field(segments, (s) => read16(s, 16))).toEqual([140, 140, 90]);
    expect(field(segments, (s) => read16(s, 18))).toEqual([0xffff, 0, 1]);
    expect(field(segments, (s) => read32(s, 38))).toEqual([0xffffffce, 50, 150]);
  });

  it('the same acknowledgment, window and options', () => {
    const segments = cut(tcp({ ...base, payload: 250, ack: 0xdeadbeef, window: 4711, tcpOptions: [1, 1, 1, 0] }), 100);
    expect(new Set(field(segments, (s) => read32(s, 42)))).toEqual(new Set([0xdeadbeef]));
    expect(new Set(field(segments, (s) => read16(s, 48)))).toEqual(new Set([4711]));
  });
});

describe('two lanes one after the other', () => {
  it('do not share anything but the outbox', () => {
    const a = tcp({ ...base, payload: 300, sport: 1 });
    const b = tcp({ ...base, payload: 300, sport: 2, family: 6 });
    lanes.lay([a, b], { gsoType: 1, gsoSize: 200 });
    lanes.parse(2);
    lanes.resetOutbox();
    const ends: number[] = [];
    for (const i of [0, 1]) {
      const n = segmenter.begin(i, 0);
      for (let k = 0; k < n; k++) {
        segmenter.add(k);
        ends.push(outbox.cursor[NEXT_EXTENT]);
      }
    }
    const messages = ends.map((end) => lanes.extents(end - 2, end));
    expect(messages).toEqual([...segmentTwin(a, 200), ...segmentTwin(b, 200)]);
  });
});

describe('datagrams', () => {
  /** What a sender without offloads would have sent: a datagram for each slice, ids counting up. */
  const datagrams = (f: UdpFields, payload: Uint8Array, size: number) =>
    Array.from({ length: Math.ceil(payload.length / size) }, (_, k) =>
      udp({ ...f, id: ((f.id ?? 0x1234) + k) & 0xffff, payload: payload.slice(k * size, (k + 1) * size) }),
    );

  it.each<[string, UdpFields, number]>([
    ['IPv4', {}, 1422],
    ['IPv6', { family: 6, flowLabel: 0x12345 }, 1402],
    ['IPv4 options', { options: noise(40) }, 1370],
    ['one VLAN tag', { tags: [[0x8100, 0x6007]] }, 1406],
    ['IPv6 extensions', { family: 6, extensions: [{ number: 60, bytes: noise(8).fill(0, 1, 2) }] }, 1382],
    ['an odd size', {}, 999],
    ['a size of one byte', {}, 1],
    ['an id that wraps, without DF', { id: 0xfffe, fragment: 0 }, 100],
  ])('of a superframe with %s', (_name, fields, size) => {
    const payload = noise(size === 1 ? 100 : 4321, 5);
    const frame = udp({ ...fields, payload, checksum: 'unfinished' });
    for (const prefix of [0, 8, 50])
      for (const offset of [0, 2, 58, 63])
        expect(cut(frame, size, { offset, prefix }).map(toHex)).toEqual(
          datagrams(fields, payload, size).map((d) => toHex(join(noise(prefix, 3), d))),
        );
  });

  it('never have the checksum that says there is none (RFC 768)', () => {
    // Two bytes of payload that bring the sum of their datagram to 0xffff, and its checksum to 0.
    const sumOf = (word: number) => read16(udp({ payload: Uint8Array.from([word >> 8, word & 255, 1, 2]) }), 40);
    const word = Array.from({ length: 65536 }, (_, n) => n).find((n) => sumOf(n) === 0xffff)!;
    const slice = [word >> 8, word & 255, 1, 2];
    const frame = udp({ payload: Uint8Array.from([...slice, ...slice]), id: 0, checksum: 'unfinished' });
    expect(cut(frame, 4).map((d) => read16(d, 40))).toEqual([0xffff, 0xffff]);
  });
});
