// ARP and neighbour discovery of the kernel's own stack, with two nodes between the stations: two behind node A, one behind node B.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { NeighbourDocument } from '../../src/observe/documents.js';
import { makeHosts, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { macText } from '../rig/mesh.js';
import { makeNamespace, removeNamespaces, runIn } from '../rig/namespaces.js';
import { arp, gratuitous } from '../rig/neighbours.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendFrames } from '../rig/traffic.js';
import { readFields, record } from '../rig/tshark.js';
import { until } from '../rig/waiting.js';

const DEVICE = 'eth0';
const v4 = (n: number) => `10.0.0.${n}`;
const v6 = (n: number) => `fd00::${n}`;
/** An address that node A is told the MAC of; nobody has it. */
const STATIC = 9;

function configOf(address: string, peer: string, stations: Map<number, string>): ConfigInput {
  return {
    underlays: [{ name: 'wire', address }],
    networks: [
      {
        name: 'blue',
        vni: 42,
        underlay: 'wire',
        peers: [peer],
        staticNeighbours: address === UNDERLAY_A ? [{ address: v4(STATIC), mac: macText(STATIC) }] : [],
        ports: [...stations].map(([n, netns]) => ({
          type: 'tap',
          name: `s${n}`,
          device: DEVICE,
          netns,
          mac: macText(n),
          addresses: [`${v4(n)}/24`],
        })),
      },
    ],
  };
}

/** MAC that a station's kernel has for an address. */
function neighbourOf(namespace: string, address: string): string | undefined {
  return / lladdr (\S+)/.exec(runIn(namespace, 'ip', 'neigh', 'show', address, 'dev', DEVICE))?.[1];
}

const needs = ['root', 'tun', 'addon', 'ip', 'ping', 'tcpdump', 'tshark', 'python3'] as const;
describeWith([...needs], 'neighbours of the kernel, answered for by the node', () => {
  let wire: { namespace: string; device: string };
  let nodeA: WeftNode;
  let nodeB: WeftNode;
  const stations = new Map<number, string>();
  const station = (n: number) => stations.get(n) as string;

  /** Requests that cross the underlay while something happens: addresses that are asked for by group frames. */
  async function asked(happens: () => Promise<void>): Promise<string[]> {
    const recording = await record(wire.namespace, wire.device, { filter: 'udp port 4789' });
    await happens();
    const fields = ['arp.dst.proto_ipv4', 'icmpv6.nd.ns.target_address'] as const;
    const filter = '(arp.opcode == 1 or icmpv6.type == 135) and vxlan and eth.dst.ig == 1';
    const requests = await readFields(await recording.stop(), fields, { filter });
    return requests.flatMap((r) => fields.flatMap((name) => r[name]));
  }

  const known = async (node: WeftNode, address: string) =>
    (await node.read<NeighbourDocument[]>('neighbours')).find((n) => n.address === address);

  beforeAll(async () => {
    const { a, b } = makeHosts();
    wire = a;
    for (const n of [1, 2, 3]) stations.set(n, makeNamespace(`s${n}`));
    const behind = (...all: number[]) => new Map(all.map((n) => [n, station(n)]));
    nodeA = await up(a.namespace, configOf(UNDERLAY_A, UNDERLAY_B, behind(1, 2)));
    nodeB = await up(b.namespace, configOf(UNDERLAY_B, UNDERLAY_A, behind(3)));
    for (const [n, namespace] of stations)
      runIn(namespace, 'ip', 'address', 'add', `${v6(n)}/64`, 'dev', DEVICE, 'nodad');
  });
  afterAll(async () => {
    await nodeA?.end();
    await nodeB?.end();
    await removeNamespaces();
  });

  it.each([
    ['ARP', v4],
    ['neighbour discovery', v6],
  ])('%s: the first request crosses the underlay, those of others do not', async (_, address) => {
    const first = await asked(async () => {
      expect(await ping(station(1), address(3), { count: 1 })).toBe(1);
    });
    expect(first).toContain(address(3));
    // Station 2 is heard of once, with whatever it asks.
    expect(await ping(station(2), address(1), { count: 1 })).toBe(1);
    const { account: before } = await nodeA.stats();
    const second = await asked(async () => {
      expect(await ping(station(2), address(3), { count: 2 })).toBe(2);
    });
    expect(second).not.toContain(address(3));
    // Station 3 asks back. Whether station 2 is a router is not known before it has advertised itself.
    if (address === v4) expect(second).not.toContain(address(2));
    expect(neighbourOf(station(2), address(3))).toBe(macText(3));
    const { account: after } = await nodeA.stats();
    expect(after.made - before.made).toBeGreaterThanOrEqual(1);
    expect(await known(nodeA, address(3))).toMatchObject({ mac: macText(3), port: null, peer: UNDERLAY_B });
    expect(await known(nodeA, address(2))).toMatchObject({ mac: macText(2), port: 's2', peer: null, static: false });
    await expectQuiet(nodeA, nodeB);
  });

  it('an address that is in use behind a peer is found to be a duplicate', async () => {
    const show = () => runIn(station(2), 'ip', '-6', 'address', 'show', 'dev', DEVICE);
    // It asks more than once, a second apart: an answer that comes later than that counts, too.
    runIn(station(2), 'sh', '-c', `echo 3 >/proc/sys/net/ipv6/conf/${DEVICE}/dad_transmits`);
    runIn(station(2), 'ip', 'address', 'add', `${v6(3)}/64`, 'dev', DEVICE);
    await until('the kernel gives the address up', () => /fd00::3\/64 .*dadfailed/.test(show()));
    runIn(station(2), 'ip', 'address', 'del', `${v6(3)}/64`, 'dev', DEVICE);
    // And one that is free is not.
    runIn(station(2), 'ip', 'address', 'add', `${v6(7)}/64`, 'dev', DEVICE);
    await until('the kernel takes the address', () => /fd00::7/.test(show()) && !/fd00::7.*tentative/.test(show()));
    expect(show()).not.toContain('dadfailed');
  });

  it('another MAC, announced by gratuitous ARP, is what others are told from then on', async () => {
    expect(await ping(station(1), v4(3), { count: 1 })).toBe(1);
    runIn(station(3), 'sh', '-c', `echo 1 >/proc/sys/net/ipv4/conf/${DEVICE}/arp_notify`);
    runIn(station(3), 'ip', 'link', 'set', DEVICE, 'address', macText(33));
    await until('node A has heard of it', async () => (await known(nodeA, v4(3)))?.mac === macText(33));
    runIn(station(1), 'ip', 'neigh', 'flush', 'all');
    const requests = await asked(async () => {
      expect(await ping(station(1), v4(3), { count: 1 })).toBe(1);
    });
    expect(requests).not.toContain(v4(3));
    expect(neighbourOf(station(1), v4(3))).toBe(macText(33));
  });

  it('a static neighbour cannot be poisoned', async () => {
    // Nobody answers the ping, but the node says who has the address.
    await ping(station(1), v4(STATIC), { count: 1, withinSec: 1 });
    expect(neighbourOf(station(1), v4(STATIC))).toBe(macText(STATIC));
    const lies = [
      gratuitous(STATIC, 66),
      gratuitous(STATIC, 66, 2),
      arp({ sha: 66, spa: STATIC, tpa: 1 }),
      arp({ operation: 2, sha: 66, spa: STATIC, tha: 1, tpa: 1 }),
    ];
    for (const from of [2, 3]) await sendFrames(station(from), DEVICE, lies);
    // Node B, which is told of no static neighbour, believes the first, and so answers the request itself.
    const wanted = 2 * lies.length - 1;
    await until('all lies are dropped', async () => (await nodeA.dropped())['static-neighbour'] === wanted);
    expect(neighbourOf(station(1), v4(STATIC))).toBe(macText(STATIC));
    expect(await known(nodeA, v4(STATIC))).toMatchObject({ mac: macText(STATIC), static: true, expiresInSec: null });
    await expectQuiet(nodeA, nodeB);
  });

  it('are forgotten with their port', async () => {
    expect(await known(nodeA, v4(2))).toBeDefined();
    expect((await nodeA.weft('port', 'remove', 's2')).status).toBe(0);
    expect(await known(nodeA, v4(2))).toBeUndefined();
    expect(await known(nodeA, v4(1))).toBeDefined();
    const { stdout } = await nodeA.weft('neighbours');
    expect(stdout).toMatch(/blue +10\.0\.0\.9 +02:00:00:00:00:09 +\S.* +static +never/);
  });
});
