import { existsSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BODY_BYTES_MAX } from '../../../../src/control/api/api.js';
import { connectNode, createClient, type NodeClient } from '../../../../src/control/api/client.js';
import { createNode, type Node } from '../../../../src/control/node.js';
import type { PeerDocument, StatusDocument } from '../../../../src/observe/documents.js';
import { type FakeDataplane, fakeDataplane, fakeKernel } from '../fakes.js';

let folder: string;
let socket: string;
let node: Node;
let plane: FakeDataplane;
let client: NodeClient;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weft-api-'));
  socket = join(folder, 'n.sock');
  plane = fakeDataplane();
  const config = {
    node: { name: 'n', socket },
    networks: [{ name: 'blue', vni: 1, ports: [{ name: 'm', type: 'memory' as const }] }],
  };
  node = createNode(config, {}, { kernel: fakeKernel, dataplane: () => plane });
  await node.start();
  client = createClient(socket);
});

afterAll(async () => {
  await node.stop();
  rmSync(folder, { recursive: true });
});

/** Sends bytes as they are; everything that comes back until the server closes, or falls silent once it has begun to answer. */
function raw(text: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const peer = connect(socket, () => peer.write(text));
    peer.setTimeout(20_000, () => peer.destroy());
    peer.on('data', (data) => {
      answer += data;
      if (/\r\n\r\n/.test(answer) && !/^connection: close\r$/im.test(answer)) peer.setTimeout(300);
    });
    peer.on('error', () => {});
    peer.on('close', () => resolve(answer));
  });
}

async function request(
  method: string,
  path: string,
  body?: string,
): Promise<{ status: number; body: Record<string, string> }> {
  const length = body === undefined ? '' : `content-length: ${Buffer.byteLength(body)}\r\n`;
  const answer = await raw(`${method} ${path} HTTP/1.1\r\nhost: n\r\nconnection: close\r\n${length}\r\n${body ?? ''}`);
  const [head, rest] = answer.split('\r\n\r\n');
  return { status: Number(head.split(' ')[1]), body: rest ? JSON.parse(rest) : {} };
}

describe('the control socket', () => {
  it('is for its owner only', () => expect(statSync(socket).mode & 0o777).toBe(0o600));

  it('answers every document', async () => {
    expect((await client.get<StatusDocument>('/v1/status')).node).toMatchObject({
      name: 'n',
      state: 'running',
      socket,
    });
    expect(await client.get('/v1/mac')).toEqual([]);
    expect(await client.get('/v1/peers')).toEqual([]);
    expect(await client.get('/v1/drops')).toEqual({ total: 0, reasons: [], missed: 0 });
    expect(await client.get('/v1/stats')).toMatchObject({ ports: [{ name: 'm' }], networks: [{ name: 'blue' }] });
    expect(await client.get('/v1/config')).toMatchObject({ networks: [{ name: 'blue', ageing: 300 }] });
    expect(await client.get('/v1/ports')).toMatchObject([{ name: 'm', type: 'memory' }]);
  });

  it('adds and removes ports and peers', async () => {
    expect(await client.post('/v1/ports', { network: 'blue', port: { name: 'm2', type: 'memory' } })).toMatchObject({
      name: 'm2',
    });
    await client.delete('/v1/ports/m2');
    expect(node.status().ports.map((port) => port.name)).toEqual(['m']);
    const refused = client.post<PeerDocument>('/v1/peers', { network: 'blue', peer: '192.0.2.2' });
    await expect(refused).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringContaining('`peers` but no `underlay`'),
    });
  });
});

