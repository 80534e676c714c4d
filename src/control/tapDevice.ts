/**
 * One TAP or TUN device: opened, dressed (MAC, MTU, addresses, up) and undone. A device that weft makes lives as long as its descriptors, so
 * even a killed node leaves none behind; one that it attaches to gets its MAC and MTU back, and loses the addresses that weft gave it.
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
/** Headers of a TCP segment inside of its MTU (with timestamps). */
const TCP_HEADERS = 52;
const ETHERNET_BYTES = 14;
/** One superframe must fit a slot of the arena. */
const SUPERFRAME_MAX = 65280;

/**
 * Largest superframe of a created device, so that what it hands over goes out as one UDP_SEGMENT message. `overhead` is what the tunnel adds to a
 * segment inside of the UDP payload; `linkBytes` is the link header of the device, 0 for a TUN.
 */
export function gsoMaxSize(mtu: number, overhead: number, linkBytes = ETHERNET_BYTES): number {
  const segments = Math.max(1, Math.min(SEGMENTS_MAX, Math.floor(MESSAGE_BYTES_MAX / (mtu + overhead))));
  return Math.min(SUPERFRAME_MAX, segments * (mtu - TCP_HEADERS) + TCP_HEADERS + linkBytes);
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
    const added = before === null ? [] : missingAddresses(kernel, tap);
    dress(kernel, port, at, overhead, reasons);
    const link = kernel.linkGet(at);
    reportLink(link, port, reasons);
    return {
      port: port.id,
      fds: opened.fds,
      vnetHdrLen: opened.vnetHdrLen,
      offloads: opened.offloads,
      mac: link?.mac || null,
      path: pathOf(opened, reasons),
      state: stateOf(kernel, at, opened.ifindex),
      close: closer(kernel, opened.fds, before === null ? null : restoration(at, before, tap, port.mtu), at, added),
    };
  } catch (error) {
    for (const fd of opened?.fds ?? []) tryClose(kernel, fd);
    throw tapError(port, error);
  }
}

function request(tap: TapPlan, kind: 'tap' | 'tun') {
  return {
    name: tap.device,
    kind,
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
  overhead: number,
  reasons: PathReason[],
): void {
  const tap = port.tap!;
  // A MAC can be set only while the device is down on some kernels, so it goes first.
  if (tap.mac) kernel.linkSet({ ...at, mac: tap.mac });
  kernel.linkSet({ ...at, mtu: port.mtu });
  if (tap.create) {
    try {
      const linkBytes = port.kind === 'tun' ? 0 : ETHERNET_BYTES;
      kernel.linkSet({ ...at, gsoMaxSize: gsoMaxSize(port.mtu, overhead, linkBytes) });
    } catch (error) {
      const reason = `the kernel does not limit the size of superframes (${(error as { code?: string }).code ?? 'no IFLA_GSO_MAX_SIZE'}); the largest are cut in weft`;
      reasons.push({ feature: 'gso-max-size', reason, remedy: null });
    }
  }
  for (const address of tap.addresses) kernel.addressAdd({ ...at, address });
  kernel.linkSet({ ...at, up: true });
}

function pathReasons(opened: Tap, port: PortPlan): PathReason[] {
  const tap = port.tap!;
  const reasons: PathReason[] = [];
  const made = `ip tuntap add dev ${tap.device} mode ${port.kind} vnet_hdr`;
  const remedy = tap.create ? null : `make it with \`vnet_hdr\`: \`${made}\``;
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
      remedy: `make it with \`multi_queue\`: \`${made} multi_queue\``,
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

/** Addresses of the port that the device does not have yet. */
function missingAddresses(kernel: DeviceKernel, tap: TapPlan): string[] {
  const present = kernel
    .addressList(tap.netns ? { netns: tap.netns } : {})
    .filter((entry) => entry.name === tap.device)
    .map((entry) => `${entry.address}/${entry.prefixLen}`);
  return tap.addresses.filter((address) => !present.includes(address));
}

function closer(
  kernel: DeviceKernel,
  fds: number[],
  restore: LinkChange | null,
  at: { netns?: string; name: string },
  added: string[],
): () => string[] {
  let isOpen = true;
  return () => {
    if (!isOpen) return [];
    isOpen = false;
    const failures = fds.flatMap((fd) => tryClose(kernel, fd));
    const undo = (step: () => void) => {
      try {
        step();
      } catch (error) {
        failures.push(`${at.name}: ${(error as Error).message}`);
      }
    };
    for (const address of added) undo(() => kernel.addressDelete({ ...at, address }));
    if (restore !== null) undo(() => kernel.linkSet(restore));
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
