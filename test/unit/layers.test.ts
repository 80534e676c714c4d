import { readdirSync, readFileSync } from 'node:fs';
import { posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

// From the bottom to the top: a file imports from its own layer and from those before it. The command line is a user of the public
// API, so src/index.ts stands below it and over everything else.
const LAYERS = [
  'wire',
  'packet',
  'native',
  'port',
  'forward',
  'underlay',
  'tunnel',
  'pipeline',
  'worker',
  'observe',
  'control',
  'replay',
  'cni',
  'index.ts',
  'vitest.ts',
  'cli',
];
const FORBIDDEN_WORDS = ['util', 'utils', 'helper', 'helpers', 'misc', 'common', 'new', 'v2'];
const LINES_MAX = 400;

const src = fileURLToPath(new URL('../../src', import.meta.url));

/** Paths of the TypeScript files below src/, relative to it. */
function sourceFiles(): string[] {
  return readdirSync(src, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(src, posix.join(entry.parentPath, entry.name)))
    .sort();
}

/** What `source` imports, re-exports or imports on demand by a relative path, with the line it stands on. */
function relativeImports(source: string): { line: number; target: string }[] {
  const pattern = /(?:\bfrom\s*|\bimport\s*\(?\s*)(['"])(\.{1,2}\/[^'"]*)\1/g;
  return [...source.matchAll(pattern)].map((match) => ({
    line: source.slice(0, match.index).split('\n').length,
    target: match[2]!,
  }));
}

/** Height of a file in the list above; undefined when it is in no layer. */
function heightOf(path: string): number | undefined {
  const height = LAYERS.indexOf(path.split('/')[0]!);
  return height < 0 ? undefined : height;
}

function upwardImports(path: string, source: string): string[] {
  const own = heightOf(path);
  return relativeImports(source).flatMap(({ line, target }) => {
    const resolved = posix.normalize(posix.join(posix.dirname(path), target)).replace(/\.js$/, '.ts');
    const height = heightOf(resolved);
    if (own !== undefined && height !== undefined && height <= own) return [];
    return [
      `src/${path}:${line} imports ${target}, which is ${height === undefined ? 'in no layer' : 'a layer above'}`,
    ];
  });
}

const wordsOf = (path: string) =>
  path
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .split(/[^a-z0-9]+/);

describe('the rules themselves', () => {
  it('catch an import of a layer above, of the public API and of an unknown folder', () => {
    expect(upwardImports('wire/ipv4.ts', "import { Arena } from '../packet/arena.js';")).toEqual([
      'src/wire/ipv4.ts:1 imports ../packet/arena.js, which is a layer above',
    ]);
    expect(upwardImports('control/node.ts', "\nexport * from '../index.js';")).toHaveLength(1);
    expect(upwardImports('cli/main.ts', "const x = await import('../elsewhere/x.js');")).toHaveLength(1);
    expect(upwardImports('port/tap.ts', "import type {\n  Plan,\n} from '../control/plan.js';")).toHaveLength(1);
    expect(upwardImports('wire/ipv4.ts', "import '../packet/arena.js';")).toHaveLength(1);
  });

  it('let a layer import itself, those below and packages', () => {
    const source =
      "import * as Ipv4 from '../wire/ipv4.js';\nimport { tap } from './tap.js';\nimport fs from 'node:fs';";
    expect(upwardImports('port/tun.ts', source)).toEqual([]);
    expect(upwardImports('cli/main.ts', "import { createNode } from '../index.js';")).toEqual([]);
    expect(upwardImports('index.ts', "export * from './control/node.js';")).toEqual([]);
  });

  it('find a forbidden word wherever it stands in a name', () => {
    expect(wordsOf('wire/ipv4Utils.ts')).toContain('utils');
    expect(wordsOf('wire/common/ipv4.ts')).toContain('common');
    expect(wordsOf('forward/renewal.ts')).not.toContain('new');
  });
});

describe('src/', () => {
  const files = sourceFiles().map((path) => ({ path, source: readFileSync(posix.join(src, path), 'utf8') }));

  it('has files', () => {
    expect(files.length).toBeGreaterThan(0);
  });

  it('has every file in a layer', () => {
    expect(files.filter(({ path }) => heightOf(path) === undefined).map(({ path }) => path)).toEqual([]);
  });

  it('imports only downwards', () => {
    expect(files.flatMap(({ path, source }) => upwardImports(path, source))).toEqual([]);
  });

  it('has no file named by a word that says nothing', () => {
    const named = files.filter(({ path }) => wordsOf(path).some((word) => FORBIDDEN_WORDS.includes(word)));
    expect(named.map(({ path }) => path)).toEqual([]);
  });

  it(`has no file longer than ${LINES_MAX} lines`, () => {
    const long = files.map(({ path, source }) => ({ path, lines: source.trimEnd().split('\n').length }));
    expect(long.filter(({ lines }) => lines > LINES_MAX)).toEqual([]);
  });
});
