/**
 * Ports in the configuration.
 */
import { z } from 'zod';
import { devargs, dpdkQueues } from './dpdkSchema.js';
import { SOCKET_PATH_MAX } from './text.js';
import {
  account,
  device,
  interfaceAddress,
  MTU_MAX,
  MTU_MIN,
  mac,
  mtu,
  name,
  prefix,
  text,
  WORKERS_MAX,
} from './values.js';

const TYPES = 'Kind of port: tap, tun, memory, pcap, dpdk or vhost-user';

const portName = name.describe('Name of the port, unique in the node');
const portMtu = mtu
  .optional()
  .describe(`MTU of the port in bytes, ${MTU_MIN} to ${MTU_MAX}; default: that of the network`);
const prefixes = z
  .array(prefix)
  .optional()
  .describe(
    'Networks of mode l3: prefixes behind the port, like 10.42.1.0/24; default where it is the only port: whatever no peer has',
  );

const used = (what: string) => z.boolean().default(true).describe(what);

const OffloadsSchema = z.strictObject({
  vnetHeader: used('A virtio-net header in front of each frame; without it there is no other offload'),
  tso: used('TCP superframes, to the device and from it'),
  uso: used('The same of UDP datagrams (Linux 6.2); needs gsoMaxSize'),
  gsoMaxSize: used('Superframes are limited to what leaves as one message'),
});

/** What TAP and TUN devices have in common. */
const kernelDevice = {
  name: portName,
  device: device.optional().describe('Interface name; default: the name of the port'),
  create: z
    .boolean()
    .default(true)
    .describe('true: make the device and remove it on stop; false: attach to one that exists'),
  netns: z
    .string()
    .min(1)
    .optional()
    .describe("Network namespace of the device, a name of `ip netns` or a path; default: the node's own"),
  addresses: z.array(interfaceAddress).default([]).describe('Addresses with prefix length to give to the device'),
  mtu: portMtu,
  queues: z
    .int()
    .min(1)
    .max(WORKERS_MAX)
    .optional()
    .describe('Queues of the device, at most one for each worker; default: one for each worker'),
  owner: account.optional().describe('User (number or name) that may attach to the device'),
  group: account.optional().describe('Group (number or name) that may attach to the device'),
  offloads: OffloadsSchema.optional().describe(
    'What the device is asked for, all of it unless told otherwise: {tso: false} works around one that does it wrong',
  ),
};

const TapPortSchema = z.strictObject({
  type: z.literal('tap').describe(TYPES),
  ...kernelDevice,
  mac: mac.optional().describe('MAC of the device; default: one that the kernel picks'),
});

const TunPortSchema = z.strictObject({
  type: z.literal('tun').describe(TYPES),
  ...kernelDevice,
  prefixes,
});

const MemoryPortSchema = z.strictObject({
  type: z.literal('memory').describe(TYPES),
  name: portName,
  mtu: portMtu,
  prefixes,
});

const PcapPortSchema = z.strictObject({
  type: z.literal('pcap').describe(TYPES),
  name: portName,
  mtu: portMtu,
  prefixes,
  input: z.string().min(1).optional().describe('Capture file that frames are read from'),
  output: z.string().min(1).optional().describe('Capture file that frames are written to'),
});

const superframes = z
  .boolean()
  .default(true)
  .describe('TCP superframes and unfinished checksums, as far as the device takes them');

const DpdkPortSchema = z.strictObject({
  type: z.literal('dpdk').describe(TYPES),
  name: portName,
  devargs: devargs.describe('Device of DPDK by its devargs, like net_pcap0,rx_pcap=in.pcap,tx_pcap=out.pcap'),
  mtu: portMtu,
  queues: dpdkQueues,
  offloads: superframes,
});

const VhostUserPortSchema = z.strictObject({
  type: z.literal('vhost-user').describe(TYPES),
  name: portName,
  path: text((value) =>
    value.startsWith('/') && Buffer.byteLength(value) <= SOCKET_PATH_MAX && !/[,=[\]]/.test(value)
      ? null
      : {
          message: 'not an absolute path that fits a Unix socket address',
          remedy: `give an absolute path of at most ${SOCKET_PATH_MAX} bytes, without commas, brackets or equal signs`,
        },
  ).describe('Unix socket that the virtual machine is reached by'),
  mode: z
    .enum(['server', 'client'])
    .default('server')
    .describe('server: weft listens and the machine connects; client: weft connects, again and again'),
  mtu: portMtu,
  queues: dpdkQueues,
  offloads: superframes,
  owner: account.optional().describe('Mode server: user (number or name) that the socket belongs to'),
  group: account.optional().describe('Mode server: group (number or name) that the socket belongs to'),
  socketMode: z
    .string()
    .regex(/^0?[0-7]{3}$/, 'not an octal file mode like 0660')
    .optional()
    .describe('Mode server: permissions of the socket, in quotes, like "0660"; default: by the umask'),
});

export const PortSchema = z.discriminatedUnion('type', [
  TapPortSchema,
  TunPortSchema,
  MemoryPortSchema,
  PcapPortSchema,
  DpdkPortSchema,
  VhostUserPortSchema,
]);

export type PortInput = z.input<typeof PortSchema>;
export type PortConfig = z.output<typeof PortSchema>;
/** A port with a device of the kernel. */
export type DevicePortConfig = Extract<PortConfig, { type: 'tap' | 'tun' }>;
/** A port with a device of DPDK. */
export type DpdkPortConfig = Extract<PortConfig, { type: 'dpdk' | 'vhost-user' }>;

export const isDpdkPort = (port: PortConfig): port is DpdkPortConfig =>
  port.type === 'dpdk' || port.type === 'vhost-user';
