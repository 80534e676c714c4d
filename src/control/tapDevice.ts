/**
 * One TAP device: opened, dressed (MAC, MTU, addresses, up) and undone. A device that weft makes lives as long as its descriptors, so
 * even a killed node leaves none behind; one that it attaches to gets its MAC and MTU back.
 */
import { type Link, type LinkChange, type Tap, TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 } from '../native/tun.js';
import type { DeviceState, PathDocument, PathReason } from '../observe/documents.js';
import type { PortPlan, TapPlan } from '../pipeline/plan.js';
import { tapError } from './deviceErrors.js';
import type { DeviceKernel } from './deviceKernel.js';

const OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

export interface TapDevice {
  port: number;
  fds: number[];
  vnetHdrLen: number;
  offloads: number;
  mac: string | null;
  path: PathDocument;
  /** Asks the kernel how the device is now. */
  state(): DeviceState;
  /** Undoes what was changed and closes the descriptors. Never throws; returns what could not be undone. */
  close(): string[];
}

/** What one UDP_SEGMENT message takes (pipeline/socketEgress.ts, underlay/udp.ts). */
const MESSAGE_BYTES_MAX = 65000;
const SEGMENTS_MAX = 63;
/** Headers of a TCP segment inside of its MTU (with timestamps), and what VXLAN adds to it inside of the UDP payload. */
const TCP_HEADERS = 52;
const VXLAN_AND_ETHERNET = 22;
/** One superframe must fit a slot of the arena. */
const SUPERFRAME_MAX = 65280;

/** Largest superframe of a created TAP, so that what it hands over goes out as one UDP_SEGMENT message. */
export function gsoMaxSize(mtu: number): number {
  const segments = Math.max(1, Math.min(SEGMENTS_MAX, Math.floor(MESSAGE_BYTES_MAX / (mtu + VXLAN_AND_ETHERNET))));
  return Math.min(SUPERFRAME_MAX, segments * (mtu - TCP_HEADERS) + TCP_HEADERS + 14);
}

/** Opens the device of a TAP port. Throws a WeftError, with everything closed again. */
export function openTapDevice(kernel: DeviceKernel, port: PortPlan): TapDevice {
  const tap = port.tap!;
  const at = { ...(tap.netns ? { netns: tap.netns } : {}), name: tap.device };
  let opened: Tap | null = null;
  try {
    const before = tap.create ? null : kernel.linkGet(at);
    opened = kernel.openTap(request(tap));
    const reasons = pathReasons(opened, tap);
    dress(kernel, port, at, reasons);
    const link = kernel.linkGet(at);
    reportLink(link, port, reasons);
    return {
      port: port.id,
      fds: opened.fds,
      vnetHdrLen: opened.vnetHdrLen,
      offloads: opened.offloads,
      mac: link?.mac ?? null,
      path: pathOf(opened, reasons),
      state: stateOf(kernel, at, opened.ifindex),
      close: closer(kernel, opened.fds, before === null ? null : restoration(at, before, tap, port.mtu)),
    };
  } catch (error) {
    for (const fd of opened?.fds ?? []) tryClose(kernel, fd);
    throw tapError(port, error);
  }
}

function request(tap: TapPlan) {
  return {
    name: tap.device,
    create: tap.create,
    queues: tap.queues,
    vnetHdr: true,
    offloads: OFFLOADS,
    ...(tap.netns ? { netns: tap.netns } : {}),
    ...(tap.owner === null ? {} : { owner: tap.owner }),
    ...(tap.group === null ? {} : { group: tap.group }),
  };
}

function dress(
  kernel: DeviceKernel,
  port: PortPlan,
  at: { netns?: string; name: string },
  reasons: PathReason[],
): void {
  const tap = port.tap!;
  // A MAC can be set only while the device is down on some kernels, so it goes first.
  if (tap.mac) kernel.linkSet({ ...at, mac: tap.mac });
  kernel.linkSet({ ...at, mtu: port.mtu });
  if (tap.create) {
    try {
      kernel.linkSet({ ...at, gsoMaxSize: gsoMaxSize(port.mtu) });
    } catch (error) {
      const reason = `the kernel does not limit the size of superframes (${(error as { code?: string }).code ?? 'no IFLA_GSO_MAX_SIZE'}); the largest are cut in weft`;
      reasons.push({ feature: 'gso-max-size', reason, remedy: null });
    }
  }
  for (const address of tap.addresses) kernel.addressAdd({ ...at, address });
  kernel.linkSet({ ...at, up: true });
}

function pathReasons(opened: Tap, tap: TapPlan): PathReason[] {
  const reasons: PathReason[] = [];
  const remedy = tap.create ? null : `make it with \`vnet_hdr\`: \`ip tuntap add dev ${tap.device} mode tap vnet_hdr\``;
  if (opened.vnetHdrLen === 0) {
    const reason = 'the device has no virtio-net header: one packet a frame, checksums finished in weft';
    reasons.push({ feature: 'vnet-header', reason, remedy });
  } else if ((opened.offloads & TUN_F_TSO4) === 0 || (opened.offloads & TUN_F_TSO6) === 0) {
    reasons.push({ feature: 'tso', reason: 'the kernel refused TSO on the device: one packet a frame', remedy: null });
  }
  if (tap.queues > 1 && opened.fds.length < tap.queues)
    reasons.push({
      feature: 'queues',
      reason: `the device has ${opened.fds.length} of ${tap.queues} queues; one worker reads it`,
      remedy: `make it with \`multi_queue\`: \`ip tuntap add dev ${tap.device} mode tap vnet_hdr multi_queue\``,
    });
  return reasons;
}

function pathOf(opened: Tap, reasons: PathReason[]): PathDocument {
  const tso = TUN_F_TSO4 | TUN_F_TSO6;
  const use = opened.vnetHdrLen === 0 ? 'plain' : (opened.offloads & tso) === tso ? 'superframes' : 'frames';
  return { send: use, receive: use, reasons };
}

/** A question to the kernel: how is the device with this name and index now? */
export function stateOf(kernel: DeviceKernel, at: { netns?: string; name: string }, index: number): () => DeviceState {
  return () => {
    try {
      const link = kernel.linkGet(at);
      if (link === null || link.index !== index) return 'gone';
      return link.up ? 'up' : 'down';
    } catch {
      // Its namespace cannot be entered any more.
      return 'gone';
    }
  };
}

function reportLink(link: Link | null, port: PortPlan, reasons: PathReason[]): void {
  if (link === null || link.mtu === port.mtu) return;
  const reason = `the device has an MTU of ${link.mtu} bytes, the port ${port.mtu}`;
  reasons.push({ feature: 'mtu', reason, remedy: `set it to ${port.mtu}` });
}

function restoration(at: { netns?: string; name: string }, before: Link, tap: TapPlan, mtu: number): LinkChange | null {
  const change: LinkChange = { ...at };
  if (before.mtu !== mtu) change.mtu = before.mtu;
  if (tap.mac && before.mac !== tap.mac) change.mac = before.mac;
  if (!before.up) change.up = false;
  return Object.keys(change).length > Object.keys(at).length ? change : null;
}

function closer(kernel: DeviceKernel, fds: number[], restore: LinkChange | null): () => string[] {
  let isOpen = true;
  return () => {
    if (!isOpen) return [];
    isOpen = false;
    const failures = fds.flatMap((fd) => tryClose(kernel, fd));
    if (restore === null) return failures;
    try {
      kernel.linkSet(restore);
    } catch (error) {
      failures.push(`${restore.name}: ${(error as Error).message}`);
    }
    return failures;
  };
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
