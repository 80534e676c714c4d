/**
 * What a change of plan means for what is open: what can stay, what is changed where it stands, what a new one takes the place of.
 */
import type { Plan, PortPlan, TapPlan, UnderlayPlan } from '../pipeline/plan.js';

/** A TAP as it is made: without what can be set while it stands. */
function makingOf({ kind, tap, dpdk, mtu }: PortPlan): string {
  // A device of DPDK is made with all that it has.
  if (dpdk !== undefined) return JSON.stringify([kind, dpdk, mtu]);
  const {
    addresses: _addresses,
    mac: _mac,
    queues: _queues,
    hostRoutes: _hostRoutes,
    ...making
  } = tap ?? ({} as TapPlan);
  return JSON.stringify([kind, making]);
}

/** Whether the device of a port can go on as that of another plan of it. */
export function isSameDevice(before: PortPlan, after: PortPlan): boolean {
  return makingOf(before) === makingOf(after);
}

/** A carrier as its sockets see it: without names, and what workers alone look at. */
function socketsOf(carrier: UnderlayPlan) {
  const { id: _id, name: _name, underlay: _underlay, deliverOffloadLeak: _leak, frame: _frame, ...sockets } = carrier;
  // A UDP socket does not know what it carries.
  return { ...sockets, tunnel: sockets.kind === 'raw' ? sockets.tunnel : null };
}

/** Whether all sockets of a carrier can stay. */
export function isSameCarrier(before: UnderlayPlan, after: UnderlayPlan): boolean {
  return JSON.stringify(socketsOf(before)) === JSON.stringify(socketsOf(after));
}

/** Whether packets come in over the same sockets. */
export function isSameReceiver(before: UnderlayPlan, after: UnderlayPlan): boolean {
  const receivingOf = (carrier: UnderlayPlan) => {
    const {
      checksum: _sum,
      sourcePortFirst: _first,
      sourcePortCount: _count,
      dscp: _dscp,
      ttl: _ttl,
      ...rest
    } = socketsOf(carrier);
    return JSON.stringify(rest);
  };
  return receivingOf(before) === receivingOf(after);
}

/** What two devices cannot have at one time: a name in a namespace, a name or a socket in DPDK. */
const placesOf = ({ tap, dpdk }: PortPlan): string[] => {
  if (tap !== null) return [`${tap.netns ?? ''} ${tap.device}`];
  if (dpdk === undefined) return [];
  const [name, ...settings] = dpdk.devargs.split(',');
  return [`dpdk ${name}`, ...settings.filter((setting) => setting.startsWith('iface='))];
};

/**
 * Ids of ports whose devices must go before others come: two devices of one name cannot stand in one namespace. Only those are without
 * a device for a moment.
 */
export function portsInTheWay(before: Plan, after: Plan): Set<number> {
  const stays = (port: PortPlan) => after.ports.some((other) => other.id === port.id && isSameDevice(port, other));
  const isNew = (port: PortPlan) => !before.ports.some((other) => other.id === port.id && isSameDevice(port, other));
  const wanted = new Set(after.ports.filter(isNew).flatMap(placesOf));
  const inTheWay = before.ports.filter((port) => !stays(port) && placesOf(port).some((place) => wanted.has(place)));
  return new Set(inTheWay.map(({ id }) => id));
}

/** What a change makes anew: `port web` or `underlay lan`, by name. */
export function madeAnew(before: Plan, after: Plan): Set<string> {
  const ports = after.ports.filter((port) => {
    const was = before.ports.find(({ id }) => id === port.id);
    return was !== undefined && (port.tap ?? port.dpdk ?? null) !== null && !isSameDevice(was, port);
  });
  const carriers = after.underlays.filter((carrier) => {
    const was = before.underlays.find(({ id }) => id === carrier.id);
    return was !== undefined && carrier.kind !== 'frame' && !isSameCarrier(was, carrier);
  });
  return new Set([...ports.map(({ name }) => `port ${name}`), ...carriers.map((c) => `underlay ${c.underlay}`)]);
}

/** A plan without some of its ports and whatever leads to them. */
export function withoutPorts(plan: Plan, gone: ReadonlySet<number>): Plan {
  return {
    ...plan,
    ports: plan.ports.filter(({ id }) => !gone.has(id)),
    statics: plan.statics.filter(({ port }) => !gone.has(port)),
    routes: plan.routes.filter(({ port }) => !gone.has(port)),
  };
}

/** Whether a change takes workers away and makes carriers anew: that is done one after the other, so that sockets which go are read to the end. */
export function isShrinkFirst(before: Plan, after: Plan): boolean {
  const isSame = (carrier: UnderlayPlan) => {
    const now = after.underlays.find(({ id }) => id === carrier.id);
    return now !== undefined && isSameCarrier(carrier, now);
  };
  return after.workers < before.workers && !before.underlays.every(isSame);
}

/** A plan for fewer workers. */
export function withFewerWorkers(plan: Plan, workers: number): Plan {
  const ports = plan.ports.map((port) =>
    port.tap === null ? port : { ...port, tap: { ...port.tap, queues: Math.min(port.tap.queues, workers) } },
  );
  return { ...plan, workers, cpus: plan.cpus?.slice(0, workers), ports };
}