describe('wrong requests get a 4xx and a reason', () => {
  it.each<[string, string, string | undefined, number, RegExp]>([
    ['GET', '/', undefined, 404, /there is no \//],
    ['GET', '/v1', undefined, 404, /there is no/],
    ['GET', '/v1/status/x', undefined, 404, /there is no/],
    ['GET', '/v1/ports/', undefined, 404, /there is no/],
    ['GET', '/v1/../etc/passwd', undefined, 404, /there is no/],
    ['DELETE', '/v1/status', undefined, 405, /DELETE is not possible/],
    ['PATCH', '/v1/ports', undefined, 405, /PATCH is not possible/],
    ['DELETE', '/v1/ports/nope', undefined, 404, /no port "nope"/],
    ['DELETE', '/v1/ports/%ff', undefined, 400, /percent escape/],
    ['DELETE', '/v1/ports/__proto__', undefined, 404, /no port "__proto__"/],
    ['DELETE', '/v1/peers/blue/192.0.2.2', undefined, 404, /no peer/],
    ['POST', '/v1/ports', '', 400, /not JSON/],
    ['POST', '/v1/ports', '{', 400, /not JSON/],
    ['POST', '/v1/ports', 'null', 400, /must be an object/],
    ['POST', '/v1/ports', '[]', 400, /must be an object/],
    ['POST', '/v1/ports', '{"network":5}', 400, /`network` must be/],
    ['POST', '/v1/ports', '{"network":"blue"}', 400, /`port` must be/],
    ['POST', '/v1/ports', '{"network":"blue","port":{"name":5}}', 400, /`port` must be/],
    ['POST', '/v1/ports', '{"network":"blue","port":{"name":"x","type":"memory"},"y":1}', 400, /unknown key `y`/],
    ['POST', '/v1/ports', '{"network":"red","port":{"name":"x","type":"memory"}}', 404, /no network "red"/],
    ['POST', '/v1/ports', '{"network":"blue","port":{"name":"x","type":"veth"}}', 422, /tap, tun, memory, pcap/],
    ['POST', '/v1/ports', '{"network":"blue","port":{"name":"m","type":"memory"}}', 422, /two ports named "m"/],
    ['POST', '/v1/peers', '{"network":"blue","peer":5}', 400, /`peer` must be/],
    ['POST', '/v1/peers', '{"network":"blue","peer":{"__proto__":{"address":"192.0.2.2"}}}', 400, /`peer` must be/],
    ['GET', '/v1/capture', undefined, 400, /`on` is missing/],
    ['GET', '/v1/capture?on=nope', undefined, 404, /no port "nope"/],
    ['GET', '/v1/capture?on=m&count=-1', undefined, 400, /`count` must be/],
    ['GET', '/v1/capture?on=m&size=1', undefined, 400, /unknown parameter "size"/],
    ['DELETE', '/v1/capture/99', undefined, 404, /no capture "99"/],
  ])('%s %s %s', async (method, path, body, status, message) => {
    const answer = await request(method, path, body);
    expect(answer.status, JSON.stringify(answer.body)).toBe(status);
    expect(answer.body.message).toMatch(message);
    expect(answer.body.code).toMatch(/^[A-Z]+$/);
    expect(node.status().ports.map((port) => port.name)).toEqual(['m']);
  });

  it('a body without end', async () => {
    const head = 'POST /v1/ports HTTP/1.1\r\nhost: n\r\n';
    expect(await raw(`${head}content-length: ${BODY_BYTES_MAX + 1}\r\n\r\n`)).toContain('413');
    expect(await raw(`${head}content-length: 99999999999999999999\r\n\r\n`)).toMatch(/ 4\d\d /);
    const chunk = `${(BODY_BYTES_MAX + 1).toString(16)}\r\n${'x'.repeat(BODY_BYTES_MAX + 1)}\r\n`;
    expect(await raw(`${head}transfer-encoding: chunked\r\n\r\n${chunk}`)).toContain('413');
  });

  it('bytes that are no HTTP', async () => {
    for (const bytes of [
      '\0\0\0\0',
      'GET\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      `GET /${'a'.repeat(40000)} HTTP/1.1\r\n\r\n`,
      'GET http://[ HTTP/1.1\r\nhost: n\r\n\r\n',
    ])
      expect(await raw(bytes)).toMatch(/^(HTTP\/1.1 4\d\d .*)?/);
    expect(await raw(Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 37) & 255)))).toMatch(/^(HTTP\/1.1 4)?/);
    expect((await client.get<StatusDocument>('/v1/status')).node.state).toBe('running');
  });
});

describe('a capture', () => {
  const frame = { direction: 'in' as const, seconds: 1, originalLength: 60, bytes: new Uint8Array(60).fill(0xa5) };

  it('streams until it has enough', async () => {
    const response = await client.stream('/v1/capture?on=m&count=2');
    plane.record!(frame);
    plane.record!({ ...frame, direction: 'out' });
    let length = 0;
    for await (const chunk of response) length += (chunk as Buffer).length;
    // Two packet blocks of 32 + 60 bytes with 12 of flags and end, and what stands around them.
    expect(length).toBeGreaterThan(2 * (32 + 60 + 12));
    expect(response.trailers['weft-missed']).toBe('0');
    expect(plane.record).toBeNull();
  });

  it('ends when it is asked to, and when its reader goes away', async () => {
    const response = await client.stream('/v1/capture?on=m');
    await client.delete(`/v1/capture/${response.headers['weft-capture']}`);
    for await (const _chunk of response);
    expect(plane.record).toBeNull();
    const other = await client.stream('/v1/capture?on=m');
    expect(plane.record).not.toBeNull();
    other.destroy();
    await expect.poll(() => plane.record).toBeNull();
  });
});

describe('the socket of a node that is gone', () => {
  it('is taken over', async () => {
    const path = join(folder, 'stale.sock');
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(path, resolve));
    // The file stays when a process is killed; here the server is closed while it has another name.
    renameSync(path, `${path}.kept`);
    await new Promise((resolve) => dead.close(resolve));
    renameSync(`${path}.kept`, path);
    const config = { node: { name: 's', socket: path }, networks: [{ name: 'n', vni: 1 }] };
    const next = createNode(config, {}, { kernel: fakeKernel, dataplane: fakeDataplane });
    await next.start();
    expect((await createClient(path).get<StatusDocument>('/v1/status')).node.name).toBe('s');
    await next.stop();
    expect(existsSync(path)).toBe(false);
  });

  it('is not, when it is something else', async () => {
    const path = join(folder, 'file.sock');
    writeFileSync(path, 'precious');
    const config = { node: { name: 's', socket: path }, networks: [{ name: 'n', vni: 1 }] };
    const next = createNode(config, {}, { kernel: fakeKernel, dataplane: fakeDataplane });
    await expect(next.start()).rejects.toThrow(/exists and is not a socket/);
  });

  it('says that the node is unreachable', async () => {
    await expect(createClient(join(folder, 'none.sock')).get('/v1/status')).rejects.toMatchObject({
      code: 'NODE_UNREACHABLE',
    });
  });
});

describe('choosing a node', () => {
  it('needs no choice when one runs', async () => {
    expect((await connectNode({}, folder)).socket).toBe(socket);
    await expect(connectNode({}, join(folder, 'empty'))).rejects.toMatchObject({ code: 'NODE_UNREACHABLE' });
  });

  it('asks when several run', async () => {
    const config = { node: { name: 'z', socket: join(folder, 'z.sock') }, networks: [{ name: 'n', vni: 1 }] };
    const other = createNode(config, {}, { kernel: fakeKernel, dataplane: fakeDataplane });
    await other.start();
    await expect(connectNode({}, folder)).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('n, z'),
    });
    await other.stop();
  });
});
