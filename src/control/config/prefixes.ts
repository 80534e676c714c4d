/**
 * Which prefix lies where in the networks of mode l3: behind a port, behind a peer, on the link of an underlay.
 */
import * as Address from '../../wire/address.js';
import type { Domains } from '../plan/bridges.js';
import { netnsPath } from '../plan/portPlan.js';
import type { Config, NetworkConfig, PortConfig } from './config.js';
import { modeOf } from './encapsulation.js';

/** Everything: of a port that is alone in its network. */
export const DEFAULT_PREFIXES: readonly string[] = ['0.0.0.0/0', '::/0'];

/** A prefix and the port or peer of a network that it is behind. */
export interface PrefixSource {
  network: string;
  prefix: string;
  /** Name of the port, or null. */
  port: string | null;
  /** Address of the peer, or null. */
  peer: string | null;
}

export function prefixesOfPort(port: PortConfig): readonly string[] | undefined {
  return 'prefixes' in port ? port.prefixes : undefined;
}

export function prefixesOfPeer(peer: NetworkConfig['peers'][number]): readonly string[] {
  return typeof peer === 'string' ? [] : (peer.prefixes ?? []);
}

/** All prefixes of the networks of mode l3. A port without any, alone in its domain, has whatever no peer has. */
export function prefixSources(config: Config, domains: Domains): PrefixSource[] {
  const routed = config.networks.filter((network) => modeOf(network) === 'l3');
  return routed.flatMap((network) => {
    const joined = routed.filter((other) => domains.of(network.name).has(other.name));
    const isAlone = joined.reduce((sum, other) => sum + other.ports.length, 0) === 1;
    const taken = new Set(joined.flatMap((other) => other.peers.flatMap(prefixesOfPeer)));
    const rest = isAlone ? DEFAULT_PREFIXES.filter((prefix) => !taken.has(prefix)) : [];
    const behindPorts = network.ports.flatMap((port) =>
      (prefixesOfPort(port) ?? rest).map((prefix) => ({ network: network.name, prefix, port: port.name, peer: null })),
    );
    const behindPeers = network.peers.flatMap((peer) =>
      prefixesOfPeer(peer).map((prefix) => ({
        network: network.name,
        prefix,
        port: null,
        peer: typeof peer === 'string' ? peer : peer.address,
      })),
    );
    return [...behindPorts, ...behindPeers];
  });
}

/** Whether one of the prefixes (`198.18.0.1/24`) has the address in it. */
export function isWithin(address: string, prefixes: readonly string[]): boolean {
  const wanted = Address.fromText(address);
  return prefixes.some((prefix) => {
    const cidr = Address.cidrFromText(prefix);
    if (wanted === null || cidr === null || cidr.address.length !== wanted.length) return false;
    return Address.samePrefix(wanted, 0, cidr.address, 0, cidr.prefixLength);
  });
}

/**
 * Prefixes that the host of a tun port reaches through its device: those of the peers, `byKernel` ones left out, and of the ports that it has no
 * device of. Where a namespace has several tun ports of a domain, the first one gets them.
 */
export function hostPrefixesOf(
  port: PortConfig,
  network: string,
  config: Config,
  domains: Domains,
  sources: readonly PrefixSource[],
  byKernel: (network: string, peer: string) => boolean,
): string[] {
  if (port.type !== 'tun') return [];
  const joined = domains.of(network);
  const ports = config.networks.filter((n) => joined.has(n.name)).flatMap((n) => n.ports);
  const isOfThisHost = (other: PortConfig) => other.type === 'tun' && netnsPath(other.netns) === netnsPath(port.netns);
  if (ports.find(isOfThisHost) !== port) return [];
  const local = new Set(ports.filter(isOfThisHost).map((other) => other.name));
  const isElsewhere = (source: PrefixSource) =>
    source.port === null ? !byKernel(source.network, source.peer!) : !local.has(source.port);
  return sources.filter((source) => joined.has(source.network) && isElsewhere(source)).map(({ prefix }) => prefix);
}
