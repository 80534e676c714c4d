/**
 * Checks between parts of the configuration: names that must exist, be unique, or fit each other. They work on the value as it was
 * written, and step over whatever the schema refuses, so that one run shows every fault.
 */

import { workersFaults } from '../workers.js';
import { arenaFaults } from './arenaFaults.js';
import { LIMITS } from './config.js';
import { transportOf } from './encapsulation.js';
import type { Located, Path } from './faults.js';
import { heartbeatFaults } from './heartbeatFaults.js';
import { neighbourFaults } from './neighbourFaults.js';
import { deviceClashes, dpdkClashes, portFaults } from './portFaults.js';
import { isWithin } from './prefixes.js';
import { bridgeFaults, bridgeLoops, prefixFaults } from './routeFaults.js';
import { canonicalAddress, parseSourcePorts, quote } from './text.js';
import { transportClashes, tunnelFaults } from './tunnelFaults.js';
import { type Item, isEmpty, items, namesOf, peersOf, record, suggest, wordsOf } from './written.js';

/** Faults between the parts of a configuration value of any shape. */
export function crossFaults(root: unknown): Located[] {
  const underlays = items(root, [], 'underlays');
  const networks = items(root, [], 'networks');
  const ports = networks.flatMap((network) => items(network.value, network.path, 'ports'));
  return [
    ...duplicates(underlays, 'name', 'underlay'),
    ...duplicates(networks, 'name', 'network'),
    ...duplicates(ports, 'name', 'port'),
    ...underlays.flatMap((underlay) => underlayFaults(underlay, root)),
    ...endpointClashes(underlays, networks),
    ...networks.flatMap((network) => underlayReference(network, underlays)),
    ...networks.flatMap((network) => tunnelFaults(network, underlays)),
    ...transportClashes(networks, underlays),
    ...bridgeFaults(root, networks),
    ...bridgeLoops(root, networks),
    ...prefixFaults(root, networks),
    ...networks.flatMap((network) => peerFaults(network, underlays)),
    ...networks.flatMap(staticFaults),
    ...networks.flatMap((network) => heartbeatFaults(network, underlays)),
    ...networks.flatMap(neighbourFaults),
    ...networks.flatMap((network) =>
      items(network.value, network.path, 'ports').flatMap((p) => portFaults(p, network, root)),
    ),
    ...deviceClashes(ports, underlays),
    ...dpdkClashes(ports, underlays),
    ...limitFaults(networks, ports),
    ...pinningFaults(root),
    ...workersFaults(root),
    ...arenaFaults(root),
  ];
}

/** A list of CPUs has one for each worker. */
function pinningFaults(root: unknown): Located[] {
  const { pinning, workers = 1 } = record(record(root)?.node) ?? {};
  if (!Array.isArray(pinning) || typeof workers !== 'number' || pinning.length >= workers) return [];
  return [
    {
      path: ['node', 'pinning'],
      message: `${pinning.length} CPU${pinning.length === 1 ? '' : 's'} for ${workers} workers`,
      remedy: 'name a CPU for each worker, or give `auto`',
    },
  ];
}

