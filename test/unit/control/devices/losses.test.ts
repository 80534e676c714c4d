// What a running node does when its devices and addresses are taken away and come back: which calls it makes, and what the workers get.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createNode, type Node } from '../../../../src/control/node.js';
import { type FakeDataplane, type FakeKernel, fakeDataplane, fakeKernel, route, systemError } from '../fakes.js';

const CONFIG = {
  node: { name: 'test' },
  underlays: [{ name: 'wan', address: '192.0.2.1', sourcePorts: 2 }],
  networks: [
    {
      name: 'blue',
      vni: 42,
      underlay: 'wan',
      peers: ['192.0.2.2'],
      ports: [
        { name: 'web', type: 'tap' as const, addresses: ['10.0.0.1/24'] },
        { name: 'vm', type: 'tap' as const, create: false, addresses: ['10.0.0.2/24'] },
      ],
    },
  ],
};

let kernel: FakeKernel;
let plane: FakeDataplane;
let node: Node;
let events: unknown[];
const describeRoot = describe.skipIf(process.geteuid?.() !== 0);

async function start(underlay: object = {}): Promise<void> {
  const config = { ...CONFIG, underlays: [{ ...CONFIG.underlays[0], ...underlay }] };
  const parts = { kernel: () => kernel, dataplane: () => plane, now: () => 1000 };
  node = createNode(config as Parameters<typeof createNode>[0], { control: false }, parts);
  for (const name of ['port-lost', 'port-healed', 'underlay-lost', 'underlay-healed'] as const)
    node.on(name, (event: { name: string }) => events.push([name, event.name]));
  node.on('warning', (message) => events.push(message));
  await node.start();
}

beforeEach(() => {
  kernel = fakeKernel();
  plane = fakeDataplane();
  events = [];
  kernel.links.set('/vm', { ...kernel.links.get('/eth0')!, index: 7, name: 'vm', mtu: 1400 });
});
afterEach(async () => {
  kernel.failOn.clear();
  await node.stop();
  expect([...kernel.open.values()]).toEqual([]);
});

/** As when somebody else deletes it: what is open is the descriptor of nothing. */
function remove(name: string): void {
  kernel.links.delete(`/${name}`);
  kernel.addresses.delete(`/${name}`);
  for (const [fd, what] of kernel.open) if (what.startsWith(`tap /${name}`)) kernel.open.set(fd, 'tap gone');
}

const portId = (name: string) => plane.plans[0].ports.find((port) => port.name === name)!.id;
const fail = (name: string) =>
  plane.events.emit('device-failed', { type: 'device-failed', kind: 'port', id: portId(name) });
const news = () => {
  kernel.news = { events: [], routes: true, overrun: false };
};
/** The node looks four times a second; a busy machine takes its time. */
const WITHIN = 20_000;
const said = (...lines: unknown[]) => vi.waitFor(() => expect(events).toEqual(lines), WITHIN);
const rxOf = (name: string) => plane.devices[0].ports.find(({ port }) => port === portId(name))!.rxFd;

describeRoot('a port', () => {
  it('that weft made is made as it was, and handed over under its id; the old one is closed behind that', async () => {
    await start();
    const before = rxOf('web');
    remove('web');
    kernel.calls.length = 0;
    fail('web');
    await said(['port-lost', 'web'], ['port-healed', 'web']);
    expect(kernel.calls.filter((call) => call.includes('web'))).toEqual([
      'openTap /web',
      // The MAC that the kernel had given it.
      'linkSet /web {"mac":"02:00:00:00:00:ff"}',
      'linkSet /web {"mtu":1450}',
      'linkSet /web {"gsoMaxSize":61578}',
      'addressAdd /web 10.0.0.1/24',
      'linkSet /web {"up":true}',
    ]);
    expect(plane.plans).toHaveLength(2);
    expect(plane.plans[1]).toEqual({ ...plane.plans[0], generation: 2 });
    expect(rxOf('web')).not.toBe(before);
    expect(kernel.open.has(before)).toBe(false);
    expect(plane.flushed).toEqual([{ port: portId('web') }]);
    expect(node.status().ports[0]).toMatchObject({ deviceState: 'up', loss: null });
  });

  it('that weft attached to is attached again; another device of its name is not undone what it never got', async () => {
    await start();
    remove('vm');
    fail('vm');
    await said(['port-lost', 'vm']);
    await vi.waitFor(() => expect(node.status().ports[1].loss?.error).not.toBe(null), WITHIN);
    expect(node.status().ports[1]).toMatchObject({
      deviceState: 'gone',
      loss: { what: 'device', error: expect.stringMatching(/device vm does not exist/), nextAttemptSec: 1 },
    });
    expect(node.status().hints).toContainEqual({
      object: 'port vm',
      message: expect.stringMatching(/^device vm is gone \(since 0 s, tried once, next in 1 s\): port vm: /),
      remedy: expect.stringContaining('ip tuntap add dev vm'),
    });
    // Others do not wait for it, nor does what is set on it.
    await node.addPeer('blue', '192.0.2.9');
    kernel.links.set('/vm', { ...kernel.links.get('/eth0')!, index: 8, name: 'vm', mtu: 1300 });
    news();
    await said(['port-lost', 'vm'], ['port-healed', 'vm']);
    expect(kernel.links.get('/vm')?.mtu).toBe(1450);
    expect([...kernel.addresses.get('/vm')!]).toEqual(['10.0.0.2/24']);
    await node.stop();
    expect(kernel.links.get('/vm')?.mtu).toBe(1300);
  });

  it('that cannot be had back leaves others alone, in either order', async () => {
    await start();
    remove('web');
    remove('vm');
    fail('vm');
    fail('web');
    await vi.waitFor(() => expect(events).toContainEqual(['port-healed', 'web']), WITHIN);
    expect(node.status().ports.map(({ loss }) => loss?.what ?? null)).toEqual([null, 'device']);
    kernel.links.set('/vm', { ...kernel.links.get('/eth0')!, index: 8, name: 'vm' });
    remove('web');
    kernel.failOn.set('openTap /web', systemError('EMFILE', 24, 'open /dev/net/tun'));
    news();
    await vi.waitFor(() => expect(events).toContainEqual(['port-healed', 'vm']), WITHIN);
    expect(node.status().ports[0].loss).toMatchObject({
      error: 'port web: too many open files (open /dev/net/tun: EMFILE)',
      remedy: expect.stringContaining('ulimit -n'),
    });
  });

  it('that workers refuse is closed again, and stays lost', async () => {
    await start();
    const open = new Map(kernel.open);
    remove('web');
    plane.failApply = new Error('a worker refused the change');
    fail('web');
    const refused = () => expect(node.status().ports[0].loss?.error).toBe('a worker refused the change');
    await vi.waitFor(refused, WITHIN);
    expect([...kernel.open.keys()]).toEqual([...open.keys()]);
    expect(kernel.links.has('/web')).toBe(false);
  });
});

