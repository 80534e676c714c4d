import { relativeSpread, summarize } from './statistics.js';

export interface Table {
  title: string;
  columns: string[];
  /** One cell for each column; a row of one cell is a heading within the table. */
  rows: string[][];
}

/** Median and spread of the quartiles: `41.3 ±2%`. */
export function cell(samples: readonly number[], digits = 1): string {
  if (samples.length === 0) return '-';
  const { median } = summarize(samples);
  if (!Number.isFinite(median)) return '-';
  const text = median.toFixed(digits);
  if (samples.length < 3 || median === 0) return text;
  return `${text} ±${Math.abs(relativeSpread(samples) * 50).toFixed(0)}%`;
}

/** Left-aligned first column, the others right-aligned. */
export function renderTable(table: Table): string {
  const { title, columns, rows } = table;
  const full = rows.filter((row) => row.length > 1);
  const widths = columns.map((name, c) => Math.max(name.length, ...full.map((row) => (row[c] ?? '').length)));
  const line = (cells: string[]) =>
    cells
      .map((text, c) => (c === 0 ? text.padEnd(widths[0]) : text.padStart(widths[c])))
      .join('  ')
      .trimEnd();
  const rule = widths.map((w) => '-'.repeat(w)).join('  ');
  const body = rows.map((row) => (row.length === 1 ? row[0] : line(row)));
  return [title, '', line(columns), rule, ...body].join('\n');
}
