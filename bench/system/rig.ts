import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { type Background, background, missingPrograms, must } from '../../dist/cli/lab/commands.js';
import type { Undo } from '../../dist/cli/lab/undo.js';
import type { ConfigInput } from '../../dist/control/config/config.js';

/** The `weft` command, as it is built. */
export const WEFT = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Everything below is made in namespaces of this process; the root namespace is left alone. */
export interface Host {
  netns: string;
  device: string;
  underlayAddress: string;
  /** Overlay addresses: of the TAP of the weft node, and of the kernel's VXLAN device. */
  weftAddress: string;
  kernelAddress: string;
}

export const TAP = 'weft0';
const KERNEL_DEVICE = 'kernel0';
const VNI = 42;
const KERNEL_VNI = 43;
/** The port that Linux used before RFC 7348: weft has 4789 on the same address. */
const KERNEL_UDP_PORT = 8472;

export const inside = (host: { netns: string }, ...command: string[]) => [
  'ip',
  'netns',
  'exec',
  host.netns,
  ...command,
];

export function requirePrograms(names: string[]): void {
  if (process.getuid?.() !== 0) throw new Error('this benchmark makes network namespaces: run it as root');
  const missing = missingPrograms(names);
  if (missing.length > 0) throw new Error(`this benchmark needs ${missing.join(', ')}`);
}

/** A namespace without IPv6, whose chatter would be traffic. */
export async function makeNamespace(label: string, undo: Undo, signal: AbortSignal): Promise<string> {
  const netns = `wt-${process.pid}-${label}`;
  await must(['ip', 'netns', 'add', netns], signal);
  undo.add((late) => must(['ip', 'netns', 'delete', netns], late));
  const quiet = 'for d in all default; do echo 1 >/proc/sys/net/ipv6/conf/$d/disable_ipv6; done';
  await must(inside({ netns }, 'sh', '-c', quiet), signal);
  await must(['ip', '-n', netns, 'link', 'set', 'lo', 'up'], signal);
  return netns;
}

/** A folder for configurations, sockets and logs. */
export function makeFolder(undo: Undo): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-bench-'));
  undo.add(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Two hosts joined by a veth pair. */
export async function makeHosts(undo: Undo, signal: AbortSignal): Promise<[Host, Host]> {
  const host = async (label: string, n: number): Promise<Host> => ({
    netns: await makeNamespace(label, undo, signal),
    device: `v${label}`,
    underlayAddress: `198.18.0.${n}`,
    weftAddress: `10.0.0.${n}`,
    kernelAddress: `10.0.1.${n}`,
  });
  const a = await host('a', 1);
  const b = await host('b', 2);
  const ends = [a.device, 'netns', a.netns, 'type', 'veth', 'peer', 'name', b.device, 'netns', b.netns];
  await must(['ip', 'link', 'add', ...ends], signal);
  for (const h of [a, b]) {
    await must(['ip', '-n', h.netns, 'address', 'add', `${h.underlayAddress}/24`, 'dev', h.device], signal);
    await must(['ip', '-n', h.netns, 'link', 'set', h.device, 'up'], signal);
  }
  return [a, b];
}

/**
 * Rigs. `uncut`: veth as it is made, superframes cross it whole. `cut`: like a wire without offloads; packets leave cut and with finished
 * checksums, and arrivals are coalesced.
 */
export type Rig = 'uncut' | 'cut';

export async function setRig(hosts: readonly Host[], rig: Rig, signal: AbortSignal): Promise<void> {
  const features = rig === 'cut' ? ['tx', 'off', 'gro', 'on'] : ['tx', 'on', 'gro', 'off'];
  for (const host of hosts) await must(inside(host, 'ethtool', '-K', host.device, ...features), signal);
}

/** The kernel's VXLAN over the same veth. */
export async function addKernelVxlan([a, b]: [Host, Host], signal: AbortSignal): Promise<void> {
  for (const [host, other] of [
    [a, b],
    [b, a],
  ]) {
    const ip = (...args: string[]) => must(['ip', '-n', host.netns, ...args], signal);
    const ends = ['local', host.underlayAddress, 'remote', other.underlayAddress, 'dev', host.device];
    const port = ['dstport', String(KERNEL_UDP_PORT)];
    await ip('link', 'add', KERNEL_DEVICE, 'type', 'vxlan', 'id', String(KERNEL_VNI), ...port, ...ends);
    await ip('address', 'add', `${host.kernelAddress}/24`, 'dev', KERNEL_DEVICE);
    await ip('link', 'set', KERNEL_DEVICE, 'up');
  }
}

/** One underlay, one network, one TAP. */
export function nodeConfig(name: string, folder: string, host: Host, peer: string | null): ConfigInput {
  return {
    node: { name, socket: join(folder, `${name}.sock`) },
    underlays: [{ name: 'veth', address: host.underlayAddress }],
    networks: [
      {
        name: 'bench',
        vni: VNI,
        underlay: 'veth',
        peers: peer === null ? [] : [peer],
        ports: [{ name: TAP, type: 'tap', addresses: [`${host.weftAddress}/24`] }],
      },
    ],
  };
}

export function writeConfig(folder: string, name: string, config: ConfigInput): string {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, stringify(config));
  return file;
}

/** Starts `weft up` in a host; its log is `NAME.log` in the folder. */
export function startNode(host: Host, folder: string, name: string, peer: string | null, undo: Undo): Background {
  return runNode(host, folder, name, nodeConfig(name, folder, host, peer), undo);
}

/** The same with a configuration of its own, and a program that takes the arguments of `weft`. */
export function runNode(
  host: Host,
  folder: string,
  name: string,
  config: ConfigInput,
  undo: Undo,
  program = WEFT,
): Background {
  const file = writeConfig(folder, name, config);
  const node = background(inside(host, process.execPath, program, 'up', file), join(folder, `${name}.log`));
  undo.add(() => node.end());
  return node;
}
