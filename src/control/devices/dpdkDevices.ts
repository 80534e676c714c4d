/**
 * Devices of DPDK: opened over the node's slots, closed when no worker uses them any more. DPDK itself is started by the first of them.
 */
import { type DpdkDevice, type DpdkState, dpdk } from '../../native/dpdk.js';
import { TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 } from '../../native/tun.js';
import type { DeviceState, MachineDocument, PathDocument, PathReason } from '../../observe/documents.js';
import { type DpdkSlots, SMALL_DATA } from '../../packet/arena.js';
import { WeftError } from '../../packet/error.js';
import type { DpdkIdle, DpdkPlan, DpdkQueues, Plan } from '../../pipeline/plan.js';
import type { DpdkSettings } from '../../worker/dpdkFrames.js';
import type { Config } from '../config/config.js';
import { DPDK_DEFAULTS } from '../config/dpdkSchema.js';
import { isDpdkPort } from '../config/portSchema.js';
import { clearMemifSocket, clearSocketPath, dressSocket, machinesAt } from './dpdkSockets.js';
import { machineOf } from './machine.js';
import { isServed, type MemifServer, memifServer, missingServer } from './memif.js';
import type { Missing } from './presence.js';

/** A device of DPDK and what it belongs to: a port, or a frame underlay. */
export interface DpdkOwner {
  /** `port 3`, `underlay 2`. */
  key: string;
  /** `port vm0`, for messages. */
  object: string;
  name: string;
  port: number;
  underlay: number;
  mtu: number;
  plan: DpdkPlan;
}

export interface OpenDpdkDevice {
  /** Of the owner; the other is 0. */
  port: number;
  underlay: number;
  /** Null while it waits without a device. */
  mac: string | null;
  queues: number;
  offloads: number;
  path: PathDocument;
  /** How workers wait for its frames. */
  idle: DpdkIdle;
  /** Queues that the machine behind it has enabled. */
  queuesEnabled(): number;
  /** What worker `worker` of `workers` reads and writes; null while it waits without a device. */
  queuesOf(worker: number, workers: number): DpdkQueues | null;
  /** What it cannot have a link without, of what does not come back by itself. */
  missing(): Missing | null;
  /** Null where it is no virtual machine that is behind the device. */
  machine(): MachineDocument | null;
  state(): DeviceState;
  /** Frames that the device lost before rx: its queue was full, or there was no slot. */
  missed(): number;
  close(): string[];
}

/** Of the link behind a frame underlay. */
const UNDERLAY_MTU = 1500;
const OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

export function dpdkSettings(config: Config): DpdkSettings {
  const { memoryMb, hugepages, cores, prefix, pci, idle } = config.node.dpdk ?? DPDK_DEFAULTS;
  return { memoryMb, hugepages, pci: pci ?? hasPciDevice(config), idle, cores: cores ?? null, prefix: prefix ?? null };
}

