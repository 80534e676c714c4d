/**
 * The control socket of a node: /run/weft/NAME.sock, mode 0600 in a directory of mode 0700. The path is also the lock on the node's name:
 * a live node answers on it, one that was killed leaves a file that refuses connections, and that file is taken over.
 */
import { chmodSync, linkSync, lstatSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { WeftError } from '../../packet/error.js';
import { quote, SOCKET_PATH_MAX } from '../config/text.js';

export const SOCKET_DIRECTORY = '/run/weft';

export function defaultSocketPath(node: string): string {
  return join(SOCKET_DIRECTORY, `${node}.sock`);
}

/**
 * Lets a server listen on the path. It listens on a name of its own first and is then linked to the path, which succeeds for one node
 * only, and only when the mode is right already. Returns a function that takes the path away again.
 */
export async function claimSocket(server: Server, path: string, node: string): Promise<() => void> {
  const own = join(dirname(path), `.${process.pid}.${Math.random().toString(36).slice(2, 8)}`);
  if (Buffer.byteLength(own) > SOCKET_PATH_MAX || Buffer.byteLength(path) > SOCKET_PATH_MAX)
    throw new WeftError('CONFIG', `control socket path ${quote(path)} is too long`, {
      object: 'node',
      remedy: 'set a shorter node.socket',
    });
  makeDirectory(dirname(path));
  await listen(server, own, path);
  try {
    chmodSync(own, 0o600);
    const { ino } = lstatSync(own);
    await linkOrTakeOver(own, path, node);
    return () => removeIfOwn(path, ino);
  } catch (error) {
    server.close();
    throw error instanceof WeftError ? error : socketError(path, error as NodeJS.ErrnoException);
  } finally {
    rmSync(own, { force: true });
  }
}

async function linkOrTakeOver(own: string, path: string, node: string): Promise<void> {
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      linkSync(own, path);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket?.())
      throw new WeftError('USAGE', `${path} exists and is not a socket`, {
        object: `node ${node}`,
        remedy: 'remove it, or set another node.socket',
      });
    if (await answers(path)) throw alreadyRunning(path, node);
    // Taken aside before it is removed: another node may have taken the path over between the question and this.
    const aside = `${own}.old`;
    try {
      renameSync(path, aside);
    } catch {
      continue;
    }
    const isLive = await answers(aside);
    if (isLive) restore(aside, path);
    rmSync(aside, { force: true });
    if (isLive) throw alreadyRunning(path, node);
  }
  throw alreadyRunning(path, node);
}

function restore(aside: string, path: string): void {
  try {
    linkSync(aside, path);
  } catch {
    // A third node has the path by now: then that one keeps it.
  }
}

function alreadyRunning(path: string, node: string): WeftError {
  return new WeftError('USAGE', `a node named ${node} is running already and answers on ${path}`, {
    object: `node ${node}`,
    remedy: `stop it, or give this one another node.name`,
  });
}

/** Whether somebody accepts connections on a socket path. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (isLive: boolean) => {
      socket.destroy();
      resolve(isLive);
    };
    socket.setTimeout(2000, () => done(true));
    socket.once('connect', () => done(true));
    socket.once('error', (error: NodeJS.ErrnoException) => done(error.code === 'EAGAIN'));
  });
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    if (path === SOCKET_DIRECTORY) chmodSync(path, 0o700);
  } catch (error) {
    throw socketError(path, error as NodeJS.ErrnoException);
  }
}

function listen(server: Server, own: string, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => reject(socketError(path, error));
    server.once('error', failed);
    server.listen(own, () => {
      server.removeListener('error', failed);
      resolve();
    });
  });
}

function socketError(path: string, error: NodeJS.ErrnoException): WeftError {
  const denied = error.code === 'EACCES' || error.code === 'EPERM' || error.code === 'EROFS';
  return new WeftError(denied ? 'PERMISSION' : 'DEVICE', `control socket ${path}: ${error.message}`, {
    object: basename(path),
    syscall: error.syscall,
    errno: error.errno === undefined ? undefined : Math.abs(error.errno),
    remedy: denied ? 'run as root, or set node.socket to a path that this user can write' : 'set another node.socket',
    cause: error,
  });
}

/** Removes the path unless another node has it by now. */
function removeIfOwn(path: string, ino: number): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) rmSync(path, { force: true });
}
