// Huge pages of 2 MB for those tests and benchmarks that want them: reserved where free ones are lacking, and given back.
//
// Several processes may do so at once. Each writes what it claims and what it added to a ledger, and takes back its own addition alone; what a
// process that was killed left is taken back by the next one. Pages in use are not torn away: the kernel frees them when they are let go.
import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';

const POOL = '/sys/kernel/mm/hugepages/hugepages-2048kB';
const LEDGER = '/run/weft-hugepages';
const LOCK_WAIT_MS = 10;
const LOCK_MS = 5000;

let claims = 0;

/** The kernel's pool and the ledger: tests have others. */
export const machine = { pool: POOL, ledger: LEDGER };

const read = (pool, name) => Number(readFileSync(join(pool, name), 'utf8'));
const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
};

/** Runs `work` while no other process does; a lock whose holder was killed is broken after some seconds. */
function locked(ledger, work) {
  mkdirSync(ledger, { recursive: true });
  const lock = join(ledger, 'lock');
  for (let waited = 0; ; waited += LOCK_WAIT_MS) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (waited >= LOCK_MS) rmSync(lock, { recursive: true, force: true });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_WAIT_MS);
  }
  try {
    return work();
  } finally {
    rmdirSync(lock);
  }
}

/** Pages that stay. The others, surplus, were given back while they were in use, and end with that; raising the pool makes them stay, too. */
const persistent = (pool) => read(pool, 'nr_hugepages') - read(pool, 'surplus_hugepages');

/** Lowers the pool by what a claim had added. */
function takeBack({ pool, ledger }, name) {
  const [, added] = readFileSync(join(ledger, name), 'utf8').split(' ').map(Number);
  rmSync(join(ledger, name));
  if (added > 0) writeFileSync(join(pool, 'nr_hugepages'), String(Math.max(0, persistent(pool) - added)));
}

/** Pages that the claims in the ledger may yet take from the free ones; those of dead processes are ended. */
function claimed(where) {
  let sum = 0;
  for (const name of readdirSync(where.ledger)) {
    const pid = /^(\d+)-/.exec(name)?.[1];
    if (pid === undefined) continue;
    if (isAlive(Number(pid))) sum += Number(readFileSync(join(where.ledger, name), 'utf8').split(' ')[0]);
    else takeBack(where, name);
  }
  return sum;
}

/** Makes `pages` free pages where they are lacking. Returns how many were added; throws when the kernel does not bring them together. */
function raise(where, pages) {
  const { pool } = where;
  const free = Math.max(0, read(pool, 'free_hugepages') - read(pool, 'resv_hugepages') - claimed(where));
  if (free >= pages) return 0;
  const before = persistent(pool);
  const total = read(pool, 'nr_hugepages');
  const wanted = total + pages - free;
  writeFileSync(join(pool, 'nr_hugepages'), String(wanted));
  const have = read(pool, 'nr_hugepages');
  if (have >= wanted) return wanted - before;
  writeFileSync(join(pool, 'nr_hugepages'), String(before));
  throw new Error(`the kernel found ${have - total} of them in one piece`);
}

const sentence = (pages, why, remedy) =>
  `${pages} huge pages of 2 MB are needed and could not be reserved (${why}): ${remedy}.`;

function lackOf(error, pages) {
  if (error.code === 'ENOENT') return sentence(pages, 'this kernel has none', 'use a kernel with hugetlbfs on x86-64');
  if (['EACCES', 'EPERM', 'EROFS'].includes(error.code))
    return sentence(
      pages,
      `${error.code} at ${error.path}`,
      `as root of the machine, run "sysctl vm.nr_hugepages=${pages}"`,
    );
  return sentence(pages, error.message, 'free some memory, or reserve them when the machine boots');
}

/**
 * Sees to it that `pages` huge pages of 2 MB are free. They go back to the machine on `release`, and at the latest when the process exits.
 * @returns {{ release(): void } | { lack: string }} `lack`: one sentence that says what is in the way
 */
export function reserveHugepages(pages, where = machine) {
  const name = `${process.pid}-${threadId}-${++claims}`;
  try {
    const { pool, ledger } = where;
    // Without root there is no ledger; what others have reserved may be used all the same.
    if (process.getuid?.() !== 0) {
      if (read(pool, 'free_hugepages') - read(pool, 'resv_hugepages') >= pages) return { release() {} };
      throw Object.assign(new Error(), { code: 'EACCES', path: join(pool, 'nr_hugepages') });
    }
    locked(ledger, () => {
      const added = raise(where, pages);
      writeFileSync(join(ledger, name), `${pages} ${added}\n`);
    });
  } catch (error) {
    return { lack: lackOf(error, pages) };
  }
  let isHeld = true;
  const release = () => {
    if (!isHeld) return;
    isHeld = false;
    process.off('exit', release);
    locked(where.ledger, () => takeBack(where, name));
  };
  process.on('exit', release);
  return { release };
}
