// Records to lanes: by the kernel where pieces of the file lie in the arena, and in TypeScript where they lie on the heap. Both are held
// against the records that the file was built from.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { DROP } from '../../../src/packet/drop.js';
import { openCaptureInput, UNBOUNDED } from '../../../src/port/captureInput.js';
import { bindCaptureKernel, type CaptureContext } from '../../../src/port/captureKernel.js';
import { takePiece } from '../../../src/port/filePiece.js';
import type { LinkDevice } from '../../../src/port/linkLayer.js';
import { makeCaptureContext } from '../../rig/captureContext.js';
import { join } from '../../rig/frames.js';
import { joined, pcapFile, pcapngParts } from '../wire/captureBuilder.js';

const folder = mkdtempSync(joinPath(tmpdir(), 'weft-input-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = joinPath(folder, 'capture');
const FRAMES: LinkDevice = { carries: 'ethernet', isUnderlay: false };

interface Seen {
  data: string;
  drop: number;
  seconds: number;
  nanoseconds: number;
  options: string;
}

interface Burst {
  lanes: Seen[];
  dueSeconds: number;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** A context in which no piece fits into the arena. */
function heapContext(): CaptureContext {
  const context = makeCaptureContext(65);
  takePiece(context.arena, context.pool, 1);
  return context;
}

/** Reads a file to its end, cutting bursts where seconds change, as a replay does. */
function readAll(bytes: Uint8Array, context: CaptureContext, device = FRAMES) {
  writeFileSync(file, bytes);
  const kernel = bindCaptureKernel(context);
  const { burst, arena } = context;
  const { lanes } = kernel;
  const input = openCaptureInput(kernel, { object: 'port a', path: file, device, pool: context.pool, pieceSlots: 2 });
  const bursts: Burst[] = [];
  while (input.peek()) {
    const dueSeconds = input.seconds;
    const n = input.fill(64, dueSeconds === UNBOUNDED ? UNBOUNDED : dueSeconds + 1, 0);
    const seen: Seen[] = [];
    for (let i = 0; i < n; i++) {
      const options = lanes.hasOptions ? lanes.options[i] : null;
      seen.push({
        data: hex(arena.bytes.subarray(burst.at[i], burst.at[i] + burst.len[i])),
        drop: burst.drop[i],
        seconds: lanes.times[2 * i + 1] >>> 0,
        nanoseconds: lanes.times[2 * i],
        options: options ? hex(options) : '',
      });
    }
    bursts.push({ lanes: seen, dueSeconds });
  }
  input.close();
  return { bursts, seen: bursts.flatMap((b) => b.lanes), input };
}

const bothForms = (bytes: Uint8Array, device = FRAMES) => {
  const kernel = readAll(bytes, makeCaptureContext(), device);
  const typescript = readAll(bytes, heapContext(), device);
  expect(kernel.bursts).toEqual(typescript.bursts);
  return kernel;
};

const bytesOf = (length: number, seed: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 255);

/** Lengths that are mostly short, and times that mostly grow. */
const recordArbitrary = fc.record({
  length: fc.oneof(fc.nat(200), fc.nat(3000), fc.constantFrom(0, 1, 15, 16, 17, 256, 257, 65375)),
  seed: fc.nat(255),
  missing: fc.oneof({ arbitrary: fc.constant(0), weight: 9 }, { arbitrary: fc.integer({ min: 1, max: 9 }), weight: 1 }),
  step: fc.oneof(fc.nat(1_000_000), fc.integer({ min: -3_000_000, max: 3_000_000 })),
});

describe('pcap', () => {
  it.each([
    [true, false],
    [true, true],
    [false, false],
    [false, true],
  ])('little-endian %s, nanoseconds %s: lanes are the records, in both forms', (little, nano) => {
    fc.assert(
      fc.property(fc.array(recordArbitrary, { maxLength: 150 }), (specs) => {
        let micros = 5_000_000;
        const records = specs.map(({ length, seed, missing, step }) => {
          micros = Math.max(0, micros + step);
          const data = bytesOf(length, seed);
          const fraction = (micros % 1_000_000) * (nano ? 1000 : 1);
          return { seconds: Math.floor(micros / 1e6), fraction, data, original: length + missing };
        });
        const { seen, input, bursts } = bothForms(pcapFile(little, nano, 1, records));
        expect(seen).toEqual(
          records.map((r) => ({
            data: hex(r.data),
            drop: r.original > r.data.length ? DROP.truncated : 0,
            seconds: r.seconds,
            nanoseconds: r.fraction * (nano ? 1 : 1000),
            options: '',
          })),
        );
        expect(input.packets).toBe(records.length);
        expect(input.cut).toBe(records.filter((r) => r.original > r.data.length).length);
        expect([input.isCutOff, input.error]).toEqual([false, null]);
        // A burst is full, or the next one begins in another second: time never goes back.
        for (const [i, burst] of bursts.slice(0, -1).entries())
          if (burst.lanes.length < 64) expect(bursts[i + 1].dueSeconds).toBeGreaterThan(burst.dueSeconds);
      }),
      { numRuns: 25 },
    );
  });

  it('a fraction of a second or more is carried over', () => {
    const data = bytesOf(20, 1);
    const { seen } = bothForms(pcapFile(true, false, 1, [{ seconds: 9, fraction: 2_500_000, data, original: 20 }]));
    expect(seen).toMatchObject([{ seconds: 11, nanoseconds: 500_000_000 }]);
  });

  it('cut off at every length: whole records and the word that it is cut', () => {
    const record = { seconds: 1, fraction: 2, data: bytesOf(30, 3), original: 30 };
    const whole = pcapFile(true, true, 1, [record, record]);
    for (let length = 1; length < whole.length; length++) {
      const { seen, input } = bothForms(whole.slice(0, length));
      expect(seen).toHaveLength(length < 24 + 46 ? 0 : 1);
      expect([length, input.isCutOff]).toEqual([length, length !== 24 && length !== 24 + 46]);
    }
  });
});

describe('pcapng', () => {
  const RESOLUTIONS = [
    { code: null, perSecond: 1_000_000n },
    { code: 9, perSecond: 1_000_000_000n },
    { code: 3, perSecond: 1000n },
    { code: 0x8a, perSecond: 1024n },
  ];

  it.each([true, false])('little-endian %s: interfaces, options and sections, in both forms', (little) => {
    const arbitrary = fc.record({
      record: recordArbitrary,
      id: fc.nat(RESOLUTIONS.length - 1),
      comment: fc.oneof(
        { arbitrary: fc.constant(''), weight: 4 },
        { arbitrary: fc.string({ maxLength: 9 }), weight: 1 },
      ),
      isNewSection: fc.oneof({ arbitrary: fc.constant(false), weight: 30 }, fc.boolean()),
    });
    fc.assert(
      fc.property(fc.array(arbitrary, { maxLength: 120 }), (specs) => {
        const parts = pcapngParts(little);
        const interfaces = RESOLUTIONS.map(({ code }) => {
          const resolution = code === null ? [] : [parts.option(9, Uint8Array.of(code)), parts.endOfOptions];
          return parts.interface(1, 0, ...resolution);
        });
        const section = [parts.section(), ...interfaces];
        const blocks = [...section];
        let micros = 8_000_000;
        const expected = specs.map(({ record, id, comment, isNewSection }) => {
          if (isNewSection) blocks.push(...section);
          micros = Math.max(0, micros + record.step);
          const { perSecond } = RESOLUTIONS[id];
          const ticks = (BigInt(micros) * perSecond) / 1_000_000n;
          const data = bytesOf(record.length, record.seed);
          const text = new TextEncoder().encode(comment);
          const options = comment === '' ? [] : [parts.option(1, text), parts.endOfOptions];
          const [high, low] = [Number(ticks >> 32n), Number(ticks & 0xffffffffn)];
          blocks.push(parts.packet(id, high, low, data, data.length + record.missing, ...options));
          const nanos = ((ticks % perSecond) * 1_000_000_000n) / perSecond;
          return {
            data: hex(data),
            drop: record.missing > 0 ? DROP.truncated : 0,
            seconds: Number(ticks / perSecond),
            nanoseconds: Number(nanos),
            // What is kept is little-endian, whatever it was.
            options: comment === '' ? '' : hex(pcapngParts(true).option(1, text)),
          };
        });
        expect(bothForms(joined(...blocks)).seen).toEqual(expected);
      }),
      { numRuns: 25 },
    );
  });
});

describe('link types', () => {
  const IPV4 = join('45000014 0000 4000 40 fd 0000 0a000001 0a000002');
  const one = (link: number, data: Uint8Array, device: LinkDevice) => {
    const { seen, input } = bothForms(
      pcapFile(true, true, link, [{ seconds: 1, fraction: 0, data, original: data.length }]),
      device,
    );
    return { frame: seen[0]?.data, drop: seen[0]?.drop, error: input.error?.message };
  };
  const packets: LinkDevice = { carries: 'ip', isUnderlay: false };
  const underlay: LinkDevice = { carries: 'ethernet', isUnderlay: true };

  it.each([101, 12, 14, 228])('%i, raw IP, is what a port of packets takes', (link) => {
    expect(one(link, IPV4, packets)).toMatchObject({ frame: hex(IPV4), drop: 0 });
    expect(one(link, IPV4, FRAMES).error).toMatch(/raw IP/);
    expect(one(link, IPV4, underlay).frame).toBe(`0200000000010200000000020800${hex(IPV4)}`);
  });

  it('Ethernet gives its packets without headers and tags', () => {
    const tagged = join('020000000001 020000000002 8100 0007 0800', IPV4);
    expect(one(1, tagged, packets)).toMatchObject({ frame: hex(IPV4), drop: 0 });
    const arp = join('ffffffffffff 020000000002 0806', new Uint8Array(28));
    expect(one(1, arp, packets).drop).toBe(DROP['malformed-packet']);
  });

  it('Linux cooked captures give frames from the sender, to all where they were', () => {
    const sll = join('0000 0001 0006 aabbccddeeff 0000 0800', IPV4);
    expect(one(113, sll, FRAMES).frame).toBe(`020000000001aabbccddeeff0800${hex(IPV4)}`);
    expect(one(113, sll, packets).frame).toBe(hex(IPV4));
    const sll2 = join('0800 0000 00000003 0001 01 06 aabbccddeeff 0000', IPV4);
    expect(one(276, sll2, FRAMES).frame).toBe(`ffffffffffffaabbccddeeff0800${hex(IPV4)}`);
    for (let length = 0; length < 16; length++)
      expect(one(113, sll.slice(0, length), FRAMES).drop).toBe(DROP['malformed-frame']);
  });

  it('others are refused', () => {
    expect(one(105, IPV4, FRAMES).error).toMatch(/link type 105, where Ethernet frames are wanted/);
  });
});
