// The short way of a burst against the steps: the same frames, and everything that can be seen afterwards is the same.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { learnSource, setStatic } from '../../../src/forward/macTable.js';
import { TO_PEER, TO_PORT } from '../../../src/packet/burst.js';
import { arpRequest, macWords, noise, SYN, stationMac, tcp, toHex, udp } from '../../rig/frames.js';
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

const NEIGHBOURS = { [PEER_A]: '02:00:00:00:aa:01', [PEER_B]: '02:00:00:00:aa:02' };
const over = { underlay: FRAMES };

function lab(rest: Partial<RigOptions>): Rig {
  const rig = makeRig({
    ports: { a: { id: 1, network: 1 }, b: { id: 2, network: 1 } },
    networks: [network(1, over)],
    peers: [peer(1, 1, PEER_A, over), peer(2, 1, PEER_B, over)],
    neighbours: NEIGHBOURS,
    ...rest,
  });
  const { macTable } = rig.pipeline;
  for (let station = 1; station <= 40; station++) {
    const { lo, hi } = macWords(stationMac(station));
    if (station > 30) setStatic(macTable, lo, hi, 1, station > 35 ? TO_PEER | 2 : TO_PEER | 1);
    else
      learnSource(
        macTable,
        lo,
        hi,
        1,
        station > 15 ? TO_PEER | 1 : TO_PORT | 1,
        rig.clock.seconds + 300,
        rig.clock.seconds,
      );
  }
  return rig;
}

const known = fc.record({ src: fc.integer({ min: 1, max: 15 }), dst: fc.integer({ min: 16, max: 40 }) });
const frame = fc.oneof(
  {
    weight: 60,
    arbitrary: fc
      .tuple(known, fc.nat(70), fc.nat(255), fc.nat(60000))
      .map(([ends, payload, tos, sport]) => udp({ ...ends, tos, sport, payload: noise(12 + payload) })),
  },
  { weight: 20, arbitrary: known.map((ends) => tcp({ ...ends, payload: 9 })) },
  { weight: 1, arbitrary: known.map((ends) => tcp({ ...ends, flags: SYN })) },
  { weight: 1, arbitrary: known.map((ends) => udp({ ...ends, payload: 1440 })) },
  { weight: 1, arbitrary: known.map(({ src }) => udp({ src, dst: src === 1 ? 2 : 1, payload: 20 })) },
  { weight: 1, arbitrary: known.map(({ dst }) => udp({ src: 77, dst, payload: 20 })) },
  { weight: 1, arbitrary: known.map(({ src }) => udp({ src, dst: 78, payload: 20 })) },
  { weight: 1, arbitrary: known.map(({ src, dst }) => udp({ src: dst, dst: src, payload: 20 })) },
  { weight: 1, arbitrary: known.map(({ src }) => arpRequest(src)) },
  { weight: 1, arbitrary: known.map((ends) => udp({ ...ends, tags: [[0x8100, 5]], payload: 20 })) },
  {
    weight: 1,
    arbitrary: fc.tuple(known, fc.nat(60)).map(([ends, cut]) => udp({ ...ends, payload: 30 }).slice(0, cut)),
  },
);
/** Mostly bursts of plain frames, some with anything in them, and time that passes. */
const plain = fc.tuple(known, fc.nat(200)).map(([ends, payload]) => udp({ ...ends, payload: noise(12 + payload) }));
const step = fc.oneof(
  { weight: 6, arbitrary: fc.array(plain, { minLength: 1, maxLength: 150 }) },
  { weight: 4, arbitrary: fc.array(frame, { minLength: 1, maxLength: 40 }) },
  { weight: 1, arbitrary: fc.constant('second' as const) },
);

const bytesOf = (a: Float64Array | Int32Array) => Buffer.from(a.buffer, a.byteOffset, a.byteLength);

describe.each([
  ['without outer checksums', { underlay: { checksum: false } }],
  ['with outer checksums', { underlay: { checksum: true } }],
  ['with the inner TOS copied', { underlay: { checksum: false, dscp: -1 } }],
  ['with Geneve headers', { networks: [network(1, { ...over, vni: 7 })] }],
] as [string, Partial<RigOptions>][])('the short way, %s', (_name, options) => {
  it('makes what the steps make, counts what they count and learns what they learn', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 3, maxLength: 12 }), (steps) => {
        const short = lab(options);
        // Wrapped steps see every burst.
        const long = lab({ ...options, wrapSteps: (wrapped) => wrapped });
        for (const s of steps) {
          for (const rig of [short, long]) {
            if (s === 'second') passSeconds(rig, 1);
            else rig.from('a', s);
          }
          expect(short.wire().map(toHex)).toEqual(long.wire().map(toHex));
          expect(short.delivered()).toEqual(long.delivered());
          expect(bytesOf(short.pipeline.counters).equals(bytesOf(long.pipeline.counters))).toBe(true);
          expect(bytesOf(short.pipeline.macTable.entries).equals(bytesOf(long.pipeline.macTable.entries))).toBe(true);
        }
      }),
      { numRuns: 12, endOnFailure: true },
    );
  });
});

