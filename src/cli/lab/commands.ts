/**
 * Other programs of the lab: run to their end, or in the background. All of them are ended by process id.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, openSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { WeftError } from '../../packet/error.js';

export interface Finished {
  stdout: string;
  stderr: string;
  code: number | null;
}

/** Runs a program to its end. Rejects when it can't be started, runs out of time or is aborted; a bad exit code is the caller's. */
export function finish(command: string[], signal: AbortSignal, timeoutMs = 30_000): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0], command.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    // One that was aborted is waited for: what it was about to do is done or not when this rejects.
    child.on('error', (error) => {
      if (child.pid === undefined) reject(error);
    });
    child.on('close', (code, killedBy) => {
      if (killedBy === null) resolve({ stdout, stderr, code });
      else
        reject(
          new Error(
            `\`${command.join(' ')}\` was ended by ${killedBy}${signal.aborted ? '' : ` after ${timeoutMs / 1000} s`}`,
          ),
        );
    });
  });
}

/** Runs a program that must succeed; its output. */
export async function must(command: string[], signal: AbortSignal, timeoutMs?: number): Promise<string> {
  const { stdout, stderr, code } = await finish(command, signal, timeoutMs);
  if (code === 0) return stdout;
  throw new WeftError(
    'DEVICE',
    `\`${command.join(' ')}\` failed: ${(stderr || stdout).trim() || `exit code ${code}`}`,
    {
      object: command[0],
    },
  );
}

export interface Background {
  readonly pid: number;
  readonly hasEnded: boolean;
  /** SIGTERM, and SIGKILL when that is not enough. */
  end(): Promise<void>;
}

/** Starts a program that outlives this one if nobody ends it; its output goes to a file. */
export function background(command: string[], log: string): Background {
  const out = openSync(log, 'a', 0o600);
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', out, out], detached: true });
  const ended = endOf(child);
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
  });
  child.unref();
  return {
    pid: child.pid ?? 0,
    get hasEnded() {
      return hasEnded;
    },
    async end() {
      for (const [signal, patienceMs] of [
        ['SIGTERM', 4000],
        ['SIGKILL', 2000],
      ] as const) {
        if (hasEnded || child.pid === undefined) return;
        child.kill(signal);
        await Promise.race([ended, sleep(patienceMs)]);
      }
    },
  };
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Path of a program; null where there is none. */
export function findProgram(name: string): string | null {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, name)).find(isExecutable) ?? null;
}

/** Programs that are missing. */
export const missingPrograms = (names: string[]) => names.filter((name) => findProgram(name) === null);

/** The end of a log, for an error message. */
export function tail(file: string): string {
  try {
    return readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .slice(-12)
      .map((line) => `    ${line}`)
      .join('\n');
  } catch {
    return '    (no log)';
  }
}

/** Progress: standard output is for the report. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
