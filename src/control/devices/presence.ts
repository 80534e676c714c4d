/**
 * Whether a device is still the one that something was opened on. A name says little: devices and namespaces are deleted, and others made under
 * their names.
 */
import { readFileSync, statSync } from 'node:fs';
import type { Link } from '../../native/tun.js';
import type { DeviceState } from '../../observe/documents.js';
import type { DeviceKernel } from './deviceKernel.js';
import type { DeviceAt } from './dressing.js';

/** What is missing under something that was open. `namespace`: it is gone, or another one has its path; `server`: that of a memif client. */
export interface Missing {
  what: 'device' | 'namespace' | 'address' | 'server';
  message: string;
  /** What only somebody else can do. */
  remedy: string;
  /** What is there instead, as text: while it stays the same, trying again is of no use but for causes that nobody sees. */
  scene: string;
  /** It is looked at, and nothing is tried until that can be of use. */
  waits?: boolean;
}

/** Identity of the namespace that a path leads to; null when there is none. It is given to no other one while a descriptor keeps it alive. */
export function namespaceAt(path: string): string | null {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}

/** A question that can be asked again: does the path still lead to the namespace that it leads to now? */
export function watchNamespace(path: string | undefined): () => boolean {
  const known = path === undefined ? null : namespaceAt(path);
  return () => known === null || namespaceAt(path!) === known;
}

/** Errors that say nothing about the device: descriptors or memory have run out. */
const SHORTAGES = ['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS'];
const isShortage = (error: unknown) => SHORTAGES.includes((error as { code?: string }).code ?? '');

/** A device as the kernel has it; no link when it is gone. */
export interface Look {
  state: DeviceState;
  link: Link | null;
}

const GONE: Look = { state: 'gone', link: null };

/** A question to the kernel: how is the device with this name and index now? Throws when there is nothing left to ask with. */
function probeOf(kernel: DeviceKernel, at: DeviceAt, index: number): () => Look {
  const isSameNamespace = watchNamespace(at.netns);
  return () => {
    try {
      const link = isSameNamespace() ? kernel.linkGet(at) : null;
      if (link === null || link.index !== index) return GONE;
      return { state: link.up ? 'up' : 'down', link };
    } catch (error) {
      if (isShortage(error)) throw error;
      // Its namespace cannot be entered any more.
      return GONE;
    }
  };
}

/** The same, and how it was at last where there is nothing left to ask with. */
export function lookOf(kernel: DeviceKernel, at: DeviceAt, index: number): () => Look {
  const probe = probeOf(kernel, at, index);
  let last: Look = { state: 'up', link: null };
  return () => {
    try {
      last = probe();
    } catch {
      // Known another time.
    }
    return last;
  };
}

/** The index of the device of a name, as text; `none`. Throws when there is nothing left to ask with. */
export function sceneAt(kernel: DeviceKernel, at: DeviceAt): string {
  try {
    return `${kernel.linkGet(at)?.index ?? 'none'}`;
  } catch (error) {
    if (isShortage(error)) throw error;
    return 'none';
  }
}

/** Whether the device of a descriptor of /dev/net/tun lives on, renamed or in another namespace: one that was deleted has no name there. */
function livesOn(fd: number): boolean {
  try {
    return /^iff:[ \t]*\S/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
  } catch (error) {
    if (isShortage(error)) throw error;
    return false;
  }
}

/** A TAP or TUN that is open. */
export interface OpenDevice {
  at: DeviceAt;
  index: number;
  fd: number;
  /** weft makes it. */
  isMade: boolean;
}

/**
 * A question to the kernel: what has gone from under a device? One that lives on under another name, or in another namespace, is whose it was
 * made for. Without `thorough` only the path of its namespace is looked at. Throws when there is nothing left to ask with.
 */
export function finderOf(
  kernel: DeviceKernel,
  { at, index, fd, isMade }: OpenDevice,
): (thorough: boolean) => Missing | null {
  const { netns, name } = at;
  const isSameNamespace = watchNamespace(netns);
  const probe = probeOf(kernel, at, index);
  return (thorough) => {
    if (netns !== undefined && !isSameNamespace()) {
      const now = namespaceAt(netns);
      const message = `network namespace ${netns} is ${now === null ? 'gone' : 'another one'}`;
      const remedy = 'make it again (`ip netns add`), or remove the port';
      return { what: 'namespace', message, remedy, scene: `${now} ${now === null ? 'none' : sceneAt(kernel, at)}` };
    }
    if (!thorough || probe().state !== 'gone' || livesOn(fd)) return null;
    const where = netns === undefined ? '' : ` in network namespace ${netns}`;
    const remedy = isMade ? `see that nothing else takes the name ${name}` : 'make it again, or remove the port';
    return { what: 'device', message: `device ${name}${where} is gone`, remedy, scene: sceneAt(kernel, at) };
  };
}
