/**
 * The open devices of a node. Descriptors belong to the process: workers are handed their numbers, come and go, and the set is closed
 * here, in one place, whether a start failed half way or a node stops.
 */
import type { DeviceReports } from '../observe/view.js';
import type { Plan, PortPlan, UnderlayPlan, WorkerDevices } from '../pipeline/plan.js';
import type { UnderlaySockets } from './carrierSockets.js';
import type { DeviceKernel } from './deviceKernel.js';
import { createHostRoutes } from './hostRoutes.js';
import { segmentOverhead } from './mtu.js';
import { openRawSockets } from './rawSockets.js';
import { openTapDevice, type TapDevice } from './tapDevice.js';
import { openUdpSockets } from './udpSockets.js';

export interface Devices {
  /** Opens what the plan has and is not open yet. On failure everything that this call opened is closed again. */
  open(plan: Plan): void;
  /** Closes what the plan does not have any more; returns what could not be undone. */
  closeOthers(plan: Plan): string[];
  closeAll(): string[];
  /** What each worker reads and writes. */
  forWorkers(plan: Plan): WorkerDevices[];
  reports(plan: Plan): DeviceReports;
}

export function createDevices(kernel: DeviceKernel): Devices {
  const taps = new Map<number, TapDevice>();
  const underlays = new Map<number, UnderlaySockets>();
  const routes = createHostRoutes(kernel);
  const deviceOf = (id: number) => underlays.get(id)?.device ?? null;

  function openSockets(underlay: UnderlayPlan, plan: Plan): UnderlaySockets {
    if (underlay.kind === 'raw') return openRawSockets(kernel, underlay, plan.workers);
    const isSibling = (u: UnderlayPlan) => u.underlay === underlay.underlay && u.kind === 'udp' && u.id !== underlay.id;
    const siblings = plan.underlays.filter(isSibling);
    const sourcePorts = present(siblings, underlays).flatMap((sockets) => sockets.sourcePorts);
    return openUdpSockets(kernel, underlay, plan.workers, { any: siblings.length > 0, sourcePorts });
  }

  function open(plan: Plan): void {
    const fresh: (() => unknown)[] = [];
    try {
      for (const underlay of plan.underlays) {
        if (underlay.kind === 'frame' || underlays.has(underlay.id)) continue;
        const sockets = openSockets(underlay, plan);
        underlays.set(underlay.id, sockets);
        fresh.push(() => underlays.delete(underlay.id) && sockets.close());
      }
      for (const port of plan.ports) {
        if (port.tap === null || taps.has(port.id)) continue;
        const tap = openTapDevice(kernel, port, segmentOverhead(plan, port.network));
        taps.set(port.id, tap);
        fresh.push(() => taps.delete(port.id) && tap.close());
      }
      routes.open(plan, deviceOf);
    } catch (error) {
      for (const undo of fresh.reverse()) undo();
      throw error;
    }
  }

  function closeWhere(isGone: (kind: 'ports' | 'underlays', id: number) => boolean): string[] {
    const failures: string[] = [];
    for (const [id, tap] of taps) {
      if (!isGone('ports', id)) continue;
      taps.delete(id);
      failures.push(...tap.close());
    }
    for (const [id, sockets] of underlays) {
      if (!isGone('underlays', id)) continue;
      underlays.delete(id);
      failures.push(...sockets.close());
    }
    return failures;
  }

  return {
    open,
    // Routes first: those through attached devices outlive them.
    closeOthers: (plan) => [
      ...routes.closeOthers(plan, deviceOf),
      ...closeWhere((kind, id) => !plan[kind].some((entity) => entity.id === id)),
    ],
    closeAll: () => [...routes.closeAll(), ...closeWhere(() => true)],
    forWorkers: (plan) =>
      Array.from({ length: plan.workers }, (_, worker) => ({
        ports: present(plan.ports, taps).map((tap) => queueOf(tap, worker, plan.workers)),
        underlays: present(plan.underlays, underlays).map((sockets) => sockets.workers[worker]),
      })),
    reports: (plan) => ({
      ports: new Map(plan.ports.map((port) => [port.id, portReport(taps.get(port.id), port.kind)])),
      underlays: new Map(
        plan.underlays.map((underlay) => [
          underlay.id,
          underlays.get(underlay.id) ?? frameReport(underlay.frame?.kind),
        ]),
      ),
    }),
  };
}

function present<T>(entities: { id: number }[], open: ReadonlyMap<number, T>): T[] {
  return entities.flatMap(({ id }) => open.get(id) ?? []);
}

/** A queue is read by one worker only; a device with fewer queues than workers is spread by its id. */
function queueOf(tap: TapDevice, worker: number, workers: number): WorkerDevices['ports'][number] {
  const { port, fds, vnetHdrLen, offloads } = tap;
  const queue = fds.length === workers ? worker : (worker - (port % workers) + workers) % workers;
  return { port, rxFd: queue < fds.length ? fds[queue] : -1, txFd: fds[queue % fds.length], vnetHdrLen, offloads };
}

function portReport(tap: TapDevice | undefined, kind: PortPlan['kind']) {
  if (tap) return { path: tap.path, mac: tap.mac, queues: tap.fds.length, state: tap.state };
  const use = kind === 'pcap' ? ('files' as const) : ('memory' as const);
  return { path: { send: use, receive: use, reasons: [] }, mac: null, queues: 1, state: () => null };
}

function frameReport(kind: 'memory' | 'pcap' | undefined) {
  const use = kind === 'pcap' ? ('files' as const) : ('memory' as const);
  return {
    path: { send: use, receive: use, reasons: [] },
    device: null,
    deviceMtu: null,
    sourcePorts: [],
    state: () => null,
  };
}
