/**
 * What a change of plan means for what is open: what can stay, what is changed where it stands, what a new one takes the place of.
 */
import type { Plan, PortPlan, UnderlayPlan } from '../pipeline/plan.js';

/** What a device of /dev/net/tun is made with; the rest can be set while it stands. */
function makingOf({ kind, tap }: PortPlan): string {
  return JSON.stringify([kind, tap && [tap.device, tap.netns, tap.create, tap.queues, tap.owner, tap.group]]);
}

/** Whether the device of a port can go on as that of another plan of it. */
export function isSameDevice(before: PortPlan, after: PortPlan): boolean {
  return makingOf(before) === makingOf(after);
}

/** What the receiving sockets of a carrier are opened with. */
function receivingOf({ kind, tunnel, address, device, udpPort }: UnderlayPlan): string {
  return JSON.stringify([kind, kind === 'raw' ? tunnel : '', address, device, udpPort]);
}

/** Whether packets come in over the same sockets. */
export function isSameReceiver(before: UnderlayPlan, after: UnderlayPlan): boolean {
  return receivingOf(before) === receivingOf(after);
}

/** Whether all sockets of a carrier can stay. */
export function isSameCarrier(before: UnderlayPlan, after: UnderlayPlan): boolean {
  const sendingOf = (u: UnderlayPlan) =>
    JSON.stringify([u.checksum, u.sourcePortFirst, u.sourcePortCount, u.dscp, u.ttl]);
  return isSameReceiver(before, after) && sendingOf(before) === sendingOf(after);
}

const placeOf = ({ tap }: PortPlan) => tap && `${tap.netns ?? ''} ${tap.device}`;

/**
 * Ids of ports whose devices must go before others come: two devices of one name cannot stand in one namespace. Only those are without
 * a device for a moment.
 */
export function portsInTheWay(before: Plan, after: Plan): Set<number> {
  const stays = (port: PortPlan) => after.ports.some((other) => other.id === port.id && isSameDevice(port, other));
  const isNew = (port: PortPlan) => !before.ports.some((other) => other.id === port.id && isSameDevice(port, other));
  const wanted = new Set(after.ports.filter((port) => port.tap !== null && isNew(port)).map(placeOf));
  const inTheWay = before.ports.filter((port) => port.tap !== null && !stays(port) && wanted.has(placeOf(port)));
  return new Set(inTheWay.map(({ id }) => id));
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
