/**
 * Ports of a plan.
 */
import { WeftError } from '../../packet/error.js';
import type { DpdkPlan, PortPlan, TapPlan } from '../../pipeline/plan.js';
import type { DevicePortConfig, DpdkPortConfig, PortConfig } from '../config/config.js';
import { isDpdkPort } from '../config/portSchema.js';

/** Accounts of this machine, for the owners of devices. */
export interface Accounts {
  users: ReadonlyMap<string, number>;
  groups: ReadonlyMap<string, number>;
}

/** What a port takes from its network and node. */
export interface PortSetting {
  id: number;
  network: number;
  mtu: number;
  workers: number;
  /** Workers that a change may bring the node to. */
  workersMax: number;
  hostRoutes: string[];
}

export function portPlan(port: PortConfig, setting: PortSetting, accounts: Accounts): PortPlan {
  const { id, network, mtu } = setting;
  return {
    id,
    name: port.name,
    network,
    kind: port.type,
    mtu: port.mtu ?? mtu,
    tap: port.type === 'tap' || port.type === 'tun' ? tapPlan(port, setting, accounts) : null,
    pcap: port.type === 'pcap' ? { input: port.input ?? null, output: port.output ?? null } : null,
    ...(isDpdkPort(port) ? { dpdk: dpdkPlan(port, setting, accounts) } : {}),
  };
}

function dpdkPlan(port: DpdkPortConfig, { id, workersMax }: PortSetting, accounts: Accounts): DpdkPlan {
  // As many as there may ever be workers: a machine would have to connect anew for more.
  const common = { queues: port.queues ?? workersMax, offloads: port.offloads };
  if (port.type === 'dpdk') return { ...common, devargs: port.devargs, socket: null };
  const settings = [
    // Every driver's devices have names of their own; the port's id makes this one unique in the process.
    `net_vhost${id}`,
    `iface=${port.path}`,
    `queues=${common.queues}`,
    `client=${port.mode === 'client' ? 1 : 0}`,
    `tso=${port.offloads ? 1 : 0}`,
  ];
  const mode = port.socketMode === undefined ? null : Number.parseInt(port.socketMode, 8);
  const socket = {
    path: port.path,
    owner: accountId(port, port.owner, accounts.users, 'user'),
    group: accountId(port, port.group, accounts.groups, 'group'),
    mode,
  };
  return { ...common, devargs: settings.join(), socket: port.mode === 'server' ? socket : null };
}

function tapPlan(port: DevicePortConfig, setting: PortSetting, accounts: Accounts): TapPlan {
  const { workers, workersMax, hostRoutes } = setting;
  return {
    device: port.device ?? port.name,
    create: port.create,
    netns: netnsPath(port.netns),
    addresses: port.addresses,
    mac: port.type === 'tap' ? (port.mac?.toLowerCase() ?? null) : null,
    queues: port.queues ?? workers,
    multiQueue: (port.queues ?? workersMax) > 1,
    owner: accountId(port, port.owner, accounts.users, 'user'),
    group: accountId(port, port.group, accounts.groups, 'group'),
    hostRoutes,
    offloads: port.offloads ?? { vnetHeader: true, tso: true, uso: true, gsoMaxSize: true },
  };
}

/** Path of a namespace that is given by its path or its name; null for the node's own. */
export function netnsPath(netns: string | undefined): string | null {
  if (netns === undefined) return null;
  return netns.includes('/') ? netns : `/run/netns/${netns}`;
}

function accountId(
  port: DevicePortConfig | DpdkPortConfig,
  who: number | string | undefined,
  known: ReadonlyMap<string, number>,
  kind: string,
): number | null {
  if (who === undefined) return null;
  if (typeof who === 'number') return who;
  const id = known.get(who);
  if (id !== undefined) return id;
  throw new WeftError('DEVICE', `port ${port.name}: this machine has no ${kind} named ${JSON.stringify(who)}`, {
    object: `port ${port.name}`,
    remedy: `give an existing ${kind} or its number`,
  });
}
