// Loading the addon: one clear error where it is not built.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { tun } from '../../src/native/tun.js';
import { thrownBy } from './binding.js';

describe('the loader', () => {
  let root: string;
  let load: typeof tun;

  beforeAll(async () => {
    // A package of its own, in which nothing is built.
    root = mkdtempSync(join(tmpdir(), 'weft-loader-'));
    mkdirSync(join(root, 'native/tun'), { recursive: true });
    for (const folder of ['native', 'packet']) {
      cpSync(fileURLToPath(new URL(`../../src/${folder}`, import.meta.url)), join(root, 'src', folder), {
        recursive: true,
      });
    }
    ({ tun: load } = await import(join(root, 'src/native/tun.ts')));
  });
  afterAll(() => rmSync(root, { recursive: true }));

  it('says how to build the addon, whenever it is asked for', () => {
    for (let i = 0; i < 2; i++) {
      const error = thrownBy(load);
      expect(error.message).toBe('The native addon is not built: npm run build:native (it needs Rust, see README.md)');
      expect(error.cause).toMatchObject({ code: 'MODULE_NOT_FOUND' });
    }
  });

  it('tells an addon that does not load from a missing one', () => {
    writeFileSync(join(root, 'native/tun/weft_tun.node'), 'no shared object');
    expect(thrownBy(load).message).toMatch(/^The native addon does not load: npm run build:native/);
  });
});
