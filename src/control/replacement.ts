/**
 * What a change of plan means for what is open: what can stay, what is changed where it stands, what a new one takes the place of.
 */
import type { DpdkPlan, Plan, PortPlan, TapPlan, UnderlayPlan } from '../pipeline/plan.js';

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

/** What two devices of DPDK cannot have at one time: a name, a socket or an interface. */
function dpdkPlaces({ devargs }: DpdkPlan): string[] {
  const [name, ...settings] = devargs.split(',');
  return [`dpdk ${name}`, ...settings.filter((setting) => setting.startsWith('iface='))];
}

/** What two devices of any sort cannot have at one time: for the kernel's it is a name in a namespace. */
const placesOf = ({ tap, dpdk }: PortPlan): string[] => {
  if (tap !== null) return [`${tap.netns ?? ''} ${tap.device}`];
  return dpdk === undefined ? [] : dpdkPlaces(dpdk);
};

/** A frame underlay over DPDK, as its device is made; nothing for other carriers. */
const frameMaking = ({ name, frame }: UnderlayPlan) =>
  frame?.dpdk === undefined ? null : JSON.stringify([name, frame.dpdk]);

/** A device of a plan, whatever it is for. */
interface Made {
  kind: 'ports' | 'underlays';
  id: number;
  making: string;
  places: string[];
}

const devicesOf = (plan: Plan): Made[] => [
  ...plan.ports.map((port): Made => {
    return { kind: 'ports', id: port.id, making: makingOf(port), places: placesOf(port) };
  }),
  ...plan.underlays.flatMap((underlay): Made[] => {
    const making = frameMaking(underlay);
    if (making === null) return [];
    return [{ kind: 'underlays', id: underlay.id, making, places: dpdkPlaces(underlay.frame!.dpdk!) }];
  }),
];

/** Ids of ports and underlays. */
export interface InTheWay {
  ports: ReadonlySet<number>;
  underlays: ReadonlySet<number>;
}

/**
 * What must go before others come: two devices of one name cannot stand in one namespace, or in DPDK. Only those are without a device for a
 * moment.
 */
export function inTheWayOf(before: Plan, after: Plan): InTheWay {
  const [had, wanted] = [devicesOf(before), devicesOf(after)];
  const isIn = (all: Made[]) => (one: Made) =>
    all.some(({ kind, id, making }) => kind === one.kind && id === one.id && making === one.making);
  const [stays, wasThere] = [isIn(wanted), isIn(had)];
  const places = new Set(wanted.filter((one) => !wasThere(one)).flatMap((one) => one.places));
  const going = had.filter((one) => !stays(one) && one.places.some((place) => places.has(place)));
  const idsOf = (kind: Made['kind']) => new Set(going.filter((one) => one.kind === kind).map(({ id }) => id));
  return { ports: idsOf('ports'), underlays: idsOf('underlays') };
}

/** What a change makes anew: `port web` or `underlay lan`, by name. */
export function madeAnew(before: Plan, after: Plan): Set<string> {
  const ports = after.ports.filter((port) => {
    const was = before.ports.find(({ id }) => id === port.id);
    return was !== undefined && (port.tap ?? port.dpdk ?? null) !== null && !isSameDevice(was, port);
  });
  const carriers = after.underlays.filter((carrier) => {
    const was = before.underlays.find(({ id }) => id === carrier.id);
    if (was === undefined) return false;
    if (carrier.kind !== 'frame') return !isSameCarrier(was, carrier);
    return frameMaking(carrier) !== null && frameMaking(carrier) !== frameMaking(was);
  });
  return new Set([...ports.map(({ name }) => `port ${name}`), ...carriers.map((c) => `underlay ${c.underlay}`)]);
}

/** A plan without some of its devices and whatever leads to those ports. What is for a peer over such an underlay is dropped. */
export function withoutDevices(plan: Plan, gone: InTheWay): Plan {
  return {
    ...plan,
    ports: plan.ports.filter(({ id }) => !gone.ports.has(id)),
    underlays: plan.underlays.filter(({ id }) => !gone.underlays.has(id)),
    statics: plan.statics.filter(({ port }) => !gone.ports.has(port)),
    routes: plan.routes.filter(({ port }) => !gone.ports.has(port)),
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
