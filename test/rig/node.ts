// weft as its users run it: `weft up CONFIG` inside of a namespace, looked at through its verbs and its control socket.
import { type ChildProcess, execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { stringify } from 'yaml';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { DropsDocument, MacDocument, StatsDocument, StatusDocument } from '../../src/observe/documents.js';
import { startIn } from './namespaces.js';
import { sleep, until } from './waiting.js';

/** The `weft` command, as it is built. */
export const WEFT = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'weft-test-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
let files = 0;

/** A path for a file of this test process; the folder is removed with it. */
export const scratchFile = (name: string) => join(folder, `${++files}-${name}`);

export interface Ended {
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end, whatever its exit status; killed after `limitMs`. */
export function runToEnd(command: string, args: string[], limitMs = 30_000): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(
      command,
      args,
      { timeout: limitMs, killSignal: 'SIGKILL', maxBuffer: 1 << 26 },
      (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ status, stdout, stderr });
      },
    );
  });
}

/** Runs one `weft` command in the root namespace. */
export const weft = (...args: string[]) => runToEnd(process.execPath, [WEFT, ...args]);

/** Writes a configuration file as a user would have it. */
export function writeConfig(config: ConfigInput): string {
  const path = scratchFile('node.yaml');
  writeFileSync(path, stringify(config));
  return path;
}

/** Runs `weft up` where it is not expected to come up. */
export function failUp(namespace: string, config: ConfigInput): Promise<Ended> {
  const args = ['netns', 'exec', namespace, process.execPath, WEFT, 'up', writeConfig(config)];
  return runToEnd('ip', args, 45_000);
}

function getJson<T>(socketPath: string, path: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, timeout: 15_000, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`${path}: ${response.statusCode} ${text}`));
      });
    });
    asked.on('error', reject).on('timeout', () => asked.destroy(new Error(`${path}: no answer`)));
    asked.end();
  });
}

export class WeftNode {
  readonly name: string;
  readonly namespace: string;
  readonly socket: string;
  readonly child: ChildProcess;
  /** Its configuration file. */
  readonly file: string;
  #said = '';

  constructor(name: string, namespace: string, socket: string, file: string, child: ChildProcess) {
    this.name = name;
    this.namespace = namespace;
    this.socket = socket;
    this.file = file;
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (this.#said += text));
  }

  /** What it printed so far. */
  get said(): string {
    return this.#said;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** A document of the control API. */
  get<T>(path: string): Promise<T> {
    return getJson<T>(this.socket, path);
  }

  status = () => this.get<StatusDocument>('/v1/status');
  stats = () => this.get<StatsDocument>('/v1/stats');
  macs = () => this.get<MacDocument[]>('/v1/mac');

  /** Runs a verb on this node: `node.weft('mac', '--json')`. */
  weft(...args: string[]): Promise<Ended> {
    return weft(...args, '--socket', this.socket);
  }

  /** What a verb prints with `--json`. */
  async read<T>(verb: string): Promise<T> {
    const { status, stdout, stderr } = await this.weft(verb, '--json');
    if (status !== 0) throw new Error(`weft ${verb} --json ended with ${status}: ${stderr}`);
    return JSON.parse(stdout);
  }

  /** Dropped packets by reason. */
  async dropped(): Promise<Record<string, number>> {
    const { reasons } = await this.read<DropsDocument>('drops');
    return Object.fromEntries(reasons.map(({ reason, packets }) => [reason, packets]));
  }

  /** Writes its file anew and sends SIGHUP; resolves with the line that says what came of it. */
  async reload(config: ConfigInput): Promise<string> {
    const results = () => this.#said.match(/^.*(reloaded: |not reloaded).*$/gm) ?? [];
    const before = results().length;
    writeFileSync(this.file, stringify({ ...config, node: { ...config.node, name: this.name, socket: this.socket } }));
    this.child.kill('SIGHUP');
    return until(`a reload of ${this.name}`, () => results()[before], { everyMs: 10 });
  }

  /** Sends a signal and waits for the end; its exit status, or -1 when the signal ended it. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    if (!this.hasEnded) this.child.kill(signal);
    await until(`the end of ${this.name} by ${signal}\n${this.#said}`, () => this.hasEnded);
    return this.child.exitCode ?? -1;
  }
}

export const nodeName = (label: string) => `wt-${process.pid}-${label}`;

/** Starts a node and waits until frames move. Its name and socket are made here unless the configuration has them. */
export async function up(namespace: string, config: ConfigInput, program = WEFT): Promise<WeftNode> {
  const name = config.node?.name ?? namespace;
  const socket = config.node?.socket ?? scratchFile('node.sock');
  const path = writeConfig({ ...config, node: { ...config.node, name, socket } });
  const child = startIn(namespace, process.execPath, program, 'up', path);
  const node = new WeftNode(name, namespace, socket, path, child);
  await until(
    `${name} is ready`,
    () => {
      if (node.hasEnded) throw new Error(`${name} ended instead of starting:\n${node.said}`);
      return /ready: node/.test(node.said);
    },
    { withinMs: 45_000, everyMs: 10 },
  );
  return node;
}

/** Once traffic has ended: the account balances, and every slot is home. */
export async function expectQuiet(...nodes: WeftNode[]): Promise<void> {
  for (const node of nodes) {
    const look = async () => {
      const { account, slots } = await node.status();
      return { ...account, slotsHeld: slots.held };
    };
    const isQuiet = async () => {
      const { held, slotsHeld } = await look();
      return held === 0 && slotsHeld === 0;
    };
    const quiet = until(`${node.name} is quiet`, isQuiet, { withinMs: 5000 });
    if (await quiet.catch(() => false)) continue;
    const first = await look();
    // What moves is traffic; what stays was lost from the account.
    await sleep(1000);
    const later = await look();
    const { reasons } = await node.get<DropsDocument>('/v1/drops');
    const { workers } = await node.status();
    const whole = JSON.stringify({ first, aSecondLater: later, reasons, workers }, null, 1);
    const { held, slotsHeld } = later;
    expect({ held, slotsHeld }, `the account of ${node.name}: ${whole}`).toEqual({ held: 0, slotsHeld: 0 });
  }
}
