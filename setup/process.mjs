// Runs the programs that the set-up calls, and shows one line a step with its time.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { root } from './stamps.mjs';

/** A failure whose message already says everything: shown without a stack. */
export class SetupError extends Error {}

/** The standard output of a short command, or null when it cannot be run or fails. */
export function outputOf(command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return result.status === 0 ? result.stdout.trim() : null;
}

/** Puts rustup's folder on the PATH of this process: a shell opened before the installation, and sudo, do not have it there. */
export function findCargo() {
  const folder = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'bin');
  const path = (process.env.PATH ?? '').split(delimiter);
  if (existsSync(folder) && !path.includes(folder)) process.env.PATH = [...path, folder].join(delimiter);
}

export const hasCommand = (command) => outputOf('sh', ['-c', `command -v ${command}`]) !== null;

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill();
});

/**
 * Runs a long command and keeps what it says; rejects with all of it when the command fails.
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: Record<string, string>, cwd?: string }} [options]
 */
export function run(command, args, { env = {}, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    running.add(child);
    child.stdout.on('data', (chunk) => {
      said += chunk;
    });
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    child.on('error', (error) => reject(new SetupError(`${command} could not be started: ${error.message}`)));
    child.on('close', (status, signal) => {
      running.delete(child);
      if (status === 0) resolve(said);
      else reject(new SetupError(`${command} ${args.join(' ')} failed (${signal ?? status}):\n${said.trimEnd()}`));
    });
  });
}

const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;

/** Shows `title`, does `work`, and ends the line with the time it took. Goes to stderr: stdout belongs to the command that follows. */
export async function shownStep(title, work) {
  const since = Date.now();
  const line = `set-up: ${title} `.padEnd(60, '.');
  process.stderr.write(`${line} `);
  const ticking = process.stderr.isTTY
    ? setInterval(() => process.stderr.write(`\r${line} ${seconds(since)} `), 1000)
    : undefined;
  let outcome = 'failed after';
  try {
    const result = await work();
    outcome = 'done in';
    return result;
  } finally {
    clearInterval(ticking);
    process.stderr.write(`${process.stderr.isTTY ? `\r${line} ` : ''}${outcome} ${seconds(since)}\n`);
  }
}

export const say = (sentence) => process.stderr.write(`set-up: ${sentence}\n`);
