// Random and hostile tunnel headers through the decap of every kind, one inside of the other: nothing throws, a lane lives inside of what it was
// or is dropped for a reason of its kind, nothing outside of the lane decides, and no byte is written.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LANES, TO_PEER } from '../../src/packet/burst.js';
import { createClock } from '../../src/packet/clock.js';
import { DROP_REASONS, type DropName } from '../../src/packet/drop.js';
import * as BareIp from '../../src/tunnel/bareIp.js';
import * as Geneve from '../../src/tunnel/geneve.js';
import { bindOptions } from '../../src/tunnel/geneveOptions.js';
import * as Gre from '../../src/tunnel/gre.js';
import { bindSequence } from '../../src/tunnel/greSequence.js';
import * as Gue from '../../src/tunnel/gue.js';
import { KIND, tunnelPlan } from '../../src/tunnel/tunnel.js';
import * as Vxlan from '../../src/tunnel/vxlan.js';
import { join, noise, onesSum, u16, u32, vxlan } from '../rig/frames.js';
import { makeLanes } from '../rig/lanes.js';
import { anyFrame, damage, fuzzSeed, makeRandom, type Random } from '../rig/random.js';

const SECONDS = 4;
const BATCHES_MIN = 100;
const NETWORK = 3;
const NESTING_MAX = 6;

const seed = fuzzSeed();
let batches = 0;
beforeAll(() => console.log(`seed ${seed}: WEFT_FUZZ_SEED=${seed} repeats this run`));
afterAll(() => console.log(`${batches} batches`));

const lanes = makeLanes();
const { arena, burst } = lanes;
const decaps = [
  Vxlan.bindDecap(arena, burst),
  Geneve.bindDecap(arena, burst),
  Gre.bindDecap(arena, burst, lanes.kernel),
  BareIp.bindDecap(arena, burst),
  Gue.bindDecap(arena, burst),
];
const options = bindOptions(arena, burst);
const order = bindSequence(arena, burst, createClock(100));

const KINDS = ['vxlan', 'geneve', 'gre', 'ipip', 'fou', 'gue'] as const;
type Kind = (typeof KINDS)[number];
const REASONS: Record<Kind, DropName[]> = {
  vxlan: ['malformed-tunnel', 'tunnel-flags'],
  geneve: [
    'malformed-tunnel',
    'tunnel-flags',
    'tunnel-control',
    'tunnel-protocol',
    'critical-option',
    'option-mismatch',
  ],
  gre: ['malformed-tunnel', 'tunnel-flags', 'tunnel-protocol', 'tunnel-checksum', 'tunnel-sequence'],
  ipip: ['malformed-tunnel', 'tunnel-protocol'],
  fou: ['malformed-tunnel', 'tunnel-protocol'],
  gue: ['malformed-tunnel', 'tunnel-flags', 'tunnel-protocol', 'tunnel-control'],
};

const protocol = (r: Random) => r.pick(['6558', '0800', '86dd', r.once(4) ? '0806' : '6558']);

/** Options that mostly fill their space; lengths are anything now and then. */
function geneve(r: Random, inner: Uint8Array): Uint8Array {
  const list = join(
    ...Array.from({ length: r.below(5) }, () => {
      const words = r.once(4) ? r.pick([0, 1, 30, 31]) : r.below(4);
      const length = r.once(8) ? r.below(256) : words;
      return join(
        r.pick(['0102', '014b', 'ffff']),
        r.pick([0, 1, 0x80, 0x81, 0xff]),
        length,
        noise(words * 4, r.below(9)),
      );
    }),
  ).slice(0, 252);
  const first = r.once(8) ? r.below(256) : list.length / 4;
  return join(first, r.pick([0, 0, 0, 0x40, 0x80, r.below(64)]), protocol(r), u32(r.below(2 ** 24) * 256), list, inner);
}

function gre(r: Random, inner: Uint8Array): Uint8Array {
  const flags = r.once(8) ? r.below(65536) : r.pick([0, 0x2000, 0x1000, 0x3000, 0x8000, 0x9000, 0xa000, 0xb000]);
  const fields = [0x8000, 0x2000, 0x1000].filter((flag) => (flags & flag) !== 0);
  const packet = join(u16(flags), protocol(r), ...fields.map(() => u32(r.below(20))), inner);
  if ((flags & 0x8000) !== 0 && !r.once(8)) {
    packet.set([0, 0], 4);
    packet.set(u16(0xffff - onesSum(packet)), 4);
  }
  return packet;
}

function gue(r: Random, inner: Uint8Array): Uint8Array {
  const words = r.once(3) ? r.below(32) : 0;
  const first = r.once(8) ? r.below(256) : words;
  return join(first, r.pick([4, 4, 41, 41, 47]), u16(r.once(8) ? r.below(65536) : 0), new Uint8Array(words * 4), inner);
}

const WRAPPERS: Record<Kind, (r: Random, inner: Uint8Array) => Uint8Array> = {
  vxlan: (r, inner) => vxlan(r.below(2 ** 24), inner, r.once(8) ? r.below(256) : r.pick([8, 0x0c])),
  geneve,
  gre,
  gue,
  // A frame without its Ethernet header is a packet, mostly.
  ipip: (r, inner) => (r.once(8) ? inner : inner.slice(14)),
  fou: (r, inner) => (r.once(8) ? inner : inner.slice(14)),
};

