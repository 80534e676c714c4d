/**
 * The open devices of a node. Descriptors belong to the process: workers are handed their numbers, come and go, and the set is closed
 * here, in one place, whether a start failed half way or a node stops.
 */
import type { DeviceReports } from '../../observe/view.js';
import { WeftError } from '../../packet/error.js';
import type { DpdkIdle, Plan, PortPlan, UnderlayPlan, WorkerDevices } from '../../pipeline/plan.js';
import { segmentOverhead } from '../plan/mtu.js';
import { isSameCarrier, isSameDevice } from '../replacement.js';
import { missingOf, type Predecessors, type UnderlaySockets } from './carrierSockets.js';
import type { DeviceKernel } from './deviceKernel.js';
import { frameReport, portReport } from './deviceReports.js';
import { dpdkOwners, type OpenDpdkDevice, openDpdkDevice, renewDpdkDevice } from './dpdkDevices.js';
import { createHostRoutes } from './hostRoutes.js';
import type { Missing } from './presence.js';
import { openRawSockets } from './rawSockets.js';
import { openTapDevice, type TapDevice } from './tapDevice.js';
import { openUdpSockets } from './udpSockets.js';

export interface Devices {
  /**
   * Opens what the plan has and is not open yet, and changes what stands. What something new takes the place of stays open until
   * `closeOthers`: workers use it until they have changed over. On failure everything is as before. Returns the way back, after which
   * `closeOthers` of the plan before closes what was new.
   */
  open(plan: Plan): () => string[];
  /**
   * What the plan has and has gone from under it, of what is looked at closely: what `isClose` says, and with `isHost` everything in the namespace
   * of the node. Of other ports only the path of their namespace is looked at.
   */
  losses(plan: Plan, isClose: (entity: Entity) => boolean, isHost: boolean): Loss[];
  /**
   * Opens anew what was lost, each for itself: what cannot be opened stays as it was, and is told. What it takes the place of stays open until
   * `closeOthers`. `back` is as that of `open`.
   */
  renew(plan: Plan, lost: readonly Entity[]): { failed: Map<string, Error>; back: () => string[] };
  /** Adds routes of the host that have gone with a device, or because it was down. */
  mendRoutes(): void;
  /** Closes what the plan does not have any more; returns what could not be undone. */
  closeOthers(plan: Plan): string[];
  closeAll(): string[];
  /** What each worker reads and writes. */
  forWorkers(plan: Plan): WorkerDevices[];
  reports(plan: Plan): DeviceReports;
  /** Ports of type vhost-user by name: whether their machines run. */
  machines(plan: Plan): Map<string, boolean>;
}

/** A port or a carrier. */
export interface Entity {
  kind: 'port' | 'underlay';
  id: number;
}

/** Something that was open, and that nothing can go through any more. */
export interface Loss extends Entity, Missing {
  name: string;
}

/** `port 3` */
export const entityKey = ({ kind, id }: Entity) => `${kind} ${id}`;

/** An open TAP and the plan that it was opened with. */
interface Standing {
  plan: PortPlan;
  tap: TapDevice;
}

/** An open device of DPDK, and what it was opened for as text. */
interface StandingDpdk {
  text: string;
  device: OpenDpdkDevice;
}

