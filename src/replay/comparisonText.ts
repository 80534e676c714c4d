/**
 * Comparisons as text: what differs, packet by packet and field by field, both sides beside each other.
 */
import type { Comparison, PacketDifference } from './compare.js';
import type { CounterDifference } from './verdict.js';

export function comparisonText(comparison: Comparison): string {
  const { actual, expected, same, changed, extra, missing, differences } = comparison;
  const head = comparison.ok ? 'is as' : 'is not as';
  const counts: [number, string][] = [
    [same, 'the same'],
    [changed, 'changed'],
    [extra, 'not expected'],
    [missing, 'missing'],
  ];
  const told = counts.filter(([n], i) => i === 0 || n > 0).map(([n, what]) => `${n} ${what}`);
  const lines = [`${actual.file} ${head} ${expected.file}: ${told.join(', ')}`];
  for (const { file, isCutOff, packets } of [actual, expected])
    if (isCutOff) lines.push(`${file} ends inside of a packet, after ${packets} whole ones`);
  for (const difference of differences) lines.push('', packetText(difference));
  const hidden = changed + extra + missing - differences.length;
  if (hidden > 0) lines.push('', `and ${hidden} more`);
  return lines.join('\n');
}

function packetText(difference: PacketDifference): string {
  const { kind, actual, expected, summary, fields } = difference;
  if (kind === 'extra') return `packet ${actual} is only in the output: ${summary}`;
  if (kind === 'missing') return `packet ${expected} is only in the expected capture: ${summary}`;
  const place = actual === expected ? `packet ${actual}` : `packet ${actual}, ${expected} in the expected capture`;
  const rows = fields.map((f) => [f.field, f.at === null ? '-' : String(f.at), f.actual ?? '-', f.expected ?? '-']);
  return `${place}: ${summary}\n${columns([['FIELD', 'BYTE', 'OUTPUT', 'EXPECTED'], ...rows])}`;
}

export function countersText(differences: readonly CounterDifference[]): string {
  const rows = differences.map(({ path, actual, expected }) => [path, value(actual), value(expected)]);
  return columns([['COUNTER', 'OUTPUT', 'EXPECTED'], ...rows]);
}

function value(of: unknown): string {
  return of === undefined ? '-' : typeof of === 'string' ? of : JSON.stringify(of);
}

/** Indented, left-aligned columns. */
function columns(rows: string[][]): string {
  const widths = rows[0].map((_, c) => Math.max(...rows.map((row) => row[c].length)));
  return rows.map((row) => `  ${row.map((text, c) => text.padEnd(widths[c])).join('  ')}`.trimEnd()).join('\n');
}
