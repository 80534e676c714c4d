// Golden cases: a configuration, captures that go through it, what comes out and what was counted. See cases/README.md.
// Replays run in threads of their own, so this needs the built package.
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { ReplayInput, ReplayReport } from '../../src/replay/options.js';
import type { RewriteOptions } from '../../src/replay/rewrite.js';
import { type ReadRecord, readRecords } from '../rig/captureRecords.js';
import { isMet } from '../rig/requirements.js';
import { readFields } from '../rig/tshark.js';
import { readLayers } from '../rig/tsharkLayers.js';
import {
  countersOf,
  type Expectation,
  type ExpectedPacket,
  type PacketRef,
  readExpectation,
  refKey,
} from './cases/expectation.js';

type ReplayModule = typeof import('../../src/replay/replay.js');
type RewriteModule = typeof import('../../src/replay/rewrite.js');
const built = (path: string) => new URL(`../../dist/${path}`, import.meta.url).href;

/** Set by `npm test -- golden --update-golden`: out.pcapng and counters.json are written anew. What is written by hand judges them still. */
const UPDATES = process.env.WEFT_UPDATE_GOLDEN === '1';

const CASES = fileURLToPath(new URL('cases/', import.meta.url));
const names = readdirSync(CASES, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));

const isRewriting = (folder: string) => existsSync(join(folder, 'rewrite.yaml'));
const readYaml = (path: string) => parse(readFileSync(path, 'utf8'));

/** Where each capture of a case comes in: by the device's name. */
function capturesOf(folder: string): Map<string, string> {
  if (isRewriting(folder)) return new Map([['in', join(folder, 'in.pcap')]]);
  const map = readYaml(join(folder, 'map.yaml')) as Record<string, string>;
  return new Map(Object.entries(map).map(([file, device]) => [device, join(folder, file)]));
}

async function run(folder: string, out: string): Promise<ReplayReport> {
  const captures = capturesOf(folder);
  if (isRewriting(folder)) {
    const { rewrite } = (await import(built('replay/rewrite.js'))) as RewriteModule;
    const words = readYaml(join(folder, 'rewrite.yaml')) as Pick<RewriteOptions, 'pop' | 'push' | 'set'>;
    return rewrite({ ...words, inputs: [...captures.values()], out });
  }
  const { replay } = (await import(built('replay/replay.js'))) as ReplayModule;
  const config = readYaml(join(folder, 'config.yaml'));
  const underlays = new Set((config.underlays as { name: string }[]).map(({ name }) => name));
  const inputs = [...captures].map(
    ([device, file]): ReplayInput => (underlays.has(device) ? { file, underlay: device } : { file, port: device }),
  );
  return replay({ config, inputs, out });
}

/** What of a report does not depend on machine, moment or folder. */
function countersOfReport({ inputs, outputs, seconds, mpps, ...report }: ReplayReport) {
  return {
    ...report,
    inputs: inputs.map(({ file, ...input }) => ({ file: basename(file), ...input })),
    outputs: outputs.map(({ file, ...output }) => output),
  };
}

const without = (hex: string, bytes: readonly number[]) =>
  bytes.reduce((text, at) => `${text.slice(0, at * 2)}..${text.slice(at * 2 + 2)}`, hex);

