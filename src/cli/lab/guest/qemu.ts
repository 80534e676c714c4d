/**
 * How qemu is called. Always emulated: under KVM inside of another virtual machine a kernel may hang without a word.
 */
import type { GuestImage } from './image.js';

/** A NIC of virtio on a port of type vhost-user. */
export interface VhostNic {
  path: string;
  /** Which side qemu is: a client connects again by itself. */
  mode?: 'client' | 'server';
  queues?: number;
}

/** Where a NIC ends: rings in shared memory, a TAP device, or a Unix stream socket with a length of 4 bytes in front of each frame. */
export type GuestNic = ({ vhost: VhostNic } | { tap: string } | { stream: string }) & {
  mac: string;
  /** More properties of the device: `packed=on`. */
  settings?: string;
};

export interface QemuOptions {
  image: GuestImage;
  /** qemu listens here, for `connectShell`. */
  shell: string;
  nics: GuestNic[];
  /** Whether others may map the memory; without it vhost-user cannot work. */
  isShared: boolean;
  /** Ends with a reboot of its kernel. */
  endsWithReboot: boolean;
  cpus?: number;
}

export const QEMU = 'qemu-system-x86_64';
const MEMORY_MB = 160;

export function qemuArguments({ image, shell, nics, isShared, endsWithReboot, cpus = 1 }: QemuOptions): string[] {
  // Random numbers from the emulated processor: the guest has no other source at boot.
  const machine = ['-accel', 'tcg,thread=multi', '-cpu', 'qemu64,+rdrand', '-m', `${MEMORY_MB}`, '-smp', `${cpus}`];
  if (isShared)
    machine.push('-M', 'q35,memory-backend=ram', '-object', `memory-backend-memfd,id=ram,size=${MEMORY_MB}M,share=on`);
  else machine.push('-M', 'q35');
  const quiet = ['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio'];
  if (endsWithReboot) quiet.push('-no-reboot');
  const append = 'console=ttyS0 quiet panic=-1 nokaslr mitigations=off';
  const kernel = ['-kernel', image.kernel, '-initrd', image.initrd, '-append', append];
  // A virtio-serial port loses nothing that is sent while the guest still boots; a second UART does.
  const channel = ['-chardev', `socket,id=commands,path=${shell},server=on,wait=off`];
  channel.push('-device', 'virtio-serial-pci', '-device', 'virtserialport,chardev=commands,nr=1');
  return [...machine, ...quiet, ...kernel, ...channel, ...nics.flatMap(nicArguments)];
}

function nicArguments(nic: GuestNic, index: number): string[] {
  const id = `n${index}`;
  const properties = [`virtio-net-pci,netdev=${id},mac=${nic.mac},romfile=`, ...(nic.settings ? [nic.settings] : [])];
  if ('vhost' in nic) {
    const { path, mode = 'client', queues = 1 } = nic.vhost;
    // Without KVM, qemu 7.2 dies of a vhost-user device that has MSI-X vectors as soon as its driver starts.
    properties.push('vectors=0', ...(queues > 1 ? ['mq=on'] : []));
    const chardev = `socket,id=c${index},path=${path},${mode === 'client' ? 'reconnect=1' : 'server=on,wait=off'}`;
    const netdev = `vhost-user,chardev=c${index},queues=${queues},id=${id}`;
    return ['-chardev', chardev, '-netdev', netdev, '-device', properties.join()];
  }
  const netdev =
    'tap' in nic
      ? `tap,ifname=${nic.tap},script=no,downscript=no,vhost=off`
      : `stream,server=off,addr.type=unix,addr.path=${nic.stream}`;
  return ['-netdev', `${netdev},id=${id}`, '-device', properties.join()];
}
