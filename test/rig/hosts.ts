// Two hosts joined by a veth, each a namespace, and the kernel's VXLAN on one of them.
import { joinByVeth, makeNamespace, runIn, type VethEnd } from './namespaces.js';

/** A namespace without IPv6, whose chatter would be in every count. */
export function makeQuietNamespace(label: string): string {
  const name = makeNamespace(label);
  runIn(name, 'sh', '-c', 'for d in all default; do echo 1 >/proc/sys/net/ipv6/conf/$d/disable_ipv6; done');
  return name;
}

export const UNDERLAY_A = '198.18.0.1';
export const UNDERLAY_B = '198.18.0.2';

export interface Hosts {
  a: VethEnd;
  b: VethEnd;
}

/** Joins namespaces A (198.18.0.1 on va) and B (198.18.0.2 on vb). */
export function makeHosts(): Hosts {
  const a = { namespace: makeQuietNamespace('a'), device: 'va', address: `${UNDERLAY_A}/24` };
  const b = { namespace: makeQuietNamespace('b'), device: 'vb', address: `${UNDERLAY_B}/24` };
  joinByVeth(a, b);
  return { a, b };
}

/**
 * Makes the veth behave like a wire: packets leave cut and with finished checksums, and arrivals are coalesced. Without this the
 * kernel's VXLAN hands over uncut packets with unfinished inner checksums.
 */
export function pinOffloads({ a, b }: Hosts): void {
  for (const { namespace, device } of [a, b]) runIn(namespace, 'ethtool', '-K', device, 'tx', 'off', 'gro', 'on');
}

export interface KernelVxlan {
  host: VethEnd;
  local: string;
  remote: string;
  udpPort?: number;
  checksum?: boolean;
  vni?: number;
  addresses: string[];
}

export const KERNEL_DEVICE = 'vx0';

/** Makes the kernel's VXLAN device `vx0`. */
export function addKernelVxlan(options: KernelVxlan): void {
  const { host, local, remote, udpPort = 4789, checksum = true, vni = 42, addresses } = options;
  const ip = (...args: string[]) => runIn(host.namespace, 'ip', ...args);
  const ends = ['local', local, 'remote', remote, 'dstport', `${udpPort}`, 'dev', host.device];
  ip('link', 'add', KERNEL_DEVICE, 'type', 'vxlan', 'id', `${vni}`, ...ends, checksum ? 'udpcsum' : 'noudpcsum');
  for (const address of addresses) ip('address', 'add', address, 'dev', KERNEL_DEVICE, 'nodad');
  ip('link', 'set', KERNEL_DEVICE, 'up');
}

/** MAC of a device. */
export function macOf(namespace: string, device: string): string {
  return runIn(namespace, 'cat', `/sys/class/net/${device}/address`).trim();
}

/** Gives a device of a quiet namespace IPv6, with an address that is good at once. */
export function addIpv6(namespace: string, device: string, address: string): void {
  const conf = `/proc/sys/net/ipv6/conf/${device}`;
  runIn(namespace, 'sh', '-c', `echo 0 >${conf}/disable_ipv6; echo 0 >${conf}/accept_dad`);
  runIn(namespace, 'ip', 'address', 'add', `${address}/64`, 'dev', device, 'nodad');
}

/** Joins `count` namespaces by a bridge in one of its own: host n has 198.18.0.n on `underlay`. */
export function makeMesh(count: number): VethEnd[] {
  const hub = makeQuietNamespace('hub');
  runIn(hub, 'ip', 'link', 'add', 'bridge', 'type', 'bridge');
  runIn(hub, 'ip', 'link', 'set', 'bridge', 'up');
  return Array.from({ length: count }, (_, i) => {
    const host = { namespace: makeQuietNamespace(`n${i + 1}`), device: 'underlay', address: `198.18.0.${i + 1}/24` };
    const plug = `plug${i + 1}`;
    runIn(hub, 'ip', 'link', 'add', plug, 'type', 'veth', 'peer', 'name', host.device, 'netns', host.namespace);
    runIn(hub, 'ip', 'link', 'set', plug, 'master', 'bridge', 'up');
    runIn(host.namespace, 'ip', 'address', 'add', host.address, 'dev', host.device);
    runIn(host.namespace, 'ip', 'link', 'set', host.device, 'up');
    return host;
  });
}
