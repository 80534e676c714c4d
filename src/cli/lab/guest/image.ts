/**
 * The Linux system of a virtual machine: Debian's cloud kernel and busybox, downloaded as packages and unpacked, with programs of this host.
 * Nothing is installed, and no rights are needed.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { WeftError } from '../../../packet/error.js';
import { findProgram, finish, must } from '../commands.js';
import { INIT } from './init.js';

export interface GuestImage {
  kernel: string;
  /** cpio, not compressed: an emulated processor takes a second longer to inflate it. */
  initrd: string;
}

export interface Progress {
  say(text: string): void;
  signal: AbortSignal;
}

const DOWNLOAD_LIMIT_MS = 600_000;
const UNPACK_LIMIT_MS = 120_000;
const BUSYBOX = 'busybox-static';
/** Another name with every security update, so the package that depends on it is asked. */
const KERNEL = 'linux-image-cloud-amd64';
// virtio_* are loaded at boot; what belongs to a type of link is loaded when such a link is made. What they need comes along.
const MODULES = ['virtio_pci', 'virtio_net', 'virtio_console', 'ipip', 'sit', 'ip_gre', 'ip6_gre', 'ip6_tunnel'];
MODULES.push('geneve', 'vxlan', 'fou', 'fou6', 'dummy', 'veth', 'bridge', '8021q', 'vrf');
MODULES.push('sch_ingress', 'sch_netem', 'cls_matchall', 'cls_flower', 'act_gact', 'act_mirred', 'act_tunnel_key');
/** Of this machine, copied with their libraries. */
const PROGRAMS = ['dash', 'ip', 'tc', 'bridge', 'ping', 'ethtool', 'iperf3'];

export const imageIn = (folder: string): GuestImage => ({
  kernel: join(folder, 'vmlinuz'),
  initrd: join(folder, 'initrd.cpio'),
});

/** Folder where the image is kept between runs. */
export function cacheFolder(): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const recipe = createHash('sha256').update(JSON.stringify([INIT, MODULES, PROGRAMS]));
  return join(cache, 'weft', `guest-${recipe.digest('hex').slice(0, 12)}`);
}

export const hasImage = (folder: string): boolean => Object.values(imageIn(folder)).every((file) => existsSync(file));

/** The image in the cache; made, with a download of 28 MB, the first time. */
export async function cachedImage(progress: Progress): Promise<GuestImage> {
  const folder = cacheFolder();
  if (!hasImage(folder)) await makeImage(folder, progress);
  return imageIn(folder);
}

