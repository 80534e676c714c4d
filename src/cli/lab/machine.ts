/**
 * The virtual machine of the lab: its first NIC is on a port of type vhost-user, its second one, for the comparison, on a TAP device that a
 * bridge joins with the kernel's VXLAN.
 */
import { join } from 'node:path';
import { WeftError } from '../../packet/error.js';
import { type Background, background, must, say, sleep, tail } from './commands.js';
import { cachedImage, type GuestImage } from './guest/image.js';
import { QEMU, qemuArguments } from './guest/qemu.js';
import { connectShell, type GuestShell } from './guest/shell.js';
import { type Host, inside, KERNEL_DEVICE, labFolder, machineSocket } from './hosts.js';
import type { Station } from './measure.js';
import type { Undo } from './undo.js';

export interface MachineFacts {
  /** Version of its kernel. */
  kernel: string;
  qemu: string;
  /** Until it answered. */
  bootMs: number;
  /** Its shell, a Unix socket. */
  shell: string;
}

export interface Machine extends Station {
  facts: MachineFacts;
}

export interface MachineSetting {
  image: GuestImage;
  /** Of the networks that its NICs are in. */
  mtu: number;
  /** Whether it gets the second NIC. */
  withKernel: boolean;
}

const BRIDGE = 'bridge0';
const KERNEL_TAP = 'tap0';
const MAC = '52:54:00:00:00:01';
const KERNEL_MAC = '52:54:00:00:00:02';
const LISTEN_LIMIT_MS = 10_000;
/** A few seconds where nobody else needs the CPUs. */
const BOOT_LIMIT_MS = 100_000;
const PATIENCE_MS = 30_000;
const CHANNEL_SLACK_MS = 5000;

/** The system of the machine, downloaded the first time. */
export const machineImage = (signal: AbortSignal): Promise<GuestImage> => cachedImage({ say, signal });

/** Puts a bridge between the kernel's VXLAN and a TAP device. Null when it is there; otherwise why not. */
export async function addKernelBridge(host: Host, signal: AbortSignal): Promise<string | null> {
  const ip = (...args: string[]) => must(['ip', '-n', host.netns, ...args], signal);
  try {
    await ip('link', 'add', BRIDGE, 'type', 'bridge');
    await must(inside(host, 'ip', 'tuntap', 'add', 'dev', KERNEL_TAP, 'mode', 'tap', 'vnet_hdr'), signal);
    for (const device of [KERNEL_DEVICE, KERNEL_TAP]) await ip('link', 'set', device, 'master', BRIDGE, 'up');
    await ip('address', 'flush', 'dev', KERNEL_DEVICE);
    await ip('link', 'set', BRIDGE, 'up');
    return null;
  } catch (error) {
    if (signal.aborted) throw error;
    return (error as Error).message;
  }
}

export async function startMachine(
  host: Host,
  id: number,
  { image, mtu, withKernel }: MachineSetting,
  undo: Undo,
  signal: AbortSignal,
): Promise<Machine> {
  const startedAt = performance.now();
  const [shellSocket, log] = ['machine.sock', 'machine.log'].map((name) => join(labFolder(id), name));
  // Told by the device: the machine sets it without being asked.
  const settings = `host_mtu=${mtu}`;
  const nics = [{ vhost: { path: machineSocket(id) }, mac: MAC, settings }];
  const kernelNics = withKernel ? [{ tap: KERNEL_TAP, mac: KERNEL_MAC, settings }] : [];
  const options = { image, shell: shellSocket, isShared: true, endsWithReboot: true };
  const qemu = background(inside(host, QEMU, ...qemuArguments({ ...options, nics: [...nics, ...kernelNics] })), log);
  undo.add(() => qemu.end());
  try {
    const shell = await connected(shellSocket, qemu, signal);
    undo.add(() => shell.close());
    const addresses = [host.address, ...(withKernel ? [host.kernelAddress] : [])];
    const setup = addresses.map((own, i) => `ip address add ${own}/24 dev eth${i} && ip link set eth${i} up`);
    const { status, stdout } = await shell.exec(`${setup.join(' && ')} && uname -r`, BOOT_LIMIT_MS, signal);
    if (status !== 0) throw new Error(stdout);
    const version = await must([QEMU, '--version'], signal);
    const facts = {
      kernel: stdout.trim(),
      qemu: /version (\S+)/.exec(version)?.[1] ?? '',
      bootMs: Math.round(performance.now() - startedAt),
      shell: shellSocket,
    };
    return { facts, run: (command, stop, limitMs = PATIENCE_MS) => run(shell, command, stop, limitMs) };
  } catch (error) {
    if (signal.aborted) throw error;
    const message = `the virtual machine does not start: ${(error as Error).message}\n${tail(log)}`;
    throw new WeftError('DEVICE', message, { object: 'virtual machine', cause: error });
  }
}

async function connected(path: string, qemu: Background, signal: AbortSignal): Promise<GuestShell> {
  for (const until = performance.now() + LISTEN_LIMIT_MS; performance.now() < until && !qemu.hasEnded; ) {
    signal.throwIfAborted();
    const shell = await connectShell(path);
    if (shell !== null) return shell;
    await sleep(50);
  }
  throw new Error(qemu.hasEnded ? 'qemu ended' : 'qemu does not listen');
}

/** The words of the lab's own commands: none of them needs quotes. */
async function run(shell: GuestShell, command: string[], signal: AbortSignal, limitMs: number) {
  const { status, stdout } = await shell.exec(command.join(' '), limitMs + CHANNEL_SLACK_MS, signal);
  return { stdout, stderr: '', code: status };
}
