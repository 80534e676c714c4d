/**
 * What a plan needs to know about this machine.
 */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { WeftError } from '../../packet/error.js';
import type { Config } from '../config/config.js';
import { nameFault } from '../config/text.js';
import { deviceOf } from '../devices/carrierSockets.js';
import type { DeviceKernel } from '../devices/deviceKernel.js';
import type { HostFacts } from './plan.js';

/** Looks the facts up. An underlay address that no device has is left out: opening its sockets says what is wrong. */
export function gatherFacts(config: Config, kernel: DeviceKernel): HostFacts {
  const underlayMtu = new Map<string, number>();
  const underlayPrefixes = new Map<string, string[]>();
  const underlayKernel = new Map<string, string>();
  for (const underlay of config.underlays) {
    if (underlay.frame?.type === 'dpdk') {
      const owner = kernel.addressList({}).find((entry) => entry.address === underlay.address);
      if (owner !== undefined) underlayKernel.set(underlay.name, owner.name);
    }
    if (underlay.kind !== 'udp') continue;
    const { device, deviceMtu } = deviceOf(kernel, underlay);
    if (deviceMtu !== null) underlayMtu.set(underlay.name, deviceMtu);
    const own = kernel.addressList({}).filter((entry) => entry.name === device);
    underlayPrefixes.set(
      underlay.name,
      own.map(({ address, prefixLen }) => `${address}/${prefixLen}`),
    );
  }
  return {
    hostname: nodeName(config),
    cpus: kernel.affinity(),
    underlayMtu,
    underlayPrefixes,
    underlayKernel,
    users: accounts('/etc/passwd'),
    groups: accounts('/etc/group'),
  };
}

/** The configured name, or that of the host. */
export function nodeName(config: Config): string {
  if (config.node.name !== undefined) return config.node.name;
  const name = hostname();
  const fault = nameFault(name);
  if (fault === null) return name;
  throw new WeftError('CONFIG', `the host name cannot be the name of the node: ${fault.message}`, {
    object: 'node',
    remedy: 'set node.name',
  });
}

/** `name:x:number:` lines of passwd and group. */
function accounts(path: string): Map<string, number> {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return new Map();
  }
  return new Map(
    text.split('\n').flatMap((line): [string, number][] => {
      const [name, , id] = line.split(':');
      return name && /^\d+$/.test(id ?? '') ? [[name, Number(id)]] : [];
    }),
  );
}
