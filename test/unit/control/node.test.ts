import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError } from '../../../src/control/config/check.js';
import { createNode, type Node } from '../../../src/control/node.js';
import { NETWORK_ROW, PEER_ROW, PORT_ROW, ROW_WIDTH, RX_PACKETS, TX_PACKETS } from '../../../src/packet/counters.js';
import { WeftError } from '../../../src/packet/error.js';
import { type FakeDataplane, type FakeKernel, fakeDataplane, fakeKernel, systemError } from './fakes.js';

let kernel: FakeKernel;
let plane: FakeDataplane;
let now: number;
const nodes: Node[] = [];

const CONFIG = {
  node: { name: 'test' },
  underlays: [{ name: 'wan', address: '192.0.2.1', sourcePorts: 1 }],
  networks: [
    { name: 'blue', vni: 42, underlay: 'wan', peers: ['192.0.2.2'], ports: [{ name: 'web', type: 'tap' as const }] },
  ],
};

function make(config: object = CONFIG, options = { control: false }): Node {
  const parts = { kernel: () => kernel, dataplane: () => plane, now: () => now };
  const node = createNode(config as typeof CONFIG, options, parts);
  nodes.push(node);
  return node;
}

beforeEach(() => {
  kernel = fakeKernel();
  plane = fakeDataplane();
  now = 1000;
});

afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop();
});

const needsRoot = it.skipIf(process.geteuid?.() !== 0);

describe('a node', () => {
  it('refuses a wrong configuration before anything is opened', () => {
    expect(() => make({ networks: [] })).toThrow(ConfigError);
    expect(kernel.calls).toEqual([]);
  });

  needsRoot('starts, tells its state, and stops with nothing left open', async () => {
    const node = make();
    const states: string[] = [];
    node.on('state', (state) => states.push(state));
    expect(() => node.status()).toThrow(/was not started/);
    await node.start();
    expect(plane.plans).toHaveLength(1);
    expect(plane.devices[0].ports[0].rxFd).toBeGreaterThan(0);
    now = 1012.5;
    expect(node.status()).toMatchObject({
      node: { name: 'test', state: 'running', uptimeSec: 12.5, socket: null, generation: 1 },
      networks: [{ name: 'blue', mode: 'l2', encapsulation: 'vxlan', id: 42, mtu: 1450, ports: 1, peers: 1, macs: 0 }],
      ports: [{ name: 'web', network: 'blue', device: 'web', deviceState: 'up', path: { receive: 'superframes' } }],
      peers: [{ address: '192.0.2.2', lastHeardSec: null }],
      hints: [],
    });
    await node.stop();
    expect(plane.stopped).toBe(true);
    expect(kernel.open.size).toBe(0);
    expect(states).toEqual(['starting', 'running', 'stopping', 'stopped']);
    await node.stop();
  });

  needsRoot('that cannot open a device is as if it never started', async () => {
    kernel.failOn.set('openTap', systemError('EBUSY', 16, 'ioctl TUNSETIFF'));
    const node = make();
    await expect(node.start()).rejects.toMatchObject({ code: 'DEVICE', syscall: 'ioctl TUNSETIFF' });
    expect(node.state).toBe('stopped');
    expect(kernel.open.size).toBe(0);
    kernel.failOn.clear();
    await node.start();
    expect(node.state).toBe('running');
  });

  needsRoot('whose workers do not start closes its devices', async () => {
    plane.start = () => Promise.reject(new WeftError('WORKER', 'a worker did not start'));
    await expect(make().start()).rejects.toThrow(/a worker did not start/);
    expect(kernel.open.size).toBe(0);
    expect(plane.stopped).toBe(true);
  });
});

describe('ports at run time', () => {
  needsRoot('are added and removed, with stable ids', async () => {
    const node = make();
    await node.start();
    const seen: string[] = [];
    node.on('port-added', (port) => seen.push(`+${port.name}`));
    node.on('port-removed', (name) => seen.push(`-${name}`));
    const added = await node.addPort('blue', { name: 'db', type: 'tap', addresses: ['10.0.0.3/24'] });
    expect(added).toMatchObject({ name: 'db', network: 'blue', mtu: 1450 });
    await node.removePort('web');
    expect(plane.plans.map((plan) => plan.ports.map((port) => `${port.id} ${port.name}`))).toEqual([
      ['1 web'],
      ['1 web', '2 db'],
      ['2 db'],
    ]);
    expect(plane.devices[0].ports.map((port) => port.port)).toEqual([2]);
    expect(plane.flushed).toEqual([{ port: 1 }]);
    expect([...kernel.open.values()].filter((what) => what.startsWith('tap'))).toEqual(['tap /db created']);
    expect(seen).toEqual(['+db', '-web']);
    expect(node.config.networks[0].ports.map((port) => port.name)).toEqual(['db']);
  });

  needsRoot('that are wrong change nothing', async () => {
    const node = make();
    await node.start();
    const before = new Map(kernel.open);
    await expect(node.addPort('blue', { name: 'web', type: 'tap' })).rejects.toMatchObject({ code: 'CONFIG' });
    await expect(node.addPort('red', { name: 'x', type: 'tap' })).rejects.toMatchObject({
      code: 'USAGE',
      object: 'network red',
    });
    await expect(node.addPort('blue', { name: 'x', type: 'tap', create: false })).rejects.toMatchObject({
      code: 'DEVICE',
    });
    await expect(node.removePort('x')).rejects.toMatchObject({ code: 'USAGE' });
    expect(plane.plans).toHaveLength(1);
    expect(kernel.open).toEqual(before);
  });

  needsRoot('that the workers refuse are taken back', async () => {
    const node = make();
    await node.start();
    const before = new Map(kernel.open);
    plane.failApply = new WeftError('WORKER', 'worker 0 refused the change');
    await expect(node.addPort('blue', { name: 'db', type: 'tap' })).rejects.toThrow(/refused/);
    expect(kernel.open).toEqual(before);
    expect(plane.plans.at(-1)!.ports.map((port) => port.name)).toEqual(['web']);
    expect(plane.plans.at(-1)!.generation).toBe(3);
    const added = await node.addPort('blue', { name: 'db', type: 'tap' });
    expect(added.name).toBe('db');
    expect(plane.plans.at(-1)!.generation).toBe(4);
  });

  needsRoot('wait for each other', async () => {
    const node = make();
    await node.start();
    await Promise.all([
      node.addPort('blue', { name: 'a', type: 'tap' }),
      node.addPort('blue', { name: 'b', type: 'tap' }),
      node.removePort('a'),
    ]);
    expect(plane.plans.map((plan) => plan.generation)).toEqual([1, 2, 3, 4]);
    expect(node.status().ports.map((port) => port.name)).toEqual(['web', 'b']);
  });
});

