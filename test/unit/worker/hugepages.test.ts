import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { ealArguments, freeHugepagesMb, hasFreeHugepages } from '../../../src/worker/dpdkFrames.js';

const pool = mkdtempSync(join(tmpdir(), 'weft-pool-'));
afterAll(() => rmSync(pool, { recursive: true }));

it.each([
  [0, 0, false],
  [71, 0, false],
  [72, 0, true],
  // Promised to somebody else.
  [80, 9, false],
  [80, 8, true],
])('with %i free and %i of them promised: %s for 128 MiB', (free, promised, enough) => {
  writeFileSync(join(pool, 'free_hugepages'), `${free}\n`);
  writeFileSync(join(pool, 'resv_hugepages'), `${promised}\n`);
  expect(hasFreeHugepages(128, pool)).toBe(enough);
});

it('does without on a kernel that has none', () => {
  expect(hasFreeHugepages(128, join(pool, 'nothing'))).toBe(false);
});

it('counts pages of all sizes where they are insisted on', () => {
  const pools = join(pool, 'pools');
  for (const [name, free] of [
    ['hugepages-2048kB', 3],
    ['hugepages-1048576kB', 2],
  ]) {
    mkdirSync(join(pools, `${name}`), { recursive: true });
    writeFileSync(join(pools, `${name}`, 'free_hugepages'), `${free}\n`);
  }
  expect(freeHugepagesMb(pools)).toBe(2054);
  expect(freeHugepagesMb(join(pool, 'nothing'))).toBe(0);
});

it('asks DPDK for what was chosen', () => {
  const settings = { memoryMb: 64, cores: [2, 3], prefix: 'n', idle: 'interrupt' as const };
  const plain = ealArguments({ ...settings, hugepages: false, pci: false });
  expect(plain).toEqual(expect.arrayContaining(['--no-huge', '--no-pci', '0@(2,3)']));
  const huge = ealArguments({ ...settings, hugepages: true, pci: true });
  expect(huge).toContain('--in-memory');
  expect(huge).not.toContain('--no-huge');
  expect(huge).not.toContain('--no-pci');
});
