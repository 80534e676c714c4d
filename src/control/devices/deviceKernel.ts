/**
 * The calls of the native addon that control needs: set-up of devices and sockets, never in a turn. Tests put a fake in its place.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { type Tun, tun } from '../../native/tun.js';
import { WeftError } from '../../packet/error.js';

export type DeviceKernel = Pick<
  Tun,
  | 'affinity'
  | 'openTap'
  | 'tapSteer'
  | 'linkGet'
  | 'linkList'
  | 'linkSet'
  | 'addressAdd'
  | 'addressDelete'
  | 'addressList'
  | 'routeAdd'
  | 'routeDelete'
  | 'routeList'
  | 'neighbourUse'
  | 'neighbourList'
  | 'monitorOpen'
  | 'monitorRead'
  | 'udpOpen'
  | 'udpSteer'
  | 'rawOpen'
  | 'bindUdpTx'
  | 'close'
>;

/** The addon, or an error that says how to build it. */
export function loadKernel(): DeviceKernel {
  try {
    return tun();
  } catch (error) {
    throw new WeftError('UNAVAILABLE', (error as Error).message, {
      object: 'native addon',
      remedy: 'run `npm start` or `npm run build:native` in the source tree; it needs Rust (rustup.rs)',
      cause: error,
    });
  }
}

/** Closes a descriptor; the failure as text, if there is one. */
export function tryClose(kernel: Pick<DeviceKernel, 'close'>, fd: number): string[] {
  try {
    kernel.close(fd);
    return [];
  } catch (error) {
    return [(error as Error).message];
  }
}

/** What can run without root, devices or the addon; for the end of messages about them. */
export const RUNS_WITHOUT = '`weft check`, `weft --help` and the unit tests run without it';

/** Bit of CAP_NET_ADMIN in the capability masks of /proc/self/status. */
const CAP_NET_ADMIN = 12n;

/**
 * Throws one clear sentence when this process can't make devices and sockets: no CAP_NET_ADMIN, or no /dev/net/tun. The arguments after
 * the first are for tests.
 */
export function requireRights(needsTun: boolean, rights = effectiveCapabilities(), tunPath = '/dev/net/tun'): void {
  if (((rights >> CAP_NET_ADMIN) & 1n) === 0n) {
    const user = process.geteuid?.() ?? 0;
    const who = user === 0 ? 'root without CAP_NET_ADMIN' : `user ${user}`;
    throw new WeftError(
      'PERMISSION',
      `weft needs root (CAP_NET_ADMIN) to make devices and sockets; it runs as ${who}`,
      {
        object: 'node',
        remedy: `run it with sudo${user === 0 ? ', in a container with --cap-add NET_ADMIN' : ''}; ${RUNS_WITHOUT}`,
      },
    );
  }
  if (!needsTun) return;
  try {
    accessSync(tunPath, constants.R_OK | constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const what = code === 'ENOENT' ? 'is missing' : `cannot be used (${code})`;
    throw new WeftError('PERMISSION', `${tunPath} ${what}, so TAP and TUN ports cannot be made`, {
      object: tunPath,
      remedy: `load the module with \`modprobe tun\`, or give the container the device ${tunPath}; ${RUNS_WITHOUT}`,
      cause: error,
    });
  }
}

function effectiveCapabilities(): bigint {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return match ? BigInt(`0x${match[1]}`) : 0n;
}
