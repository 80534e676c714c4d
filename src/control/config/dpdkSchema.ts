/**
 * DPDK in the configuration of a node.
 */
import { z } from 'zod';
import { text, WORKERS_MAX } from './values.js';

const SMALL_DEFAULT = 4096;
const LARGE_DEFAULT = 1024;

export const devargs = text((value) =>
  /^[\w:.-]+(,|$)/.test(value)
    ? null
    : {
        message: 'not the devargs of a device',
        remedy: 'give a name of DPDK and its settings, like net_memif0,role=server,socket=/run/memif.sock',
      },
);

export const dpdkQueues = z
  .int()
  .min(1)
  .max(WORKERS_MAX)
  .optional()
  .describe(
    'Queues of a device of DPDK; default: one for each worker that there may be (node.workersMax). A worker reads several where there are more of them',
  );

export const DpdkSchema = z.strictObject({
  memoryMb: z
    .int()
    .min(16)
    .max(65536)
    .default(128)
    .describe("DPDK's own memory in MiB, for queues and headers; frames lie in the arena"),
  hugepages: z
    .union([z.literal('auto'), z.boolean()])
    .default('auto')
    .describe(
      'Take that memory from huge pages of 2 MiB: auto: where enough of them are free; true: or fail; false: never',
    ),
  cores: z
    .array(z.int().min(0).max(1023))
    .min(1)
    .optional()
    .describe("CPUs that DPDK's own threads may use; default: all. Workers are pinned by node.pinning"),
  prefix: z
    .string()
    .regex(/^[\w.-]+$/, 'letters, digits, dots, dashes and underscores only')
    .optional()
    .describe('Name of this process among those that use DPDK on the machine; default: by its process id'),
  pci: z
    .boolean()
    .optional()
    .describe('Look for PCI devices; default: where the devargs of a device are a PCI address, like 0000:03:00.0'),
  idle: z
    .enum(['interrupt', 'sleep', 'busy'])
    .default('interrupt')
    .describe(
      'How workers wait for frames: interrupt: asleep until the device says so, where it can (vhost-user), else as sleep; sleep: they look now and then, at least every 8 ms; busy: they never sleep',
    ),
  smallSlots: z
    .int()
    .min(512)
    .max(262144)
    .default(SMALL_DEFAULT)
    .describe('Slots of 2 KiB for devices of DPDK, of the node as a whole'),
  largeSlots: z
    .int()
    .min(512)
    .max(16384)
    .default(LARGE_DEFAULT)
    .describe('Slots of 64 KiB, for those that bring superframes or have a large MTU'),
});

export type DpdkConfig = z.output<typeof DpdkSchema>;

/** Of a node whose configuration says nothing of DPDK. */
export const DPDK_DEFAULTS: DpdkConfig = DpdkSchema.parse({});
