// Network namespaces for tests: made under names that say which process owns them, removed at its end, and, where a process was killed
// before it could, by the next one. Nothing here touches the root namespace's addresses, routes or firewall.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { until } from './waiting.js';

const PREFIX = 'wt';
const FOLDER = '/run/netns';

const made = new Set<string>();
const started = new Set<ChildProcess>();

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Path that `setns` takes, and weft's `netns` settings. */
export const namespacePath = (name: string) => `${FOLDER}/${name}`;

/** Makes `wt-<pid>-<label>` with its loopback up, and returns that name. */
export function makeNamespace(label: string): string {
  removeLeftovers();
  const name = `${PREFIX}-${process.pid}-${label}`;
  ip('netns', 'add', name);
  made.add(name);
  ip('-n', name, 'link', 'set', 'lo', 'up');
  return name;
}

/** One end of a veth pair. */
export type VethEnd = { namespace: string; device: string /** With prefix length. */; address: string };

/** Joins two namespaces by a veth pair, both ends up. */
export function joinByVeth(a: VethEnd, b: VethEnd): void {
  ip('link', 'add', a.device, 'netns', a.namespace, 'type', 'veth', 'peer', 'name', b.device, 'netns', b.namespace);
  for (const { namespace, device, address } of [a, b]) {
    ip('-n', namespace, 'address', 'add', address, 'dev', device);
    ip('-n', namespace, 'link', 'set', device, 'up');
  }
}

/**
 * Waits until devices have the link-local addresses that the kernel gives them once they run, and nobody else was found to have them: a second
 * or two. Until then addresses and routes come by themselves.
 */
export async function untilSettled(namespace: string, ...devices: string[]): Promise<void> {
  type Shown = { addr_info?: { tentative?: boolean }[] };
  await until(`link-local addresses of ${devices} in ${namespace}`, () =>
    devices.every((device) => {
      const shown: Shown[] = JSON.parse(
        ip('-n', namespace, '-6', '-j', 'addr', 'show', 'dev', device, 'scope', 'link'),
      );
      const found = shown.flatMap(({ addr_info = [] }) => addr_info);
      return found.length > 0 && !found.some(({ tentative }) => tentative);
    }),
  );
}

/** Runs a command in a namespace to its end; throws, with what it said, when it fails. */
export function runIn(namespace: string, command: string, ...args: string[]): string {
  return ip('netns', 'exec', namespace, command, ...args);
}

/** Starts a command in a namespace; it is ended by `removeNamespaces` at the latest. */
export function startIn(namespace: string, command: string, ...args: string[]): ChildProcess {
  // `ip netns exec` becomes the command, so the child's process id is the command's own.
  const child = spawn('ip', ['netns', 'exec', namespace, command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  started.add(child);
  child.on('close', () => started.delete(child));
  return child;
}

/** Removes one namespace in the middle of a test. */
export function removeNamespace(name: string): void {
  ip('netns', 'delete', name);
  made.delete(name);
}

/** Ends what `startIn` started and removes every namespace that this process made; for `afterAll` and `afterEach`. */
export async function removeNamespaces(): Promise<void> {
  const ends = [...started].map((child) => new Promise((resolve) => child.once('close', resolve)));
  for (const child of started) child.kill('SIGKILL');
  await Promise.all(ends);
  for (const name of made) removeNamespace(name);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Removes namespaces of test processes that are gone. */
export function removeLeftovers(): void {
  if (!existsSync(FOLDER)) return;
  for (const name of readdirSync(FOLDER)) {
    const pid = new RegExp(`^${PREFIX}-(\\d+)-`).exec(name)?.[1];
    if (pid && !isAlive(Number(pid))) ip('netns', 'delete', name);
  }
}

process.on('exit', () => {
  for (const child of started) child.kill('SIGKILL');
  for (const name of made) {
    try {
      ip('netns', 'delete', name);
    } catch {
      // The next test process removes it.
    }
  }
});
