// A running node with networks of mode l3: its documents, its API, and what changes when ports and peers do.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { answerText, routesText } from '../../../../src/cli/route.js';
import { statusText } from '../../../../src/cli/status.js';
import { createClient, type NodeClient } from '../../../../src/control/api/client.js';
import { checkValue, requireConfig } from '../../../../src/control/config/check.js';
import { createNode, type Node } from '../../../../src/control/node.js';
import { routeBytesOf } from '../../../../src/control/plan/routeRoom.js';
import type { RouteAnswer, RouteDocument } from '../../../../src/observe/documents.js';
import { type FakeDataplane, fakeDataplane, fakeKernel } from '../fakes.js';

const NETWORKS = [
  {
    name: 'routed',
    underlay: 'lan',
    encapsulation: 'ipip' as const,
    routing: 'crossSubnet' as const,
    ports: [{ name: 'm', type: 'tun' as const, prefixes: ['10.42.1.0/24'] }],
    peers: [
      { address: '192.0.2.2', prefixes: ['10.42.2.0/24', '10.42.2.128/25'] },
      { address: '198.51.100.2', prefixes: ['10.0.0.0/8'] },
    ],
  },
  { name: 'blue', vni: 42, underlay: 'lan', peers: ['192.0.2.2'], ports: [{ name: 'b', type: 'memory' as const }] },
  { name: 'green', vni: 7, underlay: 'lan', encapsulation: 'geneve' as const, peers: ['192.0.2.7'] },
];

let folder: string;
let node: Node;
let plane: FakeDataplane;
let client: NodeClient;

beforeEach(async (context) => {
  if (process.geteuid?.() !== 0) return context.skip('needs root');
  folder = mkdtempSync(join(tmpdir(), 'weft-routed-'));
  plane = fakeDataplane();
  const socket = join(folder, 'n.sock');
  const config = {
    node: { name: 'n', socket },
    underlays: [{ name: 'lan', address: '192.0.2.1', sourcePorts: 1 }],
    networks: NETWORKS,
    bridge: ['blue', 'green'],
  };
  node = createNode(config, {}, { kernel: fakeKernel, dataplane: () => plane, now: () => 1000 });
  await node.start();
  client = createClient(socket);
});

afterEach(async () => {
  await node?.stop();
  if (folder) rmSync(folder, { recursive: true });
});

it('says where every prefix lies, in the order of addresses', async () => {
  const routes = await client.get<RouteDocument[]>('/v1/routes');
  expect(routes.map((r) => `${r.network} ${r.prefix} ${r.port} ${r.peer} ${r.direct}`)).toEqual([
    'routed 10.0.0.0/8 null 198.51.100.2 false',
    'routed 10.42.1.0/24 m null false',
    'routed 10.42.2.0/24 null 192.0.2.2 true',
    'routed 10.42.2.128/25 null 192.0.2.2 true',
  ]);
  expect(routesText(routes)).toBe(
    [
      'NETWORK  PREFIX          TO',
      'routed   10.0.0.0/8      peer 198.51.100.2',
      'routed   10.42.1.0/24    port m',
      'routed   10.42.2.0/24    peer 192.0.2.2 (direct)',
      'routed   10.42.2.128/25  peer 192.0.2.2 (direct)',
    ].join('\n'),
  );
  expect(routesText([])).toBe('no routes');
});

it.for<[string, string]>([
  ['10.42.1.7', '10.42.1.7: port m, by 10.42.1.0/24'],
  ['10.42.2.7', '10.42.2.7: peer 192.0.2.2 (direct), by 10.42.2.0/24'],
  ['10.42.2.200', '10.42.2.200: peer 192.0.2.2 (direct), by 10.42.2.128/25'],
  ['10.42.3.1', '10.42.3.1: peer 198.51.100.2, by 10.0.0.0/8'],
  ['11.0.0.1', '11.0.0.1: network routed has no route'],
  ['fd00:0::1', 'fd00::1: network routed has no route'],
])('finds the longest prefix of %s', async ([address, expected]) => {
  const answer = await client.get<RouteAnswer>(`/v1/routes?network=routed&address=${encodeURIComponent(address)}`);
  expect(answerText(answer)).toBe(expected);
});

it.for<[string, RegExp]>([
  ['network=routed', /go together/],
  ['address=10.0.0.1', /go together/],
  ['network=routed&adress=10.0.0.1', /unknown parameter "adress"/],
  ['network=red&address=10.0.0.1', /there is no network "red"/],
  ['network=blue&address=10.0.0.1', /network blue is of mode l2/],
  ['network=routed&address=10.0.0.0/8', /is not an IP address/],
])('refuses %s', async ([query, message]) => {
  await expect(client.get(`/v1/routes?${query}`)).rejects.toThrow(message);
});

