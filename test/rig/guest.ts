// A virtual machine with a Linux kernel of its own, which has the tunnels that this machine's kernel may lack. Always emulated: a nested
// kernel under KVM may hang without a word.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { runIn, startIn, type VethEnd } from './namespaces.js';
import { type Ended, scratchFile } from './node.js';
import { until } from './waiting.js';

const image = (name: string) => fileURLToPath(new URL(`../../.setup/guest/${name}`, import.meta.url));

/** Three seconds on an idle machine, and many times that where others need its processors. */
const BOOT_LIMIT_MS = 100_000;
/** For the hook that boots a guest. */
export const GUEST_HOOK_MS = BOOT_LIMIT_MS + 20_000;
const COMMAND_LIMIT_MS = 30_000;

/** vhost-user, and which side qemu is. */
export interface VhostLink {
  path: string;
  mode?: 'client' | 'server';
  queues?: number;
  /** More properties of the NIC: `packed=on`. */
  nic?: string;
  /** Whether others may map the guest's memory; without it vhost-user cannot work. */
  isShared?: boolean;
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

function networkArguments({ link, mac = GUEST_MAC }: GuestOptions): string[] {
  if ('vhost' in link) return vhostArguments(link.vhost, mac);
  const wire =
    'tap' in link
      ? `tap,ifname=${link.tap.device},script=no,downscript=no,vhost=off`
      : `stream,server=off,addr.type=unix,addr.path=${link.socket}`;
  return ['-netdev', `${wire},id=n0`, '-device', `virtio-net-pci,netdev=n0,mac=${mac},romfile=`];
}

function vhostArguments({ path, mode = 'client', queues = 1, nic }: VhostLink, mac: string): string[] {
  const properties = ['virtio-net-pci,netdev=n0,romfile=', `mac=${mac}`, ...(queues > 1 ? ['mq=on'] : [])];
  // Without KVM, qemu 7.2 dies of a vhost-user device that has MSI-X vectors as soon as its driver starts.
  properties.push('vectors=0', ...(nic ? [nic] : []));
  return [
    ...['-chardev', `socket,id=c0,path=${path},${mode === 'client' ? 'reconnect=1' : 'server=on,wait=off'}`],
    ...['-netdev', `vhost-user,chardev=c0,queues=${queues},id=n0`, '-device', properties.join()],
  ];
}

const MEMORY_MB = 160;

function qemuArguments(options: GuestOptions, commandSocket: string): string[] {
  const { link } = options;
  const vhost = 'vhost' in link ? link.vhost : null;
  // Random numbers from the emulated processor: the guest has no other source at boot.
  const machine = ['-accel', 'tcg,thread=multi', '-cpu', 'qemu64,+rdrand', '-m', `${MEMORY_MB}`];
  machine.push('-smp', `${vhost?.queues ?? 1}`);
  if (vhost?.isShared ?? vhost !== null)
    machine.push('-M', 'q35,memory-backend=ram', '-object', `memory-backend-memfd,id=ram,size=${MEMORY_MB}M,share=on`);
  else machine.push('-M', 'q35');
  const quiet = ['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio'];
  if (vhost === null) quiet.push('-no-reboot');
  const append = 'console=ttyS0 quiet panic=-1 nokaslr mitigations=off';
  const kernel = ['-kernel', image('vmlinuz'), '-initrd', image('initrd.cpio'), '-append', append];
  // A virtio-serial port loses nothing that is sent while the guest still boots; a second UART does.
  const channel = ['-chardev', `socket,id=commands,path=${commandSocket},server=on,wait=off`];
  channel.push('-device', 'virtio-serial-pci', '-device', 'virtserialport,chardev=commands,nr=1');
  return [...machine, ...quiet, ...kernel, ...channel, ...networkArguments(options)];
}

export class Guest {
  readonly #child: ChildProcess;
  readonly #commands: Socket;
  #heard = '';
  #console = '';

  constructor(child: ChildProcess, commands: Socket) {
    this.#child = child;
    this.#commands = commands;
    commands.setEncoding('utf8').on('data', (text: string) => (this.#heard += text.replaceAll('\r', '')));
    // Its end is told by the child.
    commands.on('error', () => {});
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
  async exec(command: string, limitMs = COMMAND_LIMIT_MS): Promise<Pick<Ended, 'status' | 'stdout'>> {
    const tag = randomUUID();
    const answer = new RegExp(`(?:^|\n)start ${tag}\n(.*)\nend ${tag} (\\d+)\n`, 's');
    // The newline in front of "end" is the channel's: output need not end with one.
    this.#commands.write(`echo; echo start ${tag}; ( ${command}\n) </dev/null 2>&1; printf '\\nend ${tag} %d\\n' $?\n`);
    const [whole, stdout, status] = await until(
      `the guest's answer to: ${command}\nit said: ${this.#heard}\nits console: ${this.#console}`,
      () => {
        if (this.hasEnded) throw new Error(`the guest ended during: ${command}\n${this.#console}`);
        return answer.exec(this.#heard) ?? undefined;
      },
      { withinMs: limitMs, everyMs: 5 },
    );
    this.#heard = this.#heard.slice(this.#heard.indexOf(whole) + whole.length);
    return { status: Number(status), stdout };
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
    this.#commands.write('reboot -f\n');
    await until('the guest to be up again', () => boots() > before, { withinMs: BOOT_LIMIT_MS });
    this.#heard = '';
    await this.run('true', BOOT_LIMIT_MS);
  }

  async stop(): Promise<void> {
    this.#commands.destroy();
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

function connected(path: string): Promise<Socket | false> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket)).once('error', () => resolve(false));
  });
}

/** Starts a guest without waiting for its kernel. */
export async function startGuest(options: GuestOptions): Promise<Guest> {
  const { link } = options;
  const commandSocket = scratchFile('guest.sock');
  const args = qemuArguments(options, commandSocket);
  if ('tap' in link) makeTap(link.tap);
  const child =
    'tap' in link
      ? startIn(link.tap.namespace, 'qemu-system-x86_64', ...args)
      : spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const commands = await until('the command channel of qemu', async () => {
    if (child.exitCode !== null) throw new Error(`qemu ended with ${child.exitCode}: ${child.stderr?.read()}`);
    return connected(commandSocket);
  });
  const guest = new Guest(child, commands);
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
