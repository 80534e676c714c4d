import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { comparisonText, countersText } from '../../../src/replay/comparisonText.js';
import { junitXml } from '../../../src/replay/junit.js';
import { inputProblem, outcome, totals } from '../../../src/replay/report.js';
import { compareCounters, judge } from '../../../src/replay/verdict.js';
import { writePcap } from '../../rig/captureFiles.js';
import { udp } from '../../rig/frames.js';
import { someReport } from './reports.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weft-verdict-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function capture(name: string, ...frames: Uint8Array[]): string {
  const path = join(folder, name);
  writePcap(path, frames);
  return path;
}

const withOutputs = (...files: string[]) =>
  someReport({ outputs: files.map((file, i) => ({ file, device: `d${i}`, packets: i === 0 ? 9 : 0, bytes: 1 })) });

describe('counters', () => {
  it('compares what is expected, and nothing else', () => {
    expect(compareCounters(someReport(), { read: 10, dropped: { 'not-for-us': 2 } })).toEqual({
      differences: [],
      compared: 2,
    });
    expect(compareCounters(someReport(), { read: 11, dropped: { 'not-for-us': 2, 'unknown-vni': 1 } })).toEqual({
      differences: [
        { path: 'read', actual: 10, expected: 11 },
        { path: 'dropped.unknown-vni', actual: undefined, expected: 1 },
      ],
      compared: 3,
    });
  });

  it('takes a counter that is not there for 0', () => {
    expect(compareCounters(someReport(), { dropped: { 'unknown-vni': 0 } }).differences).toEqual([]);
    expect(compareCounters(someReport(), { dropped: { 'not-for-us': 0 } }).differences).toHaveLength(1);
  });

  it('finds ports, underlays and outputs by their names', () => {
    expect(compareCounters(someReport(), { ports: [{ name: 'p', rxPackets: 10 }] }).differences).toEqual([]);
    expect(compareCounters(someReport(), { ports: [{ name: 'q', rxPackets: 10 }] }).differences).toEqual([
      { path: 'ports.q.name', actual: undefined, expected: 'q' },
      { path: 'ports.q.rxPackets', actual: undefined, expected: 10 },
    ]);
    expect(compareCounters(someReport(), { inputs: [{ device: 'p', cut: 1 }] }).differences).toEqual([
      { path: 'inputs.p.cut', actual: 0, expected: 1 },
    ]);
  });

  it('takes a whole report of another run', () => {
    const other = someReport({ seconds: 9, mpps: 1 });
    other.inputs = [{ ...other.inputs[0], file: '/elsewhere/a.pcap' }];
    const { differences, compared } = compareCounters(someReport(), JSON.parse(JSON.stringify(other)));
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(20);
  });

  it('shows what differs', () => {
    expect(countersText([{ path: 'read', actual: 10, expected: 11 }])).toBe(
      '  COUNTER  OUTPUT  EXPECTED\n  read     10      11',
    );
  });
});

describe('judge', () => {
  it('compares the output with the expected capture', async () => {
    const [out, same, other] = [
      capture('out.pcap', udp()),
      capture('same.pcap', udp()),
      capture('o.pcap', udp({ ttl: 3 })),
    ];
    expect(await judge(withOutputs(out), { capture: same })).toMatchObject({
      ok: true,
      counters: [],
      countersCompared: 0,
    });
    const verdict = await judge(withOutputs(out), { capture: other });
    expect(verdict.ok).toBe(false);
    expect(comparisonText(verdict.captures[0])).toBe(
      [
        `${out} is not as ${other}: 0 the same, 1 changed`,
        '',
        'packet 1: 42 bytes, eth ip udp, 10.0.0.1 > 10.0.0.2',
        '  FIELD        BYTE  OUTPUT  EXPECTED',
        '  ip.ttl       22    64      3',
        '  ip.checksum  24    0x149b  0x519b',
      ].join('\n'),
    );
    expect((await judge(withOutputs(out), { capture: other, ignore: ['ip.ttl', 'ip.checksum'] })).ok).toBe(true);
  });

  it('compares every output with the file of its name in a folder', async () => {
    mkdirSync(join(folder, 'golden'));
    const outputs = [capture('a.pcapng', udp()), capture('b.pcapng', udp({ ttl: 3 }))];
    capture('golden/a.pcapng', udp());
    await expect(judge(withOutputs(...outputs), { capture: join(folder, 'golden') })).rejects.toThrow(
      /golden\/b\.pcapng cannot be read: ENOENT/,
    );
    capture('golden/b.pcapng', udp({ ttl: 3 }));
    expect((await judge(withOutputs(...outputs), { capture: join(folder, 'golden') })).captures).toHaveLength(2);
    capture('golden/c.pcapng');
    await expect(judge(withOutputs(...outputs), { capture: join(folder, 'golden') })).rejects.toThrow(
      /the replay wrote no c\.pcapng/,
    );
    await expect(judge(withOutputs(...outputs), { capture: outputs[0] })).rejects.toThrow(
      /is one capture, and .* wrote 2/,
    );
  });

  it('reads counters from a file', async () => {
    const path = join(folder, 'counters.json');
    writeFileSync(path, '{"read": 9}');
    const verdict = await judge(someReport(), { counters: path });
    expect(verdict).toEqual({
      ok: false,
      captures: [],
      counters: [{ path: 'read', actual: 10, expected: 9 }],
      countersCompared: 1,
    });
    writeFileSync(path, '{"read": ');
    await expect(judge(someReport(), { counters: path })).rejects.toThrow(/cannot be read as JSON/);
  });
});

