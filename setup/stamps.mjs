// A stamp remembers the hash of what a step was made from; the step is repeated only when its inputs or outputs changed.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const stampFolder = join(root, '.setup');

const NEVER_INPUT = new Set(['node_modules', 'target', 'dist', '.git']);

/**
 * Files below `folder` (absolute path) whose name passes `wanted`, as absolute paths in a stable order.
 * @param {string} folder
 * @param {(name: string) => boolean} wanted
 * @returns {string[]}
 */
export function filesBelow(folder, wanted) {
  if (!existsSync(folder)) return [];
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!NEVER_INPUT.has(entry.name)) found.push(...filesBelow(path, wanted));
    } else if (wanted(entry.name)) {
      found.push(path);
    }
  }
  return found.sort();
}

/** Hash of the paths and contents of `files`, and of `extra` (versions, options); a missing file is part of the hash. */
export function hashOf(files, extra = []) {
  const hash = createHash('sha256');
  for (const file of files) {
    hash.update(`${relative(root, file)}\0`);
    hash.update(existsSync(file) ? readFileSync(file) : 'missing');
  }
  for (const text of extra) hash.update(`\0${text}`);
  return hash.digest('hex');
}

const stampPath = (name) => join(stampFolder, `${name}.stamp`);

export function isFresh(name, hash, outputs) {
  const path = stampPath(name);
  return outputs.every((file) => existsSync(file)) && existsSync(path) && readFileSync(path, 'utf8') === hash;
}

export function writeStamp(name, hash) {
  mkdirSync(stampFolder, { recursive: true });
  writeFileSync(stampPath(name), hash);
}

export function dropStamp(name) {
  rmSync(stampPath(name), { force: true });
}