function underlayFaults({ path, value }: Item, root: unknown): Located[] {
  const faults: Located[] = [];
  const { kind = 'udp', frame, device, offloads } = value;
  if (kind === 'frame' && frame === undefined)
    faults.push({
      path,
      message: 'a frame underlay needs `frame`',
      remedy: 'add frame: {type: memory|pcap|dpdk, mac: OWN_MAC}',
    });
  const workers = record(record(root)?.node)?.workers ?? 1;
  if (record(frame)?.type === 'pcap' && typeof workers === 'number' && workers > 1)
    faults.push({
      path: [...path, 'frame'],
      message: `a capture file has one reader and writer, this node has ${workers} workers`,
      remedy: 'set node.workers: 1',
    });
  if (kind === 'udp' && frame !== undefined)
    faults.push({
      path: [...path, 'frame'],
      atKey: true,
      message: '`frame` has no meaning for a udp underlay',
      remedy: 'write kind: frame, or remove it',
    });
  if (kind === 'frame' && offloads !== undefined)
    faults.push({
      path: [...path, 'offloads'],
      atKey: true,
      message: '`offloads` has no meaning for a frame underlay',
      remedy: 'remove it; whole frames are cut and joined in weft',
    });
  if (kind === 'frame' && device !== undefined)
    faults.push({
      path: [...path, 'device'],
      atKey: true,
      message: '`device` has no meaning for a frame underlay',
      remedy: 'remove it; frames go through `frame`',
    });
  if (kind === 'udp' && value.ttl === 'inherit')
    faults.push({
      path: [...path, 'ttl'],
      message: 'sockets send all packets with one TTL',
      remedy: 'give a number of 1 to 255; only frame underlays can copy the inner one',
    });
  const f = record(frame);
  if (f?.type === 'pcap' && f.input === undefined && f.output === undefined)
    faults.push({
      path: [...path, 'frame'],
      message: 'a pcap device needs `input`, `output` or both',
      remedy: 'name a capture file to read or to write',
    });
  if (f) faults.push(...linkFaults(f, [...path, 'frame']));
  if ((f?.type === 'dpdk') !== (f?.devargs !== undefined) && f)
    faults.push({
      path: [...path, 'frame'],
      message: '`devargs` names a device of DPDK: type dpdk needs it, and no other type has it',
      remedy: 'write type: dpdk and devargs, or neither',
    });
  return faults;
}

/** What a frame underlay says about its link. */
function linkFaults(frame: Record<string, unknown>, path: Path): Located[] {
  const { type, prefix, gateway, kernel, resolve } = frame;
  const faults: Located[] = [];
  if (typeof gateway === 'string' && (typeof prefix !== 'string' || !isWithin(gateway, [prefix])))
    faults.push({
      path: [...path, 'gateway'],
      message: typeof prefix === 'string' ? `${gateway} is not within ${prefix}` : 'a gateway needs `prefix`',
      remedy: 'give the prefix of the link, like 198.18.0.0/24, and a gateway on it',
    });
  if (typeof kernel === 'string' && (type !== 'dpdk' || resolve === false))
    faults.push({
      path: [...path, 'kernel'],
      atKey: true,
      message: "the kernel's neighbour table is for devices of DPDK that stand beside one of the kernel",
      remedy: 'remove `kernel`, or write type: dpdk without resolve: false',
    });
  return faults;
}

/** UDP ports that an underlay listens on: those of its networks, or that for VXLAN while it has none. */
function listeningPorts({ value }: Item, networks: Item[]): number[] {
  const own = networks.filter((network) => wordsOf(network.value.underlay).includes(String(value.name)));
  const transports = (own.length > 0 ? own : [{ value: {} }]).map((n) => transportOf(n.value, value.udpPort));
  return [...new Set(transports.map(({ kind, udpPort }) => (kind === 'gre' ? -47 : kind === 'ipip' ? -4 : udpPort)))];
}

/** Two sockets cannot own one address and port; a source port must not be a listening port of an underlay. */
function endpointClashes(underlays: Item[], networks: Item[]): Located[] {
  const faults: Located[] = [];
  const seen = new Map<string, Item>();
  for (const underlay of underlays) {
    const { address, kind = 'udp', sourcePorts } = underlay.value;
    if (kind !== 'udp' || typeof address !== 'string') continue;
    const range = typeof sourcePorts === 'string' ? parseSourcePorts(sourcePorts) : null;
    for (const port of listeningPorts(underlay, networks)) {
      const key = `${canonicalAddress(address)} ${port < 0 ? `IP protocol ${-port}` : `port ${port}`}`;
      const first = seen.get(key);
      if (first)
        faults.push({
          path: [...underlay.path, 'address'],
          message: `${key} is already used by underlay ${quote(String(first.value.name))}`,
          remedy: 'let both networks use one underlay, or give another address or udpPort',
        });
      seen.set(key, first ?? underlay);
      if (!range || 'message' in range) continue;
      if (port >= range.first && port < range.first + range.count)
        faults.push({
          path: [...underlay.path, 'sourcePorts'],
          message: `source ports ${sourcePorts} contain the listening port ${port}`,
          remedy: 'choose a range without it, such as 49152-49167',
        });
    }
  }
  return faults;
}

