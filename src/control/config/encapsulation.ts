/**
 * The encapsulation of a network: its words in the configuration, and what they come to. The functions also take a network as it was
 * written, of any shape, so that checks and plan cannot disagree; what the schema refuses counts as its default.
 */
import { z } from 'zod';
import { DEFAULT_PORT, type TunnelKind, type TunnelPlan, tunnelPlan } from '../../tunnel/tunnel.js';
import { geneveMatch, geneveOption, MatchesSchema, OptionsSchema } from './geneveOptions.js';
import { udpPort } from './values.js';
import { record } from './written.js';

export const DEFAULT_UDP_PORT = DEFAULT_PORT.vxlan;
/** RFC 7348 has 4789; Linux had this one before, and flannel has it still. */
const FLANNEL = { vni: 1, udpPort: 8472 };

const WORDS = ['vxlan', 'geneve', 'gre', 'ipip', 'fou', 'gue'] as const;
const TYPES = `Encapsulation: ${WORDS.join(', ')}`;

const type = <K extends (typeof WORDS)[number]>(kind: K) => z.literal(kind).describe(TYPES);
const port = (kind: TunnelKind) =>
  udpPort.optional().describe(`Own UDP port, 1 to 65535; default: ${defaultText(kind)}`);

function defaultText(kind: TunnelKind): string {
  return kind === 'vxlan' ? "the underlay's udpPort, with gpe 4790" : String(DEFAULT_PORT[kind]);
}

const ObjectSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: type('vxlan'),
    udpPort: port('vxlan'),
    gpe: z.boolean().default(false).describe('Generic Protocol Extension: the header says what it carries'),
    group: z
      .int()
      .min(0)
      .max(0xffff)
      .optional()
      .describe('Group policy id (GBP) of sent packets, 0 to 65535; default: none'),
  }),
  z.strictObject({
    type: type('geneve'),
    udpPort: port('geneve'),
    options: OptionsSchema.default([]).describe(
      'Options of sent packets: {class, type, data}, {ovn: {ingress, egress}} or {cilium: {address, port}}',
    ),
    match: MatchesSchema.default([]).describe('Options that received packets must have: {class, type, data}'),
    relayOptions: z
      .enum(['pass', 'strip'])
      .default('pass')
      .describe('Options of packets that a bridge relays between two Geneve networks: pass or strip'),
  }),
  z.strictObject({
    type: type('gre'),
    key: z.int().min(0).max(0xffffffff).optional().describe('Key (RFC 2890), 0 to 4294967295; default: none'),
    checksum: z.boolean().default(false).describe('Checksum on sent packets; received ones are verified always'),
    sequence: z
      .boolean()
      .default(false)
      .describe('Sequence numbers on sent packets; received packets that are out of order are dropped'),
  }),
  z.strictObject({ type: type('ipip') }),
  z.strictObject({ type: type('fou'), udpPort: port('fou') }),
  z.strictObject({ type: type('gue'), udpPort: port('gue') }),
]);

/** The object first: for a map its faults are the ones to report, and a word is none. */
export const EncapsulationSchema = z.union([ObjectSchema, z.enum(WORDS)]);

/** The part of a network that decides about its tunnel. */
export interface TunnelSource {
  encapsulation?: unknown;
  preset?: unknown;
  mode?: unknown;
  vni?: unknown;
}

export type Mode = 'l2' | 'l3' | 'xconnect';
export const MODES = ['l2', 'l3', 'xconnect'] as const;

/** What tells the packets of a network from those of others on the same address. */
export interface Transport {
  kind: TunnelKind;
  /** 0 for gre and ipip. */
  udpPort: number;
  /** VNI or key; 0 without. */
  id: number;
}

export function kindOf({ encapsulation }: TunnelSource): TunnelKind {
  const word = typeof encapsulation === 'string' ? encapsulation : record(encapsulation)?.type;
  return WORDS.find((kind) => kind === word) ?? 'vxlan';
}

/** Whether a kind carries bare IP packets and nothing else. */
export function carriesIpOnly(kind: TunnelKind): boolean {
  return kind === 'ipip' || kind === 'fou' || kind === 'gue';
}

/** vxlan and geneve: the network needs a VNI. */
export function hasVni(kind: TunnelKind): boolean {
  return kind === 'vxlan' || kind === 'geneve';
}

export function modeOf(network: TunnelSource): Mode {
  const written = MODES.find((mode) => mode === network.mode);
  if (written) return written;
  return network.preset === 'flannel' || carriesIpOnly(kindOf(network)) ? 'l3' : 'l2';
}

export function transportOf(network: TunnelSource, underlayPort: unknown): Transport {
  const kind = kindOf(network);
  const { udpPort: own, key, gpe } = record(network.encapsulation) ?? {};
  const number = (value: unknown, otherwise: number) => (typeof value === 'number' ? value : otherwise);
  const isFlannel = network.preset === 'flannel';
  const vxlanPort = isFlannel ? FLANNEL.udpPort : gpe === true ? 4790 : number(underlayPort, DEFAULT_UDP_PORT);
  const hasPort = kind !== 'gre' && kind !== 'ipip';
  const id = hasVni(kind) ? number(network.vni, isFlannel ? FLANNEL.vni : 0) : kind === 'gre' ? number(key, 0) : 0;
  return { kind, udpPort: hasPort ? number(own, kind === 'vxlan' ? vxlanPort : DEFAULT_PORT[kind]) : 0, id };
}

/** The tunnel of a checked network. */
export function tunnelOf(
  network: TunnelSource & { encapsulation?: z.output<typeof EncapsulationSchema> },
  underlayPort: number,
): TunnelPlan {
  const { kind, id, udpPort } = transportOf(network, underlayPort);
  const { encapsulation } = network;
  const given: Partial<TunnelPlan> = {};
  if (typeof encapsulation === 'object') {
    if (encapsulation.type === 'vxlan') {
      given.gpe = encapsulation.gpe;
      given.group = encapsulation.group ?? -1;
    } else if (encapsulation.type === 'geneve') {
      given.options = encapsulation.options.map(geneveOption);
      given.match = encapsulation.match.map(geneveMatch);
      given.relayOptions = encapsulation.relayOptions;
    } else if (encapsulation.type === 'gre') {
      given.hasKey = encapsulation.key !== undefined;
      given.checksum = encapsulation.checksum;
      given.sequence = encapsulation.sequence;
    }
  }
  // VXLAN has no field that says what it carries: without GPE it is Ethernet, also for routed packets.
  const isIp = modeOf(network) === 'l3' && (kind !== 'vxlan' || given.gpe === true);
  return tunnelPlan(kind, id, { ...given, udpPort, payload: isIp ? 'ip' : 'ethernet' });
}
