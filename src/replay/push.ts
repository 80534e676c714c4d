/**
 * Tunnels put on and taken off without a configuration: `--push vxlan:vni=42,remote=198.18.0.2` and `--pop auto:depth=2` as plans of a
 * node with one device on each side, `in` and `out`, and a network that passes everything from one to the other.
 */
import type { FrameDevicePlan, NetworkPlan, Plan, PortPlan, UnderlayPlan } from '../pipeline/plan.js';
import { moduleOf } from '../tunnel/modules.js';
import { type GeneveOption, type TunnelKind, type TunnelPlan, tunnelPlan } from '../tunnel/tunnel.js';
import * as Address from '../wire/address.js';
import * as Ethernet from '../wire/ethernet.js';
import { readSpec, type Spec } from './spec.js';

type Kind = Exclude<TunnelKind, 'none'>;

/** The devices of these plans. */
export const IN = 'in';
export const OUT = 'out';

export const POP_DEPTH_DEFAULT = 4;
const POP_DEPTH_MAX = 16;
/** An IP packet has no more, so that nothing is too big unless an MTU is given. */
const MTU_MAX = 65535;
const MTU_MIN = 68;
const OWN_MAC = '02:00:00:00:00:01';
const PEER_MAC = '02:00:00:00:00:02';
/** Of the block for benchmarks (RFC 2544), and for documentation (RFC 3849). */
const OWN_ADDRESS = { 4: '198.18.0.1', 6: '2001:db8::1' } as const;

const OUTER_KEYS = ['remote', 'local', 'src-mac', 'dst-mac', 'ttl', 'dscp', 'mtu'] as const;
const UDP_KEYS = ['port', 'csum'] as const;

/** What each kind takes, besides the words for the outer headers. */
const KEYS: { readonly [K in Kind]: readonly string[] } = {
  vxlan: ['vni', 'gpe', 'group', ...UDP_KEYS],
  geneve: ['vni', 'options', ...UDP_KEYS],
  gre: ['key', 'csum', 'seq', 'l3'],
  ipip: [],
  fou: UDP_KEYS,
  gue: UDP_KEYS,
};

/** The plan of a `--push`. Throws a WeftError when the text is wrong. */
export function pushPlan(text: string): Plan {
  const spec: Spec<Kind> = readSpec(text, '--push', KEYS, OUTER_KEYS);
  const tunnel = tunnelOf(spec);
  const remote = spec.address('remote');
  if (remote === null) spec.fail('needs remote=ADDRESS, the other end of the tunnel');
  const family = remote.length === Address.IPV4_BYTES ? 4 : 6;
  const local = spec.address('local') ?? (Address.fromText(OWN_ADDRESS[family]) as Uint8Array);
  if (local.length !== remote.length) spec.fail('local and remote are of different families');
  const outerMtu = spec.integer('mtu', MTU_MIN, MTU_MAX) ?? MTU_MAX;
  const mtu = outerMtu - overhead(tunnel, family);
  if (mtu < 1) spec.fail(`an MTU of ${outerMtu} leaves no room for packets`);
  const remoteText = Address.toText(remote);
  const dstMac = spec.mac('dst-mac') ?? PEER_MAC;
  const underlay: UnderlayPlan = {
    ...underlayPlan(OUT, frameDevice(spec.mac('src-mac') ?? OWN_MAC, { [remoteText]: dstMac }, 0)),
    address: Address.toText(local),
    udpPort: tunnel.udpPort,
    checksum: tunnel.kind !== 'gre' && (spec.flag('csum') ?? true),
    dscp: spec.inherited('dscp', 0, 63, -1) ?? 0,
    ttl: spec.inherited('ttl', 1, 255, 0) ?? 64,
  };
  const plan = passingPlan(IN, underlay, tunnel, mtu);
  plan.peers.push({
    id: 1,
    network: 1,
    underlay: 1,
    address: remoteText,
    udpPort: tunnel.udpPort,
    mac: null,
    direct: false,
    dynamic: false,
  });
  return plan;
}

/** The plan of a `--pop`: `auto`, or `auto:depth=N`. */
export function popPlan(text: string): Plan {
  const spec = readSpec(text, '--pop', { auto: ['depth'] }, []);
  const depth = spec.integer('depth', 1, POP_DEPTH_MAX) ?? POP_DEPTH_DEFAULT;
  const underlay = underlayPlan(IN, frameDevice(OWN_MAC, {}, depth));
  return passingPlan(OUT, { ...underlay, address: OWN_ADDRESS[4] }, tunnelPlan('vxlan'), MTU_MAX);
}

