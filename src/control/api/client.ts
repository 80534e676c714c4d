/**
 * The other end of the control API: finds the socket of a node and talks to it.
 */
import { readdirSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { WeftError, type WeftErrorCode } from '../../packet/error.js';
import type { ApiError } from './api.js';
import { answers, defaultSocketPath, SOCKET_DIRECTORY } from './controlSocket.js';

const TIMEOUT_MS = 10_000;
const REPLY_BYTES_MAX = 64 * 1024 * 1024;

export interface NodeClient {
  readonly socket: string;
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
  delete(path: string): Promise<void>;
  /** A response that goes on until one side ends it. */
  stream(path: string): Promise<IncomingMessage>;
}

export interface NodeChoice {
  /** Name of a node on this host. */
  node?: string;
  /** Path of its control socket. */
  socket?: string;
}

/** A client of the chosen node; without a choice, of the only node that runs on this host. */
export async function connectNode(choice: NodeChoice, directory = SOCKET_DIRECTORY): Promise<NodeClient> {
  return createClient(choice.socket ?? (choice.node ? defaultSocketPath(choice.node) : await onlySocket(directory)));
}

async function onlySocket(directory: string): Promise<string> {
  const live = await liveNodes(directory);
  if (live.length === 1) return join(directory, `${live[0]}.sock`);
  if (live.length === 0)
    throw new WeftError('NODE_UNREACHABLE', 'no node is running on this host', {
      object: directory,
      remedy: 'start one with `weft up CONFIG.yaml`, or name its socket with --socket PATH',
    });
  throw new WeftError('USAGE', `${live.length} nodes are running on this host: ${live.join(', ')}`, {
    object: directory,
    remedy: `choose one with --node NAME, like --node ${live[0]}`,
  });
}

/** Names of the nodes that answer on a socket in the directory. */
export async function liveNodes(directory = SOCKET_DIRECTORY): Promise<string[]> {
  let entries: string[] = [];
  try {
    entries = readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM')
      throw new WeftError('PERMISSION', `not allowed to look into ${directory}`, {
        object: directory,
        remedy: 'run as root',
      });
  }
  const names = entries.filter((name) => name.endsWith('.sock') && !name.startsWith('.')).sort();
  const live = await Promise.all(names.map((name) => answers(join(directory, name))));
  return names.filter((_, i) => live[i]).map((name) => name.slice(0, -'.sock'.length));
}

export function createClient(socket: string): NodeClient {
  return {
    socket,
    get: async <T>(path: string) => (await readReply(await send(socket, 'GET', path))) as T,
    post: async <T>(path: string, body: unknown) => (await readReply(await send(socket, 'POST', path, body))) as T,
    delete: async (path) => {
      await readReply(await send(socket, 'DELETE', path));
    },
    async stream(path) {
      const response = await send(socket, 'GET', path);
      if (response.statusCode !== 200) await readReply(response);
      response.socket.setTimeout(0);
      return response;
    },
  };
}

function send(socketPath: string, method: string, path: string, body?: unknown): Promise<IncomingMessage> {
  const text = body === undefined ? null : JSON.stringify(body);
  const headers: Record<string, string> =
    text === null ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) };
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path, headers, timeout: TIMEOUT_MS, agent: false }, resolve);
    sent.once('timeout', () => sent.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    sent.once('error', (error: NodeJS.ErrnoException) => reject(unreachable(socketPath, error)));
    sent.end(text ?? undefined);
  });
}

async function readReply(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > REPLY_BYTES_MAX) throw new WeftError('NODE_UNREACHABLE', 'the reply of the node has no end', {});
  }
  const text = Buffer.concat(chunks).toString('utf8');
  const status = response.statusCode ?? 0;
  if (status >= 200 && status < 300) return text === '' ? undefined : JSON.parse(text);
  throw replyError(text, status);
}

function replyError(text: string, status: number): WeftError {
  let body: Partial<ApiError> = {};
  try {
    body = JSON.parse(text) as ApiError;
  } catch {
    // Not from a node of ours: the status says all there is.
  }
  const { code = 'USAGE', message = `the node answered with status ${status}`, object, remedy, syscall, errno } = body;
  return new WeftError(code as WeftErrorCode, message, { object, remedy, syscall, errno });
}

function unreachable(socket: string, error: NodeJS.ErrnoException): WeftError {
  if (error.code === 'EACCES' || error.code === 'EPERM')
    return new WeftError('PERMISSION', `not allowed to use the control socket ${socket}`, {
      object: socket,
      remedy: 'run as root',
      cause: error,
    });
  const why =
    error.code === 'ENOENT'
      ? 'there is no such socket'
      : error.code === 'ECONNREFUSED'
        ? 'nobody listens on it'
        : error.message;
  return new WeftError('NODE_UNREACHABLE', `no node answers on ${socket}: ${why}`, {
    object: socket,
    syscall: error.syscall,
    remedy: 'start one with `weft up CONFIG.yaml`, or see which run with `weft status`',
    cause: error,
  });
}
