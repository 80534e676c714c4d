/**
 * Judges a configuration without starting anything: every problem at once, each with its place in the file and a remedy.
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Node as YamlNode,
} from 'yaml';
import { WeftError } from '../../packet/error.js';
import { type Config, ConfigSchema } from './config.js';
import { describeIssues, type Located, type Path, pathText } from './faults.js';
import { crossFaults } from './references.js';

/** One fault of a configuration. */
export interface Problem {
  /** Place in the configuration: `networks[0].ports[1].mtu`; empty for the whole of it. */
  path: string;
  /** Line and column in the file, from 1; null when the configuration did not come from a file. */
  line: number | null;
  column: number | null;
  message: string;
  /** What to write instead, or where to look. */
  remedy: string;
}

export interface CheckResult {
  /** The configuration with every default filled in, null when there are problems. */
  config: Config | null;
  problems: Problem[];
}

/** The configuration is wrong. `problems` lists every fault. */
export class ConfigError extends WeftError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[], object = 'configuration') {
    const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
    super('CONFIG', `${object}: ${count}\n${problems.map((p) => `  ${problemText(p)}`).join('\n')}`, { object });
    this.problems = problems;
  }
}

/** Files beyond this are refused unread: nothing a person writes comes near it. */
export const CONFIG_BYTES_MAX = 4 * 1024 * 1024;

/** Checks a configuration value, such as one made by a program. */
export function checkValue(value: unknown): CheckResult {
  return judge(value, () => ({ line: null, column: null }));
}

/** Checks the text of a YAML (or JSON) configuration file. */
export function checkText(text: string): CheckResult {
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (doc.errors.length > 0) {
    const problems = doc.errors.map((error) => {
      const { line, col } = lines.linePos(error.pos[0]);
      return {
        path: '',
        line,
        column: col,
        message: `not valid YAML: ${error.message}`,
        remedy:
          error.code === 'DUPLICATE_KEY' ? 'keep one of the two' : 'correct the indentation or quoting at this place',
      };
    });
    return { config: null, problems: sort(problems) };
  }
  let value: unknown;
  try {
    value = doc.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const message = `not usable YAML: ${(error as Error).message}`;
    return {
      config: null,
      problems: [{ path: '', line: 1, column: 1, message, remedy: 'write the values out instead of aliases' }],
    };
  }
  if (value === null || value === undefined) {
    const remedy = 'start from the example in README.md, or see `weft check --schema`';
    return {
      config: null,
      problems: [{ path: '', line: 1, column: 1, message: 'the configuration is empty', remedy }],
    };
  }
  return judge(value, (located) => {
    const offset = offsetOf(doc, located.path, located.atKey === true);
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  });
}

/** The configuration, or a ConfigError with every problem. */
export function requireConfig(result: CheckResult, object?: string): Config {
  if (result.config === null) throw new ConfigError(result.problems, object);
  return result.config;
}

/** `12:5 networks[0].mtu: message (remedy)`, without a place where there is none. */
export function problemText(problem: Problem): string {
  const place = problem.line === null ? '' : `${problem.line}:${problem.column} `;
  const path = problem.path === '' ? '' : `${problem.path}: `;
  return `${place}${path}${problem.message} (${problem.remedy})`;
}

function judge(
  value: unknown,
  place: (located: Located) => { line: number | null; column: number | null },
): CheckResult {
  const parsed = ConfigSchema.safeParse(value);
  const faults = parsed.success ? [] : describeIssues(parsed.error.issues, value);
  const all = [...faults, ...crossFaults(value)];
  if (parsed.success && all.length === 0) return { config: parsed.data, problems: [] };
  const problems = all.map((f) => ({ path: pathText(f.path), ...place(f), message: f.message, remedy: f.remedy }));
  return { config: null, problems: sort(problems) };
}

function sort(problems: Problem[]): Problem[] {
  return problems.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}

/** Byte offset of a value in the text, or of its key; of the nearest thing that exists where the value is missing. */
function offsetOf(doc: Document, path: Path, atKey: boolean): number {
  let node = resolve(doc, doc.contents);
  let offset = start(node) ?? 0;
  for (const [depth, step] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find((p) => isScalar(p.key) && String(p.key.value) === String(step));
      if (!pair) return offset;
      const keyAt = start(pair.key as YamlNode) ?? offset;
      const last = depth === path.length - 1;
      const value = resolve(doc, pair.value as YamlNode | null);
      const isEmpty = value === null || (isScalar(value) && value.value === null);
      offset = last && (atKey || isEmpty) ? keyAt : (start(pair.value as YamlNode | null) ?? keyAt);
      node = value;
    } else if (isSeq(node)) {
      const item = node.items[Number(step)] as YamlNode | undefined;
      if (!item) return offset;
      offset = start(item) ?? offset;
      node = resolve(doc, item);
    } else return offset;
  }
  return offset;
}

function start(node: YamlNode | null | undefined): number | undefined {
  return node?.range?.[0];
}

function resolve(doc: Document, node: YamlNode | null | undefined): YamlNode | null {
  if (isAlias(node)) return (node.resolve(doc) as YamlNode | undefined) ?? null;
  return node ?? null;
}
