import { dpdk } from '../native/dpdk.js';
import type { Tun } from '../native/tun.js';
import type { Allocate, Arena, Partition } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import { PORT_ROW, UNDERLAY_ROW } from '../packet/counters.js';
import { WeftError } from '../packet/error.js';
import type { Outbox } from '../packet/outbox.js';
import type { RxWindow } from '../packet/rxWindow.js';
import type { SlotPool } from '../packet/slots.js';
import type { CaptureContext } from '../port/captureKernel.js';
import { bindDpdkPorts } from '../port/dpdk.js';
import type { LinkDevice } from '../port/linkLayer.js';
import { bindMemoryPorts, type MemoryPort } from '../port/memory.js';
import { bindPcapPorts, type OpenCapture } from '../port/pcap.js';
import type { Port } from '../port/port.js';
import { bindTapPorts } from '../port/tap.js';
import { DEFAULT_PORT, KIND } from '../tunnel/tunnel.js';
import { bindFrameUnderlays } from '../underlay/frame.js';
import type { OuterKernel } from '../underlay/kernel.js';
import type { Outer, OuterRules } from '../underlay/outer.js';
import { bindRawUnderlays } from '../underlay/raw.js';
import { bindUdpUnderlays } from '../underlay/udp.js';
import type { Underlay } from '../underlay/underlay.js';
import { macWords } from '../wire/ethernet.js';
import type { FrameDevicePlan, Plan, PortPlan, UnderlayPlan, WorkerDevices } from './plan.js';
import { addressWords, type Tables } from './tables.js';
import { fillTemplates } from './templates.js';
import type { Walk } from './walk.js';