/** Stations 16 and on are behind other ports: b, which wants virtio-net headers or not, and c. */
function portLab(vnetHdrLen: 0 | 12, rest: Partial<RigOptions>): Rig {
  const ports = { a: { id: 1, network: 1 }, b: { id: 2, network: 1, vnetHdrLen }, c: { id: 3, network: 1 } };
  const rig = makeRig({ ports, networks: [network(1)], peers: [peer(1, 1, PEER_A)], ...rest });
  const { macTable } = rig.pipeline;
  for (let station = 1; station <= 40; station++) {
    const { lo, hi } = macWords(stationMac(station));
    const home = station <= 15 ? 1 : station <= 38 ? 2 : 3;
    if (station > 30) setStatic(macTable, lo, hi, 1, TO_PORT | home);
    else learnSource(macTable, lo, hi, 1, TO_PORT | home, rig.clock.seconds + 300, rig.clock.seconds);
  }
  return rig;
}

/** For one port, but for a few. */
const acrossFrame = fc.oneof(
  { weight: 100, arbitrary: frame },
  { weight: 1, arbitrary: known.map(({ src }) => udp({ src, dst: 40, payload: 30 })) },
);
const toB = fc.record({ src: fc.integer({ min: 1, max: 15 }), dst: fc.integer({ min: 16, max: 38 }) });
const acrossStep = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.array(
      fc.tuple(toB, fc.nat(1400)).map(([ends, payload]) => udp({ ...ends, payload: noise(12 + payload) })),
      { minLength: 1, maxLength: 150 },
    ),
  },
  { weight: 3, arbitrary: fc.array(acrossFrame, { minLength: 1, maxLength: 20 }) },
  { weight: 1, arbitrary: fc.constant('second' as const) },
  { weight: 1, arbitrary: fc.constant('refuse' as const) },
);

describe.each([0, 12] as const)('the short way to a port with %i bytes of virtio-net header', (vnetHdrLen) => {
  it('delivers what the steps deliver, counts what they count and learns what they learn', () => {
    fc.assert(
      fc.property(fc.array(acrossStep, { minLength: 3, maxLength: 12 }), (steps) => {
        const short = portLab(vnetHdrLen, {});
        const long = portLab(vnetHdrLen, { wrapSteps: (wrapped) => wrapped });
        for (const s of steps) {
          for (const rig of [short, long]) {
            if (s === 'second') passSeconds(rig, 1);
            else if (s === 'refuse') rig.refuse = (_device, m) => (m % 3 === 1 ? -11 : undefined);
            else rig.from('a', s);
          }
          expect(short.delivered()).toEqual(long.delivered());
          expect(bytesOf(short.pipeline.counters).equals(bytesOf(long.pipeline.counters))).toBe(true);
          expect(bytesOf(short.pipeline.macTable.entries).equals(bytesOf(long.pipeline.macTable.entries))).toBe(true);
        }
      }),
      { numRuns: 12, endOnFailure: true },
    );
  });
});

it('is taken to a port, too, and not where a capture listens', () => {
  const rig = portLab(12, {});
  const { burst } = rig.pipeline;
  const one = udp({ src: 1, dst: 20, payload: 20 });
  rig.from('a', one);
  burst.l4[0] = 4711;
  rig.from('a', one);
  expect(burst.l4[0]).toBe(4711);
  expect(rig.took('b')).toHaveLength(2);
  rig.pipeline.capture.key = 1;
  rig.from('a', one);
  rig.pipeline.capture.key = 0;
  expect(burst.l4[0]).not.toBe(4711);
  expect(rig.took('b')).toHaveLength(1);
});

it('is taken: the second plain burst of a port runs none of the steps', () => {
  const rig = lab({ underlay: { checksum: false } });
  const { burst } = rig.pipeline;
  const one = udp({ src: 1, dst: 20, payload: 20 });
  rig.from('a', one);
  burst.l4[0] = 4711;
  rig.from('a', one);
  expect(burst.l4[0]).toBe(4711);
  expect(rig.wire()).toHaveLength(2);
});
