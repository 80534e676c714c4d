/**
 * The configuration of a node: the schema of its YAML file. `describe` texts are the documentation: they appear in the JSON Schema
 * (`weft check --schema`) and as remedies in the problems that a check reports. Unknown keys are errors.
 */
import { z } from 'zod';
import { NETWORKS_MAX, PEERS_MAX, PORTS_MAX, UNDERLAYS_MAX } from '../packet/counters.js';
import {
  type Fault,
  interfaceNameFault,
  macFault,
  nameFault,
  parseSourcePorts,
  prefixFault,
  SOCKET_PATH_MAX,
  underlayAddressFault,
} from './text.js';

/** Smallest MTU of a network: every IPv4 host must take 68 bytes (RFC 791). */
export const MTU_MIN = 68;
/** Largest MTU of a network: with its headers it still fits a large slot and an IP packet. */
export const MTU_MAX = 65000;
export const WORKERS_MAX = 16;
export const DEFAULT_UDP_PORT = 4789;

function text(fault: (value: string) => Fault | null) {
  return z.string().superRefine((value, context) => {
    const found = fault(value);
    if (found) context.addIssue({ code: 'custom', message: found.message, params: { remedy: found.remedy } });
  });
}

const name = text(nameFault);
const mac = text(macFault);
const address = text(underlayAddressFault);
const device = text(interfaceNameFault);
const udpPort = z.int().min(1).max(65535);
const mtu = z.int().min(MTU_MIN).max(MTU_MAX);
const account = z.union([z.int().min(0), z.string().min(1)]);

const ArenaSchema = z.strictObject({
  smallSlots: z.int().min(64).max(65536).default(256).describe('Slots of 2 KiB for each worker'),
  largeSlots: z.int().min(64).max(8192).default(72).describe('Slots of 64 KiB (one superframe) for each worker'),
});

const NodeSchema = z.strictObject({
  name: name.optional().describe('Name of the node and of its control socket; default: the host name'),
  socket: text((path) =>
    path.startsWith('/') && Buffer.byteLength(path) <= SOCKET_PATH_MAX
      ? null
      : {
          message: 'not an absolute path that fits a Unix socket address',
          remedy: `give an absolute path of at most ${SOCKET_PATH_MAX} bytes`,
        },
  )
    .optional()
    .describe('Path of the control socket; default: /run/weft/NAME.sock'),
  workers: z.int().min(1).max(WORKERS_MAX).default(1).describe(`Worker threads, 1 to ${WORKERS_MAX}`),
  busyPollUs: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(50)
    .describe('Microseconds that a worker polls without sleeping after the last packet, 0 to 1000000'),
  arena: ArenaSchema.optional().describe('Size of the shared memory that holds the frames'),
});

const FrameSchema = z.strictObject({
  type: z.enum(['memory', 'pcap']).describe('memory: frames stay inside of the worker, for tests; pcap: files'),
  name: z.string().min(1).optional().describe('Key of the memory device; default: the name of the underlay'),
  input: z.string().min(1).optional().describe('Capture file to read outer frames from'),
  output: z.string().min(1).optional().describe('Capture file to write outer frames to'),
  mac: mac.describe('Own MAC on the underlay'),
  neighbours: z.record(z.string(), mac).default({}).describe('MAC of each next hop, by its IPv4 address'),
});

const UnderlaySchema = z.strictObject({
  name: name.describe('Name that networks refer to'),
  kind: z.enum(['udp', 'frame']).default('udp').describe('udp: sockets of the kernel; frame: whole outer frames'),
  address: address.describe('Own tunnel endpoint address (IPv4), present on this host'),
  device: device
    .optional()
    .describe('Interface to bind the sockets to; default: whichever interface carries the address'),
  udpPort: udpPort
    .default(DEFAULT_UDP_PORT)
    .describe('UDP port for VXLAN, 1 to 65535 (4789 by RFC 7348, Linux also 8472)'),
  checksum: z
    .boolean()
    .default(true)
    .describe('UDP checksum on sent packets; without it neither UDP_SEGMENT here nor UDP_GRO at the peer can work'),
  sourcePorts: z
    .union([z.int(), z.string()])
    .superRefine((value, context) => {
      const parsed = parseSourcePorts(value);
      if ('message' in parsed)
        context.addIssue({ code: 'custom', message: parsed.message, params: { remedy: parsed.remedy } });
    })
    .default(16)
    .describe('Source ports that inner flows are spread over: a count, or a range FIRST-LAST'),
  dscp: z
    .union([z.int().min(0).max(63), z.literal('inherit')])
    .default(0)
    .describe("DSCP of sent packets, 0 to 63, or 'inherit' to copy that of the inner packet"),
  ttl: z.int().min(1).max(255).default(64).describe('TTL of sent packets, 1 to 255'),
  offloadLeak: z
    .enum(['drop', 'deliver'])
    .default('drop')
    .describe(
      'Packets that arrive with unfinished inner checksums: deliver is right between namespaces of one machine only',
    ),
  frame: FrameSchema.optional().describe('Device of a frame underlay'),
});

