/**
 * The virtual machine behind a vhost-user device, as the status has it.
 */
import type { DpdkState } from '../../native/dpdk.js';
import type { AgreedFeatures, MachineDocument } from '../../observe/documents.js';
import { machinesAt, settingsOf } from './dpdkSockets.js';

// Feature bits of virtio 1.2, sections 5.1.3 and 6.
const MERGEABLE = 15;
const PACKED = 34;
/** What the machine leaves unfinished (CSUM, HOST_TSO4, HOST_TSO6), and what it takes so (GUEST_CSUM, GUEST_TSO4, GUEST_TSO6). */
const SENDS = { checksum: 0, tso4: 11, tso6: 12 };
const TAKES = { checksum: 1, tso4: 7, tso6: 8 };

/** Null for a device without a machine; `now` null: it is closed. */
export function machineOf(devargs: string, now: DpdkState | null): MachineDocument | null {
  if (!devargs.startsWith('net_vhost')) return null;
  const settings = settingsOf(devargs);
  const isRunning = now?.up === true;
  const isThere = isRunning || (now !== null && machinesAt(devargs) > 0);
  return {
    socket: settings.get('iface') ?? '',
    mode: settings.get('client') === '1' ? 'client' : 'server',
    state: isRunning ? 'running' : isThere ? 'silent' : 'absent',
    queues: now?.machineQueues ?? 0,
    agreed: isRunning ? agreedOf(now.machineFeatures) : null,
  };
}

/** Of 64 bits, of which the highest ones are not in use: a number holds them. */
export function agreedOf(features: number): AgreedFeatures {
  const bits = BigInt(features);
  const has = (bit: number) => ((bits >> BigInt(bit)) & 1n) === 1n;
  const namesOf = (known: Record<string, number>) => Object.keys(known).filter((name) => has(known[name]));
  return {
    rings: has(PACKED) ? 'packed' : 'split',
    mergeable: has(MERGEABLE),
    sends: namesOf(SENDS),
    takes: namesOf(TAKES),
    features: `0x${bits.toString(16)}`,
  };
}
