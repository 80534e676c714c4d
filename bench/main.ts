import { accessSync, constants, existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Benchmark, type OptionValues, UsageError } from './benchmark.js';
import { dpdkVxlan } from './dpdk/dpdkVxlan.js';
import { vhostUser } from './dpdk/vhostUser.js';
import { codec } from './micro/codec.js';
import { pipeline } from './pipeline/pipeline.js';
import { scale } from './pipeline/scale.js';
import { readEnvironment } from './report/machine.js';
import { type Report, renderReport, writeJson } from './report/report.js';
import { churn } from './system/churn.js';
import { idle } from './system/idle.js';
import { reload } from './system/reload.js';
import { replay } from './system/replay.js';
import { tcpVxlan } from './system/tcpVxlan.js';
import { mac } from './tables/mac.js';
import { routes } from './tables/routes.js';

const benchmarks: Benchmark[] = [
  codec,
  pipeline,
  scale,
  tcpVxlan,
  idle,
  reload,
  churn,
  routes,
  mac,
  replay,
  dpdkVxlan,
  vhostUser,
];

const EXIT_USAGE = 1;
const EXIT_FAILED = 2;

function usage(): string {
  const width = Math.max(...benchmarks.map((b) => b.name.length)) + 2;
  const lines = ['usage: npm run bench -- list', '       npm run bench -- NAME [--json FILE] [options]', ''];
  for (const b of benchmarks) {
    lines.push(`  ${b.name.padEnd(width)}${b.summary}`);
    for (const [name, o] of Object.entries(b.options)) {
      const fallback = o.default === undefined ? '' : ` (${o.default})`;
      lines.push(`  ${' '.repeat(width)}--${name}: ${o.help}${fallback}`);
    }
  }
  lines.push('', 'The report goes to standard output; --json writes all of it, with raw samples, to a file.');
  return lines.join('\n');
}

function listNames(): string {
  const width = Math.max(...benchmarks.map((b) => b.name.length)) + 2;
  return benchmarks.map((b) => `${b.name.padEnd(width)}${b.summary}`).join('\n');
}

function readOptions(benchmark: Benchmark, args: string[]): OptionValues {
  const options = { json: { type: 'string' as const }, ...benchmark.options };
  try {
    return parseArgs({ args, options, allowPositionals: false }).values as OptionValues;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Before minutes of work, not after them. */
function requireWritable(file: string): void {
  try {
    accessSync(existsSync(file) ? file : dirname(resolve(file)), constants.W_OK);
  } catch {
    throw new UsageError(`--json: ${file} can't be written`);
  }
}

async function run(benchmark: Benchmark, args: string[]): Promise<void> {
  const { json, ...own } = readOptions(benchmark, args);
  if (typeof json === 'string') requireWritable(json);
  const environment = readEnvironment();
  const findings = await benchmark.run(own, (line) => console.error(`${benchmark.name}: ${line}`));
  const report: Report = { benchmark: benchmark.name, environment, options: own, ...findings };
  if (typeof json === 'string') writeJson(json, report);
  console.log(renderReport(report));
}

async function main(): Promise<number> {
  const [name, ...args] = process.argv.slice(2);
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    console.log(usage());
    return name === undefined ? EXIT_USAGE : 0;
  }
  if (name === 'list') {
    console.log(listNames());
    return 0;
  }
  const benchmark = benchmarks.find((b) => b.name === name);
  if (benchmark === undefined) {
    console.error(`no benchmark is called ${name}\n\n${usage()}`);
    return EXIT_USAGE;
  }
  try {
    await run(benchmark, args);
    return 0;
  } catch (error) {
    const isUsage = error instanceof UsageError;
    console.error(`${name}: ${isUsage ? error.message : (error as Error).stack}`);
    return isUsage ? EXIT_USAGE : EXIT_FAILED;
  }
}

process.exitCode = await main();
