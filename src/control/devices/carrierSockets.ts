/**
 * What UDP and raw sockets of carriers have in common.
 */
import type { DeviceState, PathDocument, PathReason } from '../../observe/documents.js';
import type { CarrierSockets, UnderlayPlan } from '../../pipeline/plan.js';
import { familyOf } from '../config/text.js';
import { isSameReceiver } from '../replacement.js';
import type { DeviceKernel } from './deviceKernel.js';
import { lookOf, type Missing, sceneAt } from './presence.js';
import type { SocketGroup } from './socketGroup.js';

/** A burst of every peer fits: 7 MB is what the kernel's own tunnels are tuned to on fast links. */
export const BUFFER_BYTES = 7 * 1024 * 1024;

/** The open sockets of one carrier. */
export interface UnderlaySockets {
  plan: UnderlayPlan;
  /** One entry for each worker. */
  readonly workers: CarrierSockets[];
  readonly receivers: readonly Receiver[];
  /** UDP: what the receivers belong to. */
  group: SocketGroup | null;
  sourcePorts: number[];
  device: string | null;
  deviceMtu: number | null;
  /** 0 when unknown. */
  deviceIndex: number;
  path: PathDocument;
  /** How the device is now; null when none carries the address by name. */
  state(): DeviceState | null;
  /**
   * Sockets for so many workers; those that stay are not touched. What goes gets nothing more from now on, and can be read until `settle`. Returns the
   * way back. Throws with everything as it was.
   */
  resize(workers: number): () => void;
  /** The workers have changed over: new sockets get packets, and those that nobody reads any more are closed. */
  settle(): string[];
  /** Closes its sockets, but for those that another carrier has taken over or has lent it. */
  close(kept?: UnderlaySockets | null): string[];
}

/** A receiving socket. */
export interface Receiver {
  fd: number;
  rcvbuf: number;
  /** UDP: the kernel joins datagrams. */
  gro?: boolean;
}

/** Carriers of this node that go when a new one comes. They are open until the workers have changed over. */
export interface Predecessors {
  /** That of the same id. Its receiving sockets are taken over if they can be: nothing is lost or out of order then. */
  same: UnderlaySockets | null;
  /** UDP ports at the address of the new one that they listen on and send from: free to share. */
  ports: readonly number[];
  /** The group that receivers at the address, port and device of the new one will be in. */
  group?: SocketGroup | null;
  /** That of the same id is tied to a device that is no more: its sockets are of no use. */
  isStale?: boolean;
}

export const NO_PREDECESSORS: Predecessors = { same: null, ports: [] };

/** The receiving sockets that can be taken over, null for none. */
export function inherited({ same, isStale = false }: Predecessors, underlay: UnderlayPlan): readonly Receiver[] | null {
  return same !== null && !isStale && isSameReceiver(same.plan, underlay) ? same.receivers : null;
}

/** Closes the descriptors of a carrier, once, but for receivers that `kept` has as well. */
export function closerOf(fds: Set<number>, close: (fd: number) => string[]): UnderlaySockets['close'] {
  return (kept = null) => {
    for (const { fd } of kept?.receivers ?? []) fds.delete(fd);
    const closing = [...fds];
    fds.clear();
    return closing.flatMap(close);
  };
}

/** What every socket of a carrier is opened with. */
export function commonRequest(underlay: UnderlayPlan) {
  return {
    family: familyOf(underlay.address) === 6 ? (6 as const) : (4 as const),
    address: underlay.address,
    ...(underlay.device ? { device: underlay.device } : {}),
  };
}

/** Settings of sockets that receive. */
export const RECEIVING = { recvTos: true, rcvbuf: BUFFER_BYTES, sndbuf: BUFFER_BYTES, rxqOvfl: true };

/** Settings of sockets that send and never receive. */
export function sendingOf(underlay: UnderlayPlan) {
  return {
    recvTos: false,
    rcvbuf: 0,
    sndbuf: BUFFER_BYTES,
    sink: true,
    pmtudiscProbe: true,
    recvErr: true,
    ttl: underlay.ttl,
    tos: underlay.dscp > 0 ? underlay.dscp << 2 : 0,
  };
}

/** Why bursts may be lost: the kernel accounts twice what was asked for. */
export function bufferReasons(rcvbuf: number): PathReason[] {
  if (rcvbuf >= 2 * BUFFER_BYTES) return [];
  return [
    {
      feature: 'buffers',
      reason: `the receive buffer has ${rcvbuf / 2} of ${BUFFER_BYTES} bytes: bursts may be lost`,
      remedy: `run with CAP_NET_ADMIN, or \`sysctl net.core.rmem_max=${BUFFER_BYTES}\``,
    },
  ];
}

/** Interface that carries the underlay's address, and its MTU. */
export function deviceOf(
  kernel: DeviceKernel,
  underlay: { address: string; device?: string | null },
): { device: string | null; deviceMtu: number | null; deviceIndex: number; state: () => DeviceState | null } {
  const carrier = () => kernel.addressList({}).find((entry) => entry.address === underlay.address)?.name;
  const device = underlay.device ?? carrier() ?? null;
  const link = device === null ? null : kernel.linkGet({ name: device });
  if (link === null) return { device, deviceMtu: null, deviceIndex: 0, state: () => null };
  const { name, mtu, index } = link;
  const look = lookOf(kernel, { name }, index);
  return { device, deviceMtu: mtu, deviceIndex: index, state: () => look().state };
}

/**
 * What has gone from under the sockets of a carrier: their address, or the device that they are bound to, which is not the one of the same name
 * that may come after it. An address that has moved to another device is no loss, but what is known of the device is out of date.
 */
export function missingOf(kernel: DeviceKernel, { plan, device, deviceIndex }: UnderlaySockets): Missing | null {
  const { address } = plan;
  const entry = kernel.addressList({}).find((one) => one.address === address);
  // One that no device ever had by name: of a loopback prefix, or bound with ip_nonlocal_bind.
  if (entry === undefined && device === null) return null;
  const now = device === null ? 'none' : sceneAt(kernel, { name: device });
  const scene = `${now} ${entry?.name ?? 'none'} ${entry?.index ?? ''}`;
  const isOther = deviceIndex > 0 && now !== `${deviceIndex}`;
  const isOn = plan.device ?? entry?.name ?? device;
  if (isOther && (entry === undefined || isOn === device))
    return {
      what: 'device',
      message: `device ${device} is ${now === 'none' ? 'gone' : 'another one'}`,
      remedy: `make it again, with address ${address}`,
      scene,
    };
  if (entry === undefined)
    return {
      what: 'address',
      message: `address ${address} is not on this host any more`,
      remedy: `give it back: \`ip address add ${address}/PREFIX dev ${device}\``,
      scene,
    };
  if (isOn === device) return null;
  const remedy = 'none is needed';
  return {
    what: 'device',
    message: `address ${address} is on device ${entry.name} now, not on ${device}`,
    remedy,
    scene,
  };
}

/** Addresses of this host of one family, for a message about one that it does not have. */
export function addressesOf(kernel: DeviceKernel, family: 4 | 6): string[] {
  try {
    return kernel
      .addressList({})
      .filter((entry) => entry.family === family)
      .slice(0, 8)
      .map((entry) => `${entry.address} (${entry.name})`);
  } catch {
    return [];
  }
}
