// The short way of a burst against the steps: the same frames, and everything that can be seen afterwards is the same.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { learnSource, setStatic } from '../../../src/forward/macTable.js';
import { TO_PEER, TO_PORT } from '../../../src/packet/burst.js';
import type { Port } from '../../../src/port/port.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import {
  arpRequest,
  macWords,
  noise,
  outer,
  read16,
  SYN,
  stationMac,
  tcp,
  toHex,
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
  type RigPort,
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
  { weight: 2, arbitrary: known.map((ends) => tcp({ ...ends, flags: SYN, tcpOptions: [2, 4, 5, 180] })) },
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

/** Stations 1 to 15 are behind peer A, 16 to 38 behind port b, the others behind c; peer B and network 2 have none. */
function tunnelLab(port: Partial<RigPort>, rest: Partial<RigOptions>): Rig {
  const rig = makeRig({
    ports: { b: { id: 2, network: 1, ...port }, c: { id: 3, network: 1 }, d: { id: 4, network: 2 } },
    networks: [network(1, over), network(2, over)],
    peers: [peer(1, 1, PEER_A, over), peer(2, 1, PEER_B, over), peer(3, 2, PEER_A, over)],
    neighbours: NEIGHBOURS,
    underlay: { checksum: false },
    ...rest,
  });
  const { macTable, walk } = rig.pipeline;
  // Of superframes, those of TCP alone: what may be joined is then what decides.
  if (port.offloads) Object.assign(walk.ports[2] as Port, { takesUso: false });
  for (let station = 1; station <= 40; station++) {
    const { lo, hi } = macWords(stationMac(station));
    const home = station <= 15 ? TO_PEER | 1 : TO_PORT | (station <= 38 ? 2 : 3);
    if (station > 30) setStatic(macTable, lo, hi, 1, home);
    else learnSource(macTable, lo, hi, 1, home, rig.clock.seconds + 300, rig.clock.seconds);
  }
  return rig;
}

const inner = fc
  .tuple(toB, fc.nat(200), fc.nat(3))
  .map(([ends, payload, tos]) => udp({ ...ends, tos, payload: noise(12 + payload) }));
const vni = network(1).tunnel.id;
const plainPacket = inner.map((bytes) => outer({ checksum: 'zero' }, vxlan(vni, bytes)));
const checkedPacket = inner.map((bytes) => outer({ checksum: 'good' }, vxlan(vni, bytes)));
/** One thing about it is odd, or any byte of its headers is another. */
const oddPacket = fc.oneof(
  { weight: 3, arbitrary: frame.map((bytes) => outer({}, vxlan(vni, bytes))) },
  { weight: 3, arbitrary: fc.tuple(inner, fc.nat(3)).map(([bytes, tos]) => outer({ tos }, vxlan(vni, bytes))) },
  // Shorter than its UDP datagram.
  { weight: 1, arbitrary: inner.map((bytes) => outer({ patches: [[17, [60]]] }, vxlan(vni, bytes))) },
  ...[
    inner.map((bytes) => outer({}, vxlan(vni + 1, bytes))),
    inner.map((bytes) => outer({}, vxlan(vni, bytes, 0x0c))),
    fc.tuple(inner, fc.constantFrom(PEER_B, '198.18.0.77')).map(([bytes, src]) => outer({ src }, vxlan(vni, bytes))),
    inner.map((bytes) => outer({ checksum: 'bad' }, vxlan(vni, bytes))),
    inner.map((bytes) => outer({ isIpChecksumBad: true }, vxlan(vni, bytes))),
    inner.map((bytes) => outer({ fragment: 0x2000 }, vxlan(vni, bytes))),
    inner.map((bytes) => outer({ options: [1, 1, 1, 1] }, vxlan(vni, bytes))),
    inner.map((bytes) => outer({ dst: '198.18.0.9' }, vxlan(vni, bytes))),
    inner.map((bytes) => outer({ dport: 4790 }, vxlan(vni, bytes))),
    fc.tuple(inner, fc.nat(9)).map(([bytes, trailer]) => outer({ trailer }, vxlan(vni, bytes))),
    fc.tuple(plainPacket, fc.nat(120)).map(([bytes, end]) => bytes.slice(0, end)),
    fc
      .tuple(plainPacket, fc.nat(103), fc.nat(255))
      .map(([bytes, at, value]) => bytes.map((byte, k) => (k === at ? value : byte))),
    fc
      .tuple(inner, fc.nat(49), fc.nat(255))
      .map(([bytes, at, value]) => outer({ patches: [[at, [value]]] }, vxlan(vni, bytes))),
  ].map((arbitrary) => ({ weight: 1, arbitrary })),
);

