/**
 * A configuration turned over: captures in place of its devices. What the node does with packets stays the same.
 */
import type { Config, NetworkConfig, PortConfig, UnderlayConfig } from '../control/config.js';
import { defaultVtepMac, type HostFacts, makePlan } from '../control/plan.js';
import { wordsOf } from '../control/written.js';
import type { Plan } from '../pipeline/plan.js';

/** Nothing of this machine has a say in a replay: MTUs are those of Ethernet, and only frame underlays know what is on their link. */
const NO_FACTS: HostFacts = {
  hostname: 'replay',
  underlayMtu: new Map(),
  underlayPrefixes: new Map(),
  users: new Map(),
  groups: new Map(),
};

/** The plan of a node whose ports and underlays are all capture files. Files are not named: a replay knows them by device. */
export function capturePlan(config: Config): Plan {
  return makePlan(captureConfig(config), NO_FACTS).plan;
}

/** The same for the ports and underlays that are to be captures; others stay what they are. */
export function captureConfig(config: Config, isCapture: (name: string) => boolean = () => true): Config {
  const { networks } = config;
  const turnPort = (port: PortConfig) => (isCapture(port.name) ? capturePort(port) : port);
  return {
    ...config,
    node: { ...config.node, workers: 1, busyPollUs: 0, arena: undefined },
    underlays: config.underlays.map((underlay) =>
      isCapture(underlay.name) ? captureUnderlay(underlay, networks) : underlay,
    ),
    networks: networks.map((network) => ({ ...network, ports: network.ports.map(turnPort) })),
  };
}

function capturePort(port: PortConfig): PortConfig {
  const { name, mtu } = port;
  const prefixes = 'prefixes' in port ? port.prefixes : undefined;
  return { type: 'pcap', name, mtu, ...(prefixes === undefined ? {} : { prefixes }) };
}

/** Sockets become whole outer frames. MACs that the configuration does not name are made of addresses, as those of VTEPs are. */
function captureUnderlay(underlay: UnderlayConfig, networks: readonly NetworkConfig[]): UnderlayConfig {
  const { frame, address, name } = underlay;
  const peers = networks
    .filter((network) => wordsOf(network.underlay).includes(name))
    .flatMap((network) => network.peers.map((peer) => (typeof peer === 'string' ? peer : peer.address)));
  const neighbours = Object.fromEntries(peers.map((peer) => [peer, defaultVtepMac(peer)]));
  return {
    ...underlay,
    kind: 'frame',
    device: undefined,
    frame: {
      type: 'pcap',
      mac: frame?.mac ?? defaultVtepMac(address),
      prefix: frame?.prefix,
      neighbours: { ...neighbours, ...frame?.neighbours },
    },
  };
}
