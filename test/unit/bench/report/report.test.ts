import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readEnvironment } from '../../../../bench/report/machine.js';
import { type Findings, isMet, type Report, renderReport, writeJson } from '../../../../bench/report/report.js';

const findings: Findings = {
  tables: [{ title: 'a table', columns: ['what', 'ns'], rows: [['walk', '42.0']] }],
  series: [{ name: 'walk', unit: 'ns/packet', samples: [41, 42, 45] }],
  targets: [
    { text: 'walk, ns', value: 42, limit: 50, sense: 'below' },
    { text: 'ratio', value: 0.3, limit: 0.35, sense: 'above' },
  ],
  notes: ['a remark'],
};

describe('targets', () => {
  it.each([
    ['below', 49.9, true],
    ['below', 50, false],
    ['above', 50.1, true],
    ['above', 50, false],
    ['below', Number.NaN, false],
  ] as const)('%s 50: %d met %s', (sense, value, met) => {
    expect(isMet({ text: '', value, limit: 50, sense })).toBe(met);
  });
});

describe('a report', () => {
  const environment = readEnvironment();
  const report: Report = { benchmark: 'pipeline', environment, options: { rounds: '3' }, ...findings };

  it('says where it was made', () => {
    expect(environment.machine.loadAverage).toHaveLength(3);
    expect(environment.node).toBe(process.version);
    expect(environment.machine.cores).toBeGreaterThan(0);
    expect(environment.machine.memoryBytes).toBeGreaterThan(0);
    expect(environment.machine.kernel).toMatch(/^\w+ \d/);
    expect(Date.parse(environment.date)).toBeGreaterThan(Date.parse('2024-01-01'));
    expect(environment.commit === null || /^[0-9a-f]{40}$/.test(environment.commit)).toBe(true);
  });

  it('reads as text', () => {
    const text = renderReport(report);
    expect(text).toContain('a table');
    expect(text).toContain('walk  42.0');
    expect(text).toMatch(/met +walk, ns: 42, below 50 wanted/);
    expect(text).toMatch(/MISSED +ratio: 0\.3, above 0\.35 wanted/);
    expect(text).toContain('Note: a remark');
  });

  it('is written with raw samples, summaries and options', () => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-bench-'));
    try {
      const file = join(folder, 'report.json');
      writeJson(file, report);
      const read = JSON.parse(readFileSync(file, 'utf8'));
      expect(read.benchmark).toBe('pipeline');
      expect(read.options).toEqual({ rounds: '3' });
      expect(read.environment.machine.cpuModel).toEqual(expect.any(String));
      expect(read.series[0].samples).toEqual([41, 42, 45]);
      expect(read.series[0].summary).toMatchObject({ median: 42, min: 41, max: 45 });
      expect(read.targets.map((t: { isMet: boolean }) => t.isMet)).toEqual([true, false]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
