// Two set-ups in one tree would build over each other: the second waits for the first.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from './process.mjs';
import { stampFolder } from './stamps.mjs';

const path = join(stampFolder, 'running');

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function tryTake() {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    return 0;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  const holder = Number(readFileSync(path, 'utf8'));
  if (holder > 0 && !isAlive(holder)) rmSync(path, { force: true });
  return holder || -1;
}

export async function withLock(work) {
  mkdirSync(stampFolder, { recursive: true });
  let told = false;
  for (let holder = tryTake(); holder !== 0; holder = tryTake()) {
    if (!told && isAlive(holder)) {
      say(`waiting for another set-up of this tree (process ${holder})`);
      told = true;
    }
    await sleep(200);
  }
  const release = () => rmSync(path, { force: true });
  process.on('exit', release);
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
  try {
    return await work();
  } finally {
    release();
    process.off('exit', release);
  }
}
