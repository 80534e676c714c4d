/**
 * MTUs of networks: what an underlay leaves when the headers of the tunnel are off.
 */
import { WeftError } from '../packet/error.js';
import type { Plan } from '../pipeline/plan.js';
import type { TunnelPlan } from '../tunnel/tunnel.js';
import type { Domains } from './bridges.js';
import { underlaysOf } from './carriers.js';
import type { NetworkConfig, UnderlayConfig } from './config.js';
import { tunnelOf } from './encapsulation.js';
import { familyOf } from './text.js';
import { MTU_MAX, MTU_MIN } from './values.js';

/** MTU of networks without an underlay, and of the link behind a frame underlay. */
export const ETHERNET_MTU = 1500;

const ETHERNET_BYTES = 14;
const UDP_BYTES = 8;
const OPTION_HEADER_BYTES = 4;

/** Bytes of all headers in front of an inner packet, as the MTU of the underlay counts them. */
export function overheadOf(tunnel: TunnelPlan, family: 4 | 6): number {
  const outer = (family === 4 ? 20 : 40) + (tunnel.udpPort === 0 ? 0 : UDP_BYTES);
  return outer + headerBytes(tunnel) + (tunnel.payload === 'ethernet' ? ETHERNET_BYTES : 0);
}

function headerBytes(tunnel: TunnelPlan): number {
  switch (tunnel.kind) {
    case 'vxlan':
      return 8;
    case 'geneve':
      return 8 + tunnel.options.reduce((sum, { data }) => sum + OPTION_HEADER_BYTES + data.length, 0);
    case 'gre':
      return 4 + 4 * (Number(tunnel.hasKey) + Number(tunnel.checksum) + Number(tunnel.sequence));
    case 'gue':
      return 4;
    default:
      return 0;
  }
}

/** What the tunnels of a network, or of those that it is bridged with, add to an inner packet inside of a UDP datagram: of all the most. */
export function segmentOverhead(plan: Plan, network: number): number {
  const domain = plan.networks.find((n) => n.id === network)?.domain;
  const tunnels = plan.networks.filter((n) => n.domain === domain && n.underlays.length > 0).map((n) => n.tunnel);
  return Math.max(0, ...tunnels.map((t) => headerBytes(t) + (t.payload === 'ethernet' ? ETHERNET_BYTES : 0)));
}

/** Name of an encapsulation in sentences. */
export const ENCAPSULATION_NAMES = {
  none: 'no',
  vxlan: 'VXLAN',
  geneve: 'Geneve',
  gre: 'GRE',
  ipip: 'IP-in-IP',
  fou: 'FOU',
  gue: 'GUE',
} as const;

/**
 * MTU of every network, by name. A bridged one that gives none has the smallest of all that it is joined with: they are one to their stations.
 * An MTU that the underlay cannot carry is an error: every full packet would be lost.
 */
export function networkMtus(
  networks: readonly NetworkConfig[],
  underlays: readonly UnderlayConfig[],
  deviceMtu: ReadonlyMap<string, number>,
  domains: Domains,
): Map<string, number> {
  const own = new Map(networks.map((n) => [n.name, ownMtu(n, underlays, deviceMtu)]));
  return new Map(
    networks.map(({ name, mtu }) => {
      const joined = [...domains.of(name)].map((other) => own.get(other) ?? MTU_MAX);
      return [name, mtu ?? Math.min(...joined)];
    }),
  );
}

/** What a network says, or the smallest that its underlays leave: its stations have one MTU towards all peers. */
function ownMtu(
  network: NetworkConfig,
  underlays: readonly UnderlayConfig[],
  deviceMtu: ReadonlyMap<string, number>,
): number {
  const own = underlaysOf(network, underlays).map((underlay) => mtuOver(underlay, network, deviceMtu));
  return own.length > 0 ? Math.min(...own) : (network.mtu ?? ETHERNET_MTU);
}

function mtuOver(underlay: UnderlayConfig, network: NetworkConfig, deviceMtu: ReadonlyMap<string, number>): number {
  const tunnel = tunnelOf(network, underlay.udpPort);
  const overhead = overheadOf(tunnel, familyOf(underlay.address) === 6 ? 6 : 4);
  const outer = underlay.kind === 'frame' ? ETHERNET_MTU : (deviceMtu.get(underlay.name) ?? ETHERNET_MTU);
  const largest = Math.min(outer - overhead, MTU_MAX);
  if (largest < MTU_MIN)
    throw new WeftError(
      'UNDERLAY',
      `underlay ${underlay.name}: a device MTU of ${outer} bytes leaves no room for packets`,
      {
        object: `underlay ${underlay.name}`,
        remedy: `raise the MTU of its device to ${MTU_MIN + overhead} bytes or more`,
      },
    );
  if (network.mtu === undefined) return largest;
  if (network.mtu > largest && underlay.kind === 'udp')
    throw new WeftError(
      'UNDERLAY',
      `network ${network.name}: MTU ${network.mtu} and ${overhead} bytes of ${ENCAPSULATION_NAMES[tunnel.kind]} headers do not fit the device of underlay ${underlay.name}, whose MTU is ${outer}`,
      {
        object: `network ${network.name}`,
        remedy: `set the MTU of the network to ${largest} or less, leave it out, or raise that of the device to ${network.mtu + overhead}`,
      },
    );
  return network.mtu;
}
