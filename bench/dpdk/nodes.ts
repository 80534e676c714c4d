import { tmpdir } from 'node:os';
import { finish } from '../../dist/cli/lab/commands.js';
import { type OptionValues, UsageError } from '../benchmark.js';

/** A Node that runs weft. */
export interface NodeProgram {
  path: string;
  /** As it says itself: `v20.20.2`. */
  version: string;
}

export const NODES_HELP =
  'what runs weft: own (the Node that runs this), the path of another, or a number: the newest one of it that npm has';
const FETCH_MS = 120_000;

/** npm keeps what it has fetched; nothing is fetched for other words than numbers. */
async function fetchNode(major: string, signal: AbortSignal): Promise<string> {
  const name = `node-${process.platform}-${process.arch}@${major}`;
  const command = ['npm', 'exec', '--yes', '--prefer-offline', `--package=${name}`, '--prefix', tmpdir()];
  const { stdout, stderr, code } = await finish([...command, '--', 'node', '-p', 'process.execPath'], signal, FETCH_MS);
  if (code !== 0) throw new UsageError(`npm does not bring Node ${major}: ${stderr.trim()}`);
  return stdout.trim();
}

/** Of an option that is a list of words with commas in between. */
export async function readNodes(options: OptionValues, name: string): Promise<NodeProgram[]> {
  const { signal } = new AbortController();
  const nodes: NodeProgram[] = [];
  for (const word of String(options[name]).split(',')) {
    const path = word === 'own' ? process.execPath : /^\d+$/.test(word) ? await fetchNode(word, signal) : word;
    const found = await finish([path, '--version'], signal).catch(() => null);
    if (found?.code !== 0) throw new UsageError(`--${name}: '${word}' is no Node that runs`);
    nodes.push({ path, version: found.stdout.trim() });
  }
  return nodes;
}
