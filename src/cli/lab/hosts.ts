/**
 * The two hosts of the lab: network namespaces with names of this process, joined by a veth pair.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { SOCKET_DIRECTORY } from '../../control/api/controlSocket.js';
import type { ConfigInput, PortInput } from '../../control/config/config.js';
import { must } from './commands.js';
import type { Undo } from './undo.js';

export const UPLINK = 'uplink';
export const TAP = 'weft0';
/** The port that host a has in place of the TAP where its station is a virtual machine. */
export const MACHINE_PORT = 'machine0';
export const KERNEL_DEVICE = 'kernel0';
export const VNI = 42;
export const KERNEL_VNI = 43;
/** The port that Linux used before RFC 7348: weft has 4789 on the same address. */
export const KERNEL_UDP_PORT = 8472;

export interface Host {
  side: 'a' | 'b';
  /** Name of the namespace. */
  netns: string;
  /** Name of the weft node. */
  node: string;
  socket: string;
  underlayAddress: string;
  address: string;
  kernelAddress: string;
  configFile: string;
  logFile: string;
}

/** Folder of a lab: configurations, logs, and the mark that it is to be kept. */
export function labFolder(id: number): string {
  return join(SOCKET_DIRECTORY, `lab-${id}`);
}

/** Where node a listens for the virtual machine. */
export const machineSocket = (id: number) => join(labFolder(id), 'vhost-user.sock');

export function namespaceName(side: 'a' | 'b', id: number): string {
  return `weft-lab-${side}-${id}`;
}

export function describeHosts(id: number): [Host, Host] {
  const host = (side: 'a' | 'b', n: number): Host => ({
    side,
    netns: namespaceName(side, id),
    node: `lab-${side}-${id}`,
    socket: join(SOCKET_DIRECTORY, `lab-${side}-${id}.sock`),
    underlayAddress: `198.18.0.${n}`,
    address: `10.0.0.${n}`,
    kernelAddress: `10.0.1.${n}`,
    configFile: join(labFolder(id), `${side}.yaml`),
    logFile: join(labFolder(id), `${side}.log`),
  });
  return [host('a', 1), host('b', 2)];
}

/** Makes the namespaces, the veth between them, and the configuration of each node. */
export async function buildHosts(
  hosts: [Host, Host],
  id: number,
  withMachine: boolean,
  undo: Undo,
  signal: AbortSignal,
): Promise<void> {
  const folder = labFolder(id);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  undo.add(() => rmSync(folder, { recursive: true, force: true }));
  for (const { netns } of hosts) {
    // Noted first: Ctrl-C reaches the command too, and may end it when the namespace is there already.
    undo.add(async (late) => {
      if (existsSync(join('/run/netns', netns))) await must(['ip', 'netns', 'delete', netns], late);
    });
    await must(['ip', 'netns', 'add', netns], signal);
  }
  const [a, b] = hosts;
  await must(
    ['ip', 'link', 'add', UPLINK, 'netns', a.netns, 'type', 'veth', 'peer', 'name', UPLINK, 'netns', b.netns],
    signal,
  );
  for (const host of hosts) {
    const inside = ['ip', '-n', host.netns];
    await must([...inside, 'address', 'add', `${host.underlayAddress}/24`, 'dev', UPLINK], signal);
    await must([...inside, 'link', 'set', 'lo', 'up'], signal);
    await must([...inside, 'link', 'set', UPLINK, 'up'], signal);
  }
  const machinePort = { name: MACHINE_PORT, type: 'vhost-user' as const, path: machineSocket(id) };
  writeFileSync(a.configFile, stringify(configOf(a, b, withMachine ? machinePort : tapOf(a))), { mode: 0o600 });
  writeFileSync(b.configFile, stringify(configOf(b, a, tapOf(b))), { mode: 0o600 });
}

const tapOf = ({ address }: Host): PortInput => ({ name: TAP, type: 'tap', addresses: [`${address}/24`] });

function configOf(host: Host, other: Host, port: PortInput): ConfigInput {
  return {
    node: { name: host.node },
    underlays: [{ name: 'veth', address: host.underlayAddress }],
    networks: [
      {
        name: 'lab',
        vni: VNI,
        underlay: 'veth',
        peers: [other.underlayAddress],
        ports: [port],
      },
    ],
  };
}

/** The kernel's VXLAN over the same veth. Null when it is up; otherwise why this kernel has none. */
export async function addKernelVxlan(hosts: [Host, Host], signal: AbortSignal): Promise<string | null> {
  const [a, b] = hosts;
  for (const [host, other] of [
    [a, b],
    [b, a],
  ]) {
    const inside = ['ip', '-n', host.netns];
    const endpoints = [
      'local',
      host.underlayAddress,
      'remote',
      other.underlayAddress,
      'dstport',
      String(KERNEL_UDP_PORT),
    ];
    try {
      await must(
        [
          ...inside,
          'link',
          'add',
          KERNEL_DEVICE,
          'type',
          'vxlan',
          'id',
          String(KERNEL_VNI),
          ...endpoints,
          'dev',
          UPLINK,
        ],
        signal,
      );
    } catch (error) {
      if (signal.aborted) throw error;
      return (error as Error).message;
    }
    await must([...inside, 'address', 'add', `${host.kernelAddress}/24`, 'dev', KERNEL_DEVICE], signal);
    await must([...inside, 'link', 'set', KERNEL_DEVICE, 'up'], signal);
  }
  return null;
}

/** The command that runs a program inside of a host. */
export function inside(host: Host, ...command: string[]): string[] {
  return ['ip', 'netns', 'exec', host.netns, ...command];
}

/** This command's own program. */
export const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));
