/**
 * Carriers: the transports of an underlay. Sockets take one UDP port or IP protocol each, so an underlay over sockets has a carrier for
 * every one that its networks use; a frame underlay is one carrier for everything.
 */
import { WeftError } from '../../packet/error.js';
import type { DpdkPlan, FrameDevicePlan, UnderlayPlan } from '../../pipeline/plan.js';
import { DEFAULT_PORT, type TunnelKind } from '../../tunnel/tunnel.js';
import type { NetworkConfig, UnderlayConfig } from '../config/config.js';
import { DEFAULT_UDP_PORT, transportOf } from '../config/encapsulation.js';
import { canonicalAddress, familyOf, parseSourcePorts } from '../config/text.js';
import { wordsOf } from '../config/written.js';

/** A carrier before it has an id. */
export interface CarrierSource {
  name: string;
  underlay: UnderlayConfig;
  tunnel: TunnelKind;
  udpPort: number;
}

interface Described {
  name: string;
  kind?: unknown;
  udpPort?: unknown;
}

/**
 * Name of the carrier of a transport: the underlay's own for its VXLAN port and for frames, otherwise with the kind behind it, and with the port
 * where it is not the kind's usual one.
 */
export function carrierName(underlay: Described, kind: TunnelKind, udpPort: number): string {
  if (underlay.kind === 'frame') return underlay.name;
  if (kind === 'vxlan' && udpPort === (underlay.udpPort ?? DEFAULT_UDP_PORT)) return underlay.name;
  return `${underlay.name}/${kind}${udpPort === DEFAULT_PORT[kind] ? '' : `:${udpPort}`}`;
}

/** Name of the carrier of a network. */
export function carrierOf(underlay: UnderlayConfig, network: NetworkConfig): string {
  const { kind, udpPort } = transportOf(network, underlay.udpPort);
  return carrierName(underlay, kind, udpPort);
}

/** The underlays of a network, in the order that it names them. */
export function underlaysOf(network: NetworkConfig, underlays: readonly UnderlayConfig[]): UnderlayConfig[] {
  return wordsOf(network.underlay).flatMap((name) => underlays.find((underlay) => underlay.name === name) ?? []);
}

/** The one of them that reaches an address: the first of its family. */
export function underlayTo<T extends { address: string }>(address: string, own: readonly T[]): T | undefined {
  return own.find((underlay) => familyOf(underlay.address) === familyOf(address)) ?? own[0];
}

/** The carriers of an underlay. One that no network uses listens for VXLAN. */
export function carriersOf(underlay: UnderlayConfig, networks: readonly NetworkConfig[]): CarrierSource[] {
  if (underlay.kind === 'frame') return [{ name: underlay.name, underlay, tunnel: 'none', udpPort: underlay.udpPort }];
  const carriers = new Map<string, CarrierSource>();
  for (const network of networks) {
    if (!wordsOf(network.underlay).includes(underlay.name)) continue;
    const { kind, udpPort } = transportOf(network, underlay.udpPort);
    const name = carrierName(underlay, kind, udpPort);
    carriers.set(name, { name, underlay, tunnel: kind, udpPort });
  }
  if (carriers.size > 0) return [...carriers.values()];
  return [{ name: underlay.name, underlay, tunnel: 'vxlan', udpPort: underlay.udpPort }];
}

/** Tunnels that are IP protocols of their own go over raw sockets. */
export function isRaw(kind: TunnelKind): boolean {
  return kind === 'gre' || kind === 'ipip';
}

export function carrierPlan(
  { name, underlay, tunnel, udpPort }: CarrierSource,
  id: number,
  queues: number,
  kernelDevice?: string,
): UnderlayPlan {
  const ports = parseSourcePorts(underlay.sourcePorts);
  if ('message' in ports)
    throw new WeftError('CONFIG', ports.message, { object: `underlay ${underlay.name}`, remedy: ports.remedy });
  const { frame } = underlay;
  const hasSourcePorts = !isRaw(tunnel);
  return {
    id,
    name,
    underlay: underlay.name,
    kind: underlay.kind === 'frame' ? 'frame' : isRaw(tunnel) ? 'raw' : 'udp',
    tunnel,
    address: underlay.address,
    device: underlay.device ?? null,
    udpPort,
    checksum: underlay.checksum,
    sourcePortFirst: hasSourcePorts ? ports.first : 0,
    sourcePortCount: hasSourcePorts ? ports.count : 0,
    dscp: underlay.dscp === 'inherit' ? -1 : underlay.dscp,
    ttl: underlay.ttl === 'inherit' ? 0 : underlay.ttl,
    // What the kernel has joined for a raw socket looks the same as what a sender left undone, and was verified.
    deliverOffloadLeak: underlay.offloadLeak === undefined ? isRaw(tunnel) : underlay.offloadLeak === 'deliver',
    offloads: underlay.offloads ?? { segment: true, gro: true },
    frame: frame
      ? {
          kind: frame.type,
          name: frame.name ?? underlay.name,
          input: frame.input ?? null,
          output: frame.output ?? null,
          ...(frame.type === 'dpdk' ? { dpdk: frameDevice(frame, queues) } : {}),
          mac: frame.mac.toLowerCase(),
          popDepth: 0,
          ...resolverOf(frame, kernelDevice),
          neighbours: Object.fromEntries(
            Object.entries(frame.neighbours).map(([ip, mac]) => [canonicalAddress(ip), mac.toLowerCase()]),
          ),
        }
      : null,
  };
}

/** Who finds next hops: `device` is the interface of this host that has the address, if one has. */
function resolverOf(
  frame: NonNullable<UnderlayConfig['frame']>,
  device: string | undefined,
): Pick<FrameDevicePlan, 'resolver'> {
  if (!(frame.resolve ?? frame.type === 'dpdk')) return {};
  const beside = frame.type !== 'dpdk' || frame.kernel === false ? undefined : (frame.kernel ?? device);
  return { resolver: beside === undefined ? { by: 'weft' } : { by: 'kernel', device: beside } };
}

function frameDevice({ devargs, queues }: NonNullable<UnderlayConfig['frame']>, most: number): DpdkPlan {
  return { devargs: devargs!, queues: queues ?? most, offloads: false, socket: null };
}
