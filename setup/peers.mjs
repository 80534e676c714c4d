// Peers of the interop tests that are unpacked below .setup/ instead of installed: Open vSwitch, whose package would start a switch on this
// machine, and a virtual machine with a Linux kernel that has every tunnel. Both are optional: without them their tests are skipped.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { hasCommand, outputOf, run, SetupError } from './process.mjs';
import { isRoot } from './requirements.mjs';
import { hashOf, root, stampFolder } from './stamps.mjs';

const SELF = join(root, 'setup/peers.mjs');
const GUEST = join(stampFolder, 'guest');
const MAKER = join(root, 'dist/cli/lab/guest/image.js');
const MAKER_SOURCES = ['image.ts', 'init.ts'].map((name) => join(root, 'src/cli/lab/guest', name));

/** Why Debian packages cannot be unpacked here; null when they can. */
function unpackLack() {
  if (hasCommand('apt-get') && hasCommand('dpkg-deb')) return null;
  return 'this is not a Debian system.';
}

/** Makes `folder` below .setup/ whole or not at all: `fill` works in a folder beside it. */
async function makeFolder(name, fill) {
  const folder = join(stampFolder, name);
  const partial = `${folder}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  await fill(partial);
  rmSync(folder, { recursive: true, force: true });
  renameSync(partial, folder);
}

/** Downloads a Debian package and unpacks it into `folder`. */
async function unpack(name, folder) {
  const packed = `${folder}.deb`;
  mkdirSync(packed, { recursive: true });
  mkdirSync(folder, { recursive: true });
  const download = () => run('apt-get', ['download', name], { cwd: packed });
  try {
    await download();
  } catch (error) {
    if (!isRoot()) throw error;
    await run('apt-get', ['-o', 'DPkg::Lock::Timeout=120', 'update']);
    await download();
  }
  await run('dpkg-deb', ['--extract', join(packed, readdirSync(packed)[0]), folder]);
  rmSync(packed, { recursive: true });
}

const versionOf = (name) => outputOf('dpkg-query', ['--show', name]) ?? '';

export const openVswitch = {
  title: 'Open vSwitch (unpacked, not installed)',
  outputs: () =>
    ['lib/openvswitch-switch/ovs-vswitchd', 'lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk', 'bin/ovs-vsctl'].map((n) =>
      join(stampFolder, 'openvswitch/usr', n),
    ),
  // The daemon is of the same version as the tools that openvswitch-common installs.
  hash: () => hashOf([SELF], [versionOf('openvswitch-common')]),
  lacks: () => unpackLack() ?? (versionOf('openvswitch-common') === '' ? 'openvswitch-common is not installed.' : null),
  make: () =>
    makeFolder('openvswitch', async (folder) => {
      // The second is the same daemon over DPDK, whose libraries come with libdpdk-dev.
      for (const name of ['openvswitch-switch', 'openvswitch-switch-dpdk']) await unpack(name, folder);
    }),
};

/** The machine of the tests is that of `weft lab --vm`, so the built command makes it. */
async function makeGuest() {
  const { makeImage } = await import(pathToFileURL(MAKER));
  const make = () => makeImage(GUEST, { say: () => {}, signal: new AbortController().signal });
  try {
    await make();
  } catch (error) {
    if (!isRoot()) throw new SetupError(error.message);
    await run('apt-get', ['-o', 'DPkg::Lock::Timeout=120', 'update']);
    await make().catch((again) => {
      throw new SetupError(again.message);
    });
  }
}

export const guest = {
  title: 'guest for tests (Linux kernel, unpacked)',
  outputs: () => ['vmlinuz', 'initrd.cpio'].map((name) => join(GUEST, name)),
  hash: () => hashOf([SELF, ...MAKER_SOURCES]),
  lacks() {
    if (process.arch !== 'x64') return 'the guest is for x86-64 machines.';
    return unpackLack() ?? (existsSync('/usr/bin/qemu-system-x86_64') ? null : 'qemu-system-x86 is not installed.');
  },
  make: makeGuest,
};
