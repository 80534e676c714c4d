/**
 * A configuration turned over: captures in place of its devices. What the node does with packets stays the same.
 */
import type { Config, NetworkConfig, PortConfig, UnderlayConfig } from '../control/config/config.js';
import { wordsOf } from '../control/config/written.js';
import { defaultVtepMac, type HostFacts, makePlan } from '../control/plan/plan.js';
import { WeftError } from '../packet/error.js';
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
  const { plan } = makePlan(captureConfig(config), NO_FACTS);
  refuseTwins(plan);
  return plan;
}

/** Sockets tell networks apart by their UDP ports, too; one capture brings the packets of all ports. */
export function refuseTwins({ networks, underlays }: Plan): void {
  const seen = new Map<string, string>();
  const captures = new Set(underlays.filter(({ kind }) => kind === 'frame').map(({ id }) => id));
  for (const { name, tunnel, underlays: carriers } of networks)
    for (const carrier of carriers.filter((id) => captures.has(id))) {
      const key = `${carrier} ${tunnel.kind} ${tunnel.id}`;
      const other = seen.get(key);
      if (other !== undefined)
        throw new WeftError(
          'CONFIG',
          `networks ${other} and ${name} differ by their UDP port alone, which no replay tells`,
          {
            object: `network ${name}`,
            remedy: 'Give each its own VNI, or replay with a configuration that has one of them.',
          },
        );
      seen.set(key, name);
    }
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
      resolve: false,
      neighbours: { ...neighbours, ...frame?.neighbours },
    },
  };
}
