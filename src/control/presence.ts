/**
 * Whether a device is still the one that something was opened on. A name says little: devices and namespaces are deleted, and others made under
 * their names.
 */
import { readFileSync, statSync } from 'node:fs';
import type { DeviceState } from '../observe/documents.js';
import type { DeviceKernel } from './deviceKernel.js';
import type { DeviceAt } from './dressing.js';

/** What is missing under something that was open. `namespace`: it is gone, or another one has its path. */
export interface Missing {
  what: 'device' | 'namespace' | 'address';
  message: string;
  /** What only somebody else can do. */
  remedy: string;
  /** What is there instead, as text: while it stays the same, trying again is of no use but for causes that nobody sees. */
  scene: string;
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

/** A question to the kernel: how is the device with this name and index now? */
export function stateOf(kernel: DeviceKernel, at: DeviceAt, index: number): () => DeviceState {
  const isSameNamespace = watchNamespace(at.netns);
  return () => {
    try {
      const link = isSameNamespace() ? kernel.linkGet(at) : null;
      if (link === null || link.index !== index) return 'gone';
      return link.up ? 'up' : 'down';
    } catch {
      // Its namespace cannot be entered any more.
      return 'gone';
    }
  };
}

/** The index of the device of a name, as text; `none`. */
export function sceneAt(kernel: DeviceKernel, at: DeviceAt): string {
  try {
    return `${kernel.linkGet(at)?.index ?? 'none'}`;
  } catch {
    return 'none';
  }
}

/** Whether the device of a descriptor of /dev/net/tun lives on, renamed or in another namespace: one that was deleted has no name there. */
export function livesOn(fd: number): boolean {
  try {
    return /^iff:[ \t]*\S/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
  } catch {
    return false;
  }
}
