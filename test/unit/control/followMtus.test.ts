// What a running node does when devices and paths change their MTUs.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createNode, type Node } from '../../../src/control/node.js';
import { addressWords } from '../../../src/pipeline/tables.js';
import { type FakeDataplane, type FakeKernel, fakeDataplane, fakeKernel } from './fakes.js';

const network = { underlay: 'wan', ports: [], peers: ['192.0.2.2', '192.0.2.3'] };
const CONFIG = {
  node: { name: 'test' },
  underlays: [{ name: 'wan', address: '192.0.2.1', sourcePorts: 1 }],
  networks: [
    { ...network, name: 'blue', vni: 42 },
    { ...network, name: 'fixed', vni: 43, mtu: 1400 },
  ],
};

/** The node looks four times a second; a busy machine takes its time. */
const WITHIN = 20_000;

let kernel: FakeKernel;
let plane: FakeDataplane;
let node: Node;
let warnings: string[];
let now: number;

const describeRoot = describe.skipIf(process.geteuid?.() !== 0);

describeRoot('MTUs of a running node', () => {
  beforeEach(async () => {
    kernel = fakeKernel();
    plane = fakeDataplane();
    warnings = [];
    now = 1000;
    const parts = { kernel: () => kernel, dataplane: () => plane, now: () => now };
    node = createNode(CONFIG as Parameters<typeof createNode>[0], { control: false }, parts);
    node.on('warning', (message) => warnings.push(message));
    await node.start();
  });
  afterEach(async () => {
    await node.stop();
    expect([...kernel.open.values()]).toEqual([]);
  });

  const mtus = () => node.status().networks.map((n) => n.mtu);
  const peers = () => node.peers().map((p) => p.mtu);

  function setDevice(mtu: number): void {
    kernel.links.set('/eth0', { ...kernel.links.get('/eth0')!, mtu });
    const { index, name, mac, up, running } = kernel.links.get('/eth0')!;
    const event = { kind: 'link' as const, index, name, mac, mtu, up, running, deleted: false };
    kernel.news = { events: [event], routes: false, overrun: false };
  }

  function hear(address: string, bytes: number, isLocal = false): void {
    const { id } = plane.plans.at(-1)!.underlays[0];
    plane.events.emit('path-mtu', { type: 'path-mtu', underlay: id, address: addressWords(address)!, bytes, isLocal });
  }

  it('follow the device: auto changes, a number stays and is hinted at', async () => {
    expect(mtus()).toEqual([1450, 1400]);
    expect(peers()).toEqual([1450, 1450, 1400, 1400]);
    setDevice(1300);
    await vi.waitFor(() => expect(mtus()).toEqual([1250, 1400]), WITHIN);
    expect(peers()).toEqual([1250, 1250, 1250, 1250]);
    expect(warnings).toContain('the MTU of network blue is 1250 now, it was 1450: its underlay has changed');
    expect(node.status().hints).toContainEqual({
      object: 'network fixed',
      message: 'its MTU is 1400, and the underlay carries 1250: larger packets are answered or fragmented',
      remedy: "set `mtu` to 1250 or auto, or raise the MTU of the underlay's device",
    });
    // What the device no longer carries is no reason to refuse other changes.
    await node.addPeer('fixed', '192.0.2.9');
    setDevice(9000);
    await vi.waitFor(() => expect(mtus()).toEqual([8950, 1400]), WITHIN);
    expect(node.status().hints).toEqual([]);
  });

  it('stay as they are when nothing follows from the news, or nothing can', async () => {
    kernel.news = { events: [], routes: true, overrun: true };
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(plane.plans).toHaveLength(1);
    setDevice(90);
    await vi.waitFor(
      () => expect(warnings.join()).toMatch(/changed MTUs were not taken over: .*leaves no room/),
      WITHIN,
    );
    expect(mtus()).toEqual([1450, 1400]);
    await node.addPeer('blue', '192.0.2.9');
  });

  it('follow what is heard of a path, until it is forgotten', async () => {
    hear('192.0.2.2', 1400);
    hear('192.0.2.3', 1470);
    hear('192.0.2.77', 1000);
    await vi.waitFor(() => expect(peers()).toEqual([1350, 1420, 1350, 1400]), WITHIN);
    expect(plane.plans).toHaveLength(2);
    expect(plane.plans[1].peers.map((p) => p.mtu)).toEqual([1350, 1420, 1350, 1400]);
    expect(node.peers()[0].pathMtu).toEqual({ bytes: 1400, why: 'icmp', expiresInSec: 600 });
    // 1470 takes all that network fixed sends.
    expect(node.peers().map((p) => p.pathMtu?.bytes ?? null)).toEqual([1400, 1470, 1400, null]);
    expect(warnings).toContain('packets to peer 192.0.2.2 of network blue may have 1350 bytes now, of 1450');
    expect(node.status().hints[0]).toMatchObject({
      object: 'peer 192.0.2.2',
      message: expect.stringMatching(/1400 bytes \(a router/),
    });
    hear('192.0.2.2', 1400);
    hear('192.0.2.2', 1500);
    hear('192.0.2.2', 1300, true);
    await vi.waitFor(() => expect(peers()).toEqual([1250, 1420, 1250, 1400]), WITHIN);
    expect(node.peers()[0].pathMtu).toMatchObject({ bytes: 1300, why: 'emsgsize' });
  });
});
