// Two weft nodes and their heartbeats: up and down, followed through a NAT and not by the wrong key, and a path that loses large packets.
import { afterEach, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { LivenessDocument, PeerDocument } from '../../src/observe/documents.js';
import { makeHosts, makeQuietNamespace, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { joinByVeth, removeNamespaces, runIn, type VethEnd } from '../rig/namespaces.js';
import { expectQuiet, nodeName, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendTcp } from '../rig/traffic.js';
import { until } from '../rig/waiting.js';

type Network = ConfigInput['networks'][number];
const QUICK = { intervalMs: 200, timeoutMs: 1000 };
const KEY = { ...QUICK, key: 'a secret of both' };

interface Side {
  own: string;
  peer: string;
  /** Last byte of addresses. */
  n: 1 | 2;
  network?: Partial<Network>;
  roams?: boolean;
}

function vxlan({ own, peer, n, network, roams }: Side): ConfigInput {
  const blue: Network = {
    name: 'blue',
    vni: 42,
    underlay: 'lan',
    heartbeat: KEY,
    peers: [{ address: peer, roams }],
    ports: [{ type: 'tap', name: 'tap0', addresses: [`10.42.0.${n}/24`] }],
    ...network,
  };
  return { underlays: [{ name: 'lan', address: own, sourcePorts: 2 }], networks: [blue] };
}

/** Two networks: a switch, and a router whose peer does not roam. */
function both(side: Side): ConfigInput {
  const { underlays, networks } = vxlan(side);
  const { peer, n } = side;
  const red: Network = {
    name: 'red',
    encapsulation: 'ipip',
    underlay: 'lan',
    heartbeat: QUICK,
    peers: [{ address: peer, prefixes: [`10.43.${3 - n}.0/24`] }],
    ports: [{ type: 'tun', name: 'tun0', addresses: [`10.43.${n}.1/24`] }],
  };
  return { node: { name: nodeName(`heart${n}`) }, underlays, networks: [...networks, red] };
}

const peerOf = async (node: WeftNode, network = 'blue') => {
  const peers = await node.get<PeerDocument[]>('/v1/peers');
  return peers.find((peer) => peer.network === network)!;
};

const reaches = (node: WeftNode, what: Partial<LivenessDocument>, network = 'blue') =>
  until(`${node.name} sees ${JSON.stringify(what)}`, async () => {
    const { liveness } = await peerOf(node, network);
    return Object.entries(what).every(([key, value]) => {
      return JSON.stringify(liveness?.[key as keyof LivenessDocument]) === JSON.stringify(value);
    });
  });
/** What a node prints comes by another way than what it answers. */
const says = (node: WeftNode, what: RegExp) => until(`${node.name} says ${what}`, () => what.test(node.said));

const end = (namespace: string, device: string, address: string): VethEnd => ({ namespace, device, address });
const ip = (namespace: string, ...args: string[]) => runIn(namespace, 'ip', ...args);

/** Hosts a and b with a router between them: 198.18.1.0/24 and 198.18.2.0/24. */
function makeRouted() {
  const [a, router, b] = ['a', 'r', 'b'].map(makeQuietNamespace);
  joinByVeth(end(a, 'va', '198.18.1.1/24'), end(router, 'ra', '198.18.1.254/24'));
  joinByVeth(end(b, 'vb', '198.18.2.2/24'), end(router, 'rb', '198.18.2.254/24'));
  runIn(router, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward');
  ip(b, 'route', 'add', 'default', 'via', '198.18.2.254');
  return { a, router, b };
}

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'python3'], 'heartbeats', () => {
  afterEach(removeNamespaces);

  it('show a peer up, down when it is gone, and follow it by its key alone', { timeout: 180_000 }, async () => {
    const { a, b } = makeHosts();
    const elsewhere = '198.18.0.77';
    ip(b.namespace, 'address', 'add', `${elsewhere}/24`, 'dev', b.device);
    const near = await up(a.namespace, both({ own: UNDERLAY_A, peer: UNDERLAY_B, n: 1, roams: true }));
    const far = await up(b.namespace, both({ own: UNDERLAY_B, peer: UNDERLAY_A, n: 2 }));
    for (const node of [near, far])
      for (const network of ['blue', 'red']) await reaches(node, { state: 'up', at: null }, network);
    // The first ones are answered while the nodes still start.
    const isRoundTrip = (us: number | null | undefined) => us != null && us > 0 && us < 100_000;
    for (const network of ['blue', 'red'])
      await until('a round trip', async () => isRoundTrip((await peerOf(near, network)).liveness?.rttLeastUs));
    expect((await near.weft('peers')).stdout).toMatch(/STATE +RTT[\s\S]*blue +198\.18\.0\.2:4789 +up +\d+ [mu]s/);
    expect(await ping(a.namespace, '10.42.0.2')).toBe(3);
    expect(await near.dropped()).toEqual({});

    await far.end('SIGKILL');
    const killedAt = performance.now();
    await reaches(near, { state: 'down' });
    await reaches(near, { state: 'down' }, 'red');
    // Not after the 5 seconds that it is without `timeoutMs`.
    expect(performance.now() - killedAt).toBeLessThan(4500);
    expect((await near.weft('status')).stdout).toMatch(/peer 198\.18\.0\.2: has not answered heartbeats of network/);
    await says(near, /peer 198\.18\.0\.2 of network red does not answer/);

    // The same name and the same networks at another address, first with another key.
    const moved = { own: elsewhere, peer: UNDERLAY_A, n: 2 as const };
    const wrong = await up(b.namespace, both({ ...moved, network: { heartbeat: { ...KEY, key: 'a guess' } } }));
    await until('its heartbeats came', async () => ((await near.dropped())['unknown-peer'] ?? 0) > 5);
    expect((await peerOf(near)).liveness).toMatchObject({ state: 'down', at: null });
    await wrong.end();
    await up(b.namespace, both(moved));
    await reaches(near, { state: 'up', at: { address: elsewhere, udpPort: 4789 } });
    // From there: host a still knows the MAC of the port that is gone.
    expect(await ping(b.namespace, '10.42.0.1')).toBe(3);
    await says(near, /peer 198\.18\.0\.2 of network blue is at 198\.18\.0\.77:4789 now/);
    // Who does not roam stays where it is.
    expect((await peerOf(near, 'red')).liveness).toMatchObject({ state: 'down', at: null });
    await expectQuiet(near);
  });

  it('find a path that loses large packets in silence', { timeout: 180_000 }, async () => {
    const { a, router, b } = makeRouted();
    ip(a, 'route', 'add', 'default', 'via', '198.18.1.254');
    ip(router, 'link', 'set', 'rb', 'mtu', '1400');
    // No "fragmentation needed" leaves the router.
    ip(router, 'rule', 'add', 'pref', '10', 'ipproto', 'icmp', 'blackhole');
    const near = await up(a, vxlan({ own: '198.18.1.1', peer: '198.18.2.2', n: 1 }));
    await up(b, vxlan({ own: '198.18.2.2', peer: '198.18.1.1', n: 2 }));
    await reaches(near, { state: 'up', blackHole: 1400 });
    await until('its packets fit', async () => (await peerOf(near)).mtu === 1350);
    expect((await peerOf(near)).pathMtu).toMatchObject({ bytes: 1400, why: 'probe' });
    expect((await near.weft('status')).stdout).toMatch(/black hole/);
    const { sent, received } = await sendTcp(a, b, '10.42.0.2', 2_000_000);
    expect(received).toEqual(sent);
  });
});

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'nft'], 'heartbeats through a NAT', () => {
  afterEach(removeNamespaces);

  it('lead to the node behind it, and again when that has another address', { timeout: 180_000 }, async () => {
    const { a, router, b } = makeRouted();
    // b is behind the router, which gives its packets another address and port.
    const rule = 'oifname "ra" ip protocol udp masquerade to :20000-20100;';
    const chain = `chain post { type nat hook postrouting priority 100; ${rule} }`;
    runIn(router, 'nft', `table ip nat {\n${chain}\n}`);
    const near = await up(a, vxlan({ own: '198.18.1.1', peer: '198.18.2.2', n: 1, roams: true }));
    const far = await up(b, vxlan({ own: '198.18.2.2', peer: '198.18.1.1', n: 2 }));
    const at = async () => (await peerOf(near)).liveness!.at;
    await until('the peer is found', async () => (await at()) !== null);
    const first = await at();
    expect(first?.address).toBe('198.18.1.254');
    expect(first?.udpPort).toBeGreaterThanOrEqual(20000);
    expect(first?.udpPort).toBeLessThanOrEqual(20100);
    await reaches(near, { state: 'up' });
    await reaches(far, { state: 'up' });
    expect(await ping(b, '10.42.0.1')).toBe(3);
    expect(await ping(a, '10.42.0.2')).toBe(3);
    expect((await near.macs()).find((mac) => mac.peer === '198.18.2.2')).toBeDefined();

    // The NAT gets another address itself, and forgets what it had given out.
    ip(router, 'address', 'del', '198.18.1.254/24', 'dev', 'ra');
    ip(router, 'address', 'add', '198.18.1.253/24', 'dev', 'ra');
    await until('the peer is found again', async () => (await at())?.address === '198.18.1.253');
    await reaches(near, { state: 'up' });
    expect(await ping(a, '10.42.0.2')).toBe(3);
    // Full packets get through the NAT as well.
    expect(await peerOf(near)).toMatchObject({ address: '198.18.2.2', pathMtu: null });
  });
});
