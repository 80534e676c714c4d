// The builds: Rust addon, addon over DPDK (where DPDK is), AssemblyScript kernels, TypeScript. Each says what it is made from and what it makes.
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { run, SetupError } from './process.mjs';
import { dpdkLack, dpdkVersion, linkerLack, rustLack, sanitizerLack } from './requirements.mjs';
import { filesBelow, hashOf, root } from './stamps.mjs';

const at = (...parts) => join(root, ...parts);
const bin = (name) => at('node_modules/.bin', name);
const platform = `${process.platform}-${process.arch}`;

/** Copies under a name of its own and renames, so that a running node never maps half a file. */
function place(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  const partial = `${to}.${process.pid}`;
  copyFileSync(from, partial);
  renameSync(partial, to);
}

export const native = {
  title: 'native addon (cargo build --release)',
  outputs: () => [at('native/tun/weft_tun.node')],
  hash: () =>
    hashOf(
      filesBelow(
        at('native/tun'),
        (name) => name.endsWith('.rs') || name.startsWith('Cargo.') || name.endsWith('.toml'),
      ),
      [platform],
    ),
  lacks: (coming) => [rustLack(), coming.includes('g++') ? null : linkerLack()].filter((lack) => lack !== null),
  async make() {
    await run('cargo', ['build', '--release', '--locked', '--target-dir', 'target'], { cwd: at('native/tun') });
    const library = process.platform === 'darwin' ? 'libweft_tun.dylib' : 'libweft_tun.so';
    const built = at('native/tun/target/release', library);
    if (!existsSync(built)) throw new SetupError(`cargo succeeded but left no ${relative(root, built)}`);
    place(built, at('native/tun/weft_tun.node'));
  },
};

/** Optional: without it there are no ports of type dpdk and vhost-user, and everything else works. */
export const dpdk = {
  title: 'DPDK addon (make)',
  without: 'ports of type dpdk and vhost-user are left out',
  outputs: () => [at('native/dpdk/weft_dpdk.node')],
  hash: () =>
    hashOf(
      filesBelow(at('native/dpdk'), (name) => /^Makefile$|\.(cc|h)$/.test(name)),
      [platform, dpdkVersion() ?? ''],
    ),
  lacks: () => [dpdkLack(), linkerLack()].filter((lack) => lack !== null),
  async make() {
    await run('make', ['--jobs', '2', '--no-print-directory', 'OUTPUT=build/weft_dpdk.node'], {
      cwd: at('native/dpdk'),
    });
    place(at('native/dpdk/build/weft_dpdk.node'), at('native/dpdk/weft_dpdk.node'));
  },
};

const sanitizedAddon = () => at('native/dpdk/build-address/weft_dpdk.node');

/** The same with AddressSanitizer, for test/native/sanitized.test.ts. */
export const dpdkSanitized = {
  title: 'DPDK addon with AddressSanitizer (make)',
  without: 'tests with AddressSanitizer are left out',
  outputs: () => [sanitizedAddon()],
  hash: dpdk.hash,
  lacks: () => [...dpdk.lacks(), sanitizerLack()].filter((lack) => lack !== null),
  async make() {
    await run('make', ['--jobs', '2', '--no-print-directory', 'SANITIZE=address'], { cwd: at('native/dpdk') });
  },
};

const kernelSources = () => filesBelow(at('src'), (name) => name.endsWith('.as.ts'));
const kernelOutput = (source) => source.replace(/\.as\.ts$/, '.wasm');
const distOutput = (path) => join(root, 'dist', relative(at('src'), path));

export const wasm = {
  title: 'WASM kernels (asc)',
  outputs: () => kernelSources().flatMap((source) => [kernelOutput(source), distOutput(kernelOutput(source))]),
  hash: () => hashOf([...kernelSources(), at('asconfig.json'), at('package-lock.json')]),
  lacks: () => [],
  async make() {
    for (const source of kernelSources()) {
      const output = kernelOutput(source);
      await run(bin('asc'), [relative(root, source), '--config', 'asconfig.json', '--outFile', `${output}.partial`]);
      renameSync(`${output}.partial`, output);
      place(output, distOutput(output));
    }
  },
};

const isSource = (name) => name.endsWith('.ts') && !name.endsWith('.as.ts');

/** What an earlier build left of sources that are gone would still be importable: it goes. */
function removeOrphans(outFolder, sourceFolder) {
  for (const output of filesBelow(outFolder, (name) => /\.(js|d\.ts|js\.map)$/.test(name))) {
    const source = join(sourceFolder, relative(outFolder, output)).replace(/\.(js|d\.ts|js\.map)$/, '.ts');
    if (!existsSync(source)) rmSync(output);
  }
}

function typescriptBuild({ title, sourceFolder, outFolder, project, extraInputs, mains }) {
  return {
    title,
    outputs: () => mains.map((name) => at(outFolder, name)),
    hash: () =>
      hashOf([
        ...filesBelow(at(sourceFolder), isSource),
        ...extraInputs().map((name) => at(name)),
        at(project),
        at('package-lock.json'),
      ]),
    lacks: () => [],
    async make() {
      await run(bin('tsc'), ['--project', project]);
      removeOrphans(at(outFolder), at(sourceFolder));
    },
  };
}

export const typescript = typescriptBuild({
  title: 'TypeScript (tsc)',
  sourceFolder: 'src',
  outFolder: 'dist',
  project: 'tsconfig.json',
  extraInputs: () => filesBelow(at('types'), isSource).map((path) => join('types', basename(path))),
  mains: ['index.js', 'cli/main.js'],
});

export const bench = typescriptBuild({
  title: 'benchmarks (tsc)',
  sourceFolder: 'bench',
  outFolder: 'dist-bench',
  project: 'bench/tsconfig.json',
  extraInputs: () => filesBelow(at('src'), isSource).map((path) => relative(root, path)),
  mains: ['main.js'],
});