/** A plan without tunnels: packets are only edited on the way. */
export function passPlan(): Plan {
  const plan = passingPlan(IN, null, tunnelPlan('none'), MTU_MAX);
  plan.ports.push(portPlan(2, OUT, MTU_MAX));
  return plan;
}

function tunnelOf(spec: Spec<Kind>): TunnelPlan {
  const { kind } = spec;
  const rest: Partial<TunnelPlan> = {};
  const key = spec.integer('key', 0, 0xffff_ffff);
  if (kind === 'vxlan')
    Object.assign(rest, { gpe: spec.flag('gpe') ?? false, group: spec.integer('group', 0, 0xffff) ?? -1 });
  if (kind === 'geneve') rest.options = geneveOptions(spec);
  if (kind === 'gre') {
    Object.assign(rest, { hasKey: key !== null, checksum: spec.flag('csum') ?? false });
    Object.assign(rest, { sequence: spec.flag('seq') ?? false, payload: spec.flag('l3') ? 'ip' : 'ethernet' });
  }
  const port = spec.integer('port', 1, 0xffff);
  if (port !== null) rest.udpPort = port;
  const needsVni = kind === 'vxlan' || kind === 'geneve';
  const vni = spec.integer('vni', 0, 0xff_ffff);
  if (needsVni && vni === null) spec.fail('needs vni=NUMBER');
  if (rest.gpe && rest.group !== -1) spec.fail('gpe and group use the same bytes of the header');
  return tunnelPlan(kind, (vni ?? key ?? 0) | 0, rest);
}

/** `0102:80:00010002`, several joined by `+`: class, type and data, all hexadecimal. */
function geneveOptions(spec: Spec): GeneveOption[] {
  const text = spec.text('options');
  if (text === null) return [];
  const options = text.split('+').map((part) => {
    const match = /^([0-9a-f]{1,4}):([0-9a-f]{1,2})(?::((?:[0-9a-f]{8}){0,31}))?$/i.exec(part);
    if (match === null)
      return spec.fail(
        `options: '${part}' is not CLASS:TYPE:DATA in hexadecimal, with data of 0 to 124 bytes in fours`,
      );
    const data = Uint8Array.from(Buffer.from(match[3] ?? '', 'hex'));
    return { class: Number.parseInt(match[1], 16), type: Number.parseInt(match[2], 16), data };
  });
  if (options.reduce((sum, option) => sum + 4 + option.data.length, 0) > 252) spec.fail('options: more than 252 bytes');
  return options;
}

/** Bytes of an outer IP packet in front of the inner one. */
function overhead(tunnel: TunnelPlan, family: 4 | 6): number {
  const ip = family === 4 ? 20 : 40;
  const udp = tunnel.udpPort > 0 ? 8 : 0;
  const inner = tunnel.payload === 'ethernet' ? Ethernet.HEADER_BYTES : 0;
  return ip + udp + moduleOf(tunnel.kind).headerLen(tunnel) + inner;
}

function frameDevice(mac: string, neighbours: Record<string, string>, popDepth: number): FrameDevicePlan {
  return { kind: 'pcap', name: 'frames', input: null, output: null, mac, neighbours, popDepth };
}

function underlayPlan(name: string, frame: FrameDevicePlan): UnderlayPlan {
  return {
    id: 1,
    name,
    underlay: name,
    kind: 'frame',
    tunnel: 'none',
    address: '',
    device: null,
    udpPort: 0,
    checksum: true,
    sourcePortFirst: 0,
    sourcePortCount: 1,
    dscp: -1,
    ttl: 64,
    deliverOffloadLeak: false,
    offloads: { segment: true, gro: true },
    frame,
  };
}

function passingPlan(port: string, underlay: UnderlayPlan | null, tunnel: TunnelPlan, mtu: number): Plan {
  const network: NetworkPlan = {
    id: 1,
    name: 'pass',
    mode: 'xconnect',
    tunnel,
    domain: 1,
    vtepMac: null,
    underlays: underlay === null ? [] : [underlay.id],
    mtu,
    ageingSec: 300,
    macLimit: 1,
    neighbourLimit: 0,
    broadcastPps: 0,
    acceptUnknownPeers: true,
  };
  return {
    generation: 1,
    node: 'replay',
    workers: 1,
    busyPollUs: 0,
    underlays: underlay === null ? [] : [underlay],
    networks: [network],
    ports: [portPlan(1, port, mtu)],
    peers: [],
    statics: [],
    staticNeighbours: [],
    routes: [],
  };
}

function portPlan(id: number, name: string, mtu: number): PortPlan {
  return { id, name, network: 1, kind: 'pcap', mtu, tap: null, pcap: { input: null, output: null } };
}
