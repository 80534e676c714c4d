// Peers of the interop tests that are unpacked below .setup/ instead of installed: Open vSwitch, whose package would start a switch on this
// machine, and a virtual machine with a Linux kernel that has every tunnel. Both are optional: without them their tests are skipped.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { hasCommand, outputOf, run, SetupError } from './process.mjs';
import { isRoot } from './requirements.mjs';
import { hashOf, root, stampFolder } from './stamps.mjs';

const SELF = join(root, 'setup/peers.mjs');
const INIT = join(root, 'test/rig/guest/init');

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
    ['lib/openvswitch-switch/ovs-vswitchd', 'bin/ovs-vsctl'].map((n) => join(stampFolder, 'openvswitch/usr', n)),
  // The daemon is of the same version as the tools that openvswitch-common installs.
  hash: () => hashOf([SELF], [versionOf('openvswitch-common')]),
  lacks: () => unpackLack() ?? (versionOf('openvswitch-common') === '' ? 'openvswitch-common is not installed.' : null),
  make: () => makeFolder('openvswitch', (folder) => unpack('openvswitch-switch', folder)),
};

// virtio_* are loaded at boot; what belongs to a type of link is loaded by the guest's kernel when such a link is made.
const MODULES = [
  'virtio_pci',
  'virtio_net',
  'virtio_console',
  'ipip',
  'sit',
  'ip_gre',
  'ip6_gre',
  'ip6_tunnel',
  'geneve',
  'vxlan',
];
MODULES.push('fou', 'fou6', 'dummy', 'veth', 'bridge', '8021q', 'vrf');
MODULES.push('sch_ingress', 'sch_netem', 'cls_matchall', 'cls_flower', 'act_gact', 'act_mirred', 'act_tunnel_key');

// Programs of this machine that the guest gets, with their libraries.
const PROGRAMS = ['dash', 'ip', 'tc', 'bridge', 'ping', 'ethtool'];

/** Paths of MODULES and of all that they depend on, from the table that depmod wrote. */
function moduleClosure(table) {
  const needs = new Map();
  for (const line of table.trimEnd().split('\n')) {
    const [path, rest] = line.split(':');
    needs.set(
      basename(path)
        .replace(/\.ko.*/, '')
        .replaceAll('-', '_'),
      [path, ...rest.trim().split(' ').filter(Boolean)],
    );
  }
  return new Set(
    MODULES.flatMap((name) => {
      const paths = needs.get(name);
      if (!paths) throw new SetupError(`the guest's kernel has no module ${name}`);
      return paths;
    }),
  );
}

function place(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

/** Copies a program of this machine, found by `sh`, and the libraries it is linked with. */
function placeProgram(name, guest) {
  const found = outputOf('sh', ['-c', `command -v ${name}`]);
  if (!found) throw new SetupError(`the guest needs the command ${name}`);
  const program = realpathSync(found);
  place(program, join(guest, 'usr/bin', name));
  for (const [library] of (outputOf('ldd', [program]) ?? '').matchAll(/\/\S+/g))
    place(realpathSync(library), join(guest, library));
}

async function fillGuest(folder) {
  const kernelPackage = /Depends: (linux-image\S+)/.exec(
    outputOf('apt-cache', ['depends', 'linux-image-cloud-amd64']) ?? '',
  )?.[1];
  if (!kernelPackage) throw new SetupError('the package lists have no linux-image-cloud-amd64');
  const [kernel, tools, guest] = ['kernel', 'tools', 'root'].map((name) => join(folder, name));
  await unpack(kernelPackage, kernel);
  await unpack('busybox-static', tools);
  const busybox = join(tools, 'bin/busybox');
  const version = readdirSync(join(kernel, 'lib/modules'))[0];
  copyFileSync(join(kernel, `boot/vmlinuz-${version}`), join(folder, 'vmlinuz'));

  const modules = join('lib/modules', version);
  await run(busybox, ['depmod', '-b', kernel, version]);
  for (const path of moduleClosure(readFileSync(join(kernel, modules, 'modules.dep'), 'utf8')))
    place(join(kernel, modules, path), join(guest, modules, path));
  await run(busybox, ['depmod', '-b', guest, version]);

  for (const name of ['bin', 'sbin', 'usr/sbin', 'proc', 'sys', 'dev', 'run', 'tmp', 'etc'])
    mkdirSync(join(guest, name), { recursive: true });
  place(busybox, join(guest, 'bin/busybox'));
  for (const name of PROGRAMS) placeProgram(name, guest);
  symlinkSync('../usr/bin/dash', join(guest, 'bin/sh'));
  writeFileSync(join(guest, 'etc/passwd'), 'root::0:0:root:/:/bin/sh\n');
  place(INIT, join(guest, 'init'));
  // Uncompressed: an emulated processor takes a second longer to inflate it.
  const pack = 'find . | "$0" cpio -o -H newc -R 0:0 >../initrd.cpio';
  await run('sh', ['-c', pack, busybox], { cwd: guest });
  for (const path of [kernel, tools, guest]) rmSync(path, { recursive: true });
}

export const guest = {
  title: 'guest for tests (Linux kernel, unpacked)',
  outputs: () => ['vmlinuz', 'initrd.cpio'].map((name) => join(stampFolder, 'guest', name)),
  hash: () => hashOf([SELF, INIT]),
  lacks() {
    if (process.arch !== 'x64') return 'the guest is for x86-64 machines.';
    return unpackLack() ?? (existsSync('/usr/bin/qemu-system-x86_64') ? null : 'qemu-system-x86 is not installed.');
  },
  make: () => makeFolder('guest', fillGuest),
};