describe('peers at run time', () => {
  needsRoot('are added and removed', async () => {
    const node = make();
    await node.start();
    expect(await node.addPeer('blue', { address: '192.0.2.3', udpPort: 8472 })).toMatchObject({ udpPort: 8472 });
    await node.removePeer('blue', '192.0.2.2');
    expect(node.peers().map((peer) => peer.address)).toEqual(['192.0.2.3']);
    expect(plane.flushed).toEqual([{ peer: 1 }]);
    await expect(node.addPeer('blue', '192.0.2.1')).rejects.toMatchObject({ code: 'CONFIG' });
    await expect(node.removePeer('blue', '192.0.2.7')).rejects.toMatchObject({ code: 'USAGE' });
  });

  needsRoot('join from traffic where the network accepts them, and leave when they were silent', async () => {
    const network = { ...CONFIG.networks[0], unknownPeers: 'accept', ageing: 30 };
    const node = make({ ...CONFIG, networks: [network, { name: 'shut', vni: 43, underlay: 'wan' }] });
    await node.start();
    // ::ffff:192.0.2.9 as it lies in memory
    const address = new Int32Array(new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 9]).buffer);
    plane.events.emit('unknown-peer', { underlay: 1, network: 1, address });
    plane.events.emit('unknown-peer', { underlay: 1, network: 2, address });
    await expect
      .poll(() => node.peers().filter((peer) => peer.dynamic))
      .toMatchObject([{ network: 'blue', address: '192.0.2.9' }]);
    await node.removePeer('blue', '192.0.2.9');
    expect(node.peers().map((peer) => peer.address)).toEqual(['192.0.2.2']);
  });
});

describe('documents', () => {
  needsRoot('name what counters and tables know by id', async () => {
    const node = make();
    await node.start();
    const [block] = plane.counters;
    block[(PORT_ROW + 1) * ROW_WIDTH + RX_PACKETS] = 10;
    block[(PEER_ROW + 1) * ROW_WIDTH + TX_PACKETS] = 7;
    block[(NETWORK_ROW + 1) * ROW_WIDTH + RX_PACKETS] = 10;
    plane.rows = [
      {
        network: 1,
        mac: '02:00:00:00:00:02',
        port: 0,
        peer: 1,
        isStatic: true,
        expiresInSec: Number.POSITIVE_INFINITY,
        isHeld: false,
      },
      { network: 1, mac: '02:00:00:00:00:01', port: 1, peer: 0, isStatic: false, expiresInSec: 299, isHeld: false },
    ];
    expect(node.macs()).toEqual([
      {
        network: 'blue',
        mac: '02:00:00:00:00:01',
        port: 'web',
        peer: null,
        static: false,
        expiresInSec: 299,
        held: false,
      },
      {
        network: 'blue',
        mac: '02:00:00:00:00:02',
        port: null,
        peer: '192.0.2.2',
        static: true,
        expiresInSec: null,
        held: false,
      },
    ]);
    expect(node.stats().ports).toMatchObject([{ name: 'web', network: 'blue', rxPackets: 10, dropped: 0, drops: {} }]);
    expect(node.stats().peers).toMatchObject([{ address: '192.0.2.2', txPackets: 7 }]);
    // Network rows repeat the others: they are not part of the account.
    expect(node.stats().account.received).toBe(10);
    expect(JSON.parse(JSON.stringify(node.status()))).toEqual(node.status());
  });
});

describe('the name of a node', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'weft-node-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  needsRoot('belongs to the one that runs', async () => {
    const config = { ...CONFIG, node: { name: 'test', socket: join(folder, 'test.sock') } };
    const first = make(config, { control: true });
    await first.start();
    const second = make(config, { control: true });
    await expect(second.start()).rejects.toThrow(/a node named test is running already/);
    expect(first.state).toBe('running');
    await first.stop();
    await second.start();
    expect(second.state).toBe('running');
  });
});
