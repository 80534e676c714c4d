// Runs the test tiers one after the other and adds them up.
//
//   node test/run.mjs [TIER ...]     all of them, or those named: check unit golden fuzz native interop package
//   node test/run.mjs golden --update-golden     writes what the golden cases keep, see test/golden/cases/README.md
//
// Set-up runs first, except for `check` alone. A failing tier does not stop the next one. Exit status 1 when anything failed or no
// test ran. The last line is always "N passed, N failed, N skipped".
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCargo, hasCommand } from '../setup/process.mjs';
import { dpdkVersion } from '../setup/requirements.mjs';
import { filesBelow } from '../setup/stamps.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const resultFolder = join(root, 'test-results');
const bin = (name) => join(root, 'node_modules/.bin', name);
const TIER_LIMIT_MIN = 18;

const manifest = ['--manifest-path', 'native/tun/Cargo.toml'];
const cpp = (target, tools, isThere = () => true) => ({
  command: 'make',
  args: ['--jobs=2', '--silent', '--no-print-directory', '--directory=native/dpdk', target],
  lack() {
    const missing = tools.filter((tool) => !hasCommand(tool));
    if (missing.length > 0) return `needs ${missing.join(', ')}`;
    return isThere() ? null : 'needs libdpdk-dev';
  },
});
const checks = [
  {
    name: 'format and lint (biome)',
    command: bin('biome'),
    args: ['ci', '--error-on-warnings', ...(process.stdout.isTTY ? [] : ['--colors=off']), '.'],
  },
  { name: 'types of src (tsc)', command: bin('tsc'), args: ['--noEmit'] },
  { name: 'types of tests and examples (tsc)', command: bin('tsc'), args: ['--project', 'test'] },
  { name: 'types of benchmarks (tsc)', command: bin('tsc'), args: ['--noEmit', '--project', 'bench'] },
  { name: 'format of Rust (cargo fmt)', command: 'cargo', args: ['fmt', '--check', ...manifest] },
  {
    name: 'lint of Rust (clippy)',
    command: 'cargo',
    args: ['clippy', '--locked', '--quiet', ...manifest, '--', '-D', 'warnings'],
  },
  { name: 'format of C++ (clang-format)', ...cpp('format-check', ['make', 'clang-format']) },
  { name: 'lint of C++ (clang-tidy)', ...cpp('tidy', ['make', 'pkg-config', 'clang-tidy'], dpdkVersion) },
];
const vitestTiers = ['unit', 'golden', 'fuzz', 'native', 'interop', 'package'];
const tierNames = ['check', ...vitestTiers];

// Colours are for people: a log file gets none.
const colours = process.stdout.isTTY ? {} : { NO_COLOR: '1', FORCE_COLOR: undefined };

const running = new Set();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    for (const child of running) process.kill(-child.pid, 'SIGTERM');
    process.exit(1);
  });
}

/** Runs a program in a process group of its own, output passed on; resolves to its exit status (124 when over the limit). */
function run(command, args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...colours, ...env },
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    });
    let overLimit = false;
    const limit = setTimeout(() => {
      overLimit = true;
      process.kill(-child.pid, 'SIGKILL');
    }, TIER_LIMIT_MIN * 60_000);
    running.add(child);
    const end = (status) => {
      clearTimeout(limit);
      running.delete(child);
      resolve(overLimit ? 124 : status);
    };
    child.on('error', (error) => {
      console.log(`${command}: ${error.message}`);
      end(127);
    });
    child.on('close', (status) => end(status ?? 1));
  });
}

const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;

async function runChecks() {
  const result = { passed: 0, failed: 0, skipped: [], failures: [] };
  for (const { name, command, args, lack } of checks) {
    const since = Date.now();
    const reason = lack?.() ?? null;
    if (reason !== null) {
      console.log(`skipped  ${name}  ${reason}`);
      result.skipped.push({ name, reason });
      continue;
    }
    const failed = (await run(command, args)) !== 0;
    console.log(`${failed ? 'FAILED' : 'ok'}  ${name}  ${seconds(since)}`);
    if (failed) result.failures.push(`${name}: ${command.replace(`${root}/`, '')} ${args.join(' ')}`);
    result[failed ? 'failed' : 'passed']++;
  }
  return result;
}

