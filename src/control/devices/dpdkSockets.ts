/**
 * UNIX sockets of vhost-user and memif devices: what lies at their paths before they are opened, and who is connected. It is asked of sockets
 * themselves: /proc/net/unix shows those of one network namespace, and machines may have another.
 */
import { accessSync, chmodSync, chownSync, constants, lstatSync, statSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { dpdk, type SocketConnections } from '../../native/dpdk.js';
import { WeftError } from '../../packet/error.js';
import type { DpdkPlan } from '../../pipeline/plan.js';

/**
 * What a killed process left would keep DPDK from listening, so it goes. Anything else at the path is refused here: DPDK would refuse it as
 * well, and delete it on its way out.
 */
export function clearSocketPath(path: string, object: string): void {
  requireFolder(dirname(path), object);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (isLeftover(path)) {
    unlinkSync(path);
    return;
  }
  const what = found.isSocket() ? 'somebody listens at' : 'something that is no socket is at';
  throw new WeftError('DEVICE', `${object}: ${what} ${path}`, {
    object,
    remedy: 'give each port a path of its own, or stop who listens there',
  });
}

/** DPDK says of a socket that it cannot make only that something is not permitted. */
function requireFolder(folder: string, object: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new WeftError('DEVICE', `${object}: its socket cannot be made, there is no directory ${folder}`, {
      object,
      remedy: `make it (mkdir -p ${folder}), or give another \`path\`; one in /run is to be made again after a boot`,
    });
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === 'EROFS' ? 'is read-only' : 'may not be written to';
    throw new WeftError('DEVICE', `${object}: its socket cannot be made, directory ${folder} ${why}`, {
      object,
      remedy: 'let the user of the node write there, or give another `path`',
      cause,
    });
  }
}

/** Several devices may share one, so what somebody listens at stays. */
export function clearMemifSocket(devargs: string): void {
  const path = memifSocket(devargs);
  if (path !== null && isLeftover(path)) unlinkSync(path);
}

function isLeftover(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true && !dpdk().isHeld(path);
}

export const settingsOf = (devargs: string) =>
  new Map(devargs.split(',').map((setting) => setting.split('=', 2) as [string, string]));

/** Path at which a memif device is to listen; null for other devices, clients, and names that are no paths. Several devices may share one. */
export function memifSocket(devargs: string): string | null {
  if (!devargs.startsWith('net_memif')) return null;
  const settings = settingsOf(devargs);
  const listens = ['server', 'master'].includes(settings.get('role') ?? '');
  return listens && settings.get('socket-abstract') === 'no' ? (settings.get('socket') ?? null) : null;
}

/** A status asks for every port. */
const SEEN_MS = 50;
let seen: { at: number; sockets: SocketConnections } | null = null;

function connections(): SocketConnections {
  const at = performance.now();
  if (seen === null || at - seen.at > SEEN_MS) seen = { at, sockets: dpdk().connections() };
  return seen.sockets;
}

/** How many machines are connected to a vhost-user device, whether they use it or not; 0 for other devices. */
export function machinesAt(devargs: string): number {
  if (!devargs.startsWith('net_vhost')) return 0;
  const settings = settingsOf(devargs);
  const path = settings.get('iface');
  const { accepted, connected } = connections();
  return (settings.get('client') === '1' ? connected : accepted).filter((one) => one === path).length;
}

export function dressSocket({ path, owner, group, mode }: NonNullable<DpdkPlan['socket']>): void {
  if (owner !== null || group !== null) chownSync(path, owner ?? -1, group ?? -1);
  if (mode !== null) chmodSync(path, mode);
}
