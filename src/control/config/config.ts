/**
 * The configuration of a node: the schema of its YAML file. `describe` texts are the documentation: they appear in the JSON Schema
 * (`weft check --schema`) and as remedies in the problems that a check reports. Unknown keys are errors.
 */
import { z } from 'zod';
import { NETWORKS_MAX, PEERS_MAX, PORTS_MAX, UNDERLAYS_MAX } from '../../packet/counters.js';
import { PinningSchema } from '../devices/pinning.js';
import { DpdkSchema, devargs, dpdkQueues } from './dpdkSchema.js';
import { DEFAULT_UDP_PORT, EncapsulationSchema, MODES } from './encapsulation.js';
import { HeartbeatSchema, probeMtu, roams } from './heartbeatSchema.js';
import { PortSchema } from './portSchema.js';
import { parseSourcePorts, SOCKET_PATH_MAX } from './text.js';
import {
  address,
  device,
  MTU_MAX,
  MTU_MIN,
  mac,
  mtu,
  name,
  prefix,
  stationAddress,
  text,
  udpPort,
  WORKERS_MAX,
} from './values.js';

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
  workersMax: z
    .int()
    .min(1)
    .max(WORKERS_MAX)
    .optional()
    .describe('Worker threads that a running node can be brought to; default: `workers`'),
  pinning: PinningSchema,
  busyPollUs: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(50)
    .describe('Microseconds that a worker polls without sleeping after the last packet, 0 to 1000000'),
  arena: ArenaSchema.optional().describe('Size of the shared memory that holds the frames'),
  dpdk: DpdkSchema.optional().describe('DPDK, under ports of type dpdk and vhost-user'),
});

const FrameSchema = z.strictObject({
  type: z
    .enum(['memory', 'pcap', 'dpdk'])
    .describe('memory: frames stay inside of the worker, for tests; pcap: files; dpdk: a device of DPDK'),
  name: z.string().min(1).optional().describe('Key of the memory device; default: the name of the underlay'),
  input: z.string().min(1).optional().describe('Capture file to read outer frames from'),
  output: z.string().min(1).optional().describe('Capture file to write outer frames to'),
  devargs: devargs.optional().describe('Device of DPDK by its devargs, like net_af_packet0,iface=eth1'),
  queues: dpdkQueues,
  mac: mac.describe('Own MAC on the underlay'),
  prefix: prefix
    .optional()
    .describe('Prefix that is on the link, like 198.18.0.0/24; `routing: crossSubnet` sends its peers plain packets'),
  gateway: address.optional().describe('Router on the link, within `prefix`: next hop of the peers outside of it'),
  neighbours: z
    .record(z.string(), mac)
    .default({})
    .describe('MACs of next hops by their IP address; they win over what the link says'),
  resolve: z
    .boolean()
    .optional()
    .describe(
      'The node is a host on the link: it finds next hops by ARP and neighbour discovery, and answers for its address. Default: true for dpdk, false for memory and pcap',
    ),
  kernel: z
    .union([device, z.literal(false)])
    .optional()
    .describe(
      "dpdk: interface of this host that has the address: the kernel answers for it, and next hops come from the kernel's neighbour table. Default: the interface that has it, if one has; false: none",
    ),
});

const OffloadsSchema = z.strictObject({
  segment: z.boolean().default(true).describe('The kernel cuts a message into datagrams (UDP_SEGMENT)'),
  gro: z.boolean().default(true).describe('The kernel joins the datagrams of a flow (UDP_GRO)'),
});

const UnderlaySchema = z.strictObject({
  name: name.describe('Name that networks refer to'),
  kind: z.enum(['udp', 'frame']).default('udp').describe('udp: sockets of the kernel; frame: whole outer frames'),
  address: address.describe('Own tunnel endpoint address (IPv4 or IPv6), present on this host'),
  device: device
    .optional()
    .describe('Interface to bind the sockets to; default: whichever interface carries the address'),
  udpPort: udpPort
    .default(DEFAULT_UDP_PORT)
    .describe('UDP port of VXLAN networks that give none, 1 to 65535 (4789 by RFC 7348, Linux also 8472)'),
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
  ttl: z
    .union([z.int().min(1).max(255), z.literal('inherit')])
    .default(64)
    .describe("TTL of sent packets, 1 to 255; frame underlays also 'inherit', to copy that of the inner packet"),
  offloadLeak: z
    .enum(['drop', 'deliver'])
    .optional()
    .describe(
      'Packets that arrive with unfinished inner checksums: deliver is right between namespaces of one machine only; default: drop, but deliver for gre and ipip, whose packets the receiving kernel joins (GRO)',
    ),
  offloads: OffloadsSchema.optional().describe(
    'What the kernel is asked for, all of it unless told otherwise: {segment: false} works around a device that does it wrong',
  ),
  frame: FrameSchema.optional().describe('Device of a frame underlay'),
});

export const PeerSchema = z.strictObject({
  address: address.describe('Address of the peer (IPv4 or IPv6)'),
  udpPort: udpPort.optional().describe("UDP port that the peer listens on; default: the network's own"),
  prefixes: z.array(prefix).optional().describe('Networks of mode l3: prefixes behind the peer, like 10.42.2.0/24'),
  roams,
  mac: mac
    .optional()
    .describe(
      'VXLAN networks of mode l3: MAC of the peer inside of the tunnel; default: 02:00 and the last four bytes of its address',
    ),
});

