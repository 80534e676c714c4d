/**
 * One TAP or TUN device: opened, dressed (MAC, MTU, addresses, up) and undone. A device that weft makes lives as long as its descriptors, so
 * even a killed node leaves none behind; one that it attaches to gets its MAC and MTU back, and loses the addresses that weft gave it.
 */
import {
  type Link,
  type Tap,
  type TapRequest,
  TUN_F_CSUM,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_USO4,
  TUN_F_USO6,
} from '../../native/tun.js';
import type { DeviceState, PathDocument, PathReason } from '../../observe/documents.js';
import type { PortPlan, TapPlan } from '../../pipeline/plan.js';
import { tapError } from './deviceErrors.js';
import { type DeviceKernel, tryClose } from './deviceKernel.js';
import { createDressing, type Dressing } from './dressing.js';
import { finderOf, type Look, lookOf, type Missing } from './presence.js';
import { createTapQueues, forget, type TapQueues } from './tapQueues.js';

const TSO = TUN_F_TSO4 | TUN_F_TSO6;
const USO = TUN_F_USO4 | TUN_F_USO6;

export interface TapDevice {
  port: number;
  /** A queue each: what the workers are given. */
  readonly fds: readonly number[];
  vnetHdrLen: number;
  offloads: number;
  mac: string | null;
  path: PathDocument;
  /** Asks the kernel how the device is now, and how many packets have found its queue full since it was opened. */
  look(): { state: DeviceState; missed: number };
  /** What has gone from under it. Without `thorough` only the path of its namespace is looked at, which costs next to nothing. */
  missing(thorough: boolean): Missing | null;
  /** Sets what another plan of the port wants, while frames move; returns the way back. An MTU that fails is a reason of `path`. */
  change(port: PortPlan, overhead: number): () => void;
  /** The workers have changed over: queues that nobody reads any more are closed. Returns what could not be undone. */
  settle(): string[];
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
    const wanted = request(tap, port.kind === 'tun' ? 'tun' : 'tap');
    opened = kernel.openTap(wanted);
    const reasons = pathReasons(opened, port);
    const queues = createTapQueues(kernel, opened, wanted, reasons);
    queues.settle();
    const dressing = createDressing(kernel, port, overhead, at, before);
    dressing.put(reasons);
    const link = kernel.linkGet(at);
    reportLink(link, port, reasons);
    const look = lookOf(kernel, at, opened.ifindex);
    const device: TapDevice = {
      port: port.id,
      get fds() {
        return queues.fds;
      },
      vnetHdrLen: opened.vnetHdrLen,
      offloads: opened.offloads,
      mac: link?.mac || null,
      path: pathOf(opened, reasons),
      look: countMissed(look, link),
      missing: finderOf(kernel, { at, index: opened.ifindex, fd: opened.fds[0], isMade: tap.create }),
      change(after, tunnel) {
        try {
          const back = changeAll(dressing, queues, after, tunnel);
          const now = kernel.linkGet(at);
          device.mac = now?.mac || null;
          reportLink(now, after, reasons);
          reportQueues(queues, after, reasons);
          return back;
        } catch (error) {
          throw tapError(after, error);
        }
      },
      settle: queues.settle,
      close: closer(queues, dressing, tap.create ? null : look),
    };
    return device;
  } catch (error) {
    for (const fd of opened?.fds ?? []) tryClose(kernel, fd);
    throw tapError(port, error);
  }
}

/** What was lost stays lost when the device has gone. */
function countMissed(look: () => Look, opened: Link | null): TapDevice['look'] {
  let missed = 0;
  return () => {
    const { state, link } = look();
    if (link !== null && opened !== null) missed = link.txDropped - opened.txDropped;
    return { state, missed };
  };
}

function changeAll(dressing: Dressing, queues: TapQueues, after: PortPlan, overhead: number): () => void {
  const undress = dressing.change(after, overhead);
  try {
    const giveBack = queues.resize(after.tap!.queues);
    return () => {
      giveBack();
      undress();
    };
  } catch (error) {
    undress();
    throw error;
  }
}

/** The longest superframe of datagrams does not fit a slot, so that their size has to be limited. */
const hasUso = ({ offloads }: TapPlan) => offloads.uso && offloads.gsoMaxSize;

function request(tap: TapPlan, kind: 'tap' | 'tun'): TapRequest {
  const { offloads } = tap;
  return {
    name: tap.device,
    kind,
    create: tap.create,
    queues: tap.queues,
    multiQueue: tap.multiQueue,
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
  const remedy = tap.create ? null : `make it with \`vnet_hdr\`: \`${makingOf(port)}\``;
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
  reportQueues(opened, port, reasons);
  return reasons;
}

const makingOf = ({ kind, tap }: PortPlan) => `ip tuntap add dev ${tap!.device} mode ${kind} vnet_hdr`;

/** A device that cannot have as many queues as are wanted: said in `reasons`, once. */
function reportQueues({ fds }: Pick<TapQueues, 'fds'>, port: PortPlan, reasons: PathReason[]): void {
  const wanted = port.tap!.queues;
  forget(reasons, 'queues');
  if (fds.length >= wanted) return;
  const reason = `the device has ${fds.length} of ${wanted} queues; one worker reads it`;
  const remedy = `make it with \`multi_queue\`: \`${makingOf(port)} multi_queue\``;
  reasons.push({ feature: 'queues', reason, remedy });
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
  forget(reasons, 'mtu');
  if (link === null || link.mtu === port.mtu) return;
  const reason = `the device has an MTU of ${link.mtu} bytes, the port ${port.mtu}`;
  reasons.push({ feature: 'mtu', reason, remedy: `set it to ${port.mtu}` });
}

/** With `attachedState` the device is not weft's, and is left as it was found, unless it is gone. */
function closer(queues: TapQueues, dressing: Dressing, attached: (() => Look) | null): () => string[] {
  let isOpen = true;
  return () => {
    if (!isOpen) return [];
    isOpen = false;
    const isThere = attached !== null && attached().state !== 'gone';
    return [...queues.close(isThere), ...(isThere ? dressing.takeOff() : [])];
  };
}
