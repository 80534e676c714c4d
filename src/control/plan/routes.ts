/**
 * What the control API answers to, by method and path.
 */
import type { CaptureStream } from '../../observe/capture.js';
import { BODY_BYTES_MAX, refusal } from '../api/api.js';
import { CONFIG_BYTES_MAX } from '../config/check.js';
import type { ConfigInput, NetworkInput, PeerInput, PortInput, StaticMacInput } from '../config/config.js';
import type { Node } from '../node.js';

interface Request {
  node: Node;
  /** Parts of the path that the pattern leaves open. */
  params: string[];
  query: URLSearchParams;
  /** Parsed JSON of a POST. */
  body: unknown;
}

/** JSON, a capture stream, or neither (204). */
export interface Reply {
  status?: number;
  body?: unknown;
  stream?: CaptureStream;
  /** By which the capture can be ended. */
  id?: string;
}

const captures = new Map<string, CaptureStream>();
let lastCapture = 0;

type Handler = (request: Request) => Reply | Promise<Reply>;

const ROUTES: [pattern: string, handlers: Partial<Record<string, Handler>>][] = [
  ['/v1/status', { GET: ({ node }) => ({ body: node.status() }) }],
  ['/v1/neighbours', { GET: ({ node }) => ({ body: node.neighbours() }) }],
  ['/v1/mac', { GET: ({ node }) => ({ body: node.macs() }), POST: addStaticMac }],
  ['/v1/mac/:/:', { DELETE: async ({ node, params }) => ({ body: await node.removeStaticMac(params[0], params[1]) }) }],
  ['/v1/drops', { GET: ({ node }) => ({ body: node.drops() }) }],
  ['/v1/stats', { GET: ({ node }) => ({ body: node.stats() }) }],
  ['/v1/reload', { POST: reload }],
  ['/v1/workers', { GET: ({ node }) => ({ body: node.workers() }), POST: setWorkers }],
  ['/v1/networks', { GET: ({ node }) => ({ body: node.status().networks }), POST: addNetwork }],
  ['/v1/networks/:', { DELETE: async ({ node, params }) => ({ body: await node.removeNetwork(params[0]) }) }],
  ['/v1/config', { GET: ({ node }) => ({ body: node.config }) }],
  ['/v1/peers', { GET: ({ node }) => ({ body: node.peers() }), POST: addPeer }],
  ['/v1/peers/:/:', { DELETE: async ({ node, params }) => ({ body: await node.removePeer(params[0], params[1]) }) }],
  ['/v1/routes', { GET: routes }],
  ['/v1/ports', { GET: ({ node }) => ({ body: node.status().ports }), POST: addPort }],
  ['/v1/ports/:', { DELETE: async ({ node, params }) => ({ body: await node.removePort(params[0]) }) }],
  ['/v1/capture', { GET: capture }],
  ['/v1/capture/:', { DELETE: endCapture }],
];

/** The handler of a request, or the methods that the path takes instead. Throws when the path is unknown. */
export function matchRoute(
  method: string,
  path: string,
): { handle: Handler; params: string[] } | { allowed: string[] } {
  for (const [pattern, handlers] of ROUTES) {
    const params = matchPath(pattern, path);
    if (params === null) continue;
    const handle = handlers[method];
    return handle !== undefined ? { handle, params } : { allowed: Object.keys(handlers) };
  }
  const known = ROUTES.map(([pattern]) => pattern.replaceAll('/:', '/NAME')).join(', ');
  throw refusal(404, `there is no ${path}`, `known: ${known}`);
}

function matchPath(pattern: string, path: string): string[] | null {
  const wanted = pattern.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return null;
  const params: string[] = [];
  for (const [i, part] of wanted.entries()) {
    if (part === ':') {
      const text = decode(given[i]);
      if (text === '') return null;
      params.push(text);
    } else if (part !== given[i]) return null;
  }
  return params;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw refusal(400, 'the path has a broken percent escape', 'encode names with encodeURIComponent');
  }
}

/** A configuration may be as long as a file, everything else is short. */
export function bodyBytesMax(path: string): number {
  return path === '/v1/reload' ? CONFIG_BYTES_MAX : BODY_BYTES_MAX;
}

async function reload({ node, body }: Request): Promise<Reply> {
  const remedy = 'send {"config": CONFIGURATION, "dryRun": true}; both may be left out';
  const { config, dryRun = false } = only(body, ['config', 'dryRun'], remedy);
  if (typeof dryRun !== 'boolean') throw refusal(400, '`dryRun` must be true or false', remedy);
  return { body: await node.reload(config as ConfigInput | undefined, { dryRun }) };
}

async function setWorkers({ node, body }: Request): Promise<Reply> {
  const remedy = 'send {"workers": 2}';
  const { workers } = only(body, ['workers'], remedy);
  if (typeof workers !== 'number') throw refusal(400, '`workers` must be a number', remedy);
  return { body: await node.setWorkers(workers) };
}

