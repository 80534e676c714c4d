// GRE and IP-in-IP between two nodes where the receiving kernel joins packets before raw sockets get them, as it does behind a network
// card: uncut packets with unfinished inner checksums, and no word of their segment size.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import { makeHosts, pinOffloads, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces, runIn, type VethEnd } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { exchange, serveExchanges } from '../rig/traffic.js';

/** A veth delivers packet by packet, unless what came is kept for a while to be joined with what comes. */
function holdBack({ namespace, device }: VethEnd): void {
  const settings = 'echo 500000 >gro_flush_timeout; echo 50 >napi_defer_hard_irqs';
  runIn(namespace, 'sh', '-c', `cd /sys/class/net/${device} && ${settings}`);
}

const NETWORKS = ['ipip', 'gre'] as const;
const overlay = (k: number, n: number) => `10.5.${k}.${n}`;

function configOf(n: 1 | 2, own: string, peer: string): ConfigInput {
  return {
    underlays: [{ name: 'wire', address: own }],
    networks: NETWORKS.map((encapsulation, k) => ({
      name: encapsulation,
      encapsulation,
      mode: 'l3' as const,
      underlay: 'wire',
      peers: [{ address: peer, prefixes: [`${overlay(k, 3 - n)}/32`] }],
      ports: [{ type: 'tun' as const, name: encapsulation, addresses: [`${overlay(k, n)}/24`] }],
    })),
  };
}

describeWith(['root', 'tun', 'addon', 'ip', 'ethtool', 'python3'], 'nodes behind a kernel that joins packets', () => {
  let a: string;
  let nodes: WeftNode[] = [];

  beforeAll(async () => {
    const hosts = makeHosts();
    pinOffloads(hosts);
    for (const host of [hosts.a, hosts.b]) holdBack(host);
    a = hosts.a.namespace;
    nodes = await Promise.all([
      up(a, configOf(1, UNDERLAY_A, UNDERLAY_B)),
      up(hosts.b.namespace, configOf(2, UNDERLAY_B, UNDERLAY_A)),
    ]);
    await serveExchanges(hosts.b.namespace);
  });
  afterAll(async () => {
    for (const node of nodes) await node.end();
    await removeNamespaces();
  });

  it.each(NETWORKS.map((name, k) => ({ name, k })))('carry TCP and UDP by $name', async ({ name, k }) => {
    const datagrams = { arrived: 100, late: 0, damaged: 0 };
    const options = { bytes: 3_000_000, datagrams: 100, size: 1200, segments: 10 };
    expect(await exchange(a, [overlay(k, 2)], options)).toEqual([
      { tcpUp: true, tcpDown: true, udpUp: datagrams, udpDown: datagrams },
    ]);
    for (const node of nodes) {
      const { underlays } = await node.stats();
      expect(underlays.find((u) => u.name === `wire/${name}`)?.rxSuperframes).toBeGreaterThan(20);
      expect((await node.dropped())['offload-leak']).toBeUndefined();
    }
    await expectQuiet(...nodes);
  });
});