describe('outcome', () => {
  const input = (changes: object) => someReport({ inputs: [{ ...someReport().inputs[0], ...changes }] });

  it('is good when everything is', () => {
    expect(totals(someReport())).toEqual({ came: 11, went: 11, dropped: 2, addUp: true });
    expect(outcome(someReport(), null)).toBe('good');
    expect(outcome(someReport(), { ok: true, captures: [], counters: [], countersCompared: 0 })).toBe('good');
  });

  it('adds what real devices brought to what was read', () => {
    const heard = someReport({ received: 5, forwarded: 14, unwritten: 5 });
    expect(totals(heard)).toEqual({ came: 16, went: 16, dropped: 2, addUp: true });
    expect(outcome(someReport({ read: 15, forwarded: 14, unwritten: 5 }), null)).toBe('failed');
  });

  it('is incomplete when an input is cut off', () => {
    expect(outcome(input({ truncated: true }), null)).toBe('incomplete');
    expect(outcome(input({ cut: 3 }), null)).toBe('incomplete');
    expect(inputProblem(input({ truncated: true, cut: 3 }).inputs[0])).toBe(
      'the file ends inside of a packet, after 10 whole ones; 3 of 10 packets are cut off by the capture',
    );
  });

  it('is failed when nothing went through, and nothing was said to be expected', () => {
    const report = someReport({ forwarded: 0, written: 0, outputs: [], dropped: { 'no-route': 10 }, copied: 0 });
    expect(outcome(report, null)).toBe('failed');
    expect(outcome(report, { ok: true, captures: [], counters: [], countersCompared: 1 })).toBe('good');
    const empty = someReport({ read: 0, forwarded: 0, written: 0, outputs: [], dropped: {}, copied: 0 });
    expect(outcome({ ...empty, inputs: [{ ...empty.inputs[0], packets: 0 }] }, null)).toBe('good');
  });

  it('is failed when an input is damaged, totals do not add up or the verdict says so', () => {
    expect(outcome(input({ error: 'block length 3' }), null)).toBe('failed');
    for (const wrong of [
      { forwarded: 8 },
      { written: 8 },
      { unwritten: 1 },
      { read: 11 },
      { dropped: {} },
      { held: 1 },
    ])
      expect(outcome(someReport(wrong), null)).toBe('failed');
    expect(outcome(someReport(), { ok: false, captures: [], counters: [], countersCompared: 1 })).toBe('failed');
  });
});

describe('junitXml', () => {
  it('has a case for each thing that was looked at', async () => {
    const out = capture('out.pcap', udp());
    const verdict = await judge(withOutputs(out), { capture: capture('same.pcap', udp()) });
    const xml = junitXml(withOutputs(out), { ...verdict, countersCompared: 2 }, 'replay of a & b');
    expect(xml).toBe(
      `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="weft replay" tests="4" failures="0" errors="0" skipped="0" time="0.250">
  <testsuite name="replay of a &amp; b" tests="4" failures="0" errors="0" skipped="0" time="0.250">
    <testcase classname="weft.replay" name="input a.pcap is whole" time="0.250"/>
    <testcase classname="weft.replay" name="totals add up" time="0.000"/>
    <testcase classname="weft.replay" name="packets are those of ${join(folder, 'same.pcap')}" time="0.000"/>
    <testcase classname="weft.replay" name="counters are as expected" time="0.000"/>
  </testsuite>
</testsuites>
`,
    );
  });

  it('says what failed, in characters that XML has', () => {
    const report = someReport({ held: 1 });
    report.inputs[0] = { ...report.inputs[0], error: 'a "<\u0007> \u{1f600}' };
    const counters = [{ path: 'read', actual: 1, expected: 2 }];
    const xml = junitXml(report, { ok: false, captures: [], counters, countersCompared: 1 }, 's');
    expect(xml).toContain('tests="3" failures="3"');
    expect(xml).toContain('<failure message="a &quot;&lt;?&gt; \u{1f600}">');
    expect(xml).toContain(
      '<failure message="the totals do not add up: 11 packets came, 12 went; 9 forwarded, 9 written">',
    );
    expect(xml).toContain('<failure message="1 of 1 counters differ">');
  });
});
