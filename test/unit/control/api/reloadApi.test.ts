import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as ask } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { createClient, type NodeClient } from '../../../../src/control/api/client.js';
import { createNode, type Node } from '../../../../src/control/node.js';
import { fakeDataplane, fakeKernel } from '../fakes.js';

let folder: string;
let file: string;
let node: Node;
let client: NodeClient;

const blue = { name: 'blue', ports: [{ name: 'm', type: 'memory' as const }] };
const configOf = (...networks: object[]) => ({ node: { name: 'n', socket: join(folder, 'n.sock') }, networks });

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weft-reload-'));
  file = join(folder, 'node.yaml');
  node = createNode(configOf(blue) as never, { file }, { kernel: fakeKernel, dataplane: fakeDataplane });
  await node.start();
  client = createClient(node.socket!);
});
afterEach(async () => {
  await node.stop();
  rmSync(folder, { recursive: true });
});

/** Status and body of a POST, whatever they are. */
function post(path: string, body: string): Promise<{ status: number; body: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const asked = ask({ socketPath: node.socket!, method: 'POST', path, agent: false }, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) });
    });
    asked.on('error', reject).end(body);
  });
}

describe('a reload over the control socket', () => {
  it('reads the file of the node again', async () => {
    writeFileSync(file, stringify(configOf(blue, { name: 'green', mtu: 1400 })));
    expect(await client.post('/v1/reload', { dryRun: true })).toMatchObject({
      applied: false,
      changes: [{ action: 'added', kind: 'network', name: 'green' }],
    });
    expect(node.config.networks).toHaveLength(1);
    expect(await client.post('/v1/reload', {})).toMatchObject({ applied: true, generation: 2 });
    expect(await client.get('/v1/networks')).toMatchObject([{ name: 'blue' }, { name: 'green', mtu: 1400 }]);
    writeFileSync(file, 'networks: [{name: blue, mtu: 12}]');
    await expect(client.post('/v1/reload', {})).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringMatching(/node\.yaml: one problem\n +1:30 networks\[0\]\.mtu/),
    });
    rmSync(file);
    await expect(client.post('/v1/reload', {})).rejects.toThrow(/node\.yaml cannot be read/);
  });

  it('takes a configuration of any length that a file may have', async () => {
    const ports = Array.from({ length: 1000 }, (_, i) => ({ name: `${'p'.repeat(50)}${i}`, type: 'memory' }));
    const config = configOf({ ...blue, ports });
    expect(JSON.stringify(config).length).toBeGreaterThan(64 * 1024);
    const { changes } = await client.post<{ changes: object[] }>('/v1/reload', { config });
    expect(changes).toHaveLength(1001);
  });

  it('lists what needs a restart', async () => {
    const config = { ...configOf(blue), node: { ...configOf().node, workers: 2 } };
    expect(await post('/v1/reload', JSON.stringify({ config }))).toMatchObject({
      status: 409,
      body: { code: 'RESTART', restart: [{ setting: 'node.workers', from: 1, to: 2 }] },
    });
  });

  it.each([
    ['[]', /body must be an object/],
    ['{"conf":{}}', /unknown key `conf`/],
    ['{"dryRun":1}', /`dryRun` must be/],
  ])('refuses %s', async (body, message) => {
    expect(await post('/v1/reload', body)).toMatchObject({
      status: 400,
      body: { message: expect.stringMatching(message) },
    });
  });

  it('refuses a configuration that is wrong, with every problem', async () => {
    expect(await post('/v1/reload', '{"config":{"networks":[]}}')).toMatchObject({
      status: 422,
      body: { code: 'CONFIG', problems: [{ path: 'networks' }] },
    });
  });
});

describe('networks and static MACs over the control socket', () => {
  it('are added and removed', async () => {
    expect(await client.post('/v1/networks', { network: { name: 'green' } })).toMatchObject({
      name: 'green',
      mode: 'l2',
    });
    const staticMac = { mac: '02:00:00:00:00:05', port: 'm' };
    expect(await client.post('/v1/mac', { network: 'blue', staticMac })).toMatchObject({ ...staticMac, static: true });
    await client.delete('/v1/mac/blue/02%3A00%3A00%3A00%3A00%3A05');
    await client.delete('/v1/networks/green');
    expect(node.config).toMatchObject({ networks: [{ name: 'blue', staticMacs: [] }] });
    await expect(client.delete('/v1/networks/green')).rejects.toMatchObject({ code: 'USAGE' });
    await expect(client.delete('/v1/networks/blue')).rejects.toMatchObject({ code: 'CONFIG' });
  });

  it.each([
    ['/v1/networks', '{"network":"green"}', /`network` must be an object/],
    ['/v1/networks', '{"name":"green"}', /unknown key `name`/],
    ['/v1/mac', '{"network":"blue"}', /`staticMac` must be an object/],
    ['/v1/mac', '{"staticMac":{"mac":"02:00:00:00:00:05"}}', /`network` must be the name/],
  ])('%s refuses %s', async (path, body, message) => {
    expect(await post(path, body)).toMatchObject({ status: 400, body: { message: expect.stringMatching(message) } });
  });
});

describe('workers over the control socket', () => {
  it('are shown, and set as far as there is room', async () => {
    const workers = await client.get<object[]>('/v1/workers');
    expect(workers).toMatchObject([{ index: 0, state: 'running', restarts: 0 }]);
    expect(await client.post('/v1/workers', { workers: 1 })).toEqual(workers);
    expect(await post('/v1/workers', '{"workers": 2}')).toMatchObject({
      status: 409,
      body: { code: 'RESTART', restart: [{ setting: 'node.workers', from: 1, to: 2 }] },
    });
    expect(await post('/v1/workers', '{"workers": 0}')).toMatchObject({ status: 422, body: { code: 'CONFIG' } });
    for (const body of ['{"workers": "2"}', '{}', '{"workers": 1, "more": 1}', '[]'])
      expect(await post('/v1/workers', body)).toMatchObject({ status: 400, body: { code: 'USAGE' } });
    expect(node.config.node.workers).toBe(1);
  });
});
