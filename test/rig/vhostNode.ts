// A node in a process of its own, with ports of type vhost-user that are about to be mistreated.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ConfigInput } from '../../src/control/config/config.js';
import { canSanitize, sanitizedEnvironment } from './sanitized.js';

export interface VhostNodeState {
  descriptors: number;
  residentMb: number;
  /** Slots and buffers that are not in DPDK's pools, by pool. */
  taken: Record<string, number>;
  ports: Record<string, string>;
  restarts: number;
  hints: { object: string; message: string; remedy: string }[];
  warnings: string[];
}

export interface VhostNode {
  /** Where the sockets of the ports are, by the names of the ports. */
  folder: string;
  state(): Promise<VhostNodeState>;
  ask(question: string): Promise<unknown>;
  /** null while it lives. */
  exit(): number | string | null;
  errors(): string;
  stop(): Promise<void>;
}

const program = fileURLToPath(new URL('vhostNode.mjs', import.meta.url));

/** Ports by network, as `[name, settings]`; with AddressSanitizer where it is to be had. */
export async function startVhostNode(networks: Record<string, Record<string, object>>): Promise<VhostNode> {
  const folder = mkdtempSync(join(tmpdir(), 'wt-vhost-'));
  const config: ConfigInput = {
    node: { name: 'hostile', workers: 1 },
    networks: Object.entries(networks).map(([name, ports]) => ({
      name,
      broadcastLimit: 0,
      ports: Object.entries(ports).map(([port, more]) => ({
        type: 'vhost-user' as const,
        name: port,
        path: join(folder, `${port}.sock`),
        queues: 1,
        ...more,
      })),
    })),
  };
  const file = join(folder, 'config.json');
  writeFileSync(file, JSON.stringify(config));
  const child: ChildProcessWithoutNullStreams = spawn(process.execPath, [program, file], {
    env: canSanitize() ? sanitizedEnvironment() : process.env,
  });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`the node is gone: ${child.exitCode ?? child.signalCode}\n${errors}`);
    return JSON.parse(value);
  };
  const ask = (question: string) => {
    child.stdin.write(`${question}\n`);
    return answer();
  };
  await answer();
  return {
    folder,
    state: () => ask('state'),
    ask,
    exit: () => child.exitCode ?? child.signalCode,
    errors: () => errors,
    async stop() {
      child.stdin.end();
      const limit = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(limit);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
