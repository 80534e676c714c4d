// A folder plays the kernel's pool. It takes any number that is written to nr_hugepages; what a real kernel does with it is not its part.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
// biome-ignore lint/correctness/useImportExtensions: the set-up is made of .mjs files
import { type Hugepages, reserveHugepages } from '../../../setup/hugepages.mjs';

let folder: string;
let where: { pool: string; ledger: string };

const pool = (values: Record<string, number>) => {
  for (const [name, value] of Object.entries(values)) writeFileSync(join(where.pool, name), `${value}\n`);
};
const total = () => Number(readFileSync(join(where.pool, 'nr_hugepages'), 'utf8'));
const claims = () => readdirSync(where.ledger).filter((name) => name !== 'lock');

function reserve(pages: number): Hugepages {
  const answer = reserveHugepages(pages, where);
  if ('lack' in answer) throw new Error(answer.lack);
  return answer;
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weft-hugepages-'));
  where = { pool: join(folder, 'pool'), ledger: join(folder, 'ledger') };
  mkdirSync(where.pool);
  pool({ nr_hugepages: 0, free_hugepages: 0, resv_hugepages: 0, surplus_hugepages: 0 });
});

afterEach(() => rmSync(folder, { recursive: true }));

describe.skipIf(process.getuid?.() !== 0)('huge pages', () => {
  it('are reserved and given back', () => {
    const held = reserve(64);
    expect(total()).toBe(64);
    held.release();
    held.release();
    expect(total()).toBe(0);
    expect(claims()).toEqual([]);
  });

  it('that are free already are used, and stay', () => {
    pool({ nr_hugepages: 100, free_hugepages: 80 });
    reserve(80).release();
    expect(total()).toBe(100);
    const held = reserve(90);
    expect(total()).toBe(110);
    held.release();
    expect(total()).toBe(100);
  });

  it('that are reserved for a mapping are not free', () => {
    pool({ nr_hugepages: 10, free_hugepages: 10, resv_hugepages: 6 });
    const held = reserve(10);
    expect(total()).toBe(16);
    held.release();
  });

  it('that were given back while in use do not stay', () => {
    // 30 of 40 are surplus, all in use: raising the pool by 20 makes them stay.
    pool({ nr_hugepages: 40, surplus_hugepages: 30 });
    const held = reserve(20);
    expect(total()).toBe(60);
    pool({ surplus_hugepages: 0 });
    held.release();
    expect(total()).toBe(10);
  });

  it('are not promised twice', () => {
    const first = reserve(64);
    pool({ free_hugepages: 64 });
    const second = reserve(64);
    expect(total()).toBe(128);
    first.release();
    expect(total()).toBe(64);
    second.release();
    expect(total()).toBe(0);
  });

  it('of a process that was killed are taken back by the next', () => {
    // Larger than any that Linux gives: the number of a process that has ended may be another's by now.
    const pid = 2 ** 22 + 1;
    mkdirSync(where.ledger);
    writeFileSync(join(where.ledger, `${pid}-0-1`), '64 64\n');
    pool({ nr_hugepages: 64 });
    reserve(10).release();
    expect(total()).toBe(0);
    expect(claims()).toEqual([]);
  });

  it('that the kernel does not have are one sentence', () => {
    rmSync(where.pool, { recursive: true });
    expect(reserveHugepages(64, where)).toEqual({
      lack: '64 huge pages of 2 MB are needed and could not be reserved (this kernel has none): use a kernel with hugetlbfs on x86-64.',
    });
    expect(claims()).toEqual([]);
  });
});
