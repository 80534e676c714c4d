import { writeFileSync } from 'node:fs';
import { describeEnvironment, type Environment } from './machine.js';
import { type Summary, summarize } from './statistics.js';
import { renderTable, type Table } from './table.js';

/** One thing that was measured, in every round. */
export interface Series {
  /** Path of names, from the general to the particular: `encap/64/total`. */
  name: string;
  unit: string;
  samples: number[];
}

export interface Target {
  text: string;
  value: number;
  limit: number;
  /** `below`: the value must be under the limit. */
  sense: 'below' | 'above';
}

/** What a benchmark hands back. */
export interface Findings {
  tables: Table[];
  series: Series[];
  targets: Target[];
  notes: string[];
}

export interface Report extends Findings {
  benchmark: string;
  environment: Environment;
  options: Record<string, unknown>;
}

export const isMet = (t: Target) => (t.sense === 'below' ? t.value < t.limit : t.value > t.limit);

function renderTarget(target: Target): string {
  const { text, value, limit, sense } = target;
  return `  ${isMet(target) ? 'met   ' : 'MISSED'}  ${text}: ${Number(value.toPrecision(3))}, ${sense} ${limit} wanted`;
}

export function renderReport(report: Report): string {
  const parts = [`${report.benchmark}\n${describeEnvironment(report.environment)}`, ...report.tables.map(renderTable)];
  if (report.targets.length > 0) parts.push(['Targets', ...report.targets.map(renderTarget)].join('\n'));
  if (report.notes.length > 0) parts.push(report.notes.map((note) => `Note: ${note}`).join('\n'));
  return parts.join('\n\n');
}

/** The whole report with every raw sample. */
export function writeJson(file: string, report: Report): void {
  const series: (Series & { summary: Summary })[] = report.series.map((s) => ({ ...s, summary: summarize(s.samples) }));
  const targets = report.targets.map((t) => ({ ...t, isMet: isMet(t) }));
  writeFileSync(file, `${JSON.stringify({ ...report, series, targets }, null, 1)}\n`);
}
