// Ports of type vhost-user with testpmd as the machine behind them: rings of both kinds, both modes, a machine that dies and comes back.
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import type { PortInput } from '../../src/control/config/config.js';
import type { Node } from '../../src/control/node.js';
import { scratchFile } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { circle, type Testpmd } from '../rig/testpmd.js';
import { until } from '../rig/waiting.js';

const BUILT = new URL('../../dist/control/node.js', import.meta.url).href;
/** What testpmd sends out of each card, to be sent in circles; two cards. */
const FIRST_FRAMES = 2 * 32;
let node: Node | null = null;
let machine: Testpmd | null = null;

async function start(ports: PortInput[]): Promise<void> {
  const { createNode } = (await import(BUILT)) as typeof import('../../src/control/node.js');
  node = createNode(
    { node: { name: 'vhost' }, networks: [{ name: 'blue', broadcastLimit: 0, ports }] },
    { control: false },
  );
  await node.start();
}

afterEach(async () => {
  await machine?.kill('SIGKILL');
  machine = null;
  await node?.stop();
  node = null;
});

const portOf = (name: string) => node!.status().ports.find((p) => p.name === name)!;
const vhost = (name: string, path: string, more: Partial<PortInput> = {}): PortInput =>
  ({ type: 'vhost-user', name, path, queues: 1, ...more }) as PortInput;

async function frames(): Promise<void> {
  const before = portOf('vm0').txPackets;
  await until(
    'frames run in circles',
    () => portOf('vm0').deviceState === 'up' && portOf('vm0').txPackets > before + 2000,
  );
}

describeWith(['addon', 'dpdk', 'testpmd'], 'vhost-user', () => {
  it.each([
    ['split rings', '', 64],
    ['packed rings', 'packed_vq=1', 1400],
    ['no mergeable buffers', 'mrg_rxbuf=0', 64],
  ])('carries frames over %s', { timeout: 120_000 }, async (_what, settings, frameLen) => {
    const paths: [string, string] = [scratchFile('vm0.sock'), scratchFile('vm1.sock')];
    await start(paths.map((path, i) => vhost(`vm${i}`, path)));
    machine = circle(
      [
        { path: paths[0], settings },
        { path: paths[1], settings },
      ],
      frameLen,
    );
    await frames();
    // The machine's first frames may have come before the node had heard that its second card is up.
    const { total } = node!.drops();
    await frames();
    expect(node!.drops().total).toBe(total);
    expect(total).toBeLessThanOrEqual(FIRST_FRAMES);
  });

  it('waits for a machine, sees it die and come back, and dresses the socket', { timeout: 120_000 }, async () => {
    const paths: [string, string] = [scratchFile('vm0.sock'), scratchFile('vm1.sock')];
    const ports = paths.map((path, i) => vhost(`vm${i}`, path, { group: 65534, socketMode: '0660' }));
    await start(ports);
    expect(portOf('vm0')).toMatchObject({ type: 'vhost-user', deviceState: 'down' });
    expect(statSync(paths[0])).toMatchObject({ gid: 65534, mode: 0o140660 });
    for (let life = 0; life < 2; life++) {
      machine = circle([{ path: paths[0] }, { path: paths[1] }]);
      await frames();
      await machine.kill('SIGKILL');
      await until('the machine is seen to be gone', () => portOf('vm0').deviceState === 'down');
    }
    await node!.removePort('vm0');
    expect(existsSync(paths[0])).toBe(false);
  });

  it('connects to a machine that listens, whenever it comes', { timeout: 120_000 }, async () => {
    const paths: [string, string] = [scratchFile('vm0.sock'), scratchFile('vm1.sock')];
    await start(paths.map((path, i) => vhost(`vm${i}`, path, { mode: 'client' })));
    expect(portOf('vm0').deviceState).toBe('down');
    machine = circle([
      { path: paths[0], settings: 'server=1' },
      { path: paths[1], settings: 'server=1' },
    ]);
    await frames();
  });

  it('takes the place of a stale socket, and leaves alone what is somebody else’s', async () => {
    const [stale, owned, file] = [scratchFile('stale.sock'), scratchFile('owned.sock'), scratchFile('file.sock')];
    // A child that dies leaves its socket file behind; closing a server would remove it.
    const { spawnSync } = await import('node:child_process');
    spawnSync('python3', ['-c', `import socket; socket.socket(socket.AF_UNIX).bind('${stale}')`]);
    expect(existsSync(stale)).toBe(true);
    const server = createServer().listen(owned);
    writeFileSync(file, 'precious');
    await start([vhost('vm0', stale)]);
    expect(portOf('vm0').deviceState).toBe('down');
    for (const [name, path] of [
      ['vm1', owned],
      ['vm2', file],
    ] as const)
      await expect(node!.addPort('blue', vhost(name, path))).rejects.toMatchObject({
        code: 'DEVICE',
        object: `port ${name}`,
      });
    expect(existsSync(file)).toBe(true);
    server.close();
  });
});
