import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CompareOptions, compareCaptures } from '../../../src/replay/compare.js';
import { noise, outer, u16, udp, vxlan } from '../../rig/frames.js';
import { type BuiltRecord, joined, pcapFile, pcapngParts } from '../wire/captureBuilder.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(joinPath(tmpdir(), 'weft-compare-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const record = (data: Uint8Array, i: number): BuiltRecord => ({ seconds: i, fraction: 7, data, original: data.length });
const pcap = (frames: Uint8Array[], nano = true, linkType = 1) => pcapFile(true, nano, linkType, frames.map(record));

let files = 0;
function write(content: Uint8Array): string {
  const path = joinPath(folder, `${files++}.pcap`);
  writeFileSync(path, content);
  return path;
}

const compare = (actual: Uint8Array, expected: Uint8Array, options?: CompareOptions) =>
  compareCaptures(write(actual), write(expected), options);

/** Frames that are all different. */
const frames = (count: number, first = 0) =>
  Array.from({ length: count }, (_, i) => udp({ payload: noise(20, first + i + 1), id: i }));

describe('compareCaptures', () => {
  it('finds nothing in equal packets, whatever the format, the byte order and the times', async () => {
    const all = frames(100);
    const { block, section, interface: describe, packet } = pcapngParts(false);
    const ng = joined(
      section(),
      block(99, new Uint8Array(5)),
      describe(1, 0),
      ...all.map((f) => packet(0, 0, 5, f, f.length)),
    );
    const found = await compare(pcap(all), ng);
    expect(found).toMatchObject({ same: 100, changed: 0, extra: 0, missing: 0, differences: [], ok: true });
    expect([found.actual.packets, found.expected.packets]).toEqual([100, 100]);
  });

  it('shows which fields of a packet differ, on both sides, with their place', async () => {
    const all = frames(20);
    const other = [...all];
    other[7] = udp({ payload: noise(20, 8), id: 7, ttl: 63, dport: 2001 });
    const { differences, same, changed, ok } = await compare(pcap(all), pcap(other));
    expect([same, changed, ok]).toEqual([19, 1, false]);
    expect(differences).toHaveLength(1);
    expect(differences[0]).toMatchObject({ kind: 'changed', actual: 8, expected: 8 });
    expect(differences[0].summary).toBe('62 bytes, eth ip udp, 10.0.0.1 > 10.0.0.2');
    expect(differences[0].fields.map((f) => [f.field, f.at])).toEqual([
      ['ip.ttl', 22],
      ['ip.checksum', 24],
      ['udp.dstport', 36],
      ['udp.checksum', 40],
    ]);
    expect(differences[0].fields[0]).toEqual({ field: 'ip.ttl', at: 22, actual: '64', expected: '63' });
  });

  it('shows fields that only one side has', async () => {
    const { differences } = await compare(pcap([udp()]), pcap([udp({ tags: [[0x8100, 5]] })]));
    const { fields } = differences[0];
    expect(fields).toContainEqual({ field: 'vlan.id', at: 14, actual: null, expected: '5' });
    expect(fields).toContainEqual({ field: 'frame.len', at: null, actual: '42', expected: '46' });
  });

  it('shows the part of long data that differs', async () => {
    const [one, two] = [noise(200), noise(200)];
    two[150] ^= 0xff;
    const { differences } = await compare(
      pcap([udp({ payload: one, checksum: 'zero' })]),
      pcap([udp({ payload: two, checksum: 'zero' })]),
    );
    expect(differences[0].fields).toHaveLength(1);
    const [{ field, at, actual, expected }] = differences[0].fields;
    expect([field, at]).toEqual(['data', 42 + 150]);
    expect(actual?.slice(0, 2)).toBe(one[150].toString(16).padStart(2, '0'));
    expect(expected?.slice(0, 2)).toBe(two[150].toString(16).padStart(2, '0'));
  });

  it('finds packets that only one file has, and goes on behind them', async () => {
    const all = frames(200);
    const without = all.filter((_, i) => i !== 3 && i !== 50 && i !== 51);
    const found = await compare(pcap(without), pcap(all));
    expect(found).toMatchObject({ same: 197, changed: 0, extra: 0, missing: 3, ok: false });
    expect(found.differences.map((d) => [d.kind, d.actual, d.expected])).toEqual([
      ['missing', null, 4],
      ['missing', null, 51],
      ['missing', null, 52],
    ]);
    expect(await compare(pcap(all), pcap(without))).toMatchObject({ same: 197, extra: 3, missing: 0 });
    expect(await compare(pcap(all.slice(0, 150)), pcap(all))).toMatchObject({ same: 150, missing: 50 });
    expect(await compare(pcap([]), pcap(all))).toMatchObject({ same: 0, missing: 200 });
  });

  it('takes a packet that was changed for one, and a changed order for what it is', async () => {
    const all = frames(60);
    const changed = all.map((frame, i) => (i === 9 || i === 10 ? udp({ payload: 1, id: i }) : frame));
    expect(await compare(pcap(changed), pcap(all))).toMatchObject({ same: 58, changed: 2, extra: 0, missing: 0 });
    const swapped = [...all];
    [swapped[20], swapped[21]] = [swapped[21], swapped[20]];
    expect((await compare(pcap(swapped), pcap(all))).ok).toBe(false);
  });

  it('describes the first differences and counts all', async () => {
    const found = await compare(pcap(frames(3000, 5000)), pcap(frames(3000)), { shown: 4 });
    expect(found).toMatchObject({ same: 0, changed: 3000 });
    expect(found.differences).toHaveLength(4);
  });

  it('compares times when asked', async () => {
    const all = frames(3);
    const records = all.map((data, i) => ({ ...record(data, i), fraction: i === 1 ? 8 : 7 }));
    const later = pcapFile(true, true, 1, records);
    expect((await compare(pcap(all), later)).ok).toBe(true);
    const { differences } = await compare(pcap(all), later, { times: true });
    expect(differences).toMatchObject([
      { actual: 2, fields: [{ field: 'frame.time', at: null, actual: '1.000000007', expected: '1.000000008' }] },
    ]);
    expect((await compare(pcap(all), later, { times: true, ignore: ['time'] })).ok).toBe(true);
  });

  it('compares link types, and lengths of packets that were cut', async () => {
    const [frame] = frames(1);
    const other = await compare(pcap([frame]), pcap([frame], true, 147));
    expect(other.differences[0].fields).toContainEqual({
      field: 'frame.encap',
      at: null,
      actual: 'link type 1',
      expected: 'link type 147',
    });
    const cut = pcapFile(true, true, 1, [{ seconds: 0, fraction: 0, data: frame, original: frame.length + 1 }]);
    const { differences } = await compare(pcap([frame]), cut);
    expect(differences[0].fields).toEqual([{ field: 'frame.len', at: null, actual: '62', expected: '63' }]);
    expect((await compare(pcap([frame]), cut, { ignore: ['frame.len'] })).ok).toBe(true);
  });

  it('compares interfaces by name where both files have several', async () => {
    const parts = pcapngParts(true);
    const named = (name: string) =>
      parts.interface(1, 0, parts.option(2, new TextEncoder().encode(name)), parts.endOfOptions);
    const [frame] = frames(1);
    const file = (names: string[], id: number) =>
      joined(parts.section(), ...names.map(named), parts.packet(id, 0, 0, frame, frame.length));
    expect((await compare(file(['left', 'right'], 1), file(['right', 'left'], 0))).ok).toBe(true);
    const { differences } = await compare(file(['left', 'right'], 1), file(['right', 'left'], 1));
    expect(differences[0].fields).toEqual([{ field: 'frame.interface', at: null, actual: 'right', expected: 'left' }]);
    expect((await compare(file(['left', 'right'], 1), pcap([frame]))).ok).toBe(true);
    expect((await compare(file(['left', 'right'], 1), file(['other'], 0))).ok).toBe(true);
  });

  it('fails for a file that is cut off, and throws for one that is none', async () => {
    const whole = pcap(frames(3));
    const found = await compare(whole, whole.subarray(0, whole.length - 1));
    expect(found).toMatchObject({ same: 2, extra: 1, ok: false, expected: { isCutOff: true } });
    const none = write(new Uint8Array(64));
    await expect(compareCaptures(none, none)).rejects.toThrow(`${none} cannot be read: not a pcap or pcapng file`);
    await expect(compareCaptures('/nonexistent', none)).rejects.toThrow('/nonexistent cannot be read: ENOENT');
  });
});