async function runVitest(tier) {
  const empty = { passed: 0, failed: 0, skipped: [], failures: [] };
  if (filesBelow(join(root, 'test', tier), (name) => name.endsWith('.test.ts')).length === 0) {
    console.log('no test files');
    return empty;
  }
  const path = join(resultFolder, `${tier}.json`);
  rmSync(path, { force: true });
  const reporters = ['--reporter=default', '--reporter=./test/tier-reporter.mjs'];
  const status = await run(bin('vitest'), ['run', '--project', tier, ...reporters], { WEFT_TIER_RESULT: path });
  if (!existsSync(path)) {
    return { ...empty, failed: 1, failures: [`tier ${tier} ended without a result (status ${status})`] };
  }
  const result = JSON.parse(readFileSync(path, 'utf8'));
  if (result.failed === 0 && (status !== 0 || result.passed + result.skipped.length === 0)) {
    return {
      ...result,
      failed: 1,
      failures: [`tier ${tier} ended with status ${status} and ${result.passed} passed tests`],
    };
  }
  return result;
}

async function runSetup() {
  const status = await run(process.execPath, ['setup.mjs', '--for', 'test']);
  const failures = status === 0 ? [] : ['set-up (node setup.mjs --for test)'];
  return { passed: 0, failed: failures.length, skipped: [], failures };
}

async function runTier(tier) {
  const since = Date.now();
  console.log(`\n=== ${tier} ===`);
  const result = tier === 'set-up' ? await runSetup() : tier === 'check' ? await runChecks() : await runVitest(tier);
  const counts = `${result.passed} passed, ${result.failed} failed, ${result.skipped.length} skipped`;
  console.log(`=== ${tier}: ${counts} in ${seconds(since)} ===`);
  return { tier, counts, ...result };
}

/** One line a reason, with the tests it kept from running. */
function printSkipped(results) {
  const byReason = new Map();
  for (const { skipped } of results) {
    for (const { name, reason } of skipped) byReason.set(reason, [...(byReason.get(reason) ?? []), name]);
  }
  for (const [reason, names] of byReason) {
    console.log(`\nskipped (${reason}):`);
    for (const name of names) console.log(`  ${name}`);
  }
}

const UPDATE_GOLDEN = '--update-golden';
const wanted = process.argv.slice(2).filter((word) => word !== UPDATE_GOLDEN);
if (process.argv.includes(UPDATE_GOLDEN)) process.env.WEFT_UPDATE_GOLDEN = '1';
const unknown = wanted.filter((name) => !tierNames.includes(name));
if (unknown.length > 0) {
  console.error(`unknown tier ${unknown.join(', ')}: the tiers are ${tierNames.join(', ')}`);
  process.exit(1);
}
const tiers = wanted.length > 0 ? tierNames.filter((name) => wanted.includes(name)) : tierNames;
if (tiers.some((name) => name !== 'check')) tiers.unshift('set-up');

findCargo();
mkdirSync(resultFolder, { recursive: true });
const since = Date.now();
const results = [];
for (const tier of tiers) results.push(await runTier(tier));

const sum = (count) => results.reduce((total, result) => total + count(result), 0);
const passed = sum((result) => result.passed);
const failed = sum((result) => result.failed);
printSkipped(results);
for (const { tier, failures } of results) for (const name of failures) console.log(`\nFAILED in ${tier}: ${name}`);
if (passed + failed === 0) console.log('\nno test ran');
console.log(`\n${results.map(({ tier, counts }) => `${tier}: ${counts}`).join('\n')}\nall in ${seconds(since)}\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
console.log(`${passed} passed, ${failed} failed, ${sum((result) => result.skipped.length)} skipped`);