/** `dpdkFrames`: starts DPDK if need be, and returns the number of its pools. `dpdkIdle`: how workers are to wait for its devices. */
export function createDevices(kernel: DeviceKernel, dpdkFrames = noDpdk, dpdkIdle: DpdkIdle = 'interrupt'): Devices {
  const taps = new Map<number, Standing>();
  /** By the key of their owner. */
  const dpdks = new Map<string, StandingDpdk>();
  const underlays = new Map<number, UnderlaySockets>();
  const routes = createHostRoutes(kernel);
  /** Open, and in no use once the workers have changed over. */
  const leaving = new Set<() => string[]>();
  const deviceOf = (id: number) => underlays.get(id)?.device ?? null;
  let current: Plan | null = null;

  function openSockets(underlay: UnderlayPlan, plan: Plan, predecessors: Predecessors) {
    if (underlay.kind === 'raw') return openRawSockets(kernel, underlay, plan.workers, predecessors);
    const isSibling = (u: UnderlayPlan) => u.underlay === underlay.underlay && u.kind === 'udp' && u.id !== underlay.id;
    const siblings = plan.underlays.filter(isSibling);
    const standing = present(siblings, underlays).filter(({ plan: { address } }) => address === underlay.address);
    const sourcePorts = standing.flatMap((sockets) => sockets.sourcePorts);
    return openUdpSockets(kernel, underlay, plan.workers, { any: siblings.length > 0, sourcePorts }, predecessors);
  }

  /** Puts something new, or nothing, in the place of what stands at an id. */
  function replace<T, K>(map: Map<K, T>, id: K, next: T | null, close: (one: T, kept: T | null) => string[]) {
    const standing = map.get(id) ?? null;
    const put = (one: T | null) => (one === null ? map.delete(id) : map.set(id, one));
    const closeOld = () => (standing === null ? [] : close(standing, next));
    put(next);
    leaving.add(closeOld);
    return () => {
      put(standing);
      leaving.delete(closeOld);
      if (next !== null) leaving.add(() => close(next, standing));
    };
  }

  const closeDpdk = ({ device }: StandingDpdk) => device.close();
  const closeTap = ({ tap }: Standing) => tap.close();
  const closeUnderlay = (sockets: UnderlaySockets, kept: UnderlaySockets | null) => sockets.close(kept);

  function openUnderlays(plan: Plan, undo: (() => void)[]): void {
    const before = new Map(underlays);
    for (const underlay of plan.underlays) {
      const standing = underlays.get(underlay.id);
      if (underlay.kind === 'frame') {
        if (standing) undo.push(replace(underlays, underlay.id, null, closeUnderlay));
      } else if (standing && isSameCarrier(standing.plan, underlay)) {
        lookAtMtu(kernel, standing);
        undo.push(standing.resize(plan.workers));
      } else {
        const sockets = openSockets(underlay, plan, predecessorsOf(underlay, plan, before));
        undo.push(replace(underlays, underlay.id, sockets, closeUnderlay));
      }
    }
  }

  function openDpdkDevices(plan: Plan, undo: (() => void)[]): void {
    for (const owner of dpdkOwners(plan)) {
      const text = JSON.stringify(owner);
      if (dpdks.get(owner.key)?.text === text) continue;
      const device = openDpdkDevice(dpdkFrames(), owner, dpdkIdle);
      undo.push(replace(dpdks, owner.key, { text, device }, closeDpdk));
    }
  }

  const queuesOf = (plan: Plan, worker: number) =>
    dpdkOwners(plan).flatMap(({ key }) => dpdks.get(key)?.device.queuesOf(worker, plan.workers) ?? []);

  function openPorts(plan: Plan, undo: (() => void)[]): void {
    for (const port of plan.ports) {
      const standing = taps.get(port.id);
      const overhead = segmentOverhead(plan, port.network);
      if (port.tap === null) {
        if (standing) undo.push(replace(taps, port.id, null, closeTap));
      } else if (standing && isSameDevice(standing.plan, port)) {
        const was = standing.plan;
        undo.push(changeTap(standing.tap, port, overhead), () => {
          standing.plan = was;
        });
        standing.plan = port;
      } else {
        const tap = openTapDevice(kernel, port, overhead);
        undo.push(replace(taps, port.id, { plan: port, tap }, closeTap));
      }
    }
  }

  function renewPort(plan: Plan, port: PortPlan, { tap }: Standing): () => void {
    // A station may know the device by the MAC that the kernel gave it.
    const mac = port.tap!.mac ?? (port.tap!.create ? tap.mac : null);
    const next = openTapDevice(kernel, { ...port, tap: { ...port.tap!, mac } }, segmentOverhead(plan, port.network));
    return replace(taps, port.id, { plan: port, tap: next }, closeTap);
  }

  function renewUnderlay(plan: Plan, underlay: UnderlayPlan, standing: UnderlaySockets): () => void {
    const ports = [standing.plan.udpPort, ...standing.sourcePorts];
    const isStale = underlay.device !== null;
    const group = isStale ? null : standing.group;
    const sockets = openSockets(underlay, plan, { same: standing, ports, isStale, group });
    return replace(underlays, underlay.id, sockets, closeUnderlay);
  }

  function renewDpdk(plan: Plan, key: string): (() => void)[] {
    const owner = dpdkOwners(plan).find((one) => one.key === key);
    const standing = dpdks.get(key);
    if (!owner || !standing || standing.device.missing() === null) return [];
    const device = renewDpdkDevice(dpdkFrames(), owner, standing.device);
    return [replace(dpdks, key, { ...standing, device }, closeDpdk)];
  }

  /** Opens one thing anew, if it is still in the plan; returns the way back. */
  function renewOne(plan: Plan, { kind, id }: Entity): (() => void)[] {
    const port = kind === 'port' ? plan.ports.find((one) => one.id === id) : undefined;
    const underlay = kind === 'underlay' ? plan.underlays.find((one) => one.id === id) : undefined;
    const [tap, sockets] = [taps.get(id), underlays.get(id)];
    if (port && tap?.tap.missing(true)) return [renewPort(plan, port, tap)];
    if (underlay && sockets && needsSockets(missingOf(kernel, sockets)))
      return [renewUnderlay(plan, underlay, sockets)];
    return renewDpdk(plan, entityKey({ kind, id }));
  }

  function renew(plan: Plan, lost: readonly Entity[]) {
    const undo: (() => void)[] = [];
    const failed = new Map<string, Error>();
    for (const entity of lost) {
      try {
        undo.push(...renewOne(plan, entity));
      } catch (error) {
        failed.set(entityKey(entity), error as Error);
      }
    }
    return { failed, back: () => undo.splice(0).reverse().flatMap(attempt) };
  }

  function losses(plan: Plan, isClose: (entity: Entity) => boolean, isHost: boolean): Loss[] {
    const found: Loss[] = [];
    const add = (entity: Entity, name: string, missing: Missing | null | undefined) => {
      if (missing) found.push({ ...entity, name, ...missing });
    };
    for (const { id, name, tap } of plan.ports) {
      const entity: Entity = { kind: 'port', id };
      add(entity, name, taps.get(id)?.tap.missing(isClose(entity) || (isHost && tap?.netns === null)));
    }
    for (const { key, port, underlay, name } of dpdkOwners(plan)) {
      const entity: Entity = underlay === 0 ? { kind: 'port', id: port } : { kind: 'underlay', id: underlay };
      add(entity, name, dpdks.get(key)?.device.missing());
    }
    for (const { id, name } of plan.underlays) {
      const entity: Entity = { kind: 'underlay', id };
      const sockets = underlays.get(id);
      if (sockets && (isHost || isClose(entity))) add(entity, name, missingOf(kernel, sockets));
    }
    return found;
  }

  function open(plan: Plan): () => string[] {
    const undo: (() => void)[] = [];
    const before = current;
    const back = () => {
      const failures = undo.splice(0).reverse().flatMap(attempt);
      current = before;
      return before === null ? failures : [...failures, ...attempt(() => routes.open(before, deviceOf))];
    };
    try {
      openUnderlays(plan, undo);
      openPorts(plan, undo);
      openDpdkDevices(plan, undo);
      routes.open(plan, deviceOf);
    } catch (error) {
      back();
      closeLeaving();
      settle();
      throw error;
    }
    current = plan;
    return back;
  }

  function closeLeaving(): string[] {
    const closing = [...leaving];
    leaving.clear();
    return closing.flatMap((close) => close());
  }

  /** Workers have changed over to other queues and sockets of what stands. */
  function settle(): string[] {
    return [...[...taps.values()].map(({ tap }) => tap), ...underlays.values()].flatMap((one) => one.settle());
  }

  function closeWhere(isGone: (kind: 'ports' | 'underlays', id: number) => boolean): string[] {
    const failures = closeLeaving();
    for (const [id, { tap }] of taps) {
      if (!isGone('ports', id)) continue;
      taps.delete(id);
      failures.push(...tap.close());
    }
    for (const [key, { device }] of dpdks) {
      if (!isGone(device.port === 0 ? 'underlays' : 'ports', device.port === 0 ? device.underlay : device.port))
        continue;
      dpdks.delete(key);
      failures.push(...device.close());
    }
    for (const [id, sockets] of underlays) {
      if (!isGone('underlays', id)) continue;
      underlays.delete(id);
      failures.push(...sockets.close());
    }
    return [...failures, ...settle()];
  }

  return {
    open,
    losses,
    renew,
    mendRoutes: routes.mend,
    // Routes first: those through attached devices outlive them.
    closeOthers: (plan) => [
      ...routes.closeOthers(plan, deviceOf),
      ...closeWhere((kind, id) => !plan[kind].some((entity) => entity.id === id)),
    ],
    closeAll: () => [...routes.closeAll(), ...closeWhere(() => true)],
    forWorkers: (plan) =>
      Array.from({ length: plan.workers }, (_, worker) => ({
        ports: present(plan.ports, taps).map(({ tap }) => queueOf(tap, worker, plan.workers)),
        underlays: present(plan.underlays, underlays).map((sockets) => sockets.workers[worker]),
        ...(dpdks.size > 0 ? { dpdk: queuesOf(plan, worker) } : {}),
      })),
    machines: (plan) =>
      new Map(
        plan.ports
          .filter(({ kind }) => kind === 'vhost-user')
          .map(({ id, name }) => [name, dpdks.get(`port ${id}`)?.device.state() === 'up']),
      ),
    reports: (plan) => ({
      ports: new Map(
        plan.ports.map((port) => [
          port.id,
          portReport(taps.get(port.id)?.tap, dpdks.get(`port ${port.id}`)?.device, port),
        ]),
      ),
      underlays: new Map(
        plan.underlays.map((underlay) => [
          underlay.id,
          underlays.get(underlay.id) ?? frameReport(underlay.frame?.kind, dpdks.get(`underlay ${underlay.id}`)?.device),
        ]),
      ),
    }),
  };
}