/** RFC 8926 section 3.4: no options, protocol 0x6558, the id where VXLAN has it. */
function asGeneve(packet: Uint8Array): Uint8Array {
  if (packet.length < 50 || read16(packet, 36) !== 4789 || packet[42] !== 0x08) return packet;
  packet.set([0x17, 0xc1], 36);
  packet.set([0, 0, 0x65, 0x58], 42);
  return packet;
}

const GENEVE: Partial<RigOptions> = {
  networks: [1, 2].map((id) => ({ ...network(id, over), tunnel: tunnelPlan('geneve', 40 + id) })),
  peers: [[1, 1, PEER_A] as const, [2, 1, PEER_B] as const, [3, 2, PEER_A] as const].map(([id, net, address]) => ({
    ...peer(id, net, address, over),
    udpPort: 6081,
  })),
};

const burst = (packets: fc.Arbitrary<Uint8Array>) => fc.array(packets, { minLength: 1, maxLength: 70 });
const segments = fc
  .tuple(toB, fc.integer({ min: 2, max: 20 }))
  .map(([ends, count]) =>
    Array.from({ length: count }, (_, k) =>
      outer({}, vxlan(vni, tcp({ ...ends, seq: k * 100, payload: noise(100, k + 1) }))),
    ),
  );
const tunnelStep = fc.oneof(
  { weight: 2, arbitrary: segments },
  { weight: 4, arbitrary: burst(plainPacket) },
  { weight: 1, arbitrary: burst(checkedPacket) },
  { weight: 1, arbitrary: burst(acrossFrame.map((bytes) => outer({}, vxlan(vni, bytes)))) },
  {
    weight: 14,
    arbitrary: fc.tuple(fc.array(plainPacket, { maxLength: 5 }), oddPacket).map(([some, odd]) => [...some, odd]),
  },
  { weight: 1, arbitrary: fc.constant('second' as const) },
  { weight: 1, arbitrary: fc.constant('refuse' as const) },
);

describe.each([
  ['VXLAN, to a port', 'vxlan', {}],
  ['VXLAN, to a port with 12 bytes of virtio-net header', 'vxlan', { vnetHdrLen: 12 }],
  ['VXLAN, to a port that takes superframes', 'vxlan', { vnetHdrLen: 12, offloads: 1 }],
  ['Geneve, to a port', 'geneve', {}],
] as [string, 'vxlan' | 'geneve', Partial<RigPort>][])('the short way in, %s', (_name, kind, port) => {
  const rest = kind === 'vxlan' ? {} : GENEVE;
  const packets = (bytes: Uint8Array[]) => (kind === 'vxlan' ? bytes : bytes.map(asGeneve));
  it('delivers what the steps deliver, counts what they count and learns what they learn', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.array(tunnelStep, { minLength: 20, maxLength: 30 }), (steps) => {
        const short = tunnelLab(port, rest);
        const long = tunnelLab(port, { ...rest, wrapSteps: (wrapped) => wrapped });
        const one = outer({}, vxlan(vni, udp({ src: 1, dst: 20, payload: 20 })));
        const settled = packets(Array(9).fill(one));
        for (const s of steps) {
          for (const rig of [short, long]) {
            if (s === 'second') passSeconds(rig, 1);
            else if (s === 'refuse') rig.refuse = (_device, m) => (m % 3 === 1 ? -11 : undefined);
            else {
              // One by one: then the short way is tried again.
              for (const packet of settled) rig.fromWire(packet);
              rig.pipeline.burst.l4[0] = 4711;
              rig.fromWire(...packets(s));
              if (rig === short && rig.pipeline.burst.l4[0] === 4711) taken++;
            }
          }
          expect(short.delivered()).toEqual(long.delivered());
          expect(bytesOf(short.pipeline.counters).equals(bytesOf(long.pipeline.counters))).toBe(true);
          expect(bytesOf(short.pipeline.macTable.entries).equals(bytesOf(long.pipeline.macTable.entries))).toBe(true);
        }
      }),
      { numRuns: 10, endOnFailure: true },
    );
    expect(taken).toBeGreaterThan(5);
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