/** A packet in some tunnels; kinds from the inside out. */
function anyPacket(r: Random): { bytes: Uint8Array; kinds: Kind[] } {
  const packet = { bytes: r.once(10) ? noise(r.below(80), r.below(1e6)) : anyFrame(r, 300), kinds: [] as Kind[] };
  for (let depth = r.once(3) ? 1 + r.below(NESTING_MAX) : 1; depth > 0; depth--) {
    const kind = r.pick(KINDS);
    packet.bytes = WRAPPERS[kind](r, packet.bytes);
    packet.kinds.push(kind);
  }
  if (r.once(3)) packet.bytes = damage(r, packet.bytes);
  if (r.once(6)) packet.bytes = packet.bytes.slice(0, r.below(60));
  return packet;
}

interface Outcome {
  drop: number;
  from: number;
  len: number;
  metaLen: number;
  payload: number;
}

/** Takes the outermost header off every lane. */
function takeOff(kinds: Kind[]): void {
  const n = kinds.length;
  kinds.forEach((kind, i) => {
    burst.tunnel[i] = KIND[kind];
    burst.network[i] = NETWORK;
    burst.origin[i] = TO_PEER | 5;
  });
  for (const decap of decaps) decap(n);
  options.check(n);
  order.check(n);
}

const snapshot = () => Object.values(burst).map((column) => column.slice());

function restore(columns: Int32Array[]): void {
  Object.values(burst).forEach((column, k) => {
    column.set(columns[k]);
  });
}

/** One level of headers: what became of every lane, checked, and the same again with other bytes around the lanes. */
function level(kinds: Kind[], seen: Set<string>): void {
  const n = kinds.length;
  const columns = snapshot();
  const before = Array.from({ length: n }, (_, i) => ({ drop: burst.drop[i], at: burst.at[i], len: burst.len[i] }));
  const memory = before.map(({ at, len }) => arena.bytes.slice(at, at + len));
  const run = (): Outcome[] => {
    takeOff(kinds);
    return before.map(({ at }, i) => ({
      drop: burst.drop[i],
      from: burst.at[i] - at,
      len: burst.len[i],
      metaLen: burst.metaLen[i],
      payload: burst.payload[i],
    }));
  };
  order.configure(NETWORK, null);
  const first = run();
  restore(columns);
  for (const { at, len } of before) {
    arena.bytes.fill(0x5a, at - 64, at);
    arena.bytes.fill(0x5a, at + len, at + len + 64);
  }
  if (JSON.stringify(run()) !== JSON.stringify(first)) throw new Error('bytes outside of a lane decide');
  restore(columns);
  order.configure(NETWORK, tunnelPlan('gre', 0, { sequence: true }));
  const last = run();
  before.forEach(({ drop, at, len }, i) => {
    if (Buffer.compare(arena.bytes.slice(at, at + len), memory[i]) !== 0) throw new Error(`lane ${i} was written to`);
    const outcome = last[i];
    if (drop !== 0) {
      expect(outcome).toMatchObject({ drop, from: 0, len });
      return;
    }
    const kind = kinds[i];
    const { name } = DROP_REASONS[outcome.drop];
    seen.add(`${kind} ${name}`);
    if (name === 'none') expect([0x6558, 0x0800, 0x86dd, 0], kind).toContain(outcome.payload);
    else expect(REASONS[kind], kind).toContain(name);
    expect(outcome.from + outcome.len, kind).toBe(len);
    expect(outcome.from).toBeGreaterThanOrEqual(0);
    expect(outcome.len).toBeGreaterThan(name === 'none' ? 0 : -1);
    if (name === 'none') expect(outcome.metaLen).toBeLessThanOrEqual(outcome.from);
  });
}

describe('hostile headers', () => {
  it('are dropped for a reason, or taken off within the lane', () => {
    const until = performance.now() + SECONDS * 1000;
    const r = makeRandom(seed);
    const seen = new Set<string>();
    for (let n = 0; n < BATCHES_MIN || performance.now() < until; n++, batches++) {
      const data = r.once(2) ? null : noise(4 * r.below(3), 1);
      const known = { class: 0x0102, type: 0x80 };
      options.configure(
        NETWORK,
        tunnelPlan('geneve', 1, {
          match: r.once(3) ? [{ ...known, data }] : [],
          options: r.once(2) ? [{ ...known, data: new Uint8Array(0) }] : [],
        }),
      );
      const packets = Array.from({ length: 1 + r.below(LANES) }, () => anyPacket(r));
      const offset = r.below(8);
      try {
        lanes.lay(
          packets.map((p) => p.bytes),
          { offset },
        );
        for (let depth = 0; depth < NESTING_MAX; depth++) {
          // Behind the last header that was put on: any other, over what is left of the frame.
          level(
            packets.map((p) => p.kinds.at(-1 - depth) ?? r.pick(KINDS)),
            seen,
          );
        }
      } catch (error) {
        throw new Error(`seed ${seed}, batch ${n}: ${(error as Error).message}`, { cause: error });
      }
    }
    const wanted = KINDS.flatMap((kind) => ['none', ...REASONS[kind]].map((name) => `${kind} ${name}`));
    expect(wanted.filter((what) => !seen.has(what)).sort()).toEqual([]);
  });
});
