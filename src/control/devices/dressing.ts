/**
 * What weft sets on a device: MAC, MTU, the size of its superframes, addresses. It can be set again while the device stands, and taken back.
 */
import type { Link, LinkChange } from '../../native/tun.js';
import type { PathReason } from '../../observe/documents.js';
import type { PortPlan } from '../../pipeline/plan.js';
import type { DeviceKernel } from './deviceKernel.js';

/** A device, by its namespace and name. */
export interface DeviceAt {
  netns?: string;
  name: string;
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

/** Superframes of datagrams are as long as a device allows, unlike those of TCP, and what does not fit a slot is lost. */
const isTooLong = (link: Link | null) => link !== null && link.gsoMaxSize > SUPERFRAME_MAX;

export interface Dressing {
  /** Sets what the port wants. What the kernel cannot do and the node can do without goes to `reasons`. */
  put(reasons: PathReason[]): void;
  /** Sets what another plan of the port wants; returns the way back. An MTU that the device does not take is none of its failures. */
  change(port: PortPlan, overhead: number): () => void;
  /** A device that weft attached to gets back what it had; returns what could not be undone. */
  takeOff(): string[];
}

interface Step {
  go: () => void;
  back: () => void;
}

/** `before` is the device as it was when weft attached to it, null for one that weft made. */
export function createDressing(
  kernel: DeviceKernel,
  first: PortPlan,
  firstOverhead: number,
  at: DeviceAt,
  before: Link | null,
): Dressing {
  let port = first;
  let overhead = firstOverhead;
  /** Addresses that weft gave. */
  let given: string[] = [];
  let hasSetMac = first.tap!.mac !== null;
  let hasSetSize = false;

  const sizeOf = (of: PortPlan, tunnel: number) => gsoMaxSize(of.mtu, tunnel, of.kind === 'tun' ? 0 : ETHERNET_BYTES);

  function put(reasons: PathReason[]): void {
    const tap = port.tap!;
    given = before === null ? [...tap.addresses] : missingAddresses(kernel, at, tap.addresses);
    // A MAC can be set only while the device is down on some kernels, so it goes first.
    if (tap.mac) kernel.linkSet({ ...at, mac: tap.mac });
    kernel.linkSet({ ...at, mtu: port.mtu });
    if (!tap.offloads.gsoMaxSize) {
      const reason = '`offloads: {gsoMaxSize: false}` of the port: the largest superframes are cut in weft';
      reasons.push({ feature: 'gso-max-size', reason, remedy: 'take it out' });
    } else if (tap.create || isTooLong(before)) {
      try {
        kernel.linkSet({ ...at, gsoMaxSize: tap.create ? sizeOf(port, overhead) : SUPERFRAME_MAX });
        hasSetSize = !tap.create;
      } catch (error) {
        const reason = `the kernel does not limit the size of superframes (${(error as { code?: string }).code ?? 'no IFLA_GSO_MAX_SIZE'}); the largest are cut in weft`;
        reasons.push({ feature: 'gso-max-size', reason, remedy: null });
      }
    }
    for (const address of tap.addresses) kernel.addressAdd({ ...at, address });
    kernel.linkSet({ ...at, up: true });
  }

  const set = (to: Partial<LinkChange>, back: Partial<LinkChange>): Step => ({
    go: () => kernel.linkSet({ ...at, ...to }),
    back: () => kernel.linkSet({ ...at, ...back }),
  });

  /** Steps to another plan of the port, without its addresses. */
  function linkSteps(after: PortPlan, tunnel: number): Step[] {
    const steps: Step[] = [];
    const { mac, create, offloads } = after.tap!;
    const macNow = mac === null ? null : (kernel.linkGet(at)?.mac ?? null);
    if (mac !== null && macNow !== null && mac !== macNow) steps.push(set({ mac }, { mac: macNow }));
    // A device that keeps its MTU, or is gone, is told of in the status and must not hold up the rest.
    if (after.mtu !== port.mtu) steps.push(quiet(set({ mtu: after.mtu }, { mtu: port.mtu })));
    const [size, sizeNow] = [sizeOf(after, tunnel), sizeOf(port, overhead)];
    if (create && offloads.gsoMaxSize && size !== sizeNow)
      steps.push(quiet(set({ gsoMaxSize: size }, { gsoMaxSize: sizeNow })));
    return steps;
  }

  /** New ones first: with the last address of a family the kernel forgets the routes of the device as well. */
  function addressSteps(added: string[], removed: string[]): Step[] {
    const add = (address: string) => () => kernel.addressAdd({ ...at, address });
    const drop = (address: string) => () => kernel.addressDelete({ ...at, address });
    return [
      ...added.map((address) => ({ go: add(address), back: drop(address) })),
      ...removed.map((address) => ({ go: drop(address), back: add(address) })),
    ];
  }

  function change(after: PortPlan, tunnel: number): () => void {
    const was = { port, overhead, given, hasSetMac };
    const { addresses, mac } = after.tap!;
    const fresh = addresses.filter((address) => !port.tap!.addresses.includes(address));
    const added = before === null ? fresh : missingAddresses(kernel, at, fresh);
    const removed = given.filter((address) => !addresses.includes(address));
    const done: Step[] = [];
    const back = () => {
      for (const step of done.splice(0).reverse()) step.back();
      ({ port, overhead, given, hasSetMac } = was);
    };
    try {
      for (const step of [...linkSteps(after, tunnel), ...addressSteps(added, removed)]) {
        step.go();
        done.push(step);
      }
    } catch (error) {
      back();
      throw error;
    }
    given = [...given.filter((address) => addresses.includes(address)), ...added];
    hasSetMac ||= mac !== null;
    port = after;
    overhead = tunnel;
    return back;
  }

  function takeOff(): string[] {
    if (before === null) return [];
    const failures: string[] = [];
    const undo = (step: () => void) => {
      try {
        step();
      } catch (error) {
        failures.push(`${at.name}: ${(error as Error).message}`);
      }
    };
    for (const address of given) undo(() => kernel.addressDelete({ ...at, address }));
    const restore = restoration(at, before, port.mtu, hasSetMac, hasSetSize);
    if (restore !== null) undo(() => kernel.linkSet(restore));
    return failures;
  }

  return { put, change, takeOff };
}

function quiet(step: Step): Step {
  const quietly = (run: () => void) => () => {
    try {
      run();
    } catch {
      // Whoever asks for the device's status sees it.
    }
  };
  return { go: quietly(step.go), back: quietly(step.back) };
}

/** What differs from how the device was found. */
function restoration(
  at: DeviceAt,
  before: Link,
  mtu: number,
  hasSetMac: boolean,
  hasSetSize: boolean,
): LinkChange | null {
  const change: LinkChange = { ...at };
  if (before.mtu !== mtu) change.mtu = before.mtu;
  if (hasSetMac) change.mac = before.mac;
  if (hasSetSize) change.gsoMaxSize = before.gsoMaxSize;
  if (!before.up) change.up = false;
  return Object.keys(change).length > Object.keys(at).length ? change : null;
}

/** Those addresses that the device does not have yet. */
function missingAddresses(kernel: DeviceKernel, at: DeviceAt, wanted: readonly string[]): string[] {
  if (wanted.length === 0) return [];
  const present = kernel
    .addressList(at.netns === undefined ? {} : { netns: at.netns })
    .filter((entry) => entry.name === at.name)
    .map((entry) => `${entry.address}/${entry.prefixLen}`);
  return wanted.filter((address) => !present.includes(address));
}
