// What changes around a running node: strangers that speak, links that fail, devices and namespaces that others remove.
import { afterEach, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { DropsDocument, PeerDocument } from '../../src/observe/documents.js';
import { BROADCAST, ethernet } from '../rig/frames.js';
import { addKernelVxlan, makeHosts, makeQuietNamespace, pinOffloads, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespace, removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendFrames, sendTcp } from '../rig/traffic.js';
import { sleep, until } from '../rig/waiting.js';

const OVERLAY_A = '10.1.0.1';
const OVERLAY_B = '10.1.0.2';
const TAP = 'weft0';

type Network = Partial<ConfigInput['networks'][number]>;
type Underlay = Partial<NonNullable<ConfigInput['underlays']>[number]>;

function configOf(own: string, address: string, network: Network = {}, underlay: Underlay = {}): ConfigInput {
  const port = { type: 'tap' as const, name: TAP, addresses: [`${address}/24`] };
  return {
    underlays: [{ name: 'veth', address: own, ...underlay }],
    networks: [{ name: 'blue', vni: 42, underlay: 'veth', ports: [port], ...network }],
  };
}

/** Share of one core that a process uses over a while. */
async function cpuShare(node: WeftNode, ms: number): Promise<number> {
  const ticks = () => {
    const fields = runIn(node.namespace, 'cat', `/proc/${node.child.pid}/stat`).split(') ')[1].split(' ');
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = ticks();
  await sleep(ms);
  return ((ticks() - before) * 10) / ms;
}

/** A worker that spins never is; one that warms up beside it soon is. */
const untilIdle = (node: WeftNode) =>
  until(`${node.name} is idle`, async () => (await cpuShare(node, 500)) < 0.2, { withinMs: 30_000 });

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'python3', 'vxlan'], 'around a node', () => {
  afterEach(removeNamespaces);

  it('a stranger is a stranger, or becomes a peer where the configuration allows it', async () => {
    const hosts = makeHosts();
    pinOffloads(hosts);
    const [a, b] = [hosts.a.namespace, hosts.b.namespace];
    addKernelVxlan({ host: hosts.b, local: UNDERLAY_B, remote: UNDERLAY_A, addresses: [`${OVERLAY_B}/24`] });
    const closed = await up(a, configOf(UNDERLAY_A, OVERLAY_A));
    expect(await ping(b, OVERLAY_A, { withinSec: 1 })).toBe(0);
    const { reasons } = await closed.read<DropsDocument>('drops');
    expect(reasons.find(({ reason }) => reason === 'unknown-peer')?.packets).toBeGreaterThan(0);
    expect(await closed.end()).toBe(0);

    const open = await up(a, configOf(UNDERLAY_A, OVERLAY_A, { unknownPeers: 'accept' }));
    await until('the stranger is answered', async () => (await ping(b, OVERLAY_A)) === 3);
    const peers = await open.read<PeerDocument[]>('peers');
    expect(peers).toMatchObject([{ network: 'blue', address: UNDERLAY_B, dynamic: true, failedSends: 0 }]);
    const { sent, received } = await sendTcp(b, a, OVERLAY_A, 5_000_000);
    expect(received).toEqual(sent);
    await expectQuiet(open);
  });

  it('peers may listen on ports of their own, and sockets stay on their device', async () => {
    const { a, b } = makeHosts();
    const left = { peers: [{ address: UNDERLAY_B, udpPort: 8472 }] };
    const right = { peers: [{ address: UNDERLAY_A, udpPort: 4789 }] };
    const nodes = [
      await up(a.namespace, configOf(UNDERLAY_A, OVERLAY_A, left, { device: 'va' })),
      await up(b.namespace, configOf(UNDERLAY_B, OVERLAY_B, right, { device: 'vb', udpPort: 8472 })),
    ];
    expect(await ping(a.namespace, OVERLAY_B)).toBe(3);
    const { sent, received } = await sendTcp(a.namespace, b.namespace, OVERLAY_B, 5_000_000);
    expect(received).toEqual(sent);
    await expectQuiet(...nodes);
    for (const node of nodes) expect((await node.stats()).account.dropped).toBe(0);
  });

  it('a link goes down and comes back, in the middle of a stream', async () => {
    const { a, b } = makeHosts();
    const node = await up(a.namespace, configOf(UNDERLAY_A, OVERLAY_A, { peers: [UNDERLAY_B] }));
    const other = await up(b.namespace, configOf(UNDERLAY_B, OVERLAY_B, { peers: [UNDERLAY_A] }));
    expect(await ping(a.namespace, OVERLAY_B)).toBe(3);
    const stream = sendTcp(a.namespace, b.namespace, OVERLAY_B, 300_000_000);
    await until('the stream', async () => (await node.stats()).account.sent > 1000);
    runIn(a.namespace, 'ip', 'link', 'set', 'va', 'down');
    const failing = async () => {
      const [{ failedSends, lastError }] = await node.read<PeerDocument[]>('peers');
      return failedSends > 0 && lastError === 'ENETUNREACH';
    };
    await until('a send fails', failing);
    runIn(a.namespace, 'ip', 'link', 'set', 'va', 'up');
    const { sent, received } = await stream;
    expect(received).toEqual(sent);
    await expectQuiet(node, other);
  });

  it('a namespace is removed by someone else, and its port with a verb', async () => {
    const { a, b } = makeHosts();
    const station = makeQuietNamespace('station');
    const guest = { type: 'tap' as const, name: 'guest', device: 'eth0', netns: station, addresses: ['10.1.0.7/24'] };
    const config = configOf(UNDERLAY_A, OVERLAY_A, { peers: [UNDERLAY_B] });
    config.networks[0].ports?.push(guest);
    const node = await up(a.namespace, config);
    const other = await up(b.namespace, configOf(UNDERLAY_B, OVERLAY_B, { peers: [UNDERLAY_A] }));
    expect(await ping(station, OVERLAY_B)).toBe(3);

    removeNamespace(station);
    // Floods try it in vain; the others go on, and the worker does not spin.
    await sendFrames(b.namespace, TAP, [ethernet({ src: 5, dst: BROADCAST }, 0x88b5, new Uint8Array(50))]);
    expect(await ping(b.namespace, OVERLAY_A)).toBe(3);
    await untilIdle(node);
    await expectQuiet(node, other);

    expect(await node.weft('port', 'remove', 'guest')).toMatchObject({ status: 0 });
    const again = makeQuietNamespace('second');
    const where = ['--device', 'eth0', '--netns', again, '--address', '10.1.0.7/24'];
    expect(await node.weft('port', 'add', 'blue', 'guest', ...where)).toMatchObject({ status: 0, stderr: '' });
    expect(await ping(again, OVERLAY_B)).toBe(3);
    await expectQuiet(node, other);
    expect(await node.end()).toBe(0);
  });

  it('a device that the node attached to is removed by someone else', async () => {
    const { a } = makeHosts();
    const station = makeQuietNamespace('station');
    runIn(station, 'ip', 'tuntap', 'add', 'eth0', 'mode', 'tap', 'vnet_hdr');
    const guest = { type: 'tap' as const, name: 'guest', device: 'eth0', netns: station, create: false };
    const config = configOf(UNDERLAY_A, OVERLAY_A);
    config.networks[0].ports?.push(guest);
    const node = await up(a.namespace, config);
    runIn(station, 'ip', 'link', 'delete', 'eth0');
    await sendFrames(a.namespace, TAP, [ethernet({ src: 5, dst: BROADCAST }, 0x88b5, new Uint8Array(50))]);
    await untilIdle(node);
    const { ports } = await node.stats();
    expect(ports.find(({ name }) => name === 'guest')?.drops['device-gone']).toBeGreaterThan(0);
    await expectQuiet(node);
    expect(await node.weft('port', 'remove', 'guest')).toMatchObject({ status: 0 });
    expect(await node.end()).toBe(0);
    expect(node.said).not.toContain('not closed cleanly');
  });
});
