/**
 * One TAP or TUN device: opened, dressed (MAC, MTU, addresses, up) and undone. A device that weft makes lives as long as its descriptors, so
 * even a killed node leaves none behind; one that it attaches to gets its MAC and MTU back, and loses the addresses that weft gave it.
 */
import { type Link, type Tap, TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6 } from '../native/tun.js';
import type { DeviceState, PathDocument, PathReason } from '../observe/documents.js';
import type { PortPlan, TapPlan } from '../pipeline/plan.js';
import { tapError } from './deviceErrors.js';
import type { DeviceKernel } from './deviceKernel.js';
import { createDressing, type Dressing } from './dressing.js';
import { finderOf, type Missing, stateOf } from './presence.js';

const TSO = TUN_F_TSO4 | TUN_F_TSO6;
const USO = TUN_F_USO4 | TUN_F_USO6;

export interface TapDevice {
  port: number;
  fds: number[];
  vnetHdrLen: number;
  offloads: number;
  mac: string | null;
  path: PathDocument;
  /** Asks the kernel how the device is now. */
  state(): DeviceState;
  /** What has gone from under it. Without `thorough` only the path of its namespace is looked at, which costs next to nothing. */
  missing(thorough: boolean): Missing | null;
  /** Sets what another plan of the port wants, while frames move; returns the way back. An MTU that fails is a reason of `path`. */
  change(port: PortPlan, overhead: number): () => void;
  /** Undoes what was changed and closes the descriptors. Never throws; returns what could not be undone. */
  close(): string[];
}

/** Opens the device of a TAP or TUN port. Throws a WeftError, with everything closed again. */
export function openTapDevice(kernel: DeviceKernel, port: PortPlan, overhead: number): TapDevice {
  const tap = port.tap!;
  const at = { ...(tap.netns ? { netns: tap.netns } : {}), name: tap.device };
  let opened: Tap | null = null;
  try {
    const before = tap.create ? null : kernel.linkGet(at);
    opened = kernel.openTap(request(tap, port.kind === 'tun' ? 'tun' : 'tap'));
    const reasons = pathReasons(opened, port);
    steer(kernel, opened, reasons);
    const dressing = createDressing(kernel, port, overhead, at, before);
    dressing.put(reasons);
    const link = kernel.linkGet(at);
    reportLink(link, port, reasons);
    const state = stateOf(kernel, at, opened.ifindex);
    const device: TapDevice = {
      port: port.id,
      fds: opened.fds,
      vnetHdrLen: opened.vnetHdrLen,
      offloads: opened.offloads,
      mac: link?.mac || null,
      path: pathOf(opened, reasons),
      state,
      missing: finderOf(kernel, { at, index: opened.ifindex, fd: opened.fds[0], isMade: tap.create }),
      change(after, tunnel) {
        try {
          const back = dressing.change(after, tunnel);
          const now = kernel.linkGet(at);
          device.mac = now?.mac || null;
          reportLink(now, after, reasons);
          return back;
        } catch (error) {
          throw tapError(after, error);
        }
      },
      close: closer(kernel, opened.fds, dressing, tap.create ? null : state),
    };
    return device;
  } catch (error) {
    for (const fd of opened?.fds ?? []) tryClose(kernel, fd);
    throw tapError(port, error);
  }
}

/**
 * Queues by the packets' flows alone. Otherwise the kernel moves a flow to the queue of the worker that its answers come in at, and packets that
 * wait on the first one are overtaken.
 */
function steer(kernel: DeviceKernel, { fds }: Tap, reasons: PathReason[]): void {
  if (fds.length < 2) return;
  try {
    kernel.tapSteer(fds[0], fds.length);
  } catch (error) {
    const why = (error as { code?: string }).code ?? (error as Error).message;
    reasons.push({
      feature: 'steering',
      reason: `the kernel takes no program that chooses queues (${why}): a flow may change its queue, and be reordered there`,
      remedy: why === 'EPERM' ? 'give weft CAP_BPF as well' : null,
    });
  }
}

/** The longest superframe of datagrams does not fit a slot, so that their size has to be limited. */
const hasUso = ({ offloads }: TapPlan) => offloads.uso && offloads.gsoMaxSize;

