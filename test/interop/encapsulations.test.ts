// Nodes of every encapsulation at once: side by side on one underlay, bridged, and the routes that hosts get.
import { afterEach, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { PeerDocument, RouteDocument } from '../../src/observe/documents.js';
import { makeHosts, makeQuietNamespace, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { joinByVeth, removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, failUp, nodeName, scratchFile, up } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendTcp } from '../rig/traffic.js';

type Network = ConfigInput['networks'][number];

/** Routes that weft made in a namespace, as `PREFIX [via ADDRESS] dev DEVICE`. */
const routesOf = (namespace: string) =>
  runIn(namespace, 'ip', 'route', 'show', 'proto', '199')
    .split('\n')
    .map((line) => line.replace(/ scope link/, '').trim())
    .filter((line) => line !== '');

const KINDS: [name: string, network: Partial<Network>, mtu: number][] = [
  ['vxlan', { vni: 1 }, 1450],
  [
    'geneve',
    { vni: 1, encapsulation: { type: 'geneve', options: [{ class: 0x0102, type: 1, data: '01020304' }] } },
    1442,
  ],
  ['gre', { encapsulation: { type: 'gre', key: 5, checksum: true } }, 1454],
  ['group', { vni: 2, encapsulation: { type: 'vxlan', udpPort: 4788, group: 7 } }, 1450],
  ['ipip', { encapsulation: 'ipip' }, 1480],
  ['fou', { encapsulation: 'fou' }, 1472],
  ['gue', { encapsulation: 'gue' }, 1468],
  ['gre3', { encapsulation: { type: 'gre', key: 6, sequence: true }, mode: 'l3' }, 1468],
  ['geneve3', { vni: 2, encapsulation: 'geneve', mode: 'l3' }, 1464],
  ['gpe3', { vni: 3, encapsulation: { type: 'vxlan', gpe: true }, mode: 'l3' }, 1464],
  ['flannel', { preset: 'flannel' }, 1450],
];

const isRouted = (network: Partial<Network>) =>
  network.mode === 'l3' || network.preset === 'flannel' || /ipip|fou|gue/.test(String(network.encapsulation));

/** All of them in one node: host 1 or 2 of network i has 10.i.0.host, or in a routed one 10.i.host.1. */
function everything(host: 1 | 2): ConfigInput {
  const [own, peer] = host === 1 ? [UNDERLAY_A, UNDERLAY_B] : [UNDERLAY_B, UNDERLAY_A];
  const networks = KINDS.map(([name, rest], i): Network => {
    const common = { name, underlay: 'veth', heartbeat: {}, ...rest };
    const address = isRouted(rest) ? `10.${i + 1}.${host}.1/24` : `10.${i + 1}.0.${host}/24`;
    const type = isRouted(rest) ? ('tun' as const) : ('tap' as const);
    const prefixes = isRouted(rest) ? { prefixes: [`10.${i + 1}.${3 - host}.0/24`] } : {};
    return { ...common, peers: [{ address: peer, ...prefixes }], ports: [{ type, name, addresses: [address] }] };
  });
  return { underlays: [{ name: 'veth', address: own, sourcePorts: 4 }], networks };
}

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'python3'], 'one node', () => {
  afterEach(removeNamespaces);

  it('runs every encapsulation at once', { timeout: 240_000 }, async () => {
    const { a, b } = makeHosts();
    const nodes = [await up(a.namespace, everything(1)), await up(b.namespace, everything(2))];
    const { networks } = await nodes[0].status();
    expect(networks.map((n) => [n.name, n.mtu])).toEqual(KINDS.map(([name, , mtu]) => [name, mtu]));
    for (const [i, [name, network, mtu]] of KINDS.entries()) {
      const address = isRouted(network) ? `10.${i + 1}.2.1` : `10.${i + 1}.0.2`;
      expect(await ping(a.namespace, address), name).toBe(3);
      expect(await ping(a.namespace, address, { size: mtu - 28 }), `${name}, ${mtu} bytes`).toBe(3);
      const { sent, received } = await sendTcp(a.namespace, b.namespace, address, 2_000_000);
      expect(received, name).toEqual(sent);
    }
    for (const node of nodes)
      for (const { network, liveness, pathMtu } of await node.get<PeerDocument[]>('/v1/peers'))
        expect([liveness?.state, pathMtu], `heartbeats through ${network}`).toEqual(['up', null]);
    await expectQuiet(...nodes);
    for (const node of nodes) expect((await node.stats()).account.dropped).toBe(0);
  });

  it('relays between networks that are bridged, and between no others', { timeout: 240_000 }, async () => {
    const [a, middle, b] = ['a', 'm', 'b'].map(makeQuietNamespace);
    const end = (namespace: string, device: string, address: string) => ({
      namespace,
      device,
      address: `${address}/24`,
    });
    joinByVeth(end(a, 'to-m', '198.18.1.1'), end(middle, 'to-a', '198.18.1.2'));
    joinByVeth(end(b, 'to-m', '198.18.2.1'), end(middle, 'to-b', '198.18.2.2'));
    const tap = (name: string, address: string) => ({ type: 'tap' as const, name, addresses: [address] });
    const tun = (name: string, address: string) => ({ type: 'tun' as const, name, addresses: [address] });
    const route = (address: string, ...prefixes: string[]) => ({ address, prefixes });
    const mtu = 1400;
    await up(a, {
      underlays: [{ name: 'u', address: '198.18.1.1' }],
      networks: [
        { name: 'l2', mtu, vni: 1, underlay: 'u', peers: ['198.18.1.2'], ports: [tap('l2', '10.1.0.1/24')] },
        {
          name: 'l3',
          mtu,
          underlay: 'u',
          encapsulation: 'ipip',
          peers: [route('198.18.1.2', '10.2.2.0/24')],
          ports: [tun('l3', '10.2.1.1/24')],
        },
        { name: 'no', mtu, vni: 3, underlay: 'u', peers: ['198.18.1.2'], ports: [tap('no', '10.3.0.1/24')] },
      ],
    });
    await up(b, {
      underlays: [{ name: 'u', address: '198.18.2.1' }],
      networks: [
        {
          name: 'l2',
          mtu,
          vni: 1,
          underlay: 'u',
          encapsulation: 'geneve',
          peers: ['198.18.2.2'],
          ports: [tap('l2', '10.1.0.2/24')],
        },
        {
          name: 'l3',
          mtu,
          underlay: 'u',
          encapsulation: 'gue',
          peers: [route('198.18.2.2', '10.2.1.0/24')],
          ports: [tun('l3', '10.2.2.1/24')],
        },
        {
          name: 'no',
          mtu,
          vni: 3,
          underlay: 'u',
          encapsulation: 'geneve',
          peers: ['198.18.2.2'],
          ports: [tap('no', '10.3.0.2/24')],
        },
      ],
    });
    const relay = await up(middle, {
      underlays: [
        { name: 'ua', address: '198.18.1.2' },
        { name: 'ub', address: '198.18.2.2' },
      ],
      networks: [
        { name: 'l2a', mtu, vni: 1, underlay: 'ua', peers: ['198.18.1.1'] },
        { name: 'l2b', mtu, vni: 1, underlay: 'ub', encapsulation: 'geneve', peers: ['198.18.2.1'] },
        { name: 'l3a', mtu, underlay: 'ua', encapsulation: 'ipip', peers: [route('198.18.1.1', '10.2.1.0/24')] },
        { name: 'l3b', mtu, underlay: 'ub', encapsulation: 'gue', peers: [route('198.18.2.1', '10.2.2.0/24')] },
        { name: 'noa', mtu, vni: 3, underlay: 'ua', peers: ['198.18.1.1'] },
        { name: 'nob', mtu, vni: 3, underlay: 'ub', encapsulation: 'geneve', peers: ['198.18.2.1'] },
      ],
      bridge: [
        ['l2a', 'l2b'],
        ['l3a', 'l3b'],
      ],
    });
    for (const address of ['10.1.0.2', '10.2.2.1']) {
      expect(await ping(a, address), address).toBe(3);
      expect(await ping(a, address, { size: mtu - 28 }), address).toBe(3);
      const { sent, received } = await sendTcp(a, b, address, 2_000_000);
      expect(received).toEqual(sent);
    }
    expect(await ping(a, '10.3.0.2', { withinSec: 1 })).toBe(0);
    await expectQuiet(relay);
  });
});

