import { type Command, InvalidArgumentError } from 'commander';
import type { LabOptions } from './lab/lab.js';
import { fail } from './output.js';

interface LabVerbOptions extends LabOptions {
  remove?: boolean;
}

export function defineLab(program: Command): void {
  program
    .command('lab')
    .summary('build two hosts on this machine, join them, measure, report, remove everything')
    .description(
      "Builds two hosts as network namespaces joined by a veth, each with a weft node and a VXLAN network. A ping and a TCP transfer go across, and the same transfer over the kernel's own VXLAN beside it. Prints a report and removes everything.",
    )
    .option('--duration <sec>', 'seconds of each transfer', seconds, 2)
    .option('--rounds <count>', 'rounds of transfers, weft and kernel in turn', rounds, 3)
    .option('--vm', 'in host a a virtual machine (QEMU) takes the place of the TAP: a port of type vhost-user')
    .option('--keep', 'leave the hosts up, and say how to look inside')
    .option('--remove', 'remove the hosts that --keep left, and those of a lab that was killed')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      '\nNeeds root, ip, ping and iperf3; with --vm also qemu-system-x86 and weft built with DPDK. --vm downloads a Linux kernel\nof Debian (28 MB) the first time and keeps it in ~/.cache/weft; the machine is emulated, so it needs no KVM and is slow.\n\nExamples:\n  weft lab\n  weft lab --vm\n  weft lab --duration 10 --json > lab.json\n  weft lab --keep',
    )
    .action(async ({ remove, ...options }: LabVerbOptions) => {
      try {
        if (remove) return await (await import('./lab/remove.js')).removeLabs();
        await (await import('./lab/lab.js')).runLab(options);
      } catch (error) {
        fail(error);
      }
    });
}

function seconds(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 3600) return value;
  throw new InvalidArgumentError('It must be a whole number of seconds, 1 to 3600.');
}

function rounds(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 100) return value;
  throw new InvalidArgumentError('It must be a whole number, 1 to 100.');
}