/** Makes `folder` whole or not at all. */
export async function makeImage(folder: string, progress: Progress): Promise<void> {
  removePartial(folder);
  const partial = `${folder}.partial-${process.pid}`;
  mkdirSync(partial, { recursive: true });
  try {
    await fill(partial, progress);
    rmSync(folder, { recursive: true, force: true });
    renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/** What processes left that were killed. */
function removePartial(folder: string): void {
  const parent = dirname(folder);
  if (!existsSync(parent)) return;
  for (const name of readdirSync(parent)) {
    const pid = /\.partial-(\d+)$/.exec(name)?.[1];
    if (pid && !existsSync(`/proc/${pid}`)) rmSync(join(parent, name), { recursive: true, force: true });
  }
}

async function fill(folder: string, progress: Progress): Promise<void> {
  const { signal } = progress;
  const [kernel, tools, root] = ['kernel', 'tools', 'root'].map((name) => join(folder, name));
  await unpack(await kernelPackage(signal), kernel, progress);
  await unpack(BUSYBOX, tools, progress);
  progress.say('packing the system of the virtual machine');
  const busybox = join(tools, 'bin/busybox');
  const version = readdirSync(join(kernel, 'lib/modules'))[0];
  const image = imageIn(folder);
  copyFileSync(join(kernel, `boot/vmlinuz-${version}`), image.kernel);

  const modules = join('lib/modules', version);
  await must([busybox, 'depmod', '-b', kernel, version], signal);
  const table = readFileSync(join(kernel, modules, 'modules.dep'), 'utf8');
  for (const path of moduleClosure(table)) place(join(kernel, modules, path), join(root, modules, path));
  await must([busybox, 'depmod', '-b', root, version], signal);

  for (const name of ['bin', 'sbin', 'usr/sbin', 'proc', 'sys', 'dev', 'run', 'tmp', 'etc'])
    mkdirSync(join(root, name), { recursive: true });
  place(busybox, join(root, 'bin/busybox'));
  for (const name of PROGRAMS) await placeProgram(name, root, signal);
  symlinkSync('../usr/bin/dash', join(root, 'bin/sh'));
  writeFileSync(join(root, 'etc/passwd'), 'root::0:0:root:/:/bin/sh\n');
  writeFileSync(join(root, 'init'), INIT);
  chmodSync(join(root, 'init'), 0o755);
  const pack = `cd "$1" && find . | "$0" cpio -o -H newc -R 0:0 >"$2"`;
  await must(['sh', '-c', pack, busybox, root, image.initrd], signal, UNPACK_LIMIT_MS);
  for (const path of [kernel, tools, root]) rmSync(path, { recursive: true });
}

async function kernelPackage(signal: AbortSignal): Promise<string> {
  for (const program of ['apt-get', 'apt-cache', 'dpkg-deb'])
    if (findProgram(program) === null) throw unavailable(`this is not a Debian system (it has no ${program})`);
  const { stdout } = await finish(['apt-cache', 'depends', KERNEL], signal);
  const name = /Depends: (linux-image\S+)/.exec(stdout)?.[1];
  if (name === undefined) throw unavailable(`the package lists of apt have no ${KERNEL}`);
  return name;
}

/** Downloads a Debian package and unpacks it into `folder`. */
async function unpack(name: string, folder: string, progress: Progress): Promise<void> {
  const packed = `${folder}.deb`;
  mkdirSync(packed, { recursive: true });
  mkdirSync(folder, { recursive: true });
  await download(name, packed, progress);
  const extract = ['dpkg-deb', '--extract', join(packed, readdirSync(packed)[0]), folder];
  await must(extract, progress.signal, UNPACK_LIMIT_MS);
  rmSync(packed, { recursive: true });
}

async function download(name: string, folder: string, { say, signal }: Progress): Promise<void> {
  const { stdout } = await finish(['apt-cache', 'show', '--no-all-versions', name], signal);
  const whole = megabytes(Number(/^Size: (\d+)$/m.exec(stdout)?.[1]));
  say(`downloading ${name}, ${whole} MB`);
  const timer = setInterval(() => {
    const sizes = readdirSync(folder).map((file) => statSync(join(folder, file), { throwIfNoEntry: false })?.size ?? 0);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    say(`  ${megabytes(bytes)} of ${whole} MB`);
  }, 3000);
  try {
    await must(['env', `--chdir=${folder}`, 'apt-get', '--quiet=2', 'download', name], signal, DOWNLOAD_LIMIT_MS);
  } catch (error) {
    if (signal.aborted) throw error;
    // apt marks what counts; the rest is about its sandbox.
    const { message } = error as Error;
    throw unavailable(message.match(/^E: .*$/gm)?.join(' ') ?? message);
  } finally {
    clearInterval(timer);
  }
}

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);

function unavailable(why: string): WeftError {
  return new WeftError('UNAVAILABLE', `there is no Linux kernel for the virtual machine: ${why}`, {
    object: 'guest image',
    remedy:
      'run `apt-get update` once with a mirror of Debian in reach, or copy ~/.cache/weft of a Debian machine where this worked: it is used again without a network',
  });
}

/** Paths of modules and of all that they depend on, from the table that depmod wrote. */
function moduleClosure(table: string): Set<string> {
  const needs = new Map<string, string[]>();
  for (const line of table.trimEnd().split('\n')) {
    const [path, rest] = line.split(':');
    const name = basename(path)
      .replace(/\.ko.*/, '')
      .replaceAll('-', '_');
    needs.set(name, [path, ...rest.trim().split(' ').filter(Boolean)]);
  }
  return new Set(
    MODULES.flatMap((name) => {
      const paths = needs.get(name);
      if (!paths) throw unavailable(`Debian's has no module ${name}`);
      return paths;
    }),
  );
}

function place(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

/** Copies a program of this machine and the libraries it is linked with. */
async function placeProgram(name: string, root: string, signal: AbortSignal): Promise<void> {
  const found = findProgram(name);
  if (found === null) throw unavailable(`its system gets a copy of ${name}, which this machine does not have`);
  const program = realpathSync(found);
  place(program, join(root, 'usr/bin', name));
  const { stdout } = await finish(['ldd', program], signal);
  for (const [library] of stdout.matchAll(/\/\S+/g)) place(realpathSync(library), join(root, library));
}
