/**
 * Failures of the kernel as errors that a person can act on: which object, which system call, and what to do about it.
 */
import { existsSync, readdirSync } from 'node:fs';
import { WeftError } from '../../packet/error.js';
import type { PortPlan, UnderlayPlan } from '../../pipeline/plan.js';

/** What the native addon throws. */
export interface SystemError {
  code: string;
  errno: number;
  syscall: string;
  message: string;
}

export function asSystemError(error: unknown): SystemError | null {
  const candidate = error as Partial<SystemError> | null;
  const isSystem = typeof candidate?.errno === 'number' && typeof candidate.code === 'string';
  return isSystem ? ({ syscall: '', message: '', ...candidate } as SystemError) : null;
}

interface Finding {
  code?: WeftError['code'];
  message: string;
  remedy: string;
}

export function tapError(port: PortPlan, error: unknown): WeftError {
  const failed = asSystemError(error);
  const object = `port ${port.name}`;
  if (!failed) return new WeftError('DEVICE', `${object}: ${(error as Error).message}`, { object, cause: error });
  const { code = 'DEVICE', message, remedy } = tapFinding(port, failed);
  return systemError(code, object, message, remedy, failed, error);
}

function tapFinding(port: PortPlan, failed: SystemError): Finding {
  const { device = port.name, netns = null } = port.tap ?? {};
  const where = netns ? ` in network namespace ${netns}` : '';
  const mode = port.kind === 'tun' ? 'tun' : 'tap';
  const word = mode.toUpperCase();
  const { code, syscall } = failed;
  if (netns && isNetnsCall(syscall, code) && !existsSync(netns))
    return { message: `network namespace ${netns} does not exist`, remedy: netnsRemedy(netns) };
  if (netns && /setns/.test(syscall) && code === 'EINVAL')
    return { message: `${netns} is not a network namespace`, remedy: netnsRemedy(netns) };
  if (/open/.test(syscall) && (code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO'))
    return {
      code: 'PERMISSION',
      message: '/dev/net/tun is missing',
      remedy: 'load the module (`modprobe tun`), or give the container the device /dev/net/tun',
    };
  switch (code) {
    case 'EPERM':
    case 'EACCES':
      return {
        code: 'PERMISSION',
        message: `not allowed to use ${word} devices${where}`,
        remedy: 'run as root, or with CAP_NET_ADMIN',
      };
    case 'EEXIST':
      return /address|RTM_NEWADDR/i.test(syscall)
        ? {
            message: `an address of device ${device}${where} is already there with other settings`,
            remedy: `look at \`ip address show dev ${device}\``,
          }
        : {
            message: `device ${device} exists already${where}`,
            remedy: `remove it (\`ip link delete ${device}\`), choose another \`device\`, or attach to it with \`create: false\``,
          };
    case 'ENODEV':
    case 'ENOENT':
      return {
        message: `device ${device} does not exist${where}`,
        remedy: `make it (\`ip tuntap add dev ${device} mode ${mode}\`), or let weft make it with \`create: true\``,
      };
    case 'EMFILE':
    case 'ENFILE':
      return {
        code: 'LIMIT',
        message: 'too many open files',
        remedy: 'use fewer workers or `queues`, or raise the limit (`ulimit -n`, LimitNOFILE= of the service)',
      };
    case 'EBUSY':
      return {
        message: `device ${device}${where} is used by another program`,
        remedy: 'stop that program, or choose another `device`',
      };
    case 'EINVAL':
      return {
        message: `device ${device}${where} refuses the request (not a ${word} device, or made with other flags)`,
        remedy: `look at \`ip -d link show dev ${device}\`: it must be of type tun, mode ${mode}, and multi_queue when \`queues\` is more than 1`,
      };
    case 'EADDRNOTAVAIL':
      return {
        message: `device ${device}${where} does not take the MAC or an address`,
        remedy: 'give a unicast MAC and unicast addresses',
      };
    default:
      return { message: failed.message, remedy: `look at \`ip -d link show dev ${device}\`${where}` };
  }
}

export function underlayError(
  underlay: UnderlayPlan,
  udpPort: number,
  error: unknown,
  addresses: () => string[],
): WeftError {
  const failed = asSystemError(error);
  const object = `underlay ${underlay.name}`;
  if (!failed) return new WeftError('UNDERLAY', `${object}: ${(error as Error).message}`, { object, cause: error });
  const { code = 'UNDERLAY', message, remedy } = underlayFinding(underlay, udpPort, failed, addresses);
  return systemError(code, object, message, remedy, failed, error);
}

function underlayFinding(
  underlay: UnderlayPlan,
  udpPort: number,
  failed: SystemError,
  addresses: () => string[],
): Finding {
  const { address, device } = underlay;
  switch (failed.code) {
    case 'EADDRINUSE': {
      const isOwn = udpPort === underlay.udpPort;
      return {
        message: `UDP port ${udpPort} of ${address} is busy`,
        remedy: `see who has it with \`ss -lunp 'sport = :${udpPort}'\` (the kernel's own tunnels, ${kernelTunnels(underlay.tunnel)}, show no program), or choose another \`${isOwn ? 'udpPort' : 'sourcePorts'}\``,
      };
    }
    case 'EADDRNOTAVAIL': {
      const present = addresses();
      const list = present.length > 0 ? `; this host has ${present.join(', ')}` : '';
      return {
        message: `address ${address} is not on this host`,
        remedy: `give \`address\` one of this host's own${list}`,
      };
    }
    case 'ENODEV':
      return {
        message: `device ${device} does not exist`,
        remedy: 'see `ip link` for the devices of this host, or leave `device` out',
      };
    case 'EPERM':
    case 'EACCES':
      return {
        code: 'PERMISSION',
        message: `not allowed to open its sockets`,
        remedy: 'run as root, or with CAP_NET_ADMIN and CAP_NET_RAW',
      };
    case 'EMFILE':
    case 'ENFILE':
      return {
        code: 'LIMIT',
        message: 'too many open files',
        remedy: 'use fewer `sourcePorts` or workers, or raise the limit (`ulimit -n`, LimitNOFILE= of the service)',
      };
    default:
      return { message: failed.message, remedy: 'see `ip address` and `ip link` for the state of the underlay device' };
  }
}

/** How to see the kernel's tunnels of a kind. */
function kernelTunnels(kind: UnderlayPlan['tunnel']): string {
  return kind === 'fou' || kind === 'gue' ? '`ip fou show`' : `\`ip -d link show type ${kind}\``;
}

function systemError(
  code: WeftError['code'],
  object: string,
  message: string,
  remedy: string,
  failed: SystemError,
  cause: unknown,
): WeftError {
  const call = failed.syscall ? ` (${failed.syscall}: ${failed.code})` : ` (${failed.code})`;
  return new WeftError(code, `${object}: ${message}${message.includes(failed.code) ? '' : call}`, {
    object,
    syscall: failed.syscall,
    errno: failed.errno,
    remedy,
    cause,
  });
}

function isNetnsCall(syscall: string, code: string): boolean {
  return /open|netns|setns/.test(syscall) && (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES');
}

function netnsRemedy(netns: string): string {
  const name = netns.startsWith('/run/netns/') ? netns.slice('/run/netns/'.length) : null;
  const known = listNetns();
  const list = known.length > 0 ? `; there are ${known.join(', ')}` : '';
  return name
    ? `make it with \`ip netns add ${name}\`, or name one that exists${list}`
    : `give the path of a namespace, such as /proc/PID/ns/net${list}`;
}

function listNetns(): string[] {
  try {
    return readdirSync('/run/netns').slice(0, 8);
  } catch {
    return [];
  }
}