describe.each(names)('%s', (name) => {
  const folder = join(CASES, name);
  const kept = join(folder, 'out.pcapng');
  const keptCounters = join(folder, 'counters.json');
  const scratch = mkdtempSync(join(tmpdir(), 'weft-case-'));
  const out = join(scratch, 'out.pcapng');
  let report: ReplayReport;
  let expectation: Expectation;
  let inputs: Map<string, ReadRecord[]>;
  /** Of out.pcapng; a rewritten capture has interfaces without names. */
  let all: ReadRecord[];
  let sent: Map<string, ReadRecord[]>;

  beforeAll(async () => {
    report = await run(folder, out);
    expectation = readExpectation(join(folder, 'expected.yaml'));
    inputs = new Map([...capturesOf(folder)].map(([device, file]) => [device, readRecords(file)]));
    if (UPDATES) {
      copyFileSync(out, kept);
      writeFileSync(keptCounters, `${JSON.stringify(countersOfReport(report), null, 2)}\n`);
    }
    all = readRecords(kept).map((record) => ({ ...record, device: record.device || 'out' }));
    sent = new Map(all.map(({ device }) => [device, all.filter((record) => record.device === device)]));
  });
  afterAll(() => rmSync(scratch, { recursive: true }));

  const inputOf = ({ device, number }: PacketRef): ReadRecord => {
    const record = inputs.get(device)?.[number - 1];
    if (record === undefined) throw new Error(`${name}: there is no packet ${number} in the capture of ${device}`);
    return record;
  };
  const each = (check: (packet: ExpectedPacket, record: ReadRecord, what: string) => void) => {
    for (const [device, packets] of expectation.packets)
      for (const [i, packet] of packets.entries()) check(packet, sent.get(device)![i], `${device} packet ${i + 1}`);
  };

  it('gives the bytes and the counters that it gave', () => {
    expect(countersOfReport(report)).toEqual(JSON.parse(readFileSync(keptCounters, 'utf8')));
    expect(readFileSync(out).equals(readFileSync(kept))).toBe(true);
  });

  it('counts what follows from the list of packets', () => {
    const read = [...inputs.values()].reduce((sum, records) => sum + records.length, 0);
    expect(report).toMatchObject(countersOf(expectation, read));
    const named = [
      ...[...expectation.packets.values()].flat().map(({ from, answers }) => (from ?? answers) as PacketRef),
      ...[...expectation.dropped.values()].flat(),
    ];
    const everyone = [...inputs].flatMap(([device, records]) => records.map((_, i) => `${device} ${i + 1}`));
    expect([...new Set(named.map(refKey))].sort()).toEqual(everyone.sort());
    if (isRewriting(folder)) return;
    for (const { name: device, rxPackets, txPackets, txBytes } of [...report.ports, ...report.underlays]) {
      const packets = expectation.packets.get(device) ?? [];
      const carried = packets.map(
        ({ headers, answers }, i) => sent.get(device)![i].data.length / 2 - (answers ? 0 : headers),
      );
      const bytes = carried.reduce((sum, length) => sum + length, 0);
      expect({ device, txPackets, txBytes }).toEqual({ device, txPackets: packets.length, txBytes: bytes });
      expect({ device, rxPackets }).toEqual({ device, rxPackets: inputs.get(device)?.length ?? 0 });
    }
  });

  it('carries the packets that came in, byte for byte, at their times', () => {
    expect(new Map([...sent].map(([device, records]) => [device, records.length]))).toEqual(
      new Map([...expectation.packets].map(([device, packets]) => [device, packets.length])),
    );
    each(({ from, answers, headers, except, pad, bytes }, record, what) => {
      const ref = (from ?? answers) as PacketRef;
      const input = inputOf(ref);
      const carried = record.data.slice(headers * 2);
      const original = input.data.slice(ref.at * 2, input.data.length - pad * 2);
      const expected = answers ? original.slice(0, carried.length) : original;
      expect(`${what}: ${without(carried, except)}`).toBe(`${what}: ${without(expected, except)}`);
      for (const [at, hex] of Object.entries(bytes))
        expect(`${what}: ${record.data.slice(Number(at) * 2).slice(0, hex.length)}`).toBe(`${what}: ${hex}`);
      expect(`${what}: ${record.micros}`).toBe(`${what}: ${input.micros}`);
    });
  });

  it('is what tshark reads', async ({ skip }) => {
    skip(!isMet('tshark'), 'needs the tshark command');
    const { decode } = expectation;
    const STATUS = ['ip', 'udp', 'tcp', 'icmp', 'icmpv6', 'gre'].map((protocol) => `${protocol}.checksum.status`);
    const LENGTHS = ['ip.len', 'ipv6.plen'] as const;
    const wanted = [...new Set([...expectation.packets.values()].flat().flatMap(({ fields }) => Object.keys(fields)))];
    const order = new Map<string, number>();
    const [readings, rows] = await Promise.all([
      readLayers(kept, decode),
      readFields(kept, [...STATUS, ...LENGTHS, ...wanted], { decode }),
    ]);
    for (const [i, { device, data }] of all.entries()) {
      const place = order.get(device) ?? 0;
      order.set(device, place + 1);
      const what = `${device} packet ${place + 1}`;
      const { headers, fields, answers, odd } = expectation.packets.get(device)![place];
      const found = Object.fromEntries(
        Object.entries(fields).map(([field, value]) => {
          const values = rows[i][field] ?? [];
          return [field, value.includes('|') ? values.join('|') : (values[0] ?? '')];
        }),
      );
      expect({ what, ...found }).toEqual({ what, ...fields });
      const { faults, layers } = readings[i];
      const length = data.length / 2;
      // What is longer than its packet would be a stray byte.
      const ipAt = layers.find((layer) => layer.name === 'ip' || layer.name === 'ipv6')?.at ?? 0;
      if (headers > 14)
        expect([...rows[i]['ip.len'], ...rows[i]['ipv6.plen'].map((n) => Number(n) + 40)].map(Number), what).toContain(
          length - ipAt,
        );
      if (odd) continue;
      expect({ what, faults }).toEqual({ what, faults: [] });
      expect(
        layers.map(({ at }) => at),
        `${what}: where its headers begin`,
      ).toContain(headers);
      // 1: good, 3: not present. What an ICMP error quotes is cut off, and stays unverified.
      const good =
        answers || fields['icmp.type'] === '3' || fields['icmpv6.type'] === '1' ? ['1', '2', '3'] : ['1', '3'];
      for (const field of STATUS)
        for (const status of rows[i][field]) expect(good, `${what}: ${field}`).toContain(status);
    }
  });
});
