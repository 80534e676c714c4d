/**
 * MTUs of networks: what an underlay leaves when the headers of the tunnel are off.
 */
import { WeftError } from '../../packet/error.js';
import type { Plan } from '../../pipeline/plan.js';
import type { TunnelPlan } from '../../tunnel/tunnel.js';
import type { NetworkConfig, UnderlayConfig } from '../config/config.js';
import { tunnelOf } from '../config/encapsulation.js';
import { familyOf } from '../config/text.js';
import { MTU_MAX, MTU_MIN } from '../config/values.js';
import type { Domains } from './bridges.js';
import { underlaysOf } from './carriers.js';

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

/** MTU of a network. */
export interface NetworkMtu {
  mtu: number;
  /** It follows the underlay's device. */
  isAuto: boolean;
  /** Largest that its underlays carry; null for a network of local ports only. */
  most: number | null;
}

/**
 * MTU of every network, by name. A bridged one with `auto` has the smallest of all that it is joined with: they are one to their stations.
 * An MTU that the underlay cannot carry is an error, every full packet would be lost; but not for a network that `isKept` says had it before:
 * a device whose MTU falls under a running node must not keep it from changing anything else.
 */
export function networkMtus(
  networks: readonly NetworkConfig[],
  underlays: readonly UnderlayConfig[],
  deviceMtu: ReadonlyMap<string, number>,
  domains: Domains,
  isKept: (name: string, mtu: number) => boolean = () => false,
): Map<string, NetworkMtu> {
  const most = new Map(networks.map((n) => [n.name, mostOf(n, underlays, deviceMtu, isKept)]));
  const own = new Map(networks.map(({ name, mtu }) => [name, mtu === 'auto' ? (most.get(name) ?? ETHERNET_MTU) : mtu]));
  return new Map(
    networks.map(({ name, mtu }) => {
      const joined = [...domains.of(name)].map((other) => own.get(other) ?? MTU_MAX);
      const isAuto = mtu === 'auto';
      return [name, { mtu: isAuto ? Math.min(...joined) : mtu, isAuto, most: most.get(name) ?? null }];
    }),
  );
}

/** The smallest that the underlays of a network leave: its stations have one MTU towards all peers. */
function mostOf(
  network: NetworkConfig,
  underlays: readonly UnderlayConfig[],
  deviceMtu: ReadonlyMap<string, number>,
  isKept: (name: string, mtu: number) => boolean,
): number | null {
  const own = underlaysOf(network, underlays).map((underlay) => roomOver(underlay, network, deviceMtu, isKept));
  return own.length > 0 ? Math.min(...own) : null;
}

function roomOver(
  underlay: UnderlayConfig,
  network: NetworkConfig,
  deviceMtu: ReadonlyMap<string, number>,
  isKept: (name: string, mtu: number) => boolean,
): number {
  const { name, mtu } = network;
  const tunnel = tunnelOf(network, underlay.udpPort);
  const overhead = overheadOf(tunnel, familyOf(underlay.address) === 6 ? 6 : 4);
  const outer = underlay.kind === 'frame' ? ETHERNET_MTU : (deviceMtu.get(underlay.name) ?? ETHERNET_MTU);
  const largest = Math.min(outer - overhead, MTU_MAX);
  if (mtu !== 'auto' && (mtu <= largest || underlay.kind !== 'udp' || isKept(name, mtu))) return largest;
  if (largest < MTU_MIN)
    throw new WeftError(
      'UNDERLAY',
      `underlay ${underlay.name}: a device MTU of ${outer} bytes leaves no room for packets`,
      {
        object: `underlay ${underlay.name}`,
        remedy: `raise the MTU of its device to ${MTU_MIN + overhead} bytes or more`,
      },
    );
  if (mtu === 'auto') return largest;
  throw new WeftError(
    'UNDERLAY',
    `network ${name}: MTU ${mtu} and ${overhead} bytes of ${ENCAPSULATION_NAMES[tunnel.kind]} headers do not fit the device of underlay ${underlay.name}, whose MTU is ${outer}`,
    {
      object: `network ${name}`,
      remedy: `set the MTU of the network to ${largest} or less, leave it out, or raise that of the device to ${mtu + overhead}`,
    },
  );
}

/** Smallest MTU of a path: every IPv4 host takes 576 bytes (RFC 791), every IPv6 link 1280 (RFC 8200). */
export const PATH_MTU_MIN = { 4: 576, 6: 1280 } as const;

/** Largest inner packet for a peer: that of its network, or less where the path to it takes no more than `outer` bytes. */
export function peerMtu(networkMtu: number, tunnel: TunnelPlan, address: string, outer: number | undefined): number {
  if (outer === undefined) return networkMtu;
  const family = familyOf(address) === 6 ? 6 : 4;
  return Math.max(MTU_MIN, Math.min(networkMtu, Math.max(outer, PATH_MTU_MIN[family]) - overheadOf(tunnel, family)));
}