describe('ignored fields', () => {
  const packet = (ttl: number, id: number, checksum: 'good' | 'zero' = 'good') =>
    outer({ ttl, sport: 50000 + id, checksum }, vxlan(42, udp({ ttl, id, payload: 9 })));

  it.each([
    [['ip.ttl', 'ip.checksum', 'udp.srcport', 'udp.checksum', 'ip.id'], true],
    [['ip', 'udp'], true],
    [['ip', 'udp#1'], true],
    [['ip', 'udp.srcport#1', 'udp.checksum#1'], true],
    [['ip#1', 'udp'], false],
    [['ip', 'udp#2'], false],
    [['ip.ttl', 'ip.checksum', 'udp.srcport', 'udp.checksum'], false],
    [['ip.ttl', 'ip.checksum', 'ip.id#2', 'udp.srcport', 'udp.checksum'], true],
    [['ip.tt', 'udp'], false],
  ])('%j -> %s', async (ignore, ok) => {
    expect(
      (await compare(pcap([packet(64, 1), packet(3, 2)]), pcap([packet(64, 1), packet(64, 9)]), { ignore })).ok,
    ).toBe(ok);
  });

  it('show only what is not ignored', async () => {
    const { differences } = await compare(pcap([packet(3, 1)]), pcap([packet(64, 1)]), {
      ignore: ['ip.checksum', 'udp.checksum', 'ip.ttl#1'],
    });
    expect(differences[0].fields.map((f) => f.field)).toEqual(['ip.ttl#2']);
  });

  it('are refused when there is no such layer', async () => {
    await expect(compare(pcap([]), pcap([]), { ignore: ['ipv4.ttl'] })).rejects.toThrow(
      "there is no field 'ipv4.ttl' to ignore",
    );
  });

  it('may be a few bits of a byte', async () => {
    const tagged = (tci: number) => pcap([udp({ tags: [[0x8100, tci]] })]);
    expect((await compare(tagged(0x2005), tagged(0x6005), { ignore: ['vlan.priority'] })).ok).toBe(true);
    expect((await compare(tagged(0x2005), tagged(0x6005), { ignore: ['vlan.id'] })).ok).toBe(false);
  });

  it('may have different lengths', async () => {
    const ignore = ['data', 'frame', 'ip.len', 'ip.checksum', 'udp.length', 'udp.checksum'];
    const [short, long] = [udp({ payload: 3 }), udp({ payload: 30 })];
    expect((await compare(pcap([short]), pcap([long]), { ignore })).ok).toBe(true);
    long.set(u16(9), 34);
    expect((await compare(pcap([short]), pcap([long]), { ignore })).ok).toBe(false);
  });
});