function request(tap: TapPlan, kind: 'tap' | 'tun') {
  const { offloads } = tap;
  return {
    name: tap.device,
    kind,
    create: tap.create,
    queues: tap.queues,
    vnetHdr: offloads.vnetHeader,
    offloads: offloads.vnetHeader ? TUN_F_CSUM | (offloads.tso ? TSO : 0) | (hasUso(tap) ? USO : 0) : 0,
    ...(tap.netns ? { netns: tap.netns } : {}),
    ...(tap.owner === null ? {} : { owner: tap.owner }),
    ...(tap.group === null ? {} : { group: tap.group }),
  };
}

function pathReasons(opened: Tap, port: PortPlan): PathReason[] {
  const tap = port.tap!;
  const { offloads } = tap;
  const reasons: PathReason[] = [];
  const because = (feature: string, isWanted: boolean, reason: string, setting: string, remedy: string | null) =>
    reasons.push(
      isWanted
        ? { feature, reason, remedy }
        : { feature, reason: `\`offloads: {${setting}: false}\` of the port: ${reason}`, remedy: 'take it out' },
    );
  const made = `ip tuntap add dev ${tap.device} mode ${port.kind} vnet_hdr`;
  const remedy = tap.create ? null : `make it with \`vnet_hdr\`: \`${made}\``;
  if (opened.vnetHdrLen === 0) {
    const reason = 'the device has no virtio-net header: one packet a frame, checksums finished in weft';
    because('vnet-header', offloads.vnetHeader, reason, 'vnetHeader', remedy);
  } else {
    if ((opened.offloads & TSO) !== TSO)
      because('tso', offloads.tso, 'no TSO on the device: TCP has one packet a frame', 'tso', null);
    if ((opened.offloads & USO) !== USO) {
      const setting = offloads.uso ? 'gsoMaxSize' : 'uso';
      const reason = 'no USO on the device: each UDP datagram is a frame';
      because('uso', hasUso(tap), reason, setting, 'use Linux 6.2 or newer');
    }
  }
  if (tap.queues > 1 && opened.fds.length < tap.queues)
    reasons.push({
      feature: 'queues',
      reason: `the device has ${opened.fds.length} of ${tap.queues} queues; one worker reads it`,
      remedy: `make it with \`multi_queue\`: \`${made} multi_queue\``,
    });
  return reasons;
}

function pathOf(opened: Tap, reasons: PathReason[]): PathDocument {
  const use = opened.vnetHdrLen === 0 ? 'plain' : (opened.offloads & (TSO | USO)) !== 0 ? 'superframes' : 'frames';
  return { send: use, receive: use, reasons };
}

/** Names of the offloads in force, as the status has them. */
export function offloadNames(mask: number): string[] {
  const names: [number, string][] = [
    [TUN_F_CSUM, 'checksum'],
    [TSO, 'tso'],
    [USO, 'uso'],
  ];
  return names.flatMap(([bits, name]) => ((mask & bits) === bits ? [name] : []));
}

/** A device whose MTU is not that of its port: said in `reasons`, once. */
function reportLink(link: Link | null, port: PortPlan, reasons: PathReason[]): void {
  const said = reasons.findIndex(({ feature }) => feature === 'mtu');
  if (said >= 0) reasons.splice(said, 1);
  if (link === null || link.mtu === port.mtu) return;
  const reason = `the device has an MTU of ${link.mtu} bytes, the port ${port.mtu}`;
  reasons.push({ feature: 'mtu', reason, remedy: `set it to ${port.mtu}` });
}

/** With `attachedState` the device is not weft's, and is left as it was found, unless it is gone. */
function closer(
  kernel: DeviceKernel,
  fds: number[],
  dressing: Dressing,
  attachedState: (() => DeviceState) | null,
): () => string[] {
  let isOpen = true;
  return () => {
    if (!isOpen) return [];
    isOpen = false;
    const isThere = attachedState !== null && attachedState() !== 'gone';
    if (isThere && fds.length > 1) leaveSteering(kernel, fds[0]);
    return [...fds.flatMap((fd) => tryClose(kernel, fd)), ...(isThere ? dressing.takeOff() : [])];
  };
}

function leaveSteering(kernel: DeviceKernel, fd: number): void {
  try {
    kernel.tapSteer(fd, 0);
  } catch {
    // It has none, or is gone.
  }
}

/** Closes a descriptor; the failure as text, if there is one. */
export function tryClose(kernel: DeviceKernel, fd: number): string[] {
  try {
    kernel.close(fd);
    return [];
  } catch (error) {
    return [(error as Error).message];
  }
}