function underlayReference({ path, value }: Item, underlays: Item[]): Located[] {
  const { underlay } = value;
  const names = namesOf(underlays);
  if (underlay === undefined) {
    const needs = ['encapsulation', 'preset', 'routing', 'vtepMac', 'peers', 'unknownPeers', 'heartbeat'].find(
      (key) => key in value && !isEmpty(value[key]) && value[key] !== 'drop' && value[key] !== 'tunnel',
    );
    if (!needs) return [];
    const remedy = names.length > 0 ? `add underlay: ${names[0]}` : 'define an underlay and name it here';
    return [{ path, message: `the network has \`${needs}\` but no \`underlay\``, remedy }];
  }
  const isList = Array.isArray(underlay);
  return wordsOf(underlay).flatMap((word, i): Located[] => {
    if (names.includes(word)) return [];
    const place = isList ? [...path, 'underlay', i] : [...path, 'underlay'];
    return [{ path: place, message: `there is no underlay ${quote(word)}`, remedy: suggest(word, names, 'underlays') }];
  });
}

function peerFaults(network: Item, underlays: Item[]): Located[] {
  const faults: Located[] = [];
  const words = wordsOf(network.value.underlay);
  const own = underlays.filter((u) => words.includes(String(u.value.name))).map((u) => String(u.value.address));
  const ownAddresses = own.map(canonicalAddress);
  const seen = new Set<string>();
  for (const { path, address } of peersOf(network)) {
    if (ownAddresses.includes(address))
      faults.push({ path, message: `peer ${address} is this node's own address`, remedy: 'list only the other nodes' });
    if (seen.has(address))
      faults.push({
        path,
        message: `peer ${address} is listed twice`,
        remedy: 'remove one; peers are told apart by their address alone, because source ports vary by flow',
      });
    seen.add(address);
  }
  return faults;
}

function staticFaults(network: Item): Located[] {
  const faults: Located[] = [];
  const ports = namesOf(items(network.value, network.path, 'ports'));
  const peers = peersOf(network).map((p) => p.address);
  const seen = new Set<string>();
  for (const { path, value } of items(network.value, network.path, 'staticMacs')) {
    const { mac, port, peer } = value;
    if ((port === undefined) === (peer === undefined))
      faults.push({ path, message: 'a static MAC needs either `port` or `peer`', remedy: 'name exactly one of them' });
    if (typeof port === 'string' && !ports.includes(port))
      faults.push({
        path: [...path, 'port'],
        message: `the network has no port ${quote(port)}`,
        remedy: suggest(port, ports, 'its ports'),
      });
    if (typeof peer === 'string' && !peers.includes(canonicalAddress(peer)))
      faults.push({
        path: [...path, 'peer'],
        message: `the network has no peer ${quote(peer)}`,
        remedy: suggest(peer, peers, 'its peers'),
      });
    if (typeof mac !== 'string') continue;
    if (seen.has(mac.toLowerCase()))
      faults.push({
        path: [...path, 'mac'],
        message: `${mac} has a place already`,
        remedy: 'remove one of the two entries',
      });
    seen.add(mac.toLowerCase());
  }
  return faults;
}

function limitFaults(networks: Item[], ports: Item[]): Located[] {
  const peers = networks.reduce((sum, network) => sum + peersOf(network).length, 0);
  const faults: Located[] = [];
  if (ports.length > LIMITS.ports)
    faults.push({
      path: ['networks'],
      message: `${ports.length} ports, a node has at most ${LIMITS.ports}`,
      remedy: 'spread them over more nodes',
    });
  if (peers > LIMITS.peers)
    faults.push({
      path: ['networks'],
      message: `${peers} peers over all networks, a node has at most ${LIMITS.peers}`,
      remedy: 'spread the networks over more nodes',
    });
  return faults;
}

function duplicates(all: Item[], key: string, what: string): Located[] {
  const faults: Located[] = [];
  const seen = new Set<unknown>();
  for (const { path, value } of all) {
    const name = value[key];
    if (typeof name !== 'string') continue;
    if (seen.has(name))
      faults.push({
        path: [...path, key],
        message: `there are two ${what}s named ${quote(name)}`,
        remedy: `give each ${what} of the node a name of its own`,
      });
    seen.add(name);
  }
  return faults;
}
