// Workers that wait for vhost-user ports: asleep while the machines are silent or away, awake at their first frame.
import { createConnection } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import type { Node } from '../../src/control/node.js';
import { scratchFile } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { circle, type Testpmd } from '../rig/testpmd.js';
import { sleep, until } from '../rig/waiting.js';

const BUILT = new URL('../../dist/control/node.js', import.meta.url).href;
let node: Node | null = null;
let machine: Testpmd | null = null;

afterEach(async () => {
  await machine?.kill('SIGKILL');
  machine = null;
  await node?.stop();
  node = null;
});

const portOf = (name: string) => node!.status().ports.find((p) => p.name === name)!;
const turns = () => node!.workers()[0].turns;

describeWith(['addon', 'dpdk', 'testpmd'], 'a worker with vhost-user ports', () => {
  it('sleeps until a machine kicks, and again when it has gone', { timeout: 120_000 }, async () => {
    const { createNode } = (await import(BUILT)) as typeof import('../../src/control/node.js');
    const paths: [string, string] = [scratchFile('vm0.sock'), scratchFile('vm1.sock')];
    const ports = paths.map((path, i) => ({ type: 'vhost-user' as const, name: `vm${i}`, path }));
    node = createNode({ node: { name: 'idle' }, networks: [{ name: 'blue', ports }] }, { control: false });
    await node.start();
    expect(portOf('vm0')).toMatchObject({ idle: 'interrupt', queues: 1, queuesEnabled: 0, path: { reasons: [] } });
    const idler = createConnection(paths[0]);
    await until('it is seen that somebody is there', () => portOf('vm0').path.reasons.length === 1);
    expect(portOf('vm0').path.reasons[0].reason).toBe('a machine is connected and has not started its network card');
    idler.destroy();
    await until('it has gone', () => portOf('vm0').path.reasons.length === 0);
    for (let life = 0; life < 2; life++) {
      // One turn a second at least: no sleep is longer. Just before, the machine's last frames may have kept it awake.
      await until('it sleeps', async () => {
        const before = turns();
        await sleep(1000);
        return turns() - before < 20;
      });
      machine = circle([{ path: paths[0] }, { path: paths[1] }]);
      const packets = portOf('vm0').txPackets;
      await until('frames run in circles', () => portOf('vm0').txPackets > packets + 500);
      expect(portOf('vm0').queuesEnabled).toBe(1);
      await machine.kill('SIGKILL');
      await until('the machine is seen to be gone', () => portOf('vm0').queuesEnabled === 0);
    }
  });
});
