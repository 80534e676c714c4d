import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkOptions, editsOf, inputsOf, paceOf, type ReplayVerbOptions } from '../../../src/cli/replay/options.js';
import { createProgressBar, progressText } from '../../../src/cli/replay/progress.js';
import { summaryText } from '../../../src/cli/replay/summary.js';
import { checkValue } from '../../../src/control/config/check.js';
import type { Config } from '../../../src/control/config/config.js';
import { someReport } from '../replay/reports.js';

const words = (options: Partial<ReplayVerbOptions>): ReplayVerbOptions => ({
  push: [],
  set: [],
  ignore: [],
  ...options,
});

describe('words of the command line', () => {
  it.each([
    [['a.pcap'], {}, 'say what the captures go through'],
    [[], { pop: 'auto' }, 'name a capture'],
    [['a'], { config: 'c', pop: 'auto' }, '--push and --pop take the place of --config'],
    [['a'], { pop: 'auto', port: 'p' }, '--port needs --config'],
    [['a'], { pop: 'auto', only: ['p'] }, '--only needs --config'],
    [['a'], { pop: 'auto', pps: 3 }, 'the real clock needs --config'],
    [['a'], { config: 'c', port: 'p', map: 'm' }, '--port and --map exclude each other'],
    [['a'], { config: 'c', out: 'o', outDir: 'd' }, '--out and --out-dir exclude each other'],
    [['-', '-'], { config: 'c' }, 'standard input can be read once'],
    [['-'], { config: '-' }, 'standard input can be read once'],
    [['a'], { config: 'c', out: '-', json: true }, '--out - and --json'],
    [['a'], { config: 'c', out: '-', expect: 'e' }, '--expect needs --out FILE'],
    [['a'], { config: 'c', pps: 3, mbps: 4 }, '--pps and --mbps exclude each other'],
  ] as const)('%j %j: %s', (captures, options, message) => {
    expect(() => checkOptions(captures, words(options as Partial<ReplayVerbOptions>))).toThrow(message);
  });

  it('choose the clock', () => {
    expect(paceOf(words({}))).toBeNull();
    expect(paceOf(words({ real: true }))).toEqual({});
    expect(paceOf(words({ multiplier: 0.5 }))).toEqual({ multiplier: 0.5 });
    expect(paceOf(words({ real: true, topspeed: true }))).toEqual({ topspeed: true });
  });

  it('set fields', () => {
    expect(editsOf(['ttl=3', 'dst-mac=02:00:00:00:00:01'])).toEqual([
      { field: 'ttl', value: '3' },
      { field: 'dst-mac', value: '02:00:00:00:00:01' },
    ]);
    expect(() => editsOf(['ttl'])).toThrow('--set ttl: it is FIELD=VALUE');
  });
});