function hasPciDevice({ networks, underlays }: Config): boolean {
  const ports = networks.flatMap(({ ports }) => ports).filter((port) => port.type === 'dpdk');
  const devargs = [...ports.map((port) => port.devargs), ...underlays.map(({ frame }) => frame?.devargs ?? '')];
  return devargs.some((text) => /^([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7](,|$)/i.test(text));
}

/** Slots for devices of DPDK in the memory of a node; spare ones where it has no such device and does not ask for them. */
export function dpdkSlotsOf(config: Config): DpdkSlots {
  const isUsed =
    config.networks.some(({ ports }) => ports.some(isDpdkPort)) ||
    config.underlays.some(({ frame }) => frame?.type === 'dpdk');
  const { smallSlots, largeSlots } = config.node.dpdk ?? DPDK_DEFAULTS;
  return { small: smallSlots, large: largeSlots, isSpare: !isUsed && config.node.dpdk === undefined };
}

/** What a plan has of devices of DPDK. */
export function dpdkOwners(plan: Plan): DpdkOwner[] {
  const ports = plan.ports.flatMap(({ id, name, mtu, dpdk }) =>
    dpdk ? [{ key: `port ${id}`, object: `port ${name}`, name, port: id, underlay: 0, mtu, plan: dpdk }] : [],
  );
  const underlays = plan.underlays.flatMap(({ id, name, frame }) =>
    frame?.dpdk
      ? [
          {
            key: `underlay ${id}`,
            object: `underlay ${name}`,
            name,
            port: 0,
            underlay: id,
            mtu: UNDERLAY_MTU,
            plan: frame.dpdk,
          },
        ]
      : [],
  );
  return [...ports, ...underlays];
}

/** Opens a device, or what waits for its server. Throws a WeftError, with everything closed again. */
export function openDpdkDevice(frames: number, owner: DpdkOwner, idle: DpdkIdle): OpenDpdkDevice {
  const { plan, object } = owner;
  const server = memifServer(plan.devargs);
  if (server !== null && !isServed(server)) return awaiting(server, owner, idle);
  const addon = dpdk();
  const superframes = plan.offloads && owner.port !== 0;
  let device: DpdkDevice | null = null;
  try {
    if (plan.socket !== null) clearSocketPath(plan.socket.path, object);
    clearMemifSocket(plan.devargs);
    device = addon.open({
      devargs: plan.devargs,
      queues: plan.queues,
      mtu: owner.mtu,
      superframes: (superframes && plan.devargs.includes('tso=1')) || owner.mtu > SMALL_DATA,
      offloads: superframes ? OFFLOADS : 0,
      frames,
      interrupts: idle === 'interrupt',
    });
    if (plan.socket !== null) dressSocket(plan.socket);
  } catch (error) {
    if (device !== null) addon.close(device.port);
    throw deviceError(object, error);
  }
  return standing(frames, owner, device, idle);
}

/** In the place of a device that lacks something: what waits, and then one that is opened anew. Two of a name cannot stand at one time. */
export function renewDpdkDevice(frames: number, owner: DpdkOwner, before: OpenDpdkDevice): OpenDpdkDevice {
  const server = memifServer(owner.plan.devargs);
  return server === null || before.mac === null
    ? openDpdkDevice(frames, owner, before.idle)
    : awaiting(server, owner, before.idle);
}

function awaiting(server: MemifServer, { port, underlay, plan }: DpdkOwner, idle: DpdkIdle): OpenDpdkDevice {
  return {
    port,
    underlay,
    mac: null,
    queues: plan.queues,
    offloads: 0,
    path: { send: 'plain', receive: 'plain', reasons: [] },
    idle,
    queuesEnabled: () => 0,
    queuesOf: () => null,
    missing: () => missingServer(server, null),
    machine: () => null,
    state: () => 'down',
    missed: () => 0,
    close: () => [],
  };
}

function standing(frames: number, owner: DpdkOwner, device: DpdkDevice, wanted: DpdkIdle): OpenDpdkDevice {
  const addon = dpdk();
  const idle = wanted === 'interrupt' && device.wakes.length === 0 ? 'sleep' : wanted;
  const server = memifServer(owner.plan.devargs);
  const openedAt = performance.now();
  const isUp = () => isOpen && figures(device)?.up === true;
  let isOpen = true;
  return {
    port: owner.port,
    underlay: owner.underlay,
    mac: device.mac,
    queues: device.queues,
    offloads: device.offloads,
    get path() {
      return pathOf(owner.plan, device, idle !== wanted, isOpen ? figures(device) : null);
    },
    idle,
    queuesEnabled: () => (isOpen ? (figures(device)?.queuesEnabled ?? 0) : 0),
    queuesOf(worker, workers) {
      const { port, underlay } = owner;
      const { queues, offloads, chains } = device;
      // A queue is read by one worker only. One with fewer queues than there are workers is spread by its id, one with more is read in shares.
      const first = queues < workers ? (worker + workers - ((port + underlay) % workers)) % workers : worker;
      const rxQueues = shareOf(first, queues, workers);
      const wakes = rxQueues.flatMap((queue) => device.wakes[queue] ?? []);
      const common = { port, underlay, frames, device: device.port, offloads, chains, idle };
      return { ...common, rxQueues, txQueue: first % queues, wakes };
    },
    missing: () => (server === null || isUp() ? null : missingServer(server, performance.now() - openedAt)),
    machine: () => machineOf(owner.plan.devargs, isOpen ? figures(device) : null),
    state: () => (isUp() ? 'up' : 'down'),
    missed() {
      const now = isOpen ? figures(device) : null;
      return now === null ? 0 : now.missed + now.noBuffers;
    },
    close() {
      if (!isOpen) return [];
      isOpen = false;
      try {
        addon.close(device.port);
        return [];
      } catch (error) {
        return [(error as Error).message];
      }
    },
  };
}

/** first, first + step, ...: those that there are. */
const shareOf = (first: number, count: number, step: number): number[] =>
  Array.from({ length: Math.max(0, Math.ceil((count - first) / step)) }, (_, k) => first + k * step);

function figures(device: DpdkDevice): DpdkState | null {
  try {
    return dpdk().state(device.port);
  } catch {
    return null;
  }
}

function pathOf(plan: DpdkPlan, device: DpdkDevice, isWithoutInterrupts: boolean, now: DpdkState | null): PathDocument {
  const reasons: PathReason[] = [];
  const machines = now === null ? 0 : machinesAt(plan.devargs);
  if (machines > 1)
    reasons.push({
      feature: 'machine',
      reason: `${machines} machines are connected to one port: the last one has it, and when any of them leaves, nobody`,
      remedy: 'give each machine a port of its own, and start the right one again once the others are stopped',
    });
  if (now?.up === false && machines === 1)
    reasons.push({
      feature: 'machine',
      reason: 'a machine is connected and has not started its network card',
      remedy: `its driver may not be loaded; otherwise it asks for more than ${device.queues} queues, or does not share its memory (QEMU: memory-backend-memfd,share=on)`,
    });
  if (now?.up && now.machineQueues > device.queues)
    reasons.push({
      feature: 'queues',
      reason: `the machine has ${now.machineQueues} queues, and the port reads ${device.queues}: what is sent into the others is lost`,
      remedy: `set \`queues: ${now.machineQueues}\` of the port, or give the machine fewer (QEMU: queues=${device.queues} of the netdev)`,
    });
  if (now?.up && now.queuesEnabled < device.queues)
    reasons.push({
      feature: 'queues',
      reason: `the machine has enabled ${now.queuesEnabled} of ${device.queues} queues`,
      remedy: 'give its network card as many (queues=, and ethtool -L DEVICE combined), or the port fewer',
    });
  if (isWithoutInterrupts)
    reasons.push({
      feature: 'interrupts',
      reason: `${device.driver} has none: workers look at it now and then, at least every 8 ms`,
      remedy: null,
    });
  if (device.queues < plan.queues)
    reasons.push({
      feature: 'queues',
      reason: `the device has ${device.queues} of ${plan.queues} queues`,
      remedy: null,
    });
  // A machine that runs has chosen; until then it is what it may choose.
  const agreed = machineOf(plan.devargs, now)?.agreed;
  const use = (names: readonly string[]) =>
    names.includes('tso4') ? 'superframes' : names.includes('checksum') ? 'frames' : 'plain';
  const most = [device.offloads & TUN_F_TSO4 ? 'tso4' : '', device.offloads !== 0 ? 'checksum' : ''];
  const of = (chosen = most) => use(most.filter((name) => chosen.includes(name)));
  return { send: of(agreed?.takes), receive: of(agreed?.sends), reasons };
}

function deviceError(object: string, cause: unknown): WeftError {
  if (cause instanceof WeftError) return cause;
  const { message, code, errno, syscall } = cause as Error & { code?: string; errno?: number; syscall?: string };
  const remedy =
    code === 'EFAULT' || code === 'ENODEV'
      ? 'look at the devargs: the driver may not be installed (apt-get install libdpdk-dev brings those of Debian)'
      : code === 'EEXIST'
        ? 'give each device of DPDK a name of its own, like net_null0 and net_null1'
        : undefined;
  return new WeftError('DEVICE', `${object}: ${message}`, { object, syscall, errno, remedy, cause });
}