it('shows modes, tunnels, carriers and bridges in its status', () => {
  const status = node.status();
  expect(
    status.networks.map((n) => [n.name, n.mode, n.encapsulation, n.id, n.underlays, n.routes, n.bridgedWith]),
  ).toEqual([
    ['routed', 'l3', 'ipip', null, ['lan/ipip'], 4, []],
    ['blue', 'l2', 'vxlan', 42, ['lan'], 0, ['green']],
    ['green', 'l2', 'geneve', 7, ['lan/geneve'], 0, ['blue']],
  ]);
  expect(status.underlays.map((u) => [u.name, u.underlay, u.kind, u.transport])).toEqual([
    ['lan/ipip', 'lan', 'raw', 'ip/4+41'],
    ['lan', 'lan', 'udp', 'udp/4789'],
    ['lan/geneve', 'lan', 'udp', 'udp/6081'],
  ]);
  expect(status.ports[0]).toMatchObject({ name: 'm', type: 'tun', prefixes: ['10.42.1.0/24'], mac: null });
  expect(status.peers[0]).toMatchObject({ prefixes: ['10.42.2.0/24', '10.42.2.128/25'], direct: true, udpPort: 0 });
  const text = statusText(status);
  expect(text).toContain(
    [
      'NETWORK  MODE  TUNNEL  ID  UNDERLAY    MTU        PORTS  PEERS  KNOWS',
      'routed   l3    ipip     -  lan/ipip    1480 auto      1      2  4 routes',
      'blue     l2    vxlan   42  lan         1450 auto      1      1  0 of 8,192 MACs, 0 neighbours',
      'green    l2    geneve   7  lan/geneve  1450 auto      0      1  0 of 8,192 MACs, 0 neighbours',
      '  network blue: bridged with green',
      '  network green: bridged with blue',
    ].join('\n'),
  );
  expect(text).toContain('underlay lan/ipip  192.0.2.1 ip/4+41 on eth0 (MTU 1500)\n');
  expect(text).toMatch(/^192\.0\.2\.2 \(direct\) +routed/m);
});

it('counts and names stations by the network that they are behind, bridged or not', () => {
  const row = { network: 2, isStatic: false, isHeld: false, expiresInSec: 9 };
  plane.rows = [
    { ...row, mac: '02:00:00:00:00:01', port: 2, peer: 0 },
    { ...row, mac: '02:00:00:00:00:02', port: 0, peer: 3 },
    { ...row, mac: '02:00:00:00:00:03', port: 0, peer: 4 },
  ];
  // Ports 1 and 2 are those of routed and blue; peers 1 and 2 of routed, 3 of blue, 4 of green.
  expect(node.macs().map((m) => [m.network, m.port, m.peer])).toEqual([
    ['blue', 'b', null],
    ['blue', null, '192.0.2.2'],
    ['green', null, '192.0.2.7'],
  ]);
  expect(node.status().networks.map((n) => n.macs)).toEqual([0, 2, 1]);
});

it('changes its routes with its peers and ports', async () => {
  const peer = { address: '192.0.2.9', prefixes: ['10.42.9.0/24'] };
  expect(await client.post('/v1/peers', { network: 'routed', peer })).toMatchObject(peer);
  expect(plane.plans.at(-1)!.routes.map((r) => r.prefix)).toContain('10.42.9.0/24');
  await expect(node.addPeer('routed', { address: '192.0.2.10', prefixes: ['10.42.9.0/24'] })).rejects.toThrow(
    /10.42.9.0\/24 is behind peer 192.0.2.9 already/,
  );
  await expect(node.addPort('routed', { name: 'r1', type: 'tun' })).rejects.toThrow(/nothing is routed to port "r1"/);
  await node.addPort('routed', { name: 'r1', type: 'tun', prefixes: ['10.42.8.0/24'] });
  expect(node.routes().map((r) => r.prefix)).toContain('10.42.8.0/24');
  await node.removePeer('routed', '192.0.2.9');
  await node.removePort('r1');
  expect(node.routes()).toHaveLength(4);
});

it('has room for as many routes again, and for some without networks of mode l3', () => {
  const config = (networks: object[]) =>
    requireConfig(checkValue({ underlays: [{ name: 'lan', address: '192.0.2.1' }], networks }));
  expect(routeBytesOf(config([NETWORKS[1]]))).toBe(128 * 1024);
  const few = routeBytesOf(config([NETWORKS[0]]));
  expect(few).toBeGreaterThan(128 * 1024);
  const prefixes = Array.from({ length: 5000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  const many = { ...NETWORKS[0], peers: [{ address: '192.0.2.2', prefixes }] };
  expect(
    routeBytesOf(config([{ ...many, ports: [{ name: 'm', type: 'tun', prefixes: ['11.0.0.0/8'] }] }])),
  ).toBeGreaterThan(few);
});