function noDpdk(): number {
  throw new WeftError('USAGE', 'devices of DPDK work in a running node only', {
    remedy: 'put a capture in their place',
  });
}

/** What the plan wants of a device that is gone is done when there is one again: others do not wait for that. */
function changeTap(tap: TapDevice, port: PortPlan, overhead: number): () => void {
  try {
    return tap.change(port, overhead);
  } catch (error) {
    if (!isMissing(tap)) throw error;
    return () => {};
  }
}

function isMissing(tap: TapDevice): boolean {
  try {
    return tap.missing(true) !== null;
  } catch {
    // Nothing left to ask with.
    return false;
  }
}

/** The MTU of the device of sockets that stay; what it was where the kernel cannot be asked now. */
function lookAtMtu(kernel: DeviceKernel, sockets: UnderlaySockets): void {
  try {
    if (sockets.device !== null) sockets.deviceMtu = kernel.linkGet({ name: sockets.device })?.mtu ?? null;
  } catch {
    // Nothing else is to fail by it.
  }
}

/** Sockets outlive their address, and serve again when it is back. */
const needsSockets = (missing: Missing | null) => missing !== null && missing.what !== 'address';

/** Runs a step of the way back; its failure as text, if there is one. */
function attempt(step: () => void): string[] {
  try {
    step();
    return [];
  } catch (error) {
    return [(error as Error).message];
  }
}

/** The carriers that make room for one that is opened: at its address and not in the plan any more, or not like this. */
function predecessorsOf(
  underlay: UnderlayPlan,
  plan: Plan,
  before: ReadonlyMap<number, UnderlaySockets>,
): Predecessors {
  const stays = (id: number, sockets: UnderlaySockets) =>
    plan.underlays.some((other) => other.id === id && isSameCarrier(sockets.plan, other));
  const going = [...before].filter(([id, sockets]) => !stays(id, sockets)).map(([, sockets]) => sockets);
  const here = going.filter((sockets) => sockets.plan.address === underlay.address);
  return {
    same: before.get(underlay.id) ?? null,
    ports: here.flatMap((sockets) => [sockets.plan.udpPort, ...sockets.sourcePorts]),
    group: here.find(({ plan: { udpPort, device } }) => udpPort === underlay.udpPort && device === underlay.device)
      ?.group,
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
