// What the machine must bring along: each lack is one sentence that names it and says how to get it.
import { closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasCommand, outputOf } from './process.mjs';
import { root } from './stamps.mjs';

const NODE_MIN = '20.19.0';

/** True when dotted version `have` is `want` or newer. */
export function atLeast(have, want) {
  const a = have.split('.').map(Number);
  const b = want.split('.').map(Number);
  for (let i = 0; i < b.length; i++) {
    if ((a[i] ?? 0) !== b[i]) return (a[i] ?? 0) > b[i];
  }
  return true;
}

export const isRoot = () => process.getuid?.() === 0;

export function nodeLack() {
  if (atLeast(process.versions.node, NODE_MIN)) return null;
  return `Node ${NODE_MIN} or newer is needed and this is ${process.versions.node}: get one from https://nodejs.org/en/download or with "nvm install 20".`;
}

/** The oldest Rust that the native addon accepts, from its own Cargo.toml. */
export function rustMin() {
  const manifest = readFileSync(join(root, 'native/tun/Cargo.toml'), 'utf8');
  return /^rust-version\s*=\s*"([\d.]+)"/m.exec(manifest)?.[1] ?? '1.85';
}

export function rustLack() {
  const wanted = rustMin();
  const have = /^cargo (\d+\.\d+\.\d+)/.exec(outputOf('cargo', ['--version']) ?? '')?.[1];
  if (!have) {
    return `Rust ${wanted} or newer is needed for the native addon and cargo was not found: install it with "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" (see https://rustup.rs).`;
  }
  if (atLeast(have, wanted)) return null;
  return `Rust ${wanted} or newer is needed for the native addon and cargo is ${have}: bring it up to date with "rustup update stable".`;
}

export function linkerLack() {
  if (hasCommand('cc')) return null;
  return 'A C and C++ compiler is needed to link the native addon: install it with "apt-get install g++".';
}

/** Version of the DPDK that the addon would be built against, null without its headers. */
export const dpdkVersion = () => outputOf('pkg-config', ['--modversion', 'libdpdk'])?.trim() ?? null;

export function dpdkLack() {
  const missing = ['pkg-config', 'make'].filter((name) => !hasCommand(name));
  if (missing.length === 0 && dpdkVersion() !== null) return null;
  return 'DPDK 22.11 or newer with its headers was not found: install it with "apt-get install libdpdk-dev pkg-config make".';
}

export function sanitizerLack() {
  // A compiler without the library answers with the bare name.
  if (existsSync(outputOf('g++', ['-print-file-name=libasan.so']) ?? '')) return null;
  return 'g++ with AddressSanitizer was not found: install it with "apt-get install g++".';
}

export function rootLack() {
  if (isRoot()) return null;
  return `root is needed (this is user ${process.getuid?.() ?? 'unknown'}): network namespaces and TAP devices cannot be made without it, so run the same command with sudo or as root.`;
}

/** Opening is the only honest test: the device node may be there without the driver, or be forbidden in a container. */
export function tunLack() {
  const path = '/dev/net/tun';
  if (!existsSync(path)) {
    return `${path} is missing: load the driver with "modprobe tun", or start the container with "--device ${path}".`;
  }
  try {
    closeSync(openSync(path, constants.O_RDWR));
    return null;
  } catch (error) {
    return `${path} cannot be opened (${error.code}): ${
      error.code === 'EACCES' || error.code === 'EPERM'
        ? `become root, or start the container with "--device ${path} --cap-add NET_ADMIN".`
        : 'load the driver with "modprobe tun".'
    }`;
  }
}