describeRoot('an underlay', () => {
  const sockets = () => plane.devices[0].underlays[0];
  const setIndex = (index: number) => kernel.links.set('/eth0', { ...kernel.links.get('/eth0')!, index });

  it('without its address goes on with its sockets when that is back', async () => {
    await start();
    const before = sockets();
    kernel.own = [];
    news();
    await said(['underlay-lost', 'wan']);
    expect(node.status().hints).toContainEqual({
      object: 'underlay wan',
      message: expect.stringMatching(/^address 192\.0\.2\.1 is not on this host any more \(since/),
      remedy: 'give it back: `ip address add 192.0.2.1/PREFIX dev eth0`',
    });
    kernel.own = ['192.0.2.1'];
    news();
    await said(['underlay-lost', 'wan'], ['underlay-healed', 'wan']);
    expect(sockets()).toEqual(before);
  });

  it('on another device of the same name keeps the sockets that receive, and sends from the same ports', async () => {
    await start();
    const [before, ports] = [sockets(), node.status().underlays[0].sourcePorts];
    setIndex(22);
    news();
    await said(['underlay-lost', 'wan'], ['underlay-healed', 'wan']);
    expect(sockets().rxFds).toEqual(before.rxFds);
    expect(sockets().txFds).not.toEqual(before.txFds);
    expect(node.status().underlays[0]).toMatchObject({ sourcePorts: ports, deviceState: 'up' });
    expect(before.txFds.filter((fd) => kernel.open.has(fd))).toEqual([]);
  });

  it('that is bound to the device takes nothing over: those sockets hear of the one before', async () => {
    await start({ device: 'eth0' });
    const before = sockets();
    setIndex(22);
    news();
    await said(['underlay-lost', 'wan'], ['underlay-healed', 'wan']);
    expect(before.rxFds.filter((fd) => kernel.open.has(fd))).toEqual([]);
    expect(sockets().rxFds).not.toEqual(before.rxFds);
  });
});

describeRoot('routes of the host', () => {
  it('that went with their device are there again when it is', async () => {
    const port = { name: 'r0', type: 'tun' as const, addresses: ['10.9.0.1/32'], prefixes: ['10.9.0.0/24'] };
    const peers = [{ address: '192.0.2.2', prefixes: ['10.9.1.0/24'] }];
    const networks = [
      { name: 'red', mode: 'l3' as const, ports: [port], underlay: 'wan', encapsulation: 'ipip' as const, peers },
    ];
    const parts = { kernel: () => kernel, dataplane: () => plane, now: () => 1000 };
    node = createNode({ ...CONFIG, networks } as never, { control: false }, parts);
    await node.start();
    const routes = () => [...kernel.routes.keys()];
    const had = routes();
    expect(had.length).toBeGreaterThan(0);
    kernel.routes.clear();
    news();
    await vi.waitFor(() => expect(routes()).toEqual(had), WITHIN);
    // One that cannot be added now is no reason for anything.
    kernel.routes.clear();
    kernel.routes.set(had[0], route({ prefix: '10.9.1.0/24', device: 'other' }));
    news();
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(kernel.routes.get(had[0])?.device).toBe('other');
    kernel.routes.clear();
  });
});
