// A virtual machine with a Linux kernel of its own, which has the tunnels that this machine's kernel may lack. Always emulated: a nested
// kernel under KVM may hang without a word.
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { imageIn } from '../../src/cli/lab/guest/image.js';
import { type GuestNic, QEMU, qemuArguments, type VhostNic } from '../../src/cli/lab/guest/qemu.js';
import { type Answer, connectShell, type GuestShell } from '../../src/cli/lab/guest/shell.js';
import { runIn, startIn, type VethEnd } from './namespaces.js';
import { scratchFile } from './node.js';
import { until } from './waiting.js';

const IMAGE = fileURLToPath(new URL('../../.setup/guest', import.meta.url));

/** Three seconds on an idle machine, and many times that where others need its processors. */
const BOOT_LIMIT_MS = 100_000;
/** For the hook that boots a guest. */
export const GUEST_HOOK_MS = BOOT_LIMIT_MS + 20_000;
/** For a test of some pings and streams: four seconds on an idle machine. */
export const GUEST_TEST_MS = 180_000;
const COMMAND_LIMIT_MS = 60_000;

/** vhost-user, and which side qemu is. */
export interface VhostLink extends VhostNic {
  /** More properties of the NIC: `packed=on`. */
  nic?: string;
  /** Whether others may map the guest's memory; without it vhost-user cannot work. */
  isShared?: boolean;
  /** Network namespace that qemu runs in; default: that of the test. */
  namespace?: string;
}

/**
 * Where the guest's eth0 ends: a TAP device that is made in a namespace (needs root), a Unix stream socket that somebody listens on
 * and where each frame has its length in front, 4 bytes, big-endian, or rings of virtio in memory that it shares.
 */
export type GuestLink = { tap: VethEnd } | { socket: string } | { vhost: VhostLink };

export interface GuestOptions {
  link: GuestLink;
  mac?: string;
}

export const GUEST_MAC = '52:54:00:00:00:0b';
export const GUEST_DEVICE = 'eth0';

function nicOf({ link, mac = GUEST_MAC }: GuestOptions): GuestNic {
  if ('vhost' in link) return { vhost: link.vhost, mac, settings: link.vhost.nic };
  return { ...('tap' in link ? { tap: link.tap.device } : { stream: link.socket }), mac };
}

function argumentsOf(options: GuestOptions, shell: string): string[] {
  const { link } = options;
  const vhost = 'vhost' in link ? link.vhost : null;
  return qemuArguments({
    image: imageIn(IMAGE),
    shell,
    nics: [nicOf(options)],
    isShared: vhost !== null && (vhost.isShared ?? true),
    endsWithReboot: vhost === null,
    cpus: vhost?.queues,
  });
}

export class Guest {
  readonly #child: ChildProcess;
  readonly #shell: GuestShell;
  #console = '';

  constructor(child: ChildProcess, shell: GuestShell) {
    this.#child = child;
    this.#shell = shell;
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (this.#console += text));
  }

  /** What the machine and its kernel printed. */
  get console(): string {
    return this.#console;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Runs a shell command, one at a time; its status and all that it printed. */
  async exec(command: string, limitMs = COMMAND_LIMIT_MS): Promise<Answer> {
    try {
      return await this.#shell.exec(command, limitMs);
    } catch (error) {
      throw new Error(`${(error as Error).message}\nits console: ${this.#console}`, { cause: error });
    }
  }

  /** Runs a shell command that is expected to succeed; what it printed. */
  async run(command: string, limitMs?: number): Promise<string> {
    const { status, stdout } = await this.exec(command, limitMs);
    if (status !== 0) throw new Error(`in the guest, ${command} ended with ${status}: ${stdout}`);
    return stdout;
  }

  /** Restarts the machine; resolves when it answers again. */
  async reboot(): Promise<void> {
    const boots = () => this.#console.split('guest: kernel').length;
    const before = boots();
    this.#shell.write('reboot -f\n');
    await until('the guest to be up again', () => boots() > before, { withinMs: BOOT_LIMIT_MS });
    await this.run('true', BOOT_LIMIT_MS);
  }

  async stop(): Promise<void> {
    this.#shell.close();
    if (!this.hasEnded) this.#child.kill('SIGKILL');
    await until('the end of the guest', () => this.hasEnded);
  }
}

/** Makes the TAP behave like a wire: what the kernel sends through it is cut and has finished checksums. */
function makeTap({ namespace, device, address }: VethEnd): void {
  runIn(namespace, 'ip', 'tuntap', 'add', 'dev', device, 'mode', 'tap', 'vnet_hdr');
  runIn(namespace, 'ip', 'address', 'add', address, 'dev', device);
  runIn(namespace, 'ip', 'link', 'set', device, 'up');
}

/** Starts a guest without waiting for its kernel. */
export async function startGuest(options: GuestOptions): Promise<Guest> {
  const { link } = options;
  const path = scratchFile('guest.sock');
  const args = argumentsOf(options, path);
  if ('tap' in link) makeTap(link.tap);
  const namespace = 'tap' in link ? link.tap.namespace : 'vhost' in link ? link.vhost.namespace : undefined;
  const child =
    namespace !== undefined
      ? startIn(namespace, QEMU, ...args)
      : spawn(QEMU, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const shell = await until('the command channel of qemu', async () => {
    if (child.exitCode !== null) throw new Error(`qemu ended with ${child.exitCode}: ${child.stderr?.read()}`);
    return (await connectShell(path)) ?? false;
  });
  const guest = new Guest(child, shell);
  process.once('exit', () => child.kill('SIGKILL'));
  return guest;
}

/** Boots a guest and waits until it answers. With a TAP it is ended by `removeNamespaces` at the latest, otherwise by `stop`. */
export async function bootGuest(options: GuestOptions): Promise<Guest> {
  const { link } = options;
  const guest = await startGuest(options);
  // A vhost-user device keeps its offloads: they are part of what is tried.
  const wire = 'vhost' in link ? 'true' : `ethtool -K ${GUEST_DEVICE} tx off gro off`;
  await guest.run(`${wire} && ip link set ${GUEST_DEVICE} up`, BOOT_LIMIT_MS);
  if ('tap' in link) runIn(link.tap.namespace, 'ethtool', '-K', link.tap.device, 'tx', 'off');
  return guest;
}
