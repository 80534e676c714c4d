// Packages from outside: Debian's for the tools that the lab and the tests call, npm's for the program itself.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasCommand, outputOf, run, SetupError } from './process.mjs';
import { isRoot, rustLack } from './requirements.mjs';
import { root } from './stamps.mjs';

// Debian package -> a command that proves it on systems without dpkg.
const FOR_START = { iproute2: 'ip', 'iputils-ping': 'ping', iperf3: 'iperf3', ethtool: 'ethtool' };
const FOR_TEST = { tshark: 'tshark', tcpdump: 'tcpdump', nftables: 'nft', 'python3-scapy': 'scapy' };

// Peers of the interop tests, whose tests are skipped without them.
const FOR_PEERS = { 'openvswitch-common': 'ovs-ofctl', 'qemu-system-x86': 'qemu-system-x86_64' };

// Of them, what benchmarks run beside.
const FOR_BENCH_PEERS = { 'openvswitch-common': 'ovs-ofctl' };

// What the addon over DPDK is built with, and testpmd, the peer of its tests and benchmarks.
const FOR_DPDK = {
  'libdpdk-dev': 'dpdk-testpmd',
  'dpdk-dev': 'dpdk-testpmd',
  'pkg-config': 'pkg-config',
  make: 'make',
};

// What looks at the C++ of that addon.
const FOR_CPP = { 'clang-format': 'clang-format', 'clang-tidy': 'clang-tidy' };

const byPurpose = {
  start: FOR_START,
  bench: FOR_START,
  test: { ...FOR_START, ...FOR_TEST },
  peers: FOR_PEERS,
  benchPeers: FOR_BENCH_PEERS,
  dpdk: FOR_DPDK,
  cpp: FOR_CPP,
};

// `${...}` is dpkg-query's own syntax.
const isInstalled = (name) =>
  // biome-ignore lint/suspicious/noTemplateCurlyInString: not a JavaScript template
  outputOf('dpkg-query', ['--show', '--showformat=${db:Status-Status}', name]) === 'installed';

/** Names of the packages for `purpose` that this machine lacks. */
export function missingDebianPackages(purpose) {
  if (!(purpose in byPurpose)) return [];
  const byDpkg = hasCommand('dpkg-query');
  const missing = Object.entries(byPurpose[purpose])
    .filter(([name, command]) => !(byDpkg ? isInstalled(name) : hasCommand(command)))
    .map(([name]) => name);
  // Any C compiler links the addon; only where there is none is one installed.
  return hasCommand('cc') || ['peers', 'benchPeers', 'dpdk', 'cpp'].includes(purpose) ? missing : ['g++', ...missing];
}

/** Why `names` cannot be installed from here and what to do about it, in one sentence; null when they can. */
export function installLack(names, purpose) {
  const list = names.join(' ');
  if (!hasCommand('apt-get'))
    return `this is not a Debian system: install what these packages hold by its own means: ${list}.`;
  if (!isRoot())
    return `without root these packages are not installed, and what "${purpose}" does with them is left out: ${list}.`;
  return null;
}

export async function installDebianPackages(names) {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const wait = ['-o', 'DPkg::Lock::Timeout=120'];
  const install = () => run('apt-get', [...wait, 'install', '--yes', '--no-install-recommends', ...names], { env });
  try {
    await install();
  } catch {
    // No package lists yet, or older than the mirror's: only now are they worth fetching.
    await run('apt-get', [...wait, 'update'], { env });
    await install();
  }
}

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

const sameNames = (a = {}, b = {}) =>
  Object.keys(a).length === Object.keys(b).length && Object.entries(a).every(([name, range]) => b[name] === range);

/** True when node_modules holds exactly what package-lock.json asks for (packages for other platforms may be absent). */
export function npmPackagesFresh() {
  const installedPath = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(installedPath)) return false;
  const locked = readJson(join(root, 'package-lock.json')).packages;
  const installed = readJson(installedPath).packages;
  for (const [path, entry] of Object.entries(locked)) {
    if (path === '') continue;
    const have = installed[path];
    if (!have && entry.optional) continue;
    if (have?.version !== entry.version || have.integrity !== entry.integrity) return false;
    if (!existsSync(join(root, path, 'package.json'))) return false;
  }
  return Object.keys(installed).every((path) => path in locked);
}

export async function installNpmPackages() {
  const manifest = readJson(join(root, 'package.json'));
  const locked = readJson(join(root, 'package-lock.json')).packages[''];
  for (const kind of ['dependencies', 'devDependencies']) {
    if (!sameNames(manifest[kind], locked[kind])) {
      throw new SetupError(
        `package.json and package-lock.json disagree about ${kind}: run "npm install" and commit both.`,
      );
    }
  }
  await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

/** rustfmt and clippy are apart from the compiler in rustup's minimal profile. */
export function missingRustComponents() {
  return ['rustfmt', 'clippy'].filter(
    (name) => outputOf('cargo', [name === 'rustfmt' ? 'fmt' : name, '--version']) === null,
  );
}

export async function installRustComponents(names) {
  const lack = rustLack();
  if (lack) throw new SetupError(lack);
  if (!hasCommand('rustup')) {
    throw new SetupError(`cargo has no ${names.join(' and no ')}: install them with your system's package manager.`);
  }
  await run('rustup', ['component', 'add', ...names]);
}
