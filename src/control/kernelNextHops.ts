/**
 * Next hops of frame underlays whose address an interface of the host has: the kernel finds them and answers for the address, and its neighbour
 * table is read into the node's.
 */

import type { Neighbour } from '../native/tun.js';
import type { Dataplane } from '../observe/dataplane.js';
import type { FrameDevicePlan, Plan, UnderlayPlan } from '../pipeline/plan.js';
import { FAILED, macNumber, REACHABLE, RESOLVING, STALE } from '../underlay/nextHops.js';
import * as Ethernet from '../wire/ethernet.js';
import { type DeviceKernel, tryClose } from './devices/deviceKernel.js';

const LOOK_MS = 250;

export interface KernelNextHops {
  stop(): string[];
}

interface Surroundings {
  kernel: Pick<DeviceKernel, 'neighbourList' | 'neighbourUse' | 'udpOpen' | 'close'>;
  dataplane: Pick<Dataplane, 'setNextHop'>;
  plan(): Plan;
  warn(message: string): void;
}

const deviceOf = (frame: FrameDevicePlan | null) => (frame?.resolver?.by === 'kernel' ? frame.resolver.device : null);

/** Reads the kernel's table now and then; a plan without such underlays costs nothing. */
export function followKernelNextHops({ kernel, dataplane, plan, warn }: Surroundings): KernelNextHops {
  /** Sockets that take what the kernel would answer with port unreachable: it gets a copy of what comes in. By address and port. */
  const sinks = new Map<string, number>();
  let generation = -1;
  let failure = '';

  function openSinks(now: Plan): void {
    const wanted = new Map(now.underlays.filter((u) => deviceOf(u.frame) !== null).flatMap((u) => portsOf(now, u)));
    for (const [key, fd] of sinks) {
      if (wanted.has(key)) continue;
      tryClose(kernel, fd);
      sinks.delete(key);
    }
    for (const [key, { address, port }] of wanted) {
      if (sinks.has(key)) continue;
      const family = address.includes(':') ? 6 : 4;
      sinks.set(key, kernel.udpOpen({ family, address, port, sink: true }).fd);
    }
  }

  function look(): void {
    const now = plan();
    if (now.generation !== generation) {
      openSinks(now);
      generation = now.generation;
    }
    for (const { id, frame } of now.underlays) {
      const device = deviceOf(frame);
      const hops = (now.nextHops ?? []).filter(({ underlay }) => underlay === id);
      if (device === null || hops.length === 0) continue;
      const known = new Map(kernel.neighbourList({ device }).map((neighbour) => [neighbour.address, neighbour]));
      for (const hop of hops) {
        const [state, mac] = stateOf(known.get(hop.address));
        dataplane.setNextHop(hop.id, state, mac);
        if (state !== REACHABLE) kernel.neighbourUse({ device, address: hop.address });
      }
    }
  }

  function tryLook(): void {
    try {
      look();
      failure = '';
    } catch (error) {
      const { message } = error as Error;
      if (message !== failure) warn(`the kernel's neighbours could not be read: ${message}`);
      failure = message;
    }
  }

  tryLook();
  const timer = setInterval(tryLook, LOOK_MS).unref();
  return {
    stop() {
      clearInterval(timer);
      const fds = [...sinks.values()];
      sinks.clear();
      return fds.flatMap((fd) => tryClose(kernel, fd));
    },
  };
}

/** UDP ports on which tunnels come in at an underlay. */
function portsOf(plan: Plan, { id, address }: UnderlayPlan): [string, { address: string; port: number }][] {
  const own = plan.networks.filter((network) => network.underlays.includes(id) && network.tunnel.udpPort > 0);
  return own.map(({ tunnel }) => [`${address} ${tunnel.udpPort}`, { address, port: tunnel.udpPort }]);
}

function stateOf(neighbour: Neighbour | undefined): [state: number, mac: number] {
  const mac = neighbour === undefined ? null : Ethernet.macFromText(neighbour.mac);
  if (neighbour === undefined || neighbour.state === 'none') return [RESOLVING, 0];
  if (mac === null || neighbour.state === 'incomplete') return [RESOLVING, 0];
  if (neighbour.state === 'failed') return [FAILED, 0];
  const isFresh = ['reachable', 'permanent', 'noarp'].includes(neighbour.state);
  return [isFresh ? REACHABLE : STALE, macNumber(mac, 0)];
}
