/**
 * Removes labs that were kept, and what a lab left that was killed. A lab that runs now is left alone.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { SOCKET_DIRECTORY } from '../../control/api/controlSocket.js';
import { requireRights } from '../../control/devices/deviceKernel.js';
import { plural, print } from '../output.js';
import { finish, must, sleep } from './commands.js';
import { describeHosts, labFolder, namespaceName } from './hosts.js';

export async function removeLabs(): Promise<void> {
  requireRights(false);
  const ids = findLabs().filter((id) => existsSync(join(labFolder(id), 'kept')) || !isLab(id));
  const { signal } = new AbortController();
  for (const id of ids) {
    for (const side of ['a', 'b'] as const) await removeNamespace(namespaceName(side, id), signal);
    for (const { socket } of describeHosts(id)) rmSync(socket, { force: true });
    rmSync(labFolder(id), { recursive: true, force: true });
  }
  print(ids.length === 0 ? 'no lab is left up' : `${plural(ids.length, 'lab')} removed`);
}

/** Ids of labs that have a folder or a namespace. */
function findLabs(): number[] {
  const names = [...list(SOCKET_DIRECTORY), ...list('/run/netns')];
  const ids = names.flatMap((name) => /^(?:lab|weft-lab-[ab])-(\d+)$/.exec(name)?.[1] ?? []);
  return [...new Set(ids.map(Number))];
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Whether the process that built the lab still runs it. */
function isLab(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes('lab');
  } catch {
    return false;
  }
}

/** Ends every process inside of a namespace of a lab, then removes it. */
async function removeNamespace(name: string, signal: AbortSignal): Promise<void> {
  if (!existsSync(join('/run/netns', name))) return;
  for (const kill of ['SIGTERM', 'SIGTERM', 'SIGKILL'] as const) {
    const pids = await processesIn(name, signal);
    if (pids.length === 0) break;
    for (const pid of pids) tryKill(pid, kill);
    for (let waited = 0; waited < 3000 && (await processesIn(name, signal)).length > 0; waited += 100) await sleep(100);
  }
  await must(['ip', 'netns', 'delete', name], signal);
}

async function processesIn(name: string, signal: AbortSignal): Promise<number[]> {
  const { stdout } = await finish(['ip', 'netns', 'pids', name], signal);
  return stdout.split('\n').filter(Boolean).map(Number);
}

function tryKill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Ended in the meantime.
  }
}