export const PeerSchema = z.strictObject({
  address: address.describe('Address of the peer (IPv4)'),
  udpPort: udpPort.optional().describe("UDP port that the peer listens on; default: the underlay's own"),
});

const StaticMacSchema = z.strictObject({
  mac: mac.describe('MAC that is never learned elsewhere'),
  port: z.string().optional().describe('Port of this network that the MAC is behind'),
  peer: z.string().optional().describe('Address of the peer of this network that the MAC is behind'),
});

const portName = name.describe('Name of the port, unique in the node');
const portMtu = mtu
  .optional()
  .describe(`MTU of the port in bytes, ${MTU_MIN} to ${MTU_MAX}; default: that of the network`);

const TapPortSchema = z.strictObject({
  type: z.literal('tap').describe('Kind of port: tap, memory or pcap'),
  name: portName,
  device: device.optional().describe('Interface name; default: the name of the port'),
  create: z
    .boolean()
    .default(true)
    .describe('true: make the TAP device and remove it on stop; false: attach to one that exists'),
  netns: z
    .string()
    .min(1)
    .optional()
    .describe("Network namespace of the device, a name of `ip netns` or a path; default: the node's own"),
  addresses: z.array(text(prefixFault)).default([]).describe('Addresses with prefix length to give to the device'),
  mac: mac.optional().describe('MAC of the device; default: one that the kernel picks'),
  mtu: portMtu,
  queues: z
    .int()
    .min(1)
    .max(WORKERS_MAX)
    .optional()
    .describe('Queues of the device, at most one for each worker; default: one for each worker'),
  owner: account.optional().describe('User (number or name) that may attach to the device'),
  group: account.optional().describe('Group (number or name) that may attach to the device'),
});

const MemoryPortSchema = z.strictObject({
  type: z.literal('memory').describe('Kind of port: tap, memory or pcap'),
  name: portName,
  mtu: portMtu,
});

const PcapPortSchema = z.strictObject({
  type: z.literal('pcap').describe('Kind of port: tap, memory or pcap'),
  name: portName,
  mtu: portMtu,
  input: z.string().min(1).optional().describe('Capture file that frames are read from'),
  output: z.string().min(1).optional().describe('Capture file that frames are written to'),
});

export const PortSchema = z.discriminatedUnion('type', [TapPortSchema, MemoryPortSchema, PcapPortSchema]);

const NetworkSchema = z.strictObject({
  name: name.describe('Name of the network'),
  vni: z.int().min(1).max(16777215).describe('VXLAN network identifier, 1 to 16777215'),
  underlay: z
    .string()
    .optional()
    .describe('Name of the underlay that carries the network; without one it joins local ports only'),
  mtu: mtu
    .optional()
    .describe(`Largest inner packet in bytes, ${MTU_MIN} to ${MTU_MAX}; default: MTU of the underlay's device - 50`),
  ageing: z.int().min(1).max(1_000_000).default(300).describe('Seconds after which an unheard MAC is forgotten'),
  macLimit: z.int().min(1).max(65536).default(8192).describe('Learned MACs at most'),
  broadcastLimit: z
    .int()
    .min(0)
    .max(100_000_000)
    .default(10000)
    .describe('Broadcast, multicast and unknown unicast packets a second at most; 0: no limit'),
  unknownPeers: z
    .enum(['drop', 'accept'])
    .default('drop')
    .describe('Packets from tunnel endpoints that are not configured; accept also adds the sender as a peer'),
  peers: z
    .array(z.union([address, PeerSchema]))
    .default([])
    .describe('Remote tunnel endpoints: an address, or {address, udpPort}'),
  staticMacs: z.array(StaticMacSchema).default([]).describe('MACs with a fixed place: {mac, port} or {mac, peer}'),
  ports: z.array(PortSchema).default([]).describe('Local ports'),
});

export const ConfigSchema = z.strictObject({
  node: NodeSchema.prefault({}).describe('The node itself'),
  underlays: z
    .array(UnderlaySchema)
    .max(UNDERLAYS_MAX - 1)
    .default([])
    .describe('What carries tunnel packets'),
  networks: z
    .array(NetworkSchema)
    .min(1)
    .max(NETWORKS_MAX - 1)
    .describe('Overlay segments: each one a broadcast domain of its own'),
});

/** Limits over the whole node, checked across networks. */
export const LIMITS = { ports: PORTS_MAX - 1, peers: PEERS_MAX - 1 } as const;

/** Configuration as a person writes it: what has a default may be left out. */
export type ConfigInput = z.input<typeof ConfigSchema>;
/** Configuration after a check: every default filled in. */
export type Config = z.output<typeof ConfigSchema>;
export type NetworkConfig = Config['networks'][number];
export type UnderlayConfig = Config['underlays'][number];
export type PortInput = z.input<typeof PortSchema>;
export type PortConfig = z.output<typeof PortSchema>;
export type TapPortConfig = Extract<PortConfig, { type: 'tap' }>;
export type PeerInput = string | z.input<typeof PeerSchema>;

/** JSON Schema (draft 2020-12) of the configuration file, for editors. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(ConfigSchema, { io: 'input' }) as Record<string, unknown>;
  return { title: 'weft node configuration', ...schema };
}
