// The packed package must be of use on a machine that has Node and nothing else: it is unpacked beside its run-time dependencies only,
// and its command is run with a PATH that holds neither cargo nor a compiler.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writePcap } from '../rig/captureFiles.js';
import { tcp, udp } from '../rig/frames.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

let folder: string;
let installed: string;

/** Files of the package, relative to it. */
const packedFiles = () => readdirSync(installed, { recursive: true }).map(String);

/** Runs a program in a project that has weft installed; nothing but Node is on its PATH. */
function runThere(command: string, args: string[]) {
  const env = { HOME: folder, PATH: pathWithNodeAlone(), npm_config_update_notifier: 'false' };
  return spawnSync(command, args, { cwd: folder, env, encoding: 'utf8' });
}

/** A folder with links to node, npx, env and sh: /usr/bin itself may also hold cargo and cc. */
function pathWithNodeAlone(): string {
  const bin = join(folder, 'path');
  mkdirSync(bin, { recursive: true });
  for (const name of ['node', 'npx', 'npm', 'env', 'sh']) {
    const found = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
    rmSync(join(bin, name), { force: true });
    if (found) symlinkSync(found, join(bin, name));
  }
  return bin;
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'weft-pack-'));
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  const modules = join(folder, 'node_modules');
  installed = join(modules, 'weft');
  mkdirSync(join(modules, '.bin'), { recursive: true });
  // The builds are there already; what `prepack` does is the set-up's own business.
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder], {
    cwd: root,
  });
  execFileSync('tar', ['-xzf', join(folder, packed.toString().trim()), '-C', folder]);
  execFileSync('mv', [join(folder, 'package'), installed]);
  for (const name of Object.keys(manifest.dependencies)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }
  const main = join(installed, manifest.bin.weft);
  chmodSync(main, 0o755);
  symlinkSync(main, join(modules, '.bin/weft'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the packed package', () => {
  it('holds the builds, the documents and the native sources, and neither tests nor TypeScript sources', () => {
    const files = packedFiles();
    for (const wanted of [
      'dist/index.js',
      'dist/index.d.ts',
      'dist/cli/main.js',
      'dist/packet/checksum.wasm',
      'native/tun/Cargo.toml',
      'native/tun/Cargo.lock',
      'native/tun/src/lib.rs',
      'README.md',
      'LICENSE',
    ]) {
      expect(files).toContain(wanted);
    }
    const unwanted = files.filter(
      (file) => /^(test|src|bench|node_modules|\.setup|\.ci)\//.test(file) || /\/target\//.test(file),
    );
    expect(unwanted).toEqual([]);
  });

  it('runs nothing when it is installed', () => {
    const packed = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    for (const script of ['preinstall', 'install', 'postinstall', 'prepare'])
      expect(packed.scripts).not.toHaveProperty(script);
    expect(packedFiles()).not.toContain('binding.gyp');
  });

  it('starts its command with a line that lets a shell run it', () => {
    expect(readFileSync(join(installed, manifest.bin.weft), 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
  });
});

describe('weft --help, installed elsewhere without Rust', () => {
  it('works by npx', () => {
    const result = runThere('npx', ['--no-install', 'weft', '--help']);
    expect(result.stderr).toBe('');
    expect(result.status).toBe(0);
    expect(result.stdout).toMatch(/^Usage: weft/);
    for (const verb of ['up', 'check', 'lab', 'status', 'capture', 'replay'])
      expect(result.stdout).toMatch(new RegExp(`^ +${verb}\\b`, 'm'));
  });

  it('works also when the native addon was not built', () => {
    rmSync(join(installed, 'native/tun/weft_tun.node'), { force: true });
    const result = runThere('node', ['node_modules/.bin/weft', '--help']);
    expect(result.stderr).toBe('');
    expect(result.status).toBe(0);
  });

  it('can be imported as a library without the native addon', () => {
    const script = "import('weft').then(({ createNode }) => console.log(typeof createNode))";
    const result = runThere('node', ['--input-type=module', '--eval', script]);
    expect(result.stderr).toBe('');
    expect(result.stdout).toBe('function\n');
  });
});

// The matcher is for people who have vitest; the package itself does without.
describe('weft/vitest, installed elsewhere beside vitest', () => {
  const test = `
import { expect, test } from 'vitest';
import { rewrite } from 'weft';
import 'weft/vitest';

test('what is put on comes off again', async () => {
  const push = ['vxlan:vni=42,remote=198.18.0.2'];
  await expect(rewrite({ inputs: ['in.pcap'], push, out: 'wire.pcapng' })).not.toMatchCapture('in.pcap');
  const report = rewrite({ inputs: ['wire.pcapng'], pop: 'auto', out: 'out.pcapng' });
  await expect(report).toMatchCapture('in.pcap', { times: true });
});

test('a difference is shown', async () => {
  const set = [{ field: 'ttl', value: '3' }];
  await expect(rewrite({ inputs: ['in.pcap'], set, out: 'set.pcapng' })).toMatchCapture('in.pcap');
});
`;

  beforeAll(() => {
    symlinkSync(join(root, 'node_modules/vitest'), join(folder, 'node_modules/vitest'));
    writePcap(join(folder, 'in.pcap'), [udp({ payload: 30 }), tcp({ payload: 9 })]);
    writeFileSync(join(folder, 'golden.test.ts'), test);
  });

  it("compares captures in a user's own tests", () => {
    const result = runThere('node', ['node_modules/vitest/vitest.mjs', 'run', '--root', folder]);
    expect(result.stdout).toMatch(/Tests .*1 failed.*1 passed/);
    expect(result.stdout + result.stderr).toMatch(/ip\.ttl +22 +3 +64/);
  });

  it('is typed', () => {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2023'];
    const result = runThere('node', [tsc, ...options, '--types', '', 'golden.test.ts']);
    expect(result.stdout).toBe('');
    expect(result.status).toBe(0);
  });
});
