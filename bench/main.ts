import { parseArgs } from 'node:util';
import type { Benchmark, OptionValue } from './benchmark.js';
import { codec } from './micro/codec.js';
import { pipeline } from './pipeline/pipeline.js';
import { makeReport, renderReport, writeJson } from './report/report.js';
import { idle } from './system/idle.js';
import { tcpVxlan } from './system/tcpVxlan.js';

const benchmarks: Benchmark[] = [codec, pipeline, tcpVxlan, idle];

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
  return lines.join('\n');
}

function listNames(): string {
  const width = Math.max(...benchmarks.map((b) => b.name.length)) + 2;
  return benchmarks.map((b) => `${b.name.padEnd(width)}${b.summary}`).join('\n');
}

function readOptions(benchmark: Benchmark, args: string[]): Record<string, OptionValue> {
  const options = { json: { type: 'string' as const }, ...benchmark.options };
  return parseArgs({ args, options, allowPositionals: false }).values as Record<string, OptionValue>;
}

async function run(benchmark: Benchmark, args: string[]): Promise<number> {
  let options: Record<string, OptionValue>;
  try {
    options = readOptions(benchmark, args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage()}`);
    return EXIT_USAGE;
  }
  const { json, ...own } = options;
  const findings = await benchmark.run(own, (line) => console.error(`${benchmark.name}: ${line}`));
  const report = makeReport(benchmark.name, own, findings);
  console.log(renderReport(report));
  if (typeof json === 'string') writeJson(json, report);
  return 0;
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
    return await run(benchmark, args);
  } catch (error) {
    console.error(`${name}: ${(error as Error).stack}`);
    return EXIT_FAILED;
  }
}

process.exitCode = await main();
