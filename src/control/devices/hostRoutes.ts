/**
 * Routes of the kernel that a plan needs: prefixes that hosts reach through tun ports, and prefixes of direct peers, by way of the peer.
 */
import { ROUTE_PROTOCOL, type RouteChange } from '../../native/tun.js';
import { WeftError } from '../../packet/error.js';
import type { Plan } from '../../pipeline/plan.js';
import { asSystemError } from './deviceErrors.js';
import type { DeviceKernel } from './deviceKernel.js';

/** A route and whom it is for. */
interface HostRoute {
  change: RouteChange & { device: string };
  /** `port r0`, `peer 198.18.0.2`. */
  object: string;
}

export interface HostRoutes {
  /** Adds what the plan needs and is not there. On failure it is as before. */
  open(plan: Plan, deviceOf: (underlay: number) => string | null): void;
  /** Deletes what the plan does not need; returns what could not be undone. */
  closeOthers(plan: Plan, deviceOf: (underlay: number) => string | null): string[];
  closeAll(): string[];
  /** Adds again what has gone with a device, or because it was down. What cannot be added now is left to the next time. */
  mend(): void;
}

export function createHostRoutes(kernel: DeviceKernel): HostRoutes {
  const added = new Map<string, HostRoute>();

  function add(route: HostRoute): void {
    try {
      kernel.routeAdd(route.change);
    } catch (error) {
      if (!isOwnLeftover(kernel, route, error)) throw routeError(kernel, route, error);
    }
    added.set(keyOf(route), route);
  }

  /** Takes a route away; the failure as text, if there is one. One that has gone with its device is no failure. */
  function remove(route: HostRoute): string[] {
    added.delete(keyOf(route));
    try {
      kernel.routeDelete(route.change);
    } catch (error) {
      const code = asSystemError(error)?.code ?? '';
      if (!['ESRCH', 'ENODEV', 'ENOENT'].includes(code))
        return [`route ${route.change.prefix}: ${(error as Error).message}`];
    }
    return [];
  }

  function closeWhere(isGone: (route: HostRoute) => boolean): string[] {
    return [...added.values()].filter(isGone).flatMap(remove);
  }

  return {
    open(plan, deviceOf) {
      const undo: (() => void)[] = [];
      try {
        for (const route of wantedRoutes(plan, deviceOf)) {
          const before = added.get(keyOf(route));
          if (before && isSame(before, route)) continue;
          if (before) {
            remove(before);
            undo.push(() => add(before));
          }
          add(route);
          undo.push(() => void remove(route));
        }
      } catch (error) {
        for (const step of undo.reverse()) step();
        throw error;
      }
    },
    closeOthers(plan, deviceOf) {
      const wanted = new Set(wantedRoutes(plan, deviceOf).map(keyOf));
      return closeWhere((route) => !wanted.has(keyOf(route)));
    },
    closeAll: () => closeWhere(() => true),
    mend() {
      const standing = new Map<string, Set<string>>();
      for (const route of added.values()) {
        const { netns = '', prefix, device } = route.change;
        if (!standing.has(netns)) standing.set(netns, routesIn(kernel, netns));
        if (!standing.get(netns)!.has(`${prefix} ${device}`)) tryAdd(kernel, route);
      }
    },
  };
}

/** Prefixes and devices of the routes in a namespace; none of one that cannot be entered. */
function routesIn(kernel: DeviceKernel, netns: string): Set<string> {
  try {
    const found = kernel.routeList(netns === '' ? {} : { netns });
    return new Set(found.map(({ prefix, device }) => `${prefix} ${device}`));
  } catch {
    return new Set();
  }
}

function tryAdd(kernel: DeviceKernel, { change }: HostRoute): void {
  try {
    kernel.routeAdd(change);
  } catch {
    // Its device is gone or down.
  }
}

/** The kernel has one route of a prefix in a namespace. */
const keyOf = ({ change }: HostRoute) => `${change.netns ?? ''} ${change.prefix}`;

const isSame = (a: HostRoute, b: HostRoute) => a.change.device === b.change.device && a.change.via === b.change.via;

function wantedRoutes(plan: Plan, deviceOf: (underlay: number) => string | null): HostRoute[] {
  const throughPorts = plan.ports.flatMap((port): HostRoute[] => {
    const { tap } = port;
    if (port.kind !== 'tun' || tap === null) return [];
    const netns = tap.netns === null ? {} : { netns: tap.netns };
    return tap.hostRoutes.map((prefix) => ({
      change: { ...netns, prefix, device: tap.device },
      object: `port ${port.name}`,
    }));
  });
  const directPeers = new Map(plan.peers.filter((peer) => peer.direct).map((peer) => [peer.id, peer]));
  const throughPeers = plan.routes.flatMap(({ prefix, peer: id }): HostRoute[] => {
    const peer = directPeers.get(id);
    const carrier = plan.underlays.find((u) => u.id === peer?.underlay);
    if (peer === undefined || carrier === undefined || carrier.kind === 'frame') return [];
    const device = deviceOf(carrier.id);
    if (device === null)
      throw new WeftError('UNDERLAY', `underlay ${carrier.underlay}: no device carries ${carrier.address}`, {
        object: `underlay ${carrier.underlay}`,
        remedy: 'name its `device`, or use routing: tunnel',
      });
    return [{ change: { prefix, via: peer.address, device }, object: `peer ${peer.address}` }];
  });
  return [...throughPorts, ...throughPeers];
}

/** The very route, left by a node that was killed. */
function isOwnLeftover(kernel: DeviceKernel, { change }: HostRoute, error: unknown): boolean {
  if (asSystemError(error)?.code !== 'EEXIST') return false;
  const found = existing(kernel, change);
  return (
    found !== undefined &&
    found.protocol === ROUTE_PROTOCOL &&
    found.device === change.device &&
    (found.via ?? undefined) === change.via
  );
}

function existing(kernel: DeviceKernel, { netns, prefix }: RouteChange) {
  try {
    return kernel.routeList(netns === undefined ? {} : { netns }).find((route) => route.prefix === prefix);
  } catch {
    return undefined;
  }
}

function routeError(kernel: DeviceKernel, { change, object }: HostRoute, error: unknown): WeftError {
  const failed = asSystemError(error);
  const { prefix, via, device, netns } = change;
  const where = netns === undefined ? '' : ` in network namespace ${netns}`;
  const details = { object, syscall: failed?.syscall, errno: failed?.errno, cause: error };
  const fail = (message: string, remedy: string) =>
    new WeftError('DEVICE', `${object}: ${message}${failed ? ` (${failed.syscall}: ${failed.code})` : ''}`, {
      ...details,
      remedy,
    });
  if (failed?.code === 'EEXIST') {
    const found = existing(kernel, change);
    const way = found ? `${found.via ? ` via ${found.via}` : ''}${found.device ? ` dev ${found.device}` : ''}` : '';
    return fail(
      `there is a route to ${prefix}${where} already${way}`,
      `remove it (\`ip route delete ${prefix}${way}\`), or leave the prefix out`,
    );
  }
  if (via !== undefined && (failed?.code === 'ENETUNREACH' || failed?.code === 'EHOSTUNREACH'))
    return fail(
      `${via} is not on the link of ${device}, so ${prefix} cannot be routed by way of it`,
      'use routing: crossSubnet, which sends to such peers through the tunnel',
    );
  const text = failed?.message ?? (error as Error).message;
  return fail(`route to ${prefix} through ${device}${where}: ${text}`, `look at \`ip route\` and \`ip link\`${where}`);
}
