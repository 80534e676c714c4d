// Each path that a kernel without a feature would leave, forced by leaving it out: one node, a network for each, the kernel's VXLAN as peer.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import { addIpv6, makeHosts, pinOffloads, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { exchange, serveExchanges } from '../rig/traffic.js';

interface Path {
  name: string;
  /** Of the port. */
  offloads?: { vnetHeader?: boolean; tso?: boolean; uso?: boolean; gsoMaxSize?: boolean };
  underlay: 'fast' | 'slow';
  /** In force on the device. */
  inForce: string[];
  use: 'superframes' | 'frames' | 'plain';
  /** Features that the status names. */
  missing: string[];
}

const ALL = ['checksum', 'tso', 'uso'];
const paths: Path[] = [
  {
    name: 'no virtio-net header',
    offloads: { vnetHeader: false },
    underlay: 'fast',
    inForce: [],
    use: 'plain',
    missing: ['vnet-header'],
  },
  {
    name: 'no TSO',
    offloads: { tso: false },
    underlay: 'fast',
    inForce: ['checksum', 'uso'],
    use: 'superframes',
    missing: ['tso'],
  },
  {
    name: 'no USO',
    offloads: { uso: false },
    underlay: 'fast',
    inForce: ['checksum', 'tso'],
    use: 'superframes',
    missing: ['uso'],
  },
  {
    name: 'neither',
    offloads: { tso: false, uso: false },
    underlay: 'fast',
    inForce: ['checksum'],
    use: 'frames',
    missing: ['tso', 'uso'],
  },
  {
    name: 'no limit for superframes',
    offloads: { gsoMaxSize: false },
    underlay: 'fast',
    inForce: ['checksum', 'tso'],
    use: 'superframes',
    missing: ['uso', 'gso-max-size'],
  },
  { name: 'no UDP_SEGMENT, no UDP_GRO', underlay: 'slow', inForce: ALL, use: 'superframes', missing: [] },
];

/** Port of the slow underlay, which has the address of the other one. */
const SLOW_PORT = 8472;

const tapOf = (k: number) => `tap${k}`;
const overlay = (k: number, host: 1 | 2) => [`10.2.${k}.${host}`, `fd00:2:${k}::${host}`];

function configOf(): ConfigInput {
  return {
    underlays: [
      { name: 'fast', address: UNDERLAY_A },
      { name: 'slow', address: UNDERLAY_A, udpPort: SLOW_PORT, offloads: { segment: false, gro: false } },
    ],
    networks: paths.map(({ offloads, underlay }, k) => {
      const [v4, v6] = overlay(k, 1);
      const port = { type: 'tap' as const, name: tapOf(k), addresses: [`${v4}/24`, `${v6}/64`], offloads };
      return { name: `net${k}`, vni: 100 + k, underlay, peers: [UNDERLAY_B], ports: [port] };
    }),
  };
}

describeWith(['root', 'tun', 'addon', 'ip', 'ethtool', 'python3', 'vxlan'], 'a node', () => {
  let a: string;
  let node: WeftNode;

  beforeAll(async () => {
    const hosts = makeHosts();
    pinOffloads(hosts);
    a = hosts.a.namespace;
    const b = hosts.b.namespace;
    paths.forEach(({ underlay }, k) => {
      const device = `vx${k}`;
      const ends = ['local', UNDERLAY_B, 'remote', UNDERLAY_A, 'dev', hosts.b.device];
      const port = underlay === 'slow' ? SLOW_PORT : 4789;
      runIn(b, 'ip', 'link', 'add', device, 'type', 'vxlan', 'id', `${100 + k}`, 'dstport', `${port}`, ...ends);
      const [v4, v6] = overlay(k, 2);
      runIn(b, 'ip', 'address', 'add', `${v4}/24`, 'dev', device);
      addIpv6(b, device, v6);
      runIn(b, 'ip', 'link', 'set', device, 'up');
    });
    await serveExchanges(b);
    runIn(a, 'sh', '-c', 'cd /proc/sys/net/ipv6/conf/default && echo 0 >disable_ipv6 && echo 0 >accept_dad');
    node = await up(a, configOf());
  });
  afterAll(async () => {
    await node?.end();
    await removeNamespaces();
  });

  it.each(paths.map((path, k) => ({ ...path, k })))('with $name', async ({ k, inForce, use, missing }) => {
    const { ports } = await node.status();
    expect(ports[k]).toMatchObject({ offloads: inForce, path: { send: use, receive: use } });
    expect(ports[k].path.reasons.map(({ feature }) => feature)).toEqual(missing);

    const whole = { arrived: 100, late: 0, damaged: 0 };
    const port = async () => (await node.stats()).ports[k];
    const both = overlay(k, 2);
    const before = await port();
    const streams = { tcpUp: true, tcpDown: true };
    expect(await exchange(a, both, { bytes: 2_000_000 })).toEqual([streams, streams]);
    const tcp = await port();
    const datagrams = { ...streams, udpUp: whole, udpDown: whole };
    const some = { bytes: 1, datagrams: 100, size: 1200, segments: 20 };
    expect(await exchange(a, both, some)).toEqual([datagrams, datagrams]);
    const udp = await port();
    const hasTso = inForce.includes('tso');
    const hasUso = inForce.includes('uso');
    const moved = [tcp.rxSuperframes > before.rxSuperframes, tcp.txSuperframes > before.txSuperframes];
    expect(moved).toEqual([hasTso, hasTso]);
    expect(udp.rxSuperframes - tcp.rxSuperframes).toBe(hasUso ? 2 * (100 / 20) : 0);
    expect(udp.txSuperframes > tcp.txSuperframes).toBe(hasUso);
    expect((await node.stats()).account.dropped).toBe(0);
    await expectQuiet(node);
  });

  it('says what is in use and why not more', async () => {
    const { underlays } = await node.status();
    expect(underlays.map(({ name, path }) => [name, path.send, path.receive])).toEqual([
      ['fast', 'superframes', 'superframes'],
      ['slow', 'frames', 'frames'],
    ]);
    const stats = await node.stats();
    expect(stats.underlays.map(({ txSuperframes }) => txSuperframes > 0)).toEqual([true, false]);
    const { stdout } = await node.weft('status');
    for (const line of [
      /^tap0 .* plain /m,
      /^tap1 .* superframes \(USO\) /m,
      /^tap2 .* superframes \(TSO\) /m,
      /^tap3 .* frames /m,
      /^tap5 .* superframes \(TSO, USO\) /m,
      /port tap1: `offloads: {tso: false}` of the port: no TSO on the device: TCP has one packet a frame; take it out/,
      /because {2}`offloads: {segment: false}` of the underlay: datagrams go one by one; take it out/,
      /because {2}`offloads: {gro: false}` of the underlay: datagrams come one by one; take it out/,
    ])
      expect(stdout).toMatch(line);
  });
});
