import type { Findings } from './report/report.js';

export type OptionValue = string | boolean | undefined;

/** One entry of `npm run bench -- list`. */
export interface Benchmark {
  name: string;
  /** One line for the list. */
  summary: string;
  /** Options besides --json, as node:util's parseArgs takes them, each with a line of help. */
  options: Record<string, { type: 'string' | 'boolean'; default?: string | boolean; help: string }>;
  run(options: Record<string, OptionValue>, log: (line: string) => void): Promise<Findings>;
}
