/**
 * Turns what zod finds into sentences for the person who wrote the file: what is wrong, with the value that is there, and what to write
 * instead. The documentation of a key (its `describe` text) is its remedy.
 */
import type { z } from 'zod';
import { configJsonSchema } from './config.js';
import { nearest, quote } from './text.js';

export type Path = readonly (string | number)[];

/** One fault before it is given a place in the file. */
export interface Located {
  path: Path;
  /** The fault is the key itself (unknown, duplicate), not its value. */
  atKey?: boolean;
  message: string;
  remedy: string;
}

type Issue = z.core.$ZodIssue;

interface SchemaNode {
  type?: string;
  description?: string;
  properties?: Record<string, SchemaNode>;
  items?: SchemaNode;
  anyOf?: SchemaNode[];
  oneOf?: SchemaNode[];
  const?: unknown;
}

export function describeIssues(issues: readonly Issue[], value: unknown): Located[] {
  return issues.flatMap((issue) => describeIssue(issue, value));
}

function describeIssue(issue: Issue, root: unknown): Located[] {
  const path = issue.path as (string | number)[];
  const value = valueAt(root, path);
  const key = keyText(path);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((unknown) => unknownKey(path, unknown, value));
    case 'invalid_union':
      return describeUnion(issue, path, root);
    case 'invalid_type':
      return [wrongType(path, value, issue.expected)];
    case 'invalid_value':
      return [
        {
          path,
          message: `${key} is ${show(value)}, not one of ${issue.values.map(show).join(', ')}`,
          remedy: remedy(path),
        },
      ];
    case 'too_small':
    case 'too_big':
      return [outOfRange(path, value, issue)];
    case 'custom':
      return [{ path, message: issue.message, remedy: String(issue.params?.remedy ?? remedy(path)) }];
    default:
      return [{ path, message: `${key}: ${issue.message}`, remedy: remedy(path) }];
  }
}

function unknownKey(path: Path, unknown: string, value: unknown): Located {
  const known = Object.keys(propertiesAt(path, value));
  const near = nearest(unknown, known);
  return {
    path: [...path, unknown],
    atKey: true,
    message: `unknown key \`${unknown}\``,
    remedy: near ? `did you mean \`${near}\`?` : `keys known here: ${known.join(', ')}`,
  };
}

function wrongType(path: Path, value: unknown, expected: string): Located {
  const key = keyText(path);
  if (value === undefined) return { path, message: `${key} is missing`, remedy: `add it: ${remedy(path)}` };
  if (value === null)
    return { path, message: `${key} has no value`, remedy: `remove the key, or give it a value: ${remedy(path)}` };
  return { path, message: `${key} is ${show(value)}, expected ${kindText(expected)}`, remedy: remedy(path) };
}

function outOfRange(path: Path, value: unknown, issue: Extract<Issue, { code: 'too_small' | 'too_big' }>): Located {
  const key = keyText(path);
  const bound = issue.code === 'too_small' ? issue.minimum : issue.maximum;
  const side = issue.code === 'too_small' ? 'at least' : 'at most';
  if (Array.isArray(value))
    return { path, message: `${key} has ${value.length} entries, ${side} ${bound} are possible`, remedy: remedy(path) };
  if (typeof value === 'string') return { path, message: `${key} is empty`, remedy: remedy(path) };
  return { path, message: `${key} is ${show(value)}, must be ${side} ${bound}`, remedy: remedy(path) };
}

/** Reports the branch of a union that the value was meant for: the first whose outermost type fits. */
function describeUnion(issue: Extract<Issue, { code: 'invalid_union' }>, path: Path, root: unknown): Located[] {
  const value = valueAt(root, path);
  const fitting = issue.errors.find((errors) => !errors.some((e) => e.path.length === 0 && e.code === 'invalid_type'));
  if (fitting)
    return describeIssues(
      fitting.map((e) => ({ ...e, path: [...path, ...e.path] }) as Issue),
      root,
    );
  if (value === undefined || value === null) return [wrongType(path, value, 'value')];
  const options =
    'options' in issue && Array.isArray(issue.options) ? ` It is one of ${issue.options.join(', ')}.` : '';
  return [
    {
      path,
      message: `${keyText(path)} is ${show(value)}, which is not possible here.${options}`,
      remedy: remedy(path),
    },
  ];
}

/** Value at a path, undefined where the path ends early. */
export function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

/** `networks[0].ports[1].mtu` */
export function pathText(path: Path): string {
  let out = '';
  for (const step of path) out += typeof step === 'number' ? `[${step}]` : out === '' ? step : `.${step}`;
  return out;
}

/** The last key of a path, for the beginning of a sentence: `mtu`, `peers[2]`. */
export function keyText(path: Path): string {
  if (path.length === 0) return 'the configuration';
  let from = path.length - 1;
  while (from > 0 && typeof path[from] === 'number') from--;
  return `\`${pathText(path.slice(from))}\``;
}

function remedy(path: Path): string {
  const node = schemaAt(path);
  return node?.description ?? node?.items?.description ?? 'see `weft check --schema`';
}

let schema: SchemaNode | null = null;

/** A node and every branch of it, however deep. */
function branchesOf(node: SchemaNode): SchemaNode[] {
  return [node, ...[...(node.anyOf ?? []), ...(node.oneOf ?? [])].flatMap(branchesOf)];
}

/** The JSON Schema node of a path; where the schema branches, the first branch that knows the next key. */
function schemaAt(path: Path): SchemaNode | null {
  schema ??= configJsonSchema() as SchemaNode;
  let nodes: SchemaNode[] = [schema];
  let described: SchemaNode | null = schema;
  for (const step of path) {
    const branches = nodes.flatMap(branchesOf);
    nodes = branches.flatMap((n) => {
      const next = typeof step === 'number' ? n.items : n.properties?.[step];
      return next ? [next] : [];
    });
    if (nodes.length === 0) return null;
    described = nodes.find((n) => n.description) ?? (typeof step === 'number' ? described : null);
  }
  return described;
}

/** Keys that the schema knows at a path. Where it branches, the branch that the `type` of the value selects. */
function propertiesAt(path: Path, value: unknown): Record<string, SchemaNode> {
  schema ??= configJsonSchema() as SchemaNode;
  let nodes: SchemaNode[] = [schema];
  for (const step of path) {
    const branches = nodes.flatMap(branchesOf);
    nodes = branches.flatMap((n) => (typeof step === 'number' ? (n.items ?? []) : (n.properties?.[step] ?? [])));
  }
  const branches = nodes.flatMap(branchesOf).filter((n) => n.properties);
  const type = (value as { type?: unknown } | undefined)?.type;
  const selected = branches.filter((n) => n.properties?.type?.const === type);
  return Object.assign({}, ...(selected.length > 0 ? selected : branches).map((n) => n.properties));
}

function kindText(expected: string): string {
  const kinds: Record<string, string> = {
    int: 'a whole number',
    number: 'a number',
    string: 'text',
    boolean: 'true or false',
    array: 'a list',
    object: 'a map of keys',
    record: 'a map of keys',
    value: 'a value',
  };
  return kinds[expected] ?? expected;
}

function show(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a map';
  return String(value);
}
