// vhost-user ports of several queues under several workers: queues that the machine does not use, workers that come, go and die under traffic.
import { afterEach, expect, it } from 'vitest';
import type { PortInput } from '../../src/control/config/config.js';
import type { Node, NodeParts } from '../../src/control/node.js';
import type { Supervisor } from '../../src/worker/supervisor.js';
import { scratchFile } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { circle, type Testpmd } from '../rig/testpmd.js';
import { until } from '../rig/waiting.js';

const built = (path: string) => new URL(`../../dist/${path}`, import.meta.url).href;
let node: Node | null = null;
let machine: Testpmd | null = null;
let supervisor: Supervisor;

async function start(ports: PortInput[], workers: number): Promise<void> {
  const { createNode } = (await import(built('control/node.js'))) as typeof import('../../src/control/node.js');
  const { createSupervisor } = (await import(
    built('worker/supervisor.js')
  )) as typeof import('../../src/worker/supervisor.js');
  const shape = { neighbourBytes: 65536, dpdkSlots: { small: 4096, large: 1024 } };
  const dataplane: NodeParts['dataplane'] = () => {
    supervisor = createSupervisor({ workers, shape });
    return supervisor;
  };
  node = createNode(
    { node: { name: 'queues', workers }, networks: [{ name: 'blue', broadcastLimit: 0, ports }] },
    { control: false },
    { dataplane },
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
const sockets = (): [string, string] => [scratchFile('vm0.sock'), scratchFile('vm1.sock')];
const vhost = (paths: string[], queues?: number): PortInput[] =>
  paths.map((path, i) => ({ type: 'vhost-user', name: `vm${i}`, path, queues }));
const machineOf = (paths: [string, string], queues: number, used: number) =>
  circle(
    [
      { path: paths[0], settings: `queues=${queues}` },
      { path: paths[1], settings: `queues=${queues}` },
    ],
    64,
    used,
  );

/** Frames that each place of a worker has received and sent. */
const framesBy = () => supervisor.counters.map((block) => block.reduce((sum, n) => sum + n, 0));

async function frames(more = 2000): Promise<void> {
  const before = portOf('vm0').txPackets;
  const hasMore = () => portOf('vm0').deviceState === 'up' && portOf('vm0').txPackets > before + more;
  await until('frames run in circles', hasMore);
}

/** Frames that were sent before the node had heard that both cards of the machine are up were lost; since then none is. */
async function expectNoLoss(): Promise<void> {
  const { total } = node!.drops();
  await frames();
  expect(node!.drops().total).toBe(total);
}

async function everythingIsHome(): Promise<void> {
  await until('every slot is home', () =>
    Object.values(supervisor.dpdkState()!).every(({ total, free }) => total === free),
  );
}

/** What DPDK has given to workers and taken from them is what they have counted. */
async function expectBalance(): Promise<void> {
  const { dpdk } = (await import(built('native/dpdk.js'))) as typeof import('../../src/native/dpdk.js');
  for (const [port, name] of ['vm0', 'vm1'].entries()) {
    const { rxPackets, txPackets } = dpdk().state(port);
    expect(portOf(name)).toMatchObject({ rxPackets, txPackets });
  }
}

describeWith(['addon', 'dpdk', 'testpmd'], 'vhost-user with several queues', () => {
  it('reads each of them by a worker, and goes on with fewer and more of those', { timeout: 120_000 }, async () => {
    const paths = sockets();
    await start(vhost(paths), 2);
    machine = machineOf(paths, 2, 2);
    await frames();
    expect(portOf('vm0')).toMatchObject({ queues: 2, queuesEnabled: 2, path: { reasons: [] } });
    const before = framesBy();
    await until('both workers have frames', () => framesBy().filter((n, i) => n > (before[i] ?? 0)).length >= 2);
    for (const workers of [1, 2]) {
      await node!.setWorkers(workers);
      await frames();
      expect(portOf('vm0')).toMatchObject({ queues: 2, queuesEnabled: 2, deviceState: 'up' });
    }
    expect(node!.drops().reasons.filter(({ reason }) => reason === 'worker-lost')).toEqual([]);
  });

  it('uses those that the machine has enabled, and says so', { timeout: 120_000 }, async () => {
    const paths = sockets();
    await start(vhost(paths, 2), 2);
    machine = machineOf(paths, 2, 1);
    await frames();
    expect(portOf('vm0')).toMatchObject({
      queues: 2,
      queuesEnabled: 1,
      path: { reasons: [expect.objectContaining({ reason: 'the machine has enabled 1 of 2 queues' })] },
    });
    await expectNoLoss();
  });

  it('leaves others alone while a port comes, changes and goes', { timeout: 120_000 }, async () => {
    const paths = sockets();
    await start(vhost(paths, 1), 1);
    machine = machineOf(paths, 1, 1);
    await frames();
    const lost = () => [portOf('vm0').dropped, portOf('vm1').dropped, node!.stats().account.dropped];
    const before = lost();
    const { config } = node!;
    const path = scratchFile('vm2.sock');
    const third: Partial<PortInput>[] = [
      { queues: 1 },
      { queues: 2 },
      { mtu: 1300 },
      { path: scratchFile('vm3.sock') },
    ];
    for (const settings of third) {
      const port = { type: 'vhost-user', name: 'vm2', path, queues: 1, ...settings } as PortInput;
      await node!.reload({ ...config, networks: [{ ...config.networks[0], ports: [...vhost(paths, 1), port] }] });
      await frames(200);
    }
    await node!.removePort('vm2');
    await frames(200);
    expect(lost()).toEqual(before);
  });

  it('loses no slot and no packet of the account over workers that die', { timeout: 120_000 }, async () => {
    const paths = sockets();
    await start(vhost(paths, 2), 2);
    machine = machineOf(paths, 2, 2);
    for (let death = 1; death <= 4; death++) {
      await frames();
      const worker = death % 2;
      const { restarts } = node!.workers()[worker];
      await supervisor.terminate(worker);
      const isBack = () => node!.workers()[worker].restarts > restarts && node!.workers()[worker].state === 'running';
      await until('it is replaced', isBack);
    }
    await frames();
    await machine.kill('SIGKILL');
    await until('the machine is gone', () => portOf('vm0').deviceState === 'down');
    await until('the node is quiet', () => node!.stats().account.held === 0);
    await expectBalance();
    await node!.removePort('vm0');
    await node!.removePort('vm1');
    await everythingIsHome();
  });
});
