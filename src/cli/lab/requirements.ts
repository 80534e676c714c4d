/**
 * What the lab needs of this machine; all that is missing is said at once.
 */
import { loadKernel, requireRights } from '../../control/devices/deviceKernel.js';
import { dpdk } from '../../native/dpdk.js';
import { WeftError } from '../../packet/error.js';
import { missingPrograms } from './commands.js';
import { QEMU } from './guest/qemu.js';

/** Program: the Debian package that has it. */
const PROGRAMS = { ip: 'iproute2', ss: 'iproute2', ping: 'iputils-ping', iperf3: 'iperf3' };
const FOR_MACHINE = { ethtool: 'ethtool', [QEMU]: 'qemu-system-x86' };

export function requireLab(withMachine: boolean): void {
  requireRights(true);
  loadKernel();
  const programs: Record<string, string> = withMachine ? { ...PROGRAMS, ...FOR_MACHINE } : PROGRAMS;
  const missing = missingPrograms(Object.keys(programs));
  const packages = new Set(missing.map((name) => programs[name]));
  const remedies = missing.length > 0 ? [`apt-get install ${[...packages].join(' ')}`] : [];
  if (withMachine) {
    const lack = dpdkLack();
    if (lack !== null) {
      missing.push('weft built with DPDK');
      remedies.push(lack);
    }
    if (process.arch !== 'x64') {
      missing.push('an x86-64 machine');
      remedies.push('run it on one: the kernel of the virtual machine is for x86-64');
    }
  }
  if (missing.length === 0) return;
  const what = withMachine ? 'the lab with a virtual machine' : 'the lab';
  throw new WeftError('UNAVAILABLE', `${what} needs ${missing.join(', ')}, which this machine does not have`, {
    object: missing[0],
    remedy: remedies.join('; '),
  });
}

/** What to do where there is no DPDK; null where there is. */
function dpdkLack(): string | null {
  try {
    dpdk();
    return null;
  } catch (error) {
    return error instanceof WeftError ? (error.remedy ?? error.message) : String(error);
  }
}
