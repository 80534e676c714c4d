import type { Tun } from '../native/tun.js';
import type { Allocate, Arena, Partition } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import type { ChecksumKernel } from '../packet/checksum.js';
import { WeftError } from '../packet/error.js';
import type { Outbox } from '../packet/outbox.js';
import type { SlotPool } from '../packet/slots.js';
import type { CaptureContext } from '../port/captureKernel.js';
import type { LinkDevice } from '../port/linkLayer.js';
import { bindMemoryPorts, type MemoryPort } from '../port/memory.js';
import { bindPcapPorts, type OpenCapture } from '../port/pcap.js';
import type { Port } from '../port/port.js';
import { bindTapPorts, type RxWindow } from '../port/tap.js';
import { bindFrameUnderlays } from '../underlay/frame.js';
import { setNextHop, writeTemplate } from '../underlay/template.js';
import { bindUdpUnderlays } from '../underlay/udp.js';
import type { Underlay } from '../underlay/underlay.js';
import * as Address from '../wire/address.js';
import * as Ethernet from '../wire/ethernet.js';
import type { FrameDevicePlan, Plan, PortPlan, UnderlayPlan, WorkerDevices } from './plan.js';
import type { Tables } from './tables.js';
import type { Walk } from './walk.js';

interface Context {
  arena: Arena;
  burst: Burst;
  outbox: Outbox;
  kernel: ChecksumKernel;
  window: RxWindow;
  partition: Partition;
  pools: { small: SlotPool; large: SlotPool };
  tables: Tables;
  walk: Walk;
  tun: Tun | null;
  allocate: Allocate;
  /** Replay: what opens capture devices in place of port/pcap.ts. */
  bindCaptures?: BindCaptures;
}

export type BindCaptures = (context: CaptureContext) => OpenCapture;

/**
 * The devices of one worker: opens and closes ports and underlays so that they are those of the plan. Descriptors are opened by the control
 * thread and only bound here.
 */
export interface Devices {
  apply(plan: Plan, opened: WorkerDevices): void;
  /** Memory devices by name: tests and load generators put frames in here. */
  readonly memory: Map<string, MemoryPort>;
  /** What a memory device does with message m; set before the plan is applied. */
  onMessage: ((name: string, m: number) => number) | undefined;
  /** Settings of memory devices, by name. */
  readonly memoryOptions: Map<
    string,
    { isLoop?: boolean; queueMax?: number; vnetHdrLen?: number; takesOffloads?: boolean }
  >;
}

