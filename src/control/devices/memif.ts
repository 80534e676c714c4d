/**
 * Clients of memif. DPDK's connects when it is started, and never again: one whose server is not there waits without a device, and one that has
 * lost its server gives up its device and has another when somebody listens again.
 */
import { readFileSync, statSync } from 'node:fs';
import { dpdk } from '../../native/dpdk.js';
import { settingsOf } from './dpdkSockets.js';
import type { Missing } from './presence.js';

/** The server of a device that is a client. */
export interface MemifServer {
  /** A path, or a name in the network namespace of the node. */
  socket: string;
  isAbstract: boolean;
}

/** DPDK's defaults. */
const SOCKET = '/run/memif.sock';

export function memifServer(devargs: string): MemifServer | null {
  if (!devargs.startsWith('net_memif')) return null;
  const settings = settingsOf(devargs);
  if (['server', 'master'].includes(settings.get('role') ?? 'client')) return null;
  return { socket: settings.get('socket') ?? SOCKET, isAbstract: settings.get('socket-abstract') !== 'no' };
}

/** Of /proc/net/unix: a socket that listens (__SO_ACCEPTCON), and its name. */
const LISTENER = /^\w+: \w+ \w+ 00010000 \w+ \w+ +\d+ @(.*)$/gm;

/** Whether somebody listens there. A name is asked for in a list: to connect to it would be seen by who listens. */
export function isServed({ socket, isAbstract }: MemifServer): boolean {
  if (!isAbstract) return statSync(socket, { throwIfNoEntry: false })?.isSocket() === true && dpdk().isHeld(socket);
  return [...readFileSync('/proc/self/net/unix', 'utf8').matchAll(LISTENER)].some(([, name]) => name === socket);
}

/** What a server is given to take a connection. */
const PATIENCE_MS = 3000;

/** What a client without a link lacks; `sinceMs` since it was started, null where it has no device. */
export function missingServer(server: MemifServer, sinceMs: number | null): Missing {
  const common = { what: 'server' as const };
  if (!isServed(server))
    return {
      ...common,
      message: `waiting for a memif server at ${server.socket}`,
      remedy: 'nothing, or start the other end; if it runs, compare `socket` and `socket-abstract` of both',
      scene: 'nobody',
      // One that has a device still can give it up at once.
      waits: sinceMs === null,
    };
  return {
    ...common,
    message: `waiting for the memif server at ${server.socket} to take the connection`,
    remedy: 'compare `id` and `secret` of both ends; a server takes one client for each id',
    scene: 'served',
    waits: sinceMs !== null && sinceMs < PATIENCE_MS,
  };
}
