/**
 * How the command prints: tables for people, JSON for programs, errors with their remedy, and one exit code for each kind of failure.
 */
import { WeftError } from '../packet/error.js';

export const EXIT_OK = 0;
export const EXIT_USAGE = 1;
export const EXIT_FAILED = 2;
export const EXIT_UNREACHABLE = 3;
/** `replay`: an input was cut off, or had packets that were. */
export const EXIT_INCOMPLETE = 4;

export type Cell = string | number | null;

/** Columns aligned over all rows: numbers to the right, text to the left, `-` for null. */
export function table(header: string[], rows: Cell[][]): string {
  const texts = rows.map((row) => row.map(cellText));
  const widths = header.map((title, c) => Math.max(title.length, ...texts.map((row) => row[c].length)));
  const isNumber = header.map((_, c) => rows.length > 0 && rows.every((row) => isNumeric(row[c])));
  const line = (cells: string[]) =>
    cells
      .map((text, c) => (isNumber[c] ? text.padStart(widths[c]) : text.padEnd(widths[c])))
      .join('  ')
      .trimEnd();
  return [header, ...texts].map(line).join('\n');
}

/** Numbers are printed with thousands separators; identifiers made of digits come as text and only move to the right. */
function isNumeric(cell: Cell): boolean {
  return cell === null || typeof cell === 'number' || /^\d+$/.test(cell);
}

function cellText(cell: Cell): string {
  if (cell === null) return '-';
  return typeof cell === 'number' ? count(cell) : cell;
}

/** `12,345` */
export function count(n: number): string {
  return Math.round(n).toLocaleString('en-US');
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** `2.1 s`, `3 min 5 s`, `2 h 10 min`, `4 d 1 h`. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.floor(seconds)} s`;
  const whole = Math.floor(seconds);
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'min'],
    [whole % 60, 's'],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  return parts
    .slice(first, first + 2)
    .filter(([n]) => n > 0)
    .map(([n, unit]) => `${n} ${unit}`)
    .join(' ');
}

/** `2.1 s ago`; `never` for null. */
export function age(seconds: number | null): string {
  return seconds === null ? 'never' : `${duration(seconds)} ago`;
}

/** `1.2 GB` */
export function bytes(n: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = n;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `192.0.2.2:4789`, `[2001:db8::2]:4789`, and the address alone where there is no port. */
export function endpointText({ address, udpPort }: { address: string; udpPort: number }): string {
  if (udpPort === 0) return address;
  return `${address.includes(':') ? `[${address}]` : address}:${udpPort}`;
}

export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** Ends the command with an error: what happened, what to do, and the exit code of its kind. */
export function fail(error: unknown, exitCode = exitCodeOf(error)): void {
  process.exitCode = exitCode;
  process.stderr.write(`weft: ${errorText(error)}\n`);
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof WeftError && error.code === 'NODE_UNREACHABLE') return EXIT_UNREACHABLE;
  return EXIT_FAILED;
}

export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!(error instanceof WeftError)) return process.env.WEFT_DEBUG ? (error.stack ?? error.message) : error.message;
  return error.remedy ? `${error.message}\n  ${error.remedy}` : error.message;
}