export function createDevices(context: Context): Devices {
  const { arena, burst, outbox, pools, tables, walk, tun } = context;
  const openTap = tun && bindTapPorts(arena, burst, outbox, context.window, context.partition.vnetAt, tun);
  const openUdp = tun && bindUdpUnderlays(arena, burst, outbox, context.window, tables.destinations, tun);
  const openMemoryPort = bindMemoryPorts(arena, burst, outbox, pools.small);
  const openFrame = bindFrameUnderlays(arena, burst, outbox, context.kernel);
  const memory = new Map<string, MemoryPort>();
  const memoryOptions: Devices['memoryOptions'] = new Map();
  /** What stands at an id, as text: an id is reopened only when its plan or its descriptors changed. */
  const standing = new Map<string, string>();

  function openMemory(id: number, name: string): Port {
    const port = openMemoryPort({
      id,
      name,
      onMessage: devices.onMessage && ((m: number) => devices.onMessage?.(name, m) ?? 0),
      ...memoryOptions.get(name),
    });
    memory.set(name, port);
    return port.port;
  }

  let captures: OpenCapture | null = null;
  function openCapture(
    id: number,
    name: string,
    files: { input: string | null; output: string | null } | null,
    device: LinkDevice,
  ): Port {
    captures ??= (context.bindCaptures ?? bindPcapPorts)({
      arena,
      allocate: context.allocate,
      burst,
      outbox,
      window: context.window,
      pool: pools.large,
    });
    return captures({ id, name, device, ...files }).port;
  }

  /** Ports of L3 networks carry IP packets. */
  let networks: Plan['networks'] = [];
  const isRouted = (port: PortPlan) => networks.find((n) => n.id === port.network)?.mode === 'l3';

  function openPort(plan: PortPlan, opened: WorkerDevices): Port {
    if (plan.kind === 'memory') return openMemory(plan.id, plan.name);
    if (plan.kind === 'pcap') {
      const carries = isRouted(plan) ? 'ip' : 'ethernet';
      return openCapture(plan.id, plan.name, plan.pcap, { carries, isUnderlay: false });
    }
    const queue = opened.ports.find((q) => q.port === plan.id);
    if (queue === undefined || openTap === null) {
      throw new WeftError('WORKER', `port ${plan.name} has no open device`, { object: `port ${plan.name}` });
    }
    return openTap({ id: plan.id, name: plan.name, ...queue });
  }

  function openFrameDevice(id: number, plan: FrameDevicePlan): Port {
    if (plan.kind === 'memory') return openMemory(id, plan.name);
    const { name, input, output } = plan;
    return openCapture(id, name, { input, output }, { carries: 'ethernet', isUnderlay: true });
  }

  function openUnderlay(plan: UnderlayPlan, opened: WorkerDevices): Underlay {
    const tos = plan.dscp < 0 ? -1 : plan.dscp << 2;
    const { id, name, deliverOffloadLeak } = plan;
    if (plan.frame !== null) {
      const address = Address.ipv4WordFromText(plan.address);
      if (address === null) throw new WeftError('WORKER', `underlay ${name} needs an IPv4 address`);
      const device = openFrameDevice(id, plan.frame);
      return openFrame({
        id,
        name,
        device,
        address,
        udpPort: plan.udpPort,
        tos,
        checksum: plan.checksum,
        deliverOffloadLeak,
      });
    }
    const sockets = opened.underlays.find((u) => u.underlay === id);
    if (sockets === undefined || openUdp === null) {
      throw new WeftError('WORKER', `underlay ${name} has no open sockets`, { object: `underlay ${name}` });
    }
    const { rxFds, txFds, segment } = sockets;
    return openUdp({ id, name, rxFd: rxFds[0], txFds, segment, tos, deliverOffloadLeak });
  }

  function fillTemplates(plan: UnderlayPlan, all: Plan): void {
    const { frame } = plan;
    if (frame === null) return;
    for (const peer of all.peers) {
      if (peer.underlay !== plan.id) continue;
      const network = all.networks.find((n) => n.id === peer.network);
      const nextHop = frame.neighbours[peer.address];
      writeTemplate(tables.templates, peer.id, {
        dstMac: new Uint8Array(6),
        srcMac: Ethernet.macFromText(frame.mac) as Uint8Array,
        src: Address.ipv4WordFromText(plan.address) as number,
        dst: Address.ipv4WordFromText(peer.address) as number,
        dstPort: peer.udpPort,
        vni: network?.tunnel.id ?? 0,
        tos: plan.dscp < 0 ? 0 : plan.dscp << 2,
        ttl: plan.ttl,
      });
      tables.peerFrameMax[peer.id] = nextHop === undefined ? 0 : (network?.mtu ?? 0) + Ethernet.HEADER_BYTES;
      if (nextHop !== undefined) setNextHop(tables.templates, peer.id, Ethernet.macFromText(nextHop) as Uint8Array);
    }
  }

  /** Replaces the device at one id when what it was made of changed; removes it when it is not in the plan. */
  function keep<T extends { close(): void }>(
    kind: string,
    at: (T | undefined)[],
    wanted: Map<number, { text: string; open: () => T }>,
  ): void {
    for (let id = 0; id < at.length; id++) {
      const want = wanted.get(id);
      const key = `${kind} ${id}`;
      if (want?.text === standing.get(key)) continue;
      at[id]?.close();
      at[id] = undefined;
      standing.delete(key);
      if (want === undefined) continue;
      at[id] = want.open();
      standing.set(key, want.text);
    }
  }

  const devices: Devices = {
    memory,
    memoryOptions,
    onMessage: undefined,
    apply(plan, opened) {
      networks = plan.networks;
      const ports = plan.ports.map((p) => {
        const text = JSON.stringify([p.kind, p.name, p.pcap, opened.ports.find((q) => q.port === p.id)]);
        return [p.id, { text, open: () => openPort(p, opened) }] as const;
      });
      const underlays = plan.underlays.map((u) => {
        const text = JSON.stringify([u, opened.underlays.find((s) => s.underlay === u.id)]);
        return [u.id, { text, open: () => openUnderlay(u, opened) }] as const;
      });
      keep('port', walk.ports, new Map(ports));
      keep('underlay', walk.underlays, new Map(underlays));
      for (const u of plan.underlays) fillTemplates(u, plan);
    },
  };
  return devices;
}
