import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { fileURLToPath } from 'node:url';

export interface Machine {
  cpuModel: string;
  cores: number;
  memoryBytes: number;
  kernel: string;
  /** Load averages over 1, 5 and 15 minutes before the benchmark began: what else ran. */
  loadAverage: number[];
}

/** Where and of what a report was made: figures without it can't be compared with any other. */
export interface Environment {
  machine: Machine;
  node: string;
  v8: string;
  /** Null outside a git checkout. */
  commit: string | null;
  /** The tree had changes that the commit does not have. */
  isDirty: boolean;
  /** ISO 8601. */
  date: string;
}

const root = fileURLToPath(new URL('../..', import.meta.url));

function git(...args: string[]): string | null {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null;
  }
}

export function readEnvironment(): Environment {
  return {
    machine: {
      cpuModel: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryBytes: totalmem(),
      kernel: `${type()} ${release()}`,
      loadAverage: loadavg(),
    },
    node: process.version,
    v8: process.versions.v8,
    commit: git('rev-parse', 'HEAD'),
    isDirty: (git('status', '--porcelain') ?? '') !== '',
    date: new Date().toISOString(),
  };
}

export function describeEnvironment(e: Environment): string {
  const { cpuModel, cores, memoryBytes, kernel, loadAverage } = e.machine;
  const memory = `${(memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  const commit = e.commit === null ? 'no git checkout' : `${e.commit.slice(0, 12)}${e.isDirty ? ' with changes' : ''}`;
  const load = loadAverage.map((n) => n.toFixed(2)).join(', ');
  return `${cpuModel}, ${cores} cores, ${memory}, ${kernel}, Node ${e.node} (V8 ${e.v8})\n${commit}, ${e.date}, load before ${load}`;
}
