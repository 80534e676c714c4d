import type { Findings } from './report/report.js';

export type OptionValues = Record<string, string | boolean | undefined>;

/** One entry of `npm run bench -- list`. */
export interface Benchmark {
  name: string;
  /** One line for the list. */
  summary: string;
  /** Options besides --json, as node:util's parseArgs takes them, each with a line of help. */
  options: Record<string, { type: 'string' | 'boolean'; default?: string | boolean; help: string }>;
  run(options: OptionValues, log: (line: string) => void): Promise<Findings>;
}

/** Something on the command line is wrong: exit status 1. */
export class UsageError extends Error {}

/** An option that is a number of at least `min`; whole unless told otherwise. */
export function numberOption(options: OptionValues, name: string, min: number, isWhole = true): number {
  const value = Number(options[name]);
  if (options[name] === '' || !(value >= min) || (isWhole && !Number.isInteger(value))) {
    throw new UsageError(`--${name} is a ${isWhole ? 'whole ' : ''}number of at least ${min}, not '${options[name]}'`);
  }
  return value;
}

/** An option that is one of a few words, or absent where it has no default. */
export function wordOption<T extends string>(options: OptionValues, name: string, words: readonly T[]): T | undefined {
  const value = options[name];
  if (value === undefined || (words as readonly unknown[]).includes(value)) return value as T | undefined;
  throw new UsageError(`--${name} is one of ${words.join(', ')}, not '${value}'`);
}