async function addNetwork({ node, body }: Request): Promise<Reply> {
  const remedy = 'send {"network": {"name": NAME, ...}} as in the configuration file';
  const { network } = only(body, ['network'], remedy);
  if (typeof network !== 'object' || network === null || typeof (network as NetworkInput).name !== 'string')
    throw refusal(400, '`network` must be an object with a `name`', remedy);
  return { status: 201, body: await node.addNetwork(network as NetworkInput) };
}

async function addStaticMac({ node, body }: Request): Promise<Reply> {
  const { network, rest: entry } = split(body, 'staticMac');
  if (typeof entry !== 'object' || entry === null || typeof (entry as StaticMacInput).mac !== 'string')
    throw refusal(
      400,
      '`staticMac` must be an object with a `mac`',
      'send {"network": NAME, "staticMac": {"mac": MAC, "port": NAME}}, or "peer" in place of "port"',
    );
  return { status: 201, body: await node.addStaticMac(network, entry as StaticMacInput) };
}

async function addPort({ node, body }: Request): Promise<Reply> {
  const { network, rest: port } = split(body, 'port');
  if (typeof port !== 'object' || port === null || typeof (port as PortInput).name !== 'string')
    throw refusal(
      400,
      '`port` must be an object with a `name`',
      'send {"network": NAME, "port": {"name": NAME, "type": "tap"}}',
    );
  return { status: 201, body: await node.addPort(network, port as PortInput) };
}

async function addPeer({ node, body }: Request): Promise<Reply> {
  const { network, rest: peer } = split(body, 'peer');
  const isObject =
    typeof peer === 'object' && peer !== null && typeof (peer as { address?: unknown }).address === 'string';
  if (typeof peer !== 'string' && !isObject)
    throw refusal(
      400,
      '`peer` must be an address or an object with an `address`',
      'send {"network": NAME, "peer": ADDRESS}',
    );
  return { status: 201, body: await node.addPeer(network, peer as PeerInput) };
}

function split(body: unknown, key: 'port' | 'peer' | 'staticMac'): { network: string; rest: unknown } {
  const remedy = `send {"network": NAME, "${key}": ...}`;
  const { network, [key]: rest } = only(body, ['network', key], remedy);
  if (typeof network !== 'string') throw refusal(400, '`network` must be the name of a network', remedy);
  return { network, rest };
}

/** The body as an object that has no other keys. */
function only(body: unknown, keys: string[], remedy: string): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw refusal(400, 'the body must be an object', remedy);
  const unknown = Object.keys(body).find((key) => !keys.includes(key));
  if (unknown !== undefined) throw refusal(400, `unknown key \`${unknown.slice(0, 60)}\``, remedy);
  return body as Record<string, unknown>;
}

/** All routes, or with `network` and `address` the one of an address. */
function routes({ node, query }: Request): Reply {
  const [network, address] = [query.get('network'), query.get('address')];
  const unknown = [...query.keys()].find((key) => !['network', 'address'].includes(key));
  if (unknown !== undefined)
    throw refusal(400, `unknown parameter ${JSON.stringify(unknown.slice(0, 60))}`, 'use network and address');
  if (address === null && network === null) return { body: node.routes() };
  if (address === null || network === null)
    throw refusal(400, '`network` and `address` go together', 'ask for /v1/routes?network=NAME&address=ADDRESS');
  return { body: node.route(network, address) };
}

async function capture({ node, query }: Request): Promise<Reply> {
  const on = query.get('on');
  if (on === null) throw refusal(400, '`on` is missing', 'ask for /v1/capture?on=PORT');
  const unknown = [...query.keys()].find((key) => !['on', 'count', 'snap'].includes(key));
  if (unknown !== undefined)
    throw refusal(400, `unknown parameter ${JSON.stringify(unknown.slice(0, 60))}`, 'use on, count and snap');
  const stream = node.capture(on, { count: positive(query, 'count'), snapLength: positive(query, 'snap') });
  const id = String(++lastCapture);
  captures.set(id, stream);
  stream.once('close', () => captures.delete(id));
  await stream.started;
  return { stream, id };
}

/** Lets a capture end well: what waits is sent, then its totals. */
function endCapture({ params }: Request): Reply {
  const stream = captures.get(params[0]);
  if (!stream)
    throw refusal(404, `there is no capture ${JSON.stringify(params[0].slice(0, 60))}`, 'it has ended already');
  stream.finish();
  return {};
}

function positive(query: URLSearchParams, key: string): number | undefined {
  const text = query.get(key);
  if (text === null) return undefined;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw refusal(400, `\`${key}\` must be a positive whole number`, `leave it out or write ${key}=100`);
}
