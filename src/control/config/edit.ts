/**
 * A configuration with one network, port, peer or static MAC more or less, or with other workers. The result is judged as a whole, so that what is added at run time obeys the same
 * rules as what stands in the file.
 */
import { WeftError } from '../../packet/error.js';
import { bridgePairs } from '../plan/bridges.js';
import { checkValue, requireConfig } from './check.js';
import type { Config, NetworkConfig, NetworkInput, PeerInput, PortInput, StaticMacInput } from './config.js';
import { canonicalAddress } from './text.js';
import { suggest } from './written.js';

export function withWorkers(config: Config, workers: number): Config {
  return judged({ ...config, node: { ...config.node, workers } }, 'node.workers');
}

export function withNetwork(config: Config, network: NetworkInput): Config {
  return judged({ ...config, networks: [...config.networks, network] }, `network ${network.name}`);
}

/** Without a network, its ports and peers, and the bridges that it is part of. */
export function withoutNetwork(config: Config, name: string): Config {
  networkOf(config, name);
  const pairs = (bridgePairs(config.bridge) ?? []).map(({ names }) => [...names]);
  const bridge = pairs.filter((names) => !names.includes(name));
  return judged({ ...config, bridge, networks: config.networks.filter((n) => n.name !== name) }, `network ${name}`);
}

export function withStaticMac(config: Config, network: string, entry: StaticMacInput): Config {
  return changed(config, network, `static MAC ${entry.mac}`, (n) => ({ ...n, staticMacs: [...n.staticMacs, entry] }));
}

export function withoutStaticMac(config: Config, network: string, mac: string): Config {
  const known = networkOf(config, network).staticMacs.map((entry) => entry.mac.toLowerCase());
  if (!known.includes(mac.toLowerCase())) throw unknown('static MAC', mac, known);
  return changed(config, network, `static MAC ${mac}`, (n) => ({
    ...n,
    staticMacs: n.staticMacs.filter((entry) => entry.mac.toLowerCase() !== mac.toLowerCase()),
  }));
}

export function withPort(config: Config, network: string, port: PortInput): Config {
  return changed(config, network, `port ${port.name}`, (n) => ({ ...n, ports: [...n.ports, port] }) as NetworkConfig);
}

export function withoutPort(config: Config, name: string): Config {
  const network = config.networks.find((n) => n.ports.some((port) => port.name === name));
  const names = config.networks.flatMap((n) => n.ports.map((port) => port.name));
  if (!network) throw unknown('port', name, names);
  return changed(config, network.name, `port ${name}`, (n) => ({
    ...n,
    ports: n.ports.filter((port) => port.name !== name),
    staticMacs: n.staticMacs.filter((entry) => entry.port !== name),
  }));
}

export function withPeer(config: Config, network: string, peer: PeerInput): Config {
  const address = typeof peer === 'string' ? peer : peer.address;
  return changed(config, network, `peer ${address}`, (n) => ({ ...n, peers: [...n.peers, peer] }));
}

export function withoutPeer(config: Config, network: string, address: string): Config {
  const addressOf = (peer: NetworkConfig['peers'][number]) => (typeof peer === 'string' ? peer : peer.address);
  const known = networkOf(config, network).peers.map(addressOf);
  if (!known.includes(address)) throw unknown('peer', address, known);
  return changed(config, network, `peer ${address}`, (n) => ({
    ...n,
    peers: n.peers.filter((peer) => addressOf(peer) !== address),
    staticMacs: n.staticMacs.filter((entry) => entry.peer === undefined || canonicalAddress(entry.peer) !== address),
  }));
}

function changed(
  config: Config,
  network: string,
  object: string,
  change: (network: NetworkConfig) => NetworkConfig,
): Config {
  networkOf(config, network);
  const networks = config.networks.map((n) => (n.name === network ? change(n) : n));
  return judged({ ...config, networks }, object);
}

function judged(config: unknown, object: string): Config {
  return requireConfig(checkValue(config), object);
}

function networkOf(config: Config, name: string): NetworkConfig {
  const network = config.networks.find((n) => n.name === name);
  if (network) return network;
  const names = config.networks.map((n) => n.name);
  throw unknown('network', name, names);
}

function unknown(kind: string, name: string, known: string[]): WeftError {
  return new WeftError('USAGE', `there is no ${kind} ${JSON.stringify(name)}`, {
    object: `${kind} ${name}`,
    remedy: suggest(name, known, `${kind}s`),
  });
}