describeWith(['root', 'tun', 'addon', 'ip', 'ping'], 'routes on the host', () => {
  afterEach(removeNamespaces);

  const router = (own: string, network: Partial<Network>, rest: Partial<ConfigInput> = {}): ConfigInput => ({
    underlays: [{ name: 'veth', address: own }],
    networks: [{ name: 'routed', underlay: 'veth', encapsulation: 'ipip', ...network }],
    ...rest,
  });
  const port = (address: string, rest: object = {}) => ({
    type: 'tun' as const,
    name: 'r0',
    addresses: [address],
    ...rest,
  });

  it('come with the peers of a node, and go with it', async () => {
    const { a, b } = makeHosts();
    const peers = [
      { address: UNDERLAY_B, prefixes: ['10.1.2.0/24'] },
      { address: '198.18.9.9', prefixes: ['10.1.9.0/24'] },
    ];
    const left = await up(
      a.namespace,
      router(UNDERLAY_A, { routing: 'crossSubnet', peers, ports: [port('10.1.1.1/24')] }),
    );
    const back = [{ address: UNDERLAY_A, prefixes: ['10.1.1.0/24'] }];
    await up(b.namespace, router(UNDERLAY_B, { routing: 'direct', peers: back, ports: [port('10.1.2.1/24')] }));
    expect(routesOf(a.namespace)).toEqual([`10.1.2.0/24 via ${UNDERLAY_B} dev va`, '10.1.9.0/24 dev r0']);
    expect(await ping(a.namespace, '10.1.2.1')).toBe(3);
    // The kernel routed these: no packet passed the tunnel.
    expect((await left.stats()).peers.map((peer) => peer.txPackets)).toEqual([0, 0]);

    const added = await left.weft(
      'peer',
      'add',
      'routed',
      '198.18.9.8',
      '--prefix',
      '10.1.8.0/24',
      '--prefix',
      '10.1.7.0/24',
    );
    expect([added.status, added.stderr]).toEqual([0, '']);
    expect(routesOf(a.namespace)).toContain('10.1.8.0/24 dev r0');
    const routes = await left.read<RouteDocument[]>('route');
    expect(routes.find((route) => route.prefix === '10.1.7.0/24')).toMatchObject({ peer: '198.18.9.8', direct: false });
    expect((await left.weft('route', 'get', '10.1.2.7', '--network', 'routed')).stdout).toBe(
      `10.1.2.7: peer ${UNDERLAY_B} (direct), by 10.1.2.0/24\n`,
    );
    expect((await left.weft('peer', 'remove', 'routed', '198.18.9.8')).status).toBe(0);
    expect(routesOf(a.namespace)).toHaveLength(2);
    expect(await left.end('SIGTERM')).toBe(0);
    expect(routesOf(a.namespace)).toEqual([]);
  });

  it('of a node that was killed are taken over by the next one', async () => {
    const { a } = makeHosts();
    const node = { name: nodeName('routes'), socket: scratchFile('routes.sock') };
    const peers = [{ address: UNDERLAY_B, prefixes: ['10.1.2.0/24'] }];
    const config = router(UNDERLAY_A, { routing: 'direct', peers, ports: [port('10.1.1.1/24')] }, { node });
    const direct = [`10.1.2.0/24 via ${UNDERLAY_B} dev va`];
    await (await up(a.namespace, config)).end('SIGKILL');
    expect(routesOf(a.namespace)).toEqual(direct);
    const next = await up(a.namespace, config);
    expect(routesOf(a.namespace)).toEqual(direct);
    expect(await next.end()).toBe(0);
    expect(routesOf(a.namespace)).toEqual([]);
  });

  it('that somebody else has made are an error, and nothing is left of the start', async () => {
    const { a } = makeHosts();
    runIn(a.namespace, 'ip', 'route', 'add', '10.1.3.0/24', 'via', UNDERLAY_B);
    const peers = [{ address: UNDERLAY_B, prefixes: ['10.1.2.0/24', '10.1.3.0/24'] }];
    const { status, stderr } = await failUp(a.namespace, router(UNDERLAY_A, { peers, ports: [port('10.1.1.1/24')] }));
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/port r0: there is a route to 10\.1\.3\.0\/24 already via 198\.18\.0\.2 dev va/),
    ]);
    expect(stderr).toMatch(/ip route delete 10\.1\.3\.0\/24 via 198\.18\.0\.2 dev va/);
    expect(routesOf(a.namespace)).toEqual([]);
    expect(runIn(a.namespace, 'ip', '-o', 'link')).not.toContain('r0');
    expect(runIn(a.namespace, 'ip', 'route')).toContain('10.1.3.0/24');
  });

  it('through a device that exists go from it with the node, and so do its addresses', async () => {
    const { a, b } = makeHosts();
    runIn(a.namespace, 'ip', 'tuntap', 'add', 'dev', 'r0', 'mode', 'tun', 'vnet_hdr');
    const there = [{ address: UNDERLAY_B, prefixes: ['10.1.2.0/24'] }];
    const back = [{ address: UNDERLAY_A, prefixes: ['10.1.1.0/24'] }];
    const ports = [port('10.1.1.1/24', { create: false })];
    const node = await up(a.namespace, router(UNDERLAY_A, { peers: there, ports }));
    await up(b.namespace, router(UNDERLAY_B, { peers: back, ports: [port('10.1.2.1/24')] }));
    expect(await ping(a.namespace, '10.1.2.1')).toBe(3);
    await expectQuiet(node);
    expect(await node.end()).toBe(0);
    expect(routesOf(a.namespace)).toEqual([]);
    expect(runIn(a.namespace, 'ip', '-o', 'address', 'show', 'dev', 'r0')).toBe('');
  });
});
