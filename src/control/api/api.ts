/**
 * The control API: HTTP with JSON over the node's Unix socket. Only root can reach it, and still it takes nothing on trust: bodies are
 * bounded, every request is answered, and a wrong one gets `{code, message, object, remedy}` with a 4xx status.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { WeftError } from '../../packet/error.js';
import { ConfigError } from '../config/check.js';
import type { Node } from '../node.js';
import { bodyBytesMax, matchRoute, type Reply } from '../plan/routes.js';
import { RestartError } from '../reload.js';
import { claimSocket } from './controlSocket.js';

export const BODY_BYTES_MAX = 64 * 1024;

export interface ApiServer {
  /** Answers no more requests, ends those in progress, removes the socket. */
  close(): Promise<void>;
}

/** What a failed request is answered with. */
export interface ApiError {
  code: string;
  message: string;
  object?: string;
  remedy?: string;
  syscall?: string;
  errno?: number;
  /** Faults of a configuration, when it is one that was refused. */
  problems?: unknown;
  /** Settings that only a start can change, when that is why a reload was refused. */
  restart?: unknown;
}

/** Serves a node on a Unix socket. */
export async function createApi(node: Node, path: string): Promise<ApiServer> {
  const server = createServer(
    { headersTimeout: 10_000, requestTimeout: 30_000, maxHeaderSize: 16 * 1024 },
    (request, response) => {
      serve(node, request, response).catch((error) => fail(response, error));
    },
  );
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
    else socket.destroy();
  });
  const release = await claimSocket(server, path, node.name);
  server.on('error', () => {});
  return {
    async close() {
      release();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const force = setTimeout(() => server.closeAllConnections(), 500);
      await closed;
      clearTimeout(force);
    },
  };
}

async function serve(node: Node, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://node');
  const route = matchRoute(request.method ?? 'GET', url.pathname);
  if ('allowed' in route) {
    response.setHeader('allow', route.allowed.join(', '));
    throw refusal(405, `${request.method} is not possible on ${url.pathname}`, `use ${route.allowed.join(' or ')}`);
  }
  const body = request.method === 'POST' ? await readJson(request, bodyBytesMax(url.pathname)) : undefined;
  answer(response, await route.handle({ node, params: route.params, query: url.searchParams, body }));
}

function answer(response: ServerResponse, reply: Reply): void {
  if (reply.stream) {
    const { stream } = reply;
    response.writeHead(200, {
      'content-type': 'application/x-pcapng',
      trailer: 'weft-missed',
      'weft-capture': reply.id,
    });
    stream.on('end', () => response.addTrailers({ 'weft-missed': String(stream.missed()) }));
    stream.on('error', () => response.destroy());
    response.on('close', () => stream.destroy());
    // The client may have gone while the capture started.
    if (response.destroyed) stream.destroy();
    stream.pipe(response);
    response.flushHeaders();
    return;
  }
  if (reply.body === undefined) {
    response.writeHead(204).end();
    return;
  }
  const text = `${JSON.stringify(reply.body)}\n`;
  response
    .writeHead(reply.status ?? 200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text);
}

class Refusal extends Error {
  readonly status: number;
  readonly remedy: string;

  constructor(status: number, message: string, remedy: string) {
    super(message);
    this.status = status;
    this.remedy = remedy;
  }
}

export function refusal(status: number, message: string, remedy: string): Error {
  return new Refusal(status, message, remedy);
}

function fail(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status, body } = describe(error);
  const text = `${JSON.stringify(body)}\n`;
  // The rest of a body that is not read would be taken for the next request.
  response
    .writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      connection: 'close',
    })
    .end(text);
}

const STATUS: Partial<Record<WeftError['code'], number>> = {
  CONFIG: 422,
  RESTART: 409,
  USAGE: 404,
  DEVICE: 409,
  UNDERLAY: 409,
  LIMIT: 409,
  PERMISSION: 403,
  UNAVAILABLE: 503,
};

function describe(error: unknown): { status: number; body: ApiError } {
  if (error instanceof Refusal)
    return { status: error.status, body: { code: 'USAGE', message: error.message, remedy: error.remedy } };
  if (!(error instanceof WeftError))
    return { status: 500, body: { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) } };
  const { code, message, object, remedy, syscall, errno } = error;
  const problems = error instanceof ConfigError ? error.problems : undefined;
  const restart = error instanceof RestartError ? error.restart : undefined;
  return { status: STATUS[code] ?? 500, body: { code, message, object, remedy, syscall, errno, problems, restart } };
}

async function readJson(request: IncomingMessage, bytesMax: number): Promise<unknown> {
  const declared = Number(request.headers['content-length'] ?? 0);
  const chunks: Buffer[] = [];
  let length = 0;
  if (declared <= bytesMax)
    for await (const chunk of request) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length > bytesMax) break;
    }
  if (declared > bytesMax || length > bytesMax)
    throw refusal(413, `the body is longer than ${bytesMax} bytes`, 'send one port or one peer at a time');
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    throw refusal(400, `the body is not JSON: ${(error as Error).message}`, 'send a JSON object');
  }
}
