/**
 * Checks of a port against its network and its node.
 */
import { normalize } from 'node:path';
import { modeOf } from './encapsulation.js';
import type { Located, Path } from './faults.js';
import { interfaceNameFault, quote } from './text.js';
import { MTU_MIN } from './values.js';
import { type Item, record } from './written.js';

/** Faults of one port against its network and node. */
export function portFaults({ path, value }: Item, network: Item, root: unknown): Located[] {
  const faults: Located[] = [];
  const { type, mtu, input, output } = value;
  const workers = record(record(root)?.node)?.workers ?? 1;
  const most = network.value.mtu;
  if (typeof mtu === 'number' && typeof most === 'number' && mtu > most)
    faults.push({
      path: [...path, 'mtu'],
      message: `port MTU ${mtu} is larger than the MTU of its network, ${most}`,
      remedy: `give at most ${most}`,
    });
  if (type === 'pcap' && input === undefined && output === undefined)
    faults.push({
      path,
      message: 'a pcap port needs `input`, `output` or both',
      remedy: 'name a capture file to read or to write',
    });
  if (type === 'pcap' && typeof workers === 'number' && workers > 1)
    faults.push({
      path,
      message: `a capture file has one reader and writer, this node has ${workers} workers`,
      remedy: 'set node.workers: 1, or run the pcap port in a node of its own',
    });
  faults.push(...modeFaults(path, value, network));
  if (type === 'tap' || type === 'tun')
    faults.push(...deviceFaults(path, value, typeof mtu === 'number' ? mtu : most, workers));
  return faults;
}

/** A tap carries Ethernet frames, a tun bare IP packets; files and memory carry either. */
function modeFaults(path: Path, { type, prefixes }: Record<string, unknown>, network: Item): Located[] {
  const mode = modeOf(network.value);
  const faults: Located[] = [];
  if ((type === 'tap' || type === 'dpdk' || type === 'vhost-user') && mode === 'l3')
    faults.push({
      path: [...path, 'type'],
      message: `${type === 'tap' ? 'a tap' : `a port of type ${type}`} carries Ethernet frames, a network of mode l3 bare IP packets`,
      remedy: 'write type: tun',
    });
  if (type === 'tun' && mode !== 'l3')
    faults.push({
      path: [...path, 'type'],
      message: `a tun carries bare IP packets, a network of mode ${mode} Ethernet frames`,
      remedy: 'write type: tap, or mode: l3 for the network',
    });
  if (prefixes !== undefined && type !== 'tap' && mode !== 'l3')
    faults.push({
      path: [...path, 'prefixes'],
      atKey: true,
      message: `a network of mode ${mode} routes nothing`,
      remedy: 'remove it, or write mode: l3 for the network',
    });
  return faults;
}

function deviceFaults(path: Path, value: Record<string, unknown>, mtu: unknown, workers: unknown): Located[] {
  const faults: Located[] = [];
  const { name, device, queues, create = true } = value;
  const unfit = typeof name === 'string' && device === undefined ? interfaceNameFault(name) : null;
  if (unfit) faults.push({ path: [...path, 'name'], ...unfit });
  if (typeof queues === 'number' && typeof workers === 'number' && workers >= 1 && queues > workers)
    faults.push({
      path: [...path, 'queues'],
      message: `${queues} queues for ${workers} worker${workers === 1 ? '' : 's'}: a queue without a worker is never read`,
      remedy: `give at most ${workers}, or set node.workers: ${queues}`,
    });
  for (const key of ['owner', 'group'])
    if (create === false && value[key] !== undefined)
      faults.push({
        path: [...path, key],
        atKey: true,
        message: `\`${key}\` is set when a device is made, this one is attached to`,
        remedy: `remove it, or set create: true`,
      });
  const addresses = Array.isArray(value.addresses) ? value.addresses : [];
  addresses.forEach((address, i) => {
    if (typeof address === 'string' && address.includes(':') && typeof mtu === 'number' && mtu >= MTU_MIN && mtu < 1280)
      faults.push({
        path: [...path, 'addresses', i],
        message: `${address} needs an MTU of 1280 or more (RFC 8200), the port has ${mtu}`,
        remedy: 'raise the MTU or leave the IPv6 address out',
      });
  });
  return faults;
}

/** Two ports cannot share one device, nor a port the device of an underlay. */
export function deviceClashes(ports: Item[], underlays: Item[]): Located[] {
  const faults: Located[] = [];
  const seen = new Map<string, string>();
  for (const { value } of underlays)
    if (typeof value.device === 'string') seen.set(`/${value.device}`, `underlay ${quote(String(value.name))}`);
  for (const { path, value } of ports) {
    if (value.type !== 'tap' && value.type !== 'tun') continue;
    const device = value.device ?? value.name;
    if (typeof device !== 'string') continue;
    const key = `${netnsKey(value.netns)}/${device}`;
    const first = seen.get(key);
    if (first)
      faults.push({
        path: [...path, value.device === undefined ? 'name' : 'device'],
        message: `device ${quote(device)} is already used by ${first}${value.netns ? ' in the same namespace' : ''}`,
        remedy: 'give each port a device of its own',
      });
    else seen.set(key, `port ${quote(String(value.name))}`);
  }
  return faults;
}

/** Nor can two have one socket, in whichever mode, or one name in DPDK. */
export function dpdkClashes(ports: Item[], underlays: Item[]): Located[] {
  const faults: Located[] = [];
  const seen = new Map<string, string>();
  const add = (path: Path, what: string, user: string, remedy: string) => {
    const first = seen.get(what);
    if (first) faults.push({ path, message: `${what} is already used by ${first}`, remedy });
    else seen.set(what, user);
  };
  const addDevice = (path: Path, devargs: unknown, user: string) => {
    if (typeof devargs !== 'string') return;
    const remedy = 'give each device of DPDK a name of its own, like net_null0 and net_null1';
    add([...path, 'devargs'], `device ${quote(devargs.split(',')[0])} of DPDK`, user, remedy);
  };
  for (const { path, value } of underlays)
    addDevice([...path, 'frame'], record(value.frame)?.devargs, `underlay ${quote(String(value.name))}`);
  for (const { path, value } of ports) {
    const user = `port ${quote(String(value.name))}`;
    if (value.type === 'dpdk') addDevice(path, value.devargs, user);
    if (value.type === 'vhost-user' && typeof value.path === 'string')
      add([...path, 'path'], `socket ${quote(normalize(value.path))}`, user, 'give each port a path of its own');
  }
  return faults;
}

function netnsKey(netns: unknown): string {
  return typeof netns !== 'string' ? '' : netns.includes('/') ? netns : `/run/netns/${netns}`;
}