interface Context {
  arena: Arena;
  burst: Burst;
  outbox: Outbox;
  outer: Outer;
  inbound: OuterKernel;
  /** Place of the worker. */
  place: number;
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

/** Ports on which tunnels of each kind are found when nobody says where. */
const WELL_KNOWN: [port: number, kind: number][] = [
  [DEFAULT_PORT.vxlan, KIND.vxlan],
  [8472, KIND.vxlan],
  [4790, KIND.vxlan],
  [DEFAULT_PORT.geneve, KIND.geneve],
  [DEFAULT_PORT.fou, KIND.fou],
  [DEFAULT_PORT.gue, KIND.gue],
];

/** -ENETDOWN */
const NETWORK_DOWN = -100;

/** A worker's part of the device of DPDK of a port or a frame underlay; the other is 0. */
const queuesOf = ({ dpdk = [] }: WorkerDevices, port: number, underlay: number) =>
  dpdk.find((q) => q.port === port && q.underlay === underlay);

/** What a frame underlay takes: the tunnels of its networks, or all of them. */
function outerRules(underlay: UnderlayPlan, plan: Plan): OuterRules {
  const address = addressWords(underlay.address);
  if (address === null) throw new WeftError('WORKER', `underlay ${underlay.name} needs an IP address`);
  const { frame } = underlay;
  const takesAll = frame !== null && frame.popDepth > 0;
  const networks = plan.networks.filter((n) => n.underlays.includes(underlay.id));
  const ports = new Map(takesAll ? WELL_KNOWN : []);
  for (const { tunnel } of networks) if (tunnel.udpPort > 0) ports.set(tunnel.udpPort, KIND[tunnel.kind]);
  const takes = (kind: 'gre' | 'ipip') => (takesAll || networks.some((n) => n.tunnel.kind === kind) ? KIND[kind] : 0);
  const isRouted = plan.peers.some((peer) => peer.underlay === underlay.id && peer.direct);
  const own = isRouted && frame ? macWords(frame.mac) : null;
  return {
    address: takesAll ? null : address,
    ports: Int32Array.from(ports.keys()),
    kinds: Int32Array.from(ports.values()),
    gre: takes('gre'),
    ipip: takes('ipip'),
    routedLo: own?.[0] ?? 0,
    routedHi: own?.[1] ?? 0,
  };
}

export function createDevices(context: Context): Devices {
  const { arena, burst, outbox, pools, tables, walk, tun } = context;
  const openTap = tun && bindTapPorts(arena, burst, outbox, context.window, context.partition.vnetAt, tun);
  const openUdp = tun && bindUdpUnderlays(arena, burst, outbox, context.window, tables.destinations, tun);
  const openMemoryPort = bindMemoryPorts(arena, burst, outbox, pools.small);
  const openRaw = tun && bindRawUnderlays(arena, burst, outbox, context.window, tables.destinations, tun);
  const openFrame = bindFrameUnderlays(burst, context.outer, context.inbound);
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
    if (captures === null) context.window.fix();
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

  /** Stands where a device of DPDK waits for its server: brings nothing, takes nothing. */
  const openNobody = (id: number, name: string) =>
    openMemoryPort({ id, name, queueMax: 1, onMessage: () => NETWORK_DOWN }).port;

  let openDpdkPort: ReturnType<typeof bindDpdkPorts> | null = null;
  function openDpdk(name: string, port: number, underlay: number, opened: WorkerDevices): Port {
    const queues = queuesOf(opened, port, underlay);
    const isUnderlay = port === 0;
    const id = isUnderlay ? underlay : port;
    if (queues === undefined) return openNobody(id, name);
    openDpdkPort ??= bindDpdkPorts(arena, burst, outbox, context.window, context.place, dpdk());
    return openDpdkPort({ ...queues, id, name, isUnderlay, row: (isUnderlay ? UNDERLAY_ROW : PORT_ROW) + id });
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
    if (plan.dpdk !== undefined) return openDpdk(plan.name, plan.id, 0, opened);
    const queue = opened.ports.find((q) => q.port === plan.id);
    if (queue === undefined || openTap === null) {
      throw new WeftError('WORKER', `port ${plan.name} has no open device`, { object: `port ${plan.name}` });
    }
    return openTap({ id: plan.id, name: plan.name, ...queue });
  }

  function openFrameDevice(id: number, plan: FrameDevicePlan, opened: WorkerDevices): Port {
    if (plan.kind === 'dpdk') return openDpdk(plan.name, 0, id, opened);
    if (plan.kind === 'memory') return openMemory(id, plan.name);
    const { name, input, output } = plan;
    return openCapture(id, name, { input, output }, { carries: 'ethernet', isUnderlay: true });
  }

  function openSockets(plan: UnderlayPlan, opened: WorkerDevices): Underlay {
    const { id, name, deliverOffloadLeak } = plan;
    const tos = plan.dscp < 0 ? -1 : plan.dscp << 2;
    const sockets = opened.underlays.find((u) => u.underlay === id);
    if (sockets === undefined || openUdp === null || openRaw === null) {
      throw new WeftError('WORKER', `underlay ${name} has no open sockets`, { object: `underlay ${name}` });
    }
    const { rxFds, txFds, protocols, segment } = sockets;
    const common = { id, name, tunnel: KIND[plan.tunnel], txFds, tos, deliverOffloadLeak };
    if (plan.kind === 'raw') return openRaw({ ...common, rxFds, protocols });
    return openUdp({ ...common, rxFd: rxFds[0], segment });
  }

  function openUnderlay(plan: UnderlayPlan, all: Plan, opened: WorkerDevices): Underlay {
    if (plan.frame === null) return openSockets(plan, opened);
    const { id, name, deliverOffloadLeak, frame } = plan;
    return openFrame({
      id,
      name,
      device: openFrameDevice(id, frame, opened),
      rules: outerRules(plan, all),
      tos: plan.dscp < 0 ? -1 : plan.dscp << 2,
      deliverOffloadLeak,
      popDepth: frame.popDepth,
    });
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
        const link = p.kind === 'pcap' && isRouted(p) ? 'ip' : 'ethernet';
        const device = p.dpdk ? queuesOf(opened, p.id, 0) : opened.ports.find((q) => q.port === p.id);
        const text = JSON.stringify([p.kind, p.name, p.pcap, link, device]);
        return [p.id, { text, open: () => openPort(p, opened) }] as const;
      });
      const underlays = plan.underlays.map((u) => {
        // A frame underlay tells the tunnels of its networks apart by itself.
        const rules = u.frame && outerRules(u, plan);
        const device = u.frame ? queuesOf(opened, 0, u.id) : opened.underlays.find((s) => s.underlay === u.id);
        const text = JSON.stringify([u, device, rules]);
        return [u.id, { text, open: () => openUnderlay(u, plan, opened) }] as const;
      });
      keep('port', walk.ports, new Map(ports));
      keep('underlay', walk.underlays, new Map(underlays));
      fillTemplates(tables, plan);
    },
  };
  return devices;
}