const StaticMacSchema = z.strictObject({
  mac: mac.describe('MAC that is never learned elsewhere'),
  port: z.string().optional().describe('Port of this network that the MAC is behind'),
  peer: z.string().optional().describe('Address of the peer of this network that the MAC is behind'),
});

const StaticNeighbourSchema = z.strictObject({
  address: stationAddress.describe('IPv4 or IPv6 address of a station of the network'),
  mac: mac.describe('Its MAC; frames that claim another one for the address are dropped'),
  router: z.boolean().default(false).describe('IPv6: whether the node advertises it as a router'),
});

const NetworkSchema = z.strictObject({
  name: name.describe('Name of the network'),
  vni: z.int().min(1).max(16777215).optional().describe('Network identifier of VXLAN and Geneve, 1 to 16777215'),
  underlay: z
    .union([z.string(), z.array(z.string()).min(1)])
    .optional()
    .describe(
      'Name of the underlay that carries the network, or a list of two, [lan4, lan6]: each peer is reached over that of its address family. Without one the network joins local ports only',
    ),
  encapsulation: EncapsulationSchema.optional().describe(
    'vxlan, geneve, gre, ipip, fou or gue, or a map with `type` and its settings; default: vxlan',
  ),
  mode: z
    .enum(MODES)
    .optional()
    .describe(
      'l2: a switch; l3: a router of bare IP packets (the only one for ipip, fou and gue); xconnect: one port and one peer, everything of one goes to the other',
    ),
  routing: z
    .enum(['tunnel', 'crossSubnet', 'direct'])
    .default('tunnel')
    .describe(
      "Mode l3: tunnel; crossSubnet: peers on the underlay's own link get plain routed packets; direct: all peers do",
    ),
  preset: z
    .literal('flannel')
    .optional()
    .describe('flannel: VXLAN as flannel has it (mode l3, vni 1, UDP port 8472); its peers need `mac` and `prefixes`'),
  vtepMac: mac
    .optional()
    .describe(
      'VXLAN networks of mode l3: own MAC inside of the tunnel; default: 02:00 and the last four bytes of the underlay address',
    ),
  mtu: z
    .union([z.literal('auto'), mtu])
    .default('auto')
    .describe(
      `Largest inner packet in bytes, ${MTU_MIN} to ${MTU_MAX}; auto: MTU of the underlay's device less the tunnel's headers (VXLAN over IPv4: 50), followed when the device's changes`,
    ),
  fragment: z
    .boolean()
    .default(true)
    .describe(
      'IPv4 packets without DF that do not fit the way to a peer: true cuts them into fragments, false drops them (too-big). With DF, and over IPv6, the sender is told',
    ),
  mssClamp: z
    .boolean()
    .default(true)
    .describe('Lower the MSS of TCP connections over tunnels to what fits; false: leave it as it is'),
  ageing: z.int().min(1).max(1_000_000).default(300).describe('Seconds after which an unheard MAC is forgotten'),
  macLimit: z.int().min(1).max(65536).default(8192).describe('Learned MACs at most'),
  broadcastLimit: z
    .int()
    .min(0)
    .max(100_000_000)
    .default(10000)
    .describe('Broadcast, multicast and unknown unicast packets a second at most; 0: no limit'),
  suppressNeighbours: z
    .boolean()
    .optional()
    .describe(
      'Mode l2: ARP and neighbour discovery are learned from, and answered by the node for addresses that it knows; default: true with an underlay',
    ),
  neighbourLimit: z.int().min(1).max(65536).default(8192).describe('Learned IP neighbours at most'),
  staticNeighbours: z
    .array(StaticNeighbourSchema)
    .default([])
    .describe('IP addresses whose MAC is fixed, whatever ARP and neighbour discovery say: {address, mac, router}'),
  unknownPeers: z
    .enum(['drop', 'accept'])
    .default('drop')
    .describe('Packets from tunnel endpoints that are not configured; accept also adds the sender as a peer'),
  heartbeat: HeartbeatSchema.optional().describe(
    'Heartbeats between weft nodes: whether each peer answers, and how fast; all nodes of the network must have them',
  ),
  probeMtu,
  peers: z
    .array(z.union([address, PeerSchema]))
    .default([])
    .describe('Remote tunnel endpoints: an address, or {address, udpPort, prefixes, mac, roams}'),
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
    .describe('Overlay segments: each one a broadcast domain (l2) or routing domain (l3) of its own'),
  bridge: z
    .array(z.union([z.string(), z.array(z.string())]))
    .default([])
    .describe('Two networks that the node relays between, like [blue, green], or a list of such pairs'),
});

/** Limits over the whole node, checked across networks. */
export const LIMITS = { ports: PORTS_MAX - 1, peers: PEERS_MAX - 1 } as const;

/** Configuration as a person writes it: what has a default may be left out. */
export type ConfigInput = z.input<typeof ConfigSchema>;
/** Configuration after a check: every default filled in. */
export type Config = z.output<typeof ConfigSchema>;
export type NetworkConfig = Config['networks'][number];
export type UnderlayConfig = Config['underlays'][number];
export type { DevicePortConfig, DpdkPortConfig, PortConfig, PortInput } from './portSchema.js';
export type NetworkInput = z.input<typeof NetworkSchema>;
export type StaticMacInput = z.input<typeof StaticMacSchema>;
export type PeerInput = string | z.input<typeof PeerSchema>;

/** JSON Schema (draft 2020-12) of the configuration file, for editors. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(ConfigSchema, { io: 'input' }) as Record<string, unknown>;
  return { title: 'weft node configuration', ...schema };
}
