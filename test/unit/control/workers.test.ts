// Workers that come and go under a running node: which queues and sockets are opened and closed, in which order, and that a failure changes nothing.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSocketGroup } from '../../../src/control/devices/socketGroup.js';
import { createNode, type Node } from '../../../src/control/node.js';
import { WeftError } from '../../../src/packet/error.js';
import { type FakeDataplane, type FakeKernel, fakeDataplane, fakeKernel, systemError } from './fakes.js';
import { faultsOf } from './faultsOf.js';

const CONFIG = {
  node: { name: 'test', workers: 1, workersMax: 2 },
  underlays: [{ name: 'wan', address: '192.0.2.1', sourcePorts: '50000-50000' }],
  networks: [
    {
      name: 'blue',
      vni: 42,
      underlay: 'wan',
      peers: ['192.0.2.2'],
      ports: [{ name: 'web', type: 'tap' as const }],
    },
  ],
};
type Input = typeof CONFIG;

let kernel: FakeKernel;
let plane: FakeDataplane;
let node: Node;
const describeRoot = describe.skipIf(process.geteuid?.() !== 0);

async function start(config: object = CONFIG): Promise<void> {
  node = createNode(
    config as Input,
    { control: false },
    { kernel: () => kernel, dataplane: () => plane, now: () => 1000 },
  );
  await node.start();
  const apply = plane.apply;
  plane.apply = async (plan, devices) => {
    kernel.calls.push(`apply ${plan.workers}`);
    await apply(plan, devices);
  };
  kernel.calls.length = 0;
}

beforeEach(() => {
  kernel = fakeKernel();
  plane = fakeDataplane();
});
afterEach(async () => {
  kernel.failOn.clear();
  await node?.stop();
  expect([...kernel.open.values()]).toEqual([]);
});

/** What the kernel was asked for, but for links. */
const calls = () => kernel.calls.splice(0).filter((call) => !call.startsWith('linkSet'));
const descriptors = () => structuredClone(plane.devices);
const reasons = () => node.status().ports[0].path.reasons.map(({ feature }) => feature);

