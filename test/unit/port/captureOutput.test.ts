// Messages to records: the file is read by a reader of its own, and each record has its message's bytes and the time of its lane.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { bindCaptureKernel, type CaptureKernel } from '../../../src/port/captureKernel.js';
import { type CaptureOutput, openCaptureOutput } from '../../../src/port/captureOutput.js';
import { makeCaptureContext } from '../../rig/captureContext.js';
import { pcapngParts } from '../wire/captureBuilder.js';

const folder = mkdtempSync(joinPath(tmpdir(), 'weft-output-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = joinPath(folder, 'capture');
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

interface Record {
  id: number;
  seconds: number;
  nanoseconds: number;
  data: string;
  options: string;
}

function readPcapng(bytes: Buffer): {
  interfaces: { link: number; resolution: number; name: string }[];
  records: Record[];
} {
  const interfaces: { link: number; resolution: number; name: string }[] = [];
  const records: Record[] = [];
  for (let at = 0; at < bytes.length; ) {
    const type = bytes.readUInt32LE(at);
    const length = bytes.readUInt32LE(at + 4);
    expect(length % 4).toBe(0);
    expect(bytes.readUInt32LE(at + length - 4)).toBe(length);
    if (type === 1) {
      const found = { link: bytes.readUInt16LE(at + 8), resolution: 6, name: '' };
      for (let o = at + 16; bytes.readUInt16LE(o) !== 0; o += 4 + ((bytes.readUInt16LE(o + 2) + 3) & ~3)) {
        const value = bytes.subarray(o + 4, o + 4 + bytes.readUInt16LE(o + 2));
        if (bytes.readUInt16LE(o) === 9) found.resolution = value[0];
        if (bytes.readUInt16LE(o) === 2) found.name = value.toString();
      }
      interfaces.push(found);
    }
    if (type === 6) {
      const id = bytes.readUInt32LE(at + 8);
      const ticks = (BigInt(bytes.readUInt32LE(at + 12)) << 32n) | BigInt(bytes.readUInt32LE(at + 16));
      const perSecond = 10n ** BigInt(interfaces[id].resolution);
      const captured = bytes.readUInt32LE(at + 20);
      expect(bytes.readUInt32LE(at + 24)).toBe(captured);
      const padded = (captured + 3) & ~3;
      expect(bytes.subarray(at + 28 + captured, at + 28 + padded).every((b) => b === 0)).toBe(true);
      records.push({
        id,
        seconds: Number(ticks / perSecond),
        nanoseconds: Number(((ticks % perSecond) * 1_000_000_000n) / perSecond),
        data: hex(bytes.subarray(at + 28, at + 28 + captured)),
        options: hex(bytes.subarray(at + 28 + padded, at + length - 4)),
      });
    }
    at += length;
  }
  return { interfaces, records };
}

function readPcap(bytes: Buffer): Record[] {
  const nano = bytes.readUInt32LE(0) === 0xa1b23c4d;
  const records: Record[] = [];
  for (let at = 24; at < bytes.length; ) {
    const captured = bytes.readUInt32LE(at + 8);
    expect(bytes.readUInt32LE(at + 12)).toBe(captured);
    const nanoseconds = bytes.readUInt32LE(at + 4) * (nano ? 1 : 1000);
    const data = hex(bytes.subarray(at + 16, at + 16 + captured));
    records.push({ id: 0, seconds: bytes.readUInt32LE(at), nanoseconds, data, options: '' });
    at += 16 + captured;
  }
  return records;
}

/** One message: extents in the slot of a lane, with a piece in a header block in front of them. */
interface Spec {
  lane: number;
  header: number;
  pieces: number[];
}

const specArbitrary: fc.Arbitrary<Spec> = fc.record({
  lane: fc.nat(63),
  header: fc.nat(90),
  pieces: fc.array(fc.oneof(fc.nat(60), fc.integer({ min: 200, max: 1500 })), { minLength: 1, maxLength: 3 }),
});

const timeOf = (lane: number) => ({ seconds: 1_700_000_000 + lane * 30_000_000, nanoseconds: lane * 15_000_000 + 123 });

function setUp() {
  const context = makeCaptureContext();
  const kernel = bindCaptureKernel(context);
  const { arena, window, outbox } = context;
  // What stands around a message must not come along.
  for (const start of window.starts) arena.bytes.fill(0xa5, start - 64, start + 8192);
  kernel.lanes.count = 64;
  for (let lane = 0; lane < 64; lane++) {
    kernel.lanes.times[2 * lane] = timeOf(lane).nanoseconds;
    kernel.lanes.times[2 * lane + 1] = timeOf(lane).seconds;
  }
  return { context, kernel, arena, window, outbox };
}

type SetUp = ReturnType<typeof setUp>;

/** Lays messages out and returns the bytes of each. */
function lay({ arena, window, outbox }: SetUp, specs: Spec[]): Uint8Array[] {
  let extent = 0;
  let headerAt = outbox.headersAt;
  return specs.map((spec, m) => {
    const parts: number[] = [];
    outbox.msgFirst[m] = extent;
    const add = (at: number, bytes: number, seed: number) => {
      for (let i = 0; i < bytes; i++) arena.bytes[at + i] = (i * 5 + seed) & 255;
      outbox.extAt[extent] = at;
      outbox.extLen[extent++] = bytes;
    };
    if (spec.header > 0) add(headerAt, spec.header, m);
    headerAt += 128;
    let at = window.starts[spec.lane] - 50;
    for (const bytes of spec.pieces) {
      add(at, bytes, m + spec.lane);
      at += bytes + 7;
    }
    outbox.msgCount[m] = extent - outbox.msgFirst[m];
    outbox.msgResult[m] = -1;
    for (let e = outbox.msgFirst[m]; e < extent; e++)
      parts.push(...arena.bytes.subarray(outbox.extAt[e], outbox.extAt[e] + outbox.extLen[e]));
    return Uint8Array.from(parts);
  });
}

function open(
  kernel: CaptureKernel,
  pool: SetUp['context']['pool'],
  rest: Partial<Parameters<typeof openCaptureOutput>[1]>,
) {
  return openCaptureOutput(kernel, {
    ...{ object: 'port a', path: file, format: 'pcapng', isMicro: false, pool, pieceSlots: 2, isLive: false },
    ...rest,
  });
}

const target = (output: CaptureOutput, link = 1, name = 'a') => ({
  id: output.addInterface(link, name),
  linkType: link,
  keepsInterfaces: false,
});

/** Lanes only once a burst: a slot holds one packet. */
const burstsArbitrary = fc.array(fc.uniqueArray(specArbitrary, { selector: (s) => s.lane, maxLength: 64 }), {
  maxLength: 6,
});

describe.each([
  { format: 'pcapng' as const, isMicro: false, isLive: false },
  { format: 'pcapng' as const, isMicro: true, isLive: false },
  { format: 'pcapng' as const, isMicro: false, isLive: true },
  { format: 'pcap' as const, isMicro: false, isLive: false },
  { format: 'pcap' as const, isMicro: true, isLive: false },
])('$format, microseconds $isMicro, live $isLive', (options) => {
  it('has every message with the time of its lane', () => {
    fc.assert(
      fc.property(burstsArbitrary, (bursts) => {
        const all = setUp();
        const output = open(all.kernel, all.context.pool, options);
        const to = target(output);
        const expected: Record[] = [];
        for (const specs of bursts) {
          const bytes = lay(all, specs);
          expect(output.write(specs.length, to)).toBe(specs.length);
          expect(Array.from(all.outbox.msgResult.subarray(0, specs.length))).toEqual(bytes.map((b) => b.length));
          specs.forEach(({ lane }, m) => {
            const { seconds, nanoseconds } = timeOf(lane);
            const shown = options.isMicro ? Math.floor(nanoseconds / 1000) * 1000 : nanoseconds;
            expected.push({ id: 0, seconds, nanoseconds: shown, data: hex(bytes[m]), options: '' });
          });
        }
        output.close();
        const written = readFileSync(file);
        expect(options.format === 'pcap' ? readPcap(written) : readPcapng(written).records).toEqual(expected);
        expect(all.context.pool.free()).toBe(8);
      }),
      { numRuns: 20 },
    );
  });
});

describe('records that keep something of their input', () => {
  const plain = (lane: number): Spec => ({ lane, header: 0, pieces: [61 + lane] });

  it('have its options, and only theirs', () => {
    const all = setUp();
    const output = open(all.kernel, all.context.pool, {});
    const to = target(output);
    const { option, endOfOptions } = pcapngParts(true);
    const comment = option(1, new TextEncoder().encode('why'));
    all.kernel.lanes.hasOptions = true;
    all.kernel.lanes.options[1] = comment;
    const bytes = lay(all, [plain(0), plain(1), plain(2)]);
    expect(output.write(3, to)).toBe(3);
    output.close();
    const { records } = readPcapng(readFileSync(file));
    expect(records.map((r) => r.data)).toEqual(bytes.map(hex));
    expect(records.map((r) => r.options)).toEqual(['', hex(comment) + hex(endOfOptions), '']);
    expect(records.map((r) => r.seconds)).toEqual([0, 1, 2].map((lane) => timeOf(lane).seconds));
  });

  it('stand at interfaces described as they were', () => {
    const all = setUp();
    const { kernel } = all;
    const description = pcapngParts(true).option(3, new TextEncoder().encode('uplink'));
    const described = { linkType: 1, snapLength: 96, offsetSeconds: 0, options: description };
    kernel.sections = [
      {
        interfaces: [
          { ...described, name: 'eth0', resolution: 3 },
          { ...described, name: 'eth1', resolution: 9 },
        ],
      },
      { interfaces: [{ ...described, name: 'eth0', resolution: 6 }] },
    ];
    const output = open(kernel, all.context.pool, {});
    const to = { id: -1, linkType: 101, keepsInterfaces: true };
    kernel.lanes.isOneSource = false;
    kernel.lanes.sources.set([1, 0, 4096, 1]);
    lay(all, [plain(0), plain(1), plain(2), plain(3)]);
    expect(output.write(4, to)).toBe(4);
    kernel.lanes.isOneSource = true;
    kernel.lanes.sources.fill(4096);
    lay(all, [plain(5)]);
    expect(output.write(1, to)).toBe(1);
    output.close();
    const bytes = readFileSync(file);
    const { interfaces, records } = readPcapng(bytes);
    // In the order in which they turned up; packets are raw IP now.
    expect(interfaces).toEqual([
      { link: 101, resolution: 9, name: 'eth1' },
      { link: 101, resolution: 3, name: 'eth0' },
      { link: 101, resolution: 6, name: 'eth0' },
    ]);
    expect(bytes.toString('latin1')).toContain('uplink');
    expect(records.map((r) => r.id)).toEqual([0, 1, 2, 0, 2]);
    expect(records.map((r) => r.nanoseconds)).toEqual([123, 15_000_000, 30_000_000, 45_000_123, 75_000_000]);
  });

  it('made by the node have the time of the burst’s last packet, or of the clock without a burst', () => {
    const all = setUp();
    const output = open(all.kernel, all.context.pool, {});
    const to = target(output);
    all.kernel.lanes.count = 3;
    const { outbox } = all;
    outbox.msgFirst[0] = 0;
    outbox.msgCount[0] = 1;
    outbox.extAt[0] = outbox.headersAt;
    outbox.extLen[0] = 42;
    output.write(1, to);
    all.kernel.lanes.count = 0;
    all.kernel.now = () => ({ seconds: 77, nanoseconds: 88 });
    output.write(1, to);
    output.close();
    const { records } = readPcapng(readFileSync(file));
    expect(records.map((r) => [r.seconds, r.nanoseconds])).toEqual([Object.values(timeOf(2)), [77, 88]]);
  });
});

describe('a file that cannot be written', () => {
  it('ends a replay', () => {
    const all = setUp();
    const output = open(all.kernel, all.context.pool, { path: '/dev/full' });
    target(output);
    expect(() => output.flush()).toThrow(/port a: \/dev\/full: ENOSPC/);
    expect(() => output.close()).not.toThrow();
  });

  it('is told to a live port’s account', () => {
    const all = setUp();
    const output = open(all.kernel, all.context.pool, { path: '/dev/full', isLive: true });
    lay(all, [{ lane: 0, header: 0, pieces: [64] }]);
    expect(output.write(1, target(output))).toBe(0);
    expect(all.outbox.msgResult[0]).toBe(-28);
    expect(output.error?.message).toMatch(/ENOSPC/);
    output.close();
  });
});