describe('where captures come in', () => {
  const { config } = checkValue({
    underlays: [
      {
        name: 'lan',
        address: '198.18.0.1',
        frame: { type: 'pcap', mac: '02:00:00:00:00:01', output: 'o' },
        kind: 'frame',
      },
    ],
    networks: [
      {
        name: 'n',
        vni: 1,
        underlay: 'lan',
        ports: [
          { name: 'web', type: 'tap' },
          { name: 'lan', type: 'tap' },
        ],
      },
    ],
  }) as { config: Config };
  let map: string;
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'weft-map-'));
    map = join(folder, 'map.yaml');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is left open, or one port or underlay for all', async () => {
    expect(await inputsOf(['a', 'b'], words({}), config)).toEqual([{ file: 'a' }, { file: 'b' }]);
    expect(await inputsOf(['a'], words({ port: 'web' }), config)).toEqual([{ file: 'a', port: 'web' }]);
    expect(await inputsOf(['a'], words({ port: 'lan' }), config)).toEqual([{ file: 'a', port: 'lan' }]);
    expect(await inputsOf(['a'], words({ port: 'underlay:lan' }), config)).toEqual([{ file: 'a', underlay: 'lan' }]);
    await expect(inputsOf(['a'], words({ port: 'wan' }), config)).rejects.toThrow('there is no port or underlay wan');
    await expect(inputsOf(['a'], words({ port: 'underlay:web' }), config)).rejects.toThrow('there is no underlay web');
  });

  it('stands in a file', async () => {
    writeFileSync(map, 'a.pcap: web\nb.pcap: underlay:lan\n');
    expect(await inputsOf([], words({ map }), config)).toEqual([
      { file: 'a.pcap', port: 'web' },
      { file: 'b.pcap', underlay: 'lan' },
    ]);
    expect(await inputsOf(['/x/b.pcap'], words({ map }), config)).toEqual([{ file: '/x/b.pcap', underlay: 'lan' }]);
    await expect(inputsOf(['c.pcap'], words({ map }), config)).rejects.toThrow('does not say where c.pcap comes in');
  });

  it.each(['', '- a\n', 'a: {b: c}\n', 'a: [\n', 'a: 3\n'])('refuses the file %j', async (text) => {
    writeFileSync(map, text);
    await expect(inputsOf([], words({ map }), config)).rejects.toThrow(`${map}: `);
  });
});

describe('the summary', () => {
  it('says what came in, what became of it, and how fast', () => {
    expect(summaryText(someReport(), null)).toBe(
      [
        '     FILE        DEVICE  PACKETS  BYTES',
        'in   a.pcap      p            10  1.0 kB',
        'out  out.pcapng  lan           9  1.4 kB',
        '',
        'read 10 + copied 1 = forwarded 9 + dropped 2',
        'forwarded 9 = written 9',
        '',
        'DROPPED     PACKETS  MEANING',
        'not-for-us        2  outer packet is for another address or port',
        '',
        '3 flows, 2.5 s of capture in 0.3 s',
      ].join('\n'),
    );
  });

  it('says what is wrong', () => {
    const report = someReport({ forwarded: 8, stopped: true });
    report.inputs[0] = { ...report.inputs[0], file: '-', truncated: true };
    const text = summaryText(report, {
      ok: false,
      captures: [],
      counters: [{ path: 'read', actual: 10, expected: 9 }],
      countersCompared: 2,
    });
    expect(text).toContain('THESE TOTALS DO NOT ADD UP');
    expect(text).toContain('(ended early)');
    expect(text).toContain('standard input: the file ends inside of a packet, after 10 whole ones');
    expect(text).toContain('1 of 2 counters not as expected\n  COUNTER  OUTPUT  EXPECTED\n  read     10      9');
    expect(text.endsWith('verdict: NOT as expected')).toBe(true);
  });
});

describe('the progress bar', () => {
  it('shows how far it is, where the size is known', () => {
    expect(progressText({ packets: 3_000_000, bytes: 250, bytesTotal: 1000 }, 2)).toBe(
      '[######------------------]  25 %  3,000,000 packets  1.50 Mpps  6.0 s left',
    );
    expect(progressText({ packets: 1000, bytes: 2e9, bytesTotal: null }, 2)).toBe(
      '1,000 packets  0.00 Mpps  2.0 GB  2.0 s',
    );
  });

  it('is written to a terminal alone, and only when it takes a while', () => {
    let written = '';
    let now = 0;
    const write = (text: string) => {
      written += text;
      return true;
    };
    const progress = { packets: 1, bytes: 1, bytesTotal: 2 };
    for (const isTTY of [false, true]) {
      now = 0;
      const bar = createProgressBar({ isTTY, write } as NodeJS.WriteStream, () => now);
      now = 900;
      bar.show(progress);
      bar.end();
      expect(written).toBe('');
      now = 1100;
      bar.show(progress);
      expect(written !== '').toBe(isTTY);
      bar.end();
      expect(written.endsWith('\r\u001b[K') || !isTTY).toBe(true);
    }
  });
});