describeRoot('a node with one worker', () => {
  it('that gets another has threads first, then queues and sockets beside those that stand, which get packets last', async () => {
    await start();
    const [before] = descriptors();
    const seen: object[] = [];
    node.on('workers-changed', (change) => seen.push(change));
    await node.setWorkers(2);
    expect(plane.staffed).toEqual([2]);
    expect(calls()).toEqual([
      // What is new gets nothing before it is read.
      'udpSteer udp 4789 0',
      'udpOpen 192.0.2.1:4789 reuse',
      'udpOpen 192.0.2.1:50000 sink reuse',
      'tapSteer tap /web created 1',
      'openTap /web',
      'apply 2',
      'tapSteer tap /web created 2',
      'udpSteer udp 4789 0,1',
    ]);
    const [first, second] = descriptors();
    expect(first).toEqual(before);
    expect(second.ports[0].rxFd).not.toBe(first.ports[0].rxFd);
    expect(second.underlays[0].rxFds).not.toEqual(first.underlays[0].rxFds);
    expect(seen).toEqual([{ from: 1, to: 2 }]);
    expect(node.config.node).toMatchObject({ workers: 2, workersMax: 2 });
    await node.setWorkers(2);
    expect(seen).toHaveLength(1);
  });

  it.each([
    ['openTap /web', 'EBUSY'],
    ['openTap /web', 'E2BIG'],
    ['udpOpen 192.0.2.1:50000 sink', 'EMFILE'],
  ])('stays as it was when %s fails with %s', async (call, code) => {
    await start();
    const [open, devices, plans] = [new Map(kernel.open), descriptors(), plane.plans.length];
    kernel.failOn.set(call, systemError(code, 1, 'ioctl TUNSETIFF'));
    await expect(node.setWorkers(2)).rejects.toThrow(WeftError);
    expect(kernel.open).toEqual(open);
    expect(plane.staffed).toEqual([2, 1]);
    expect([descriptors(), plane.plans.length, node.config.node.workers]).toEqual([devices, plans, 1]);
    expect(reasons()).toEqual([]);
    kernel.failOn.clear();
    await node.setWorkers(2);
    expect(descriptors()).toHaveLength(2);
  });

  it('stays as it was when the workers refuse', async () => {
    await start();
    const [open, devices] = [new Map(kernel.open), descriptors()];
    plane.failApply = new WeftError('WORKER', 'worker 1 refused the change');
    await expect(node.setWorkers(2)).rejects.toThrow(/refused/);
    expect([new Map(kernel.open), descriptors()]).toEqual([open, devices]);
    expect(plane.plans.at(-1)!.workers).toBe(1);
    expect(calls().slice(-2)).toEqual(['apply 1', 'tapSteer tap /web created 0']);
  });

  it('goes no further than it has room for', async () => {
    await start();
    const why = 'each worker has a part of the memory, which was made for 2 (node.workersMax)';
    await expect(node.setWorkers(3)).rejects.toMatchObject({ code: 'CONFIG' });
    await expect(node.reload({ ...CONFIG, node: { name: 'test', workers: 3 } } as never)).rejects.toMatchObject({
      restart: [{ setting: 'node.workers', from: 1, to: 3, why }],
    });
    const { restart } = await node.reload({ ...CONFIG, node: { ...CONFIG.node, workersMax: 4 } }, { dryRun: true });
    expect(restart).toEqual([{ setting: 'node.workersMax', from: 2, to: 4, why }]);
    expect(calls()).toEqual([]);
  });

  it('has as many as it was given without workersMax, and says what to do', async () => {
    await start({ ...CONFIG, node: { name: 'test' } });
    await expect(node.setWorkers(2)).rejects.toMatchObject({
      code: 'RESTART',
      message: /made for 1 \(node\.workersMax/,
    });
  });

  it('keeps the one queue of a device that cannot have more, and says so', async () => {
    kernel.links.set('/vm', { ...kernel.links.get('/eth0')!, index: 7, name: 'vm' });
    kernel.attachedMultiQueue = false;
    const ports = [{ name: 'vm', type: 'tap' as const, create: false }];
    await start({ ...CONFIG, networks: [{ ...CONFIG.networks[0], ports }] });
    expect(reasons()).toEqual([]);
    const [before] = descriptors();
    await node.setWorkers(2);
    expect(descriptors().map(({ ports: [queue] }) => queue.rxFd)).toEqual([-1, before.ports[0].rxFd]);
    expect(reasons()).toEqual(['queues']);
    await node.setWorkers(1);
    expect(descriptors()).toEqual([before]);
    expect(reasons()).toEqual([]);
    expect(kernel.calls.filter((call) => /openTap|tapSteer/.test(call))).toEqual([]);
  });
});

describeRoot('a node with two workers', () => {
  const two = { ...CONFIG, node: { name: 'test', workers: 2 } };

  it('that loses one has packets go to the other first, and closes what nobody reads last', async () => {
    await start(two);
    const [before, gone] = descriptors();
    let wereOpen = 0;
    const fds = [gone.ports[0].rxFd, ...gone.underlays[0].rxFds, ...gone.underlays[0].txFds];
    const apply = plane.apply;
    plane.apply = async (plan, devices) => {
      wereOpen = fds.filter((fd) => kernel.open.has(fd)).length;
      await apply(plan, devices);
    };
    await node.setWorkers(1);
    expect(calls()).toEqual([
      'udpSteer udp 4789 0',
      'tapSteer tap /web created 1',
      'apply 1',
      'tapSteer tap /web created 0',
    ]);
    expect(wereOpen).toBe(fds.length);
    expect(fds.some((fd) => kernel.open.has(fd))).toBe(false);
    expect(descriptors()).toEqual([before]);
  });

  it('has room for them afterwards, on the device that it made', async () => {
    await start(two);
    const { index } = kernel.links.get('/web')!;
    await node.reload({ ...CONFIG, node: { name: 'test', workers: 1 } } as never);
    await node.reload(two as never);
    expect(kernel.links.get('/web')!.index).toBe(index);
    expect(descriptors()).toHaveLength(2);
  });

  it('loses one before its sockets are made anew: the old ones are read to their end', async () => {
    await start(two);
    const underlays = [{ ...CONFIG.underlays[0], sourcePorts: '50001-50001' }];
    await node.reload({ ...CONFIG, node: { name: 'test', workers: 1 }, underlays } as never);
    expect(calls().filter((call) => /apply|udp/.test(call))).toEqual([
      'udpSteer udp 4789 0',
      'apply 1',
      'udpOpen 192.0.2.1:50001 sink',
      'udpOpen 192.0.2.1:50001 sink reuse',
      'apply 1',
    ]);
  });
});

describe('room for workers', () => {
  it('that is less than there are to be is a fault', () => {
    expect(faultsOf({ vni: 7 }, { node: { workers: 3, workersMax: 2 } })).toEqual([
      'node.workersMax: 3 workers are more than workersMax allows, 2 (give at least 3, or leave it out)',
    ]);
    expect(faultsOf({ vni: 7 }, { node: { workers: 2, workersMax: 2 } })).toEqual([]);
  });

  it('ends where their slots are more than the arena can have, and says where', () => {
    const largeSlots = (count: number, workers: object) =>
      faultsOf({ vni: 7 }, { node: { ...workers, arena: { largeSlots: count } } });
    expect(largeSlots(8192, { workers: 2 })).toEqual([]);
    const [fault, ...more] = largeSlots(8192, { workers: 2, workersMax: 8 });
    expect(more).toEqual([]);
    const most = Number(/at most (\d+) large/.exec(fault)?.[1]);
    // 8 workers in 2^31 bytes: 268,435,456 for each, of which a large slot takes 65,856 and all else some megabytes.
    expect(most).toBeGreaterThan(3950);
    expect(most).toBeLessThan(268_435_456 / 65_856);
    expect(largeSlots(most, { workers: 8 })).toEqual([]);
    expect(largeSlots(most + 1, { workers: 8 })).toHaveLength(1);
  });
});

describe('a group of sockets', () => {
  it('knows the places of its sockets when some were closed, as the kernel has them', () => {
    const group = createSocketGroup(kernel);
    const fds = Array.from({ length: 4 }, () => {
      const { fd } = kernel.udpOpen({ family: 4, address: '192.0.2.1', port: 4789, reusePort: true });
      group.join(fd);
      return fd;
    });
    kernel.calls.length = 0;
    // 0 1 2 3, then 0 3 2, then 2 3.
    group.close(fds[1]);
    group.choose([fds[0], fds[2], fds[3]]);
    group.close(fds[0]);
    group.choose([fds[2], fds[3]]);
    group.choose([fds[2], fds[3]]);
    expect(calls()).toEqual(['udpSteer udp 4789 0,2,1', 'udpSteer udp 4789 0,1']);
    for (const fd of [fds[2], fds[3]]) group.close(fd);
  });
});
