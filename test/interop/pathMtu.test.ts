// MTUs on the way: a link of 1400 bytes between two routers, which the nodes hear of from ICMP; a device whose MTU changes under a node. What
// senders make of it is looked up in their own kernels.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { PeerDocument } from '../../src/observe/documents.js';
import { makeQuietNamespace } from '../rig/hosts.js';
import { joinByVeth, namespacePath, removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, runToEnd, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendTcp } from '../rig/traffic.js';
import { readFields, record } from '../rig/tshark.js';
import { until } from '../rig/waiting.js';

const LINK = 1400;
/** Outer IPv4, UDP, VXLAN and inner Ethernet header: 20 + 8 + 8 + 14; over IPv6 20 more. */
const ROOM = { blue: LINK - 50, green: LINK - 70 } as const;

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'tcpdump', 'tshark'], 'a narrow link on the way', () => {
  const hosts: string[] = [];
  const routers: string[] = [];
  const stations: string[] = [];
  const nodes: WeftNode[] = [];

  function configOf(n: number): ConfigInput {
    const other = 3 - n;
    const tap = (name: string, addresses: string[]) => ({
      name,
      type: 'tap' as const,
      netns: namespacePath(stations[n - 1]),
      addresses,
    });
    return {
      underlays: [
        { name: 'lan4', address: `198.18.${n}.1` },
        { name: 'lan6', address: `fd12:${n}::1` },
      ],
      networks: [
        {
          name: 'blue',
          vni: 1,
          underlay: 'lan4',
          mssClamp: false,
          peers: [`198.18.${other}.1`],
          ports: [tap('blue', [`10.1.0.${n}/24`, `fd01::${n}/64`])],
        },
        {
          name: 'green',
          vni: 2,
          underlay: 'lan6',
          peers: [`fd12:${other}::1`],
          ports: [tap('green', [`10.2.0.${n}/24`, `fd02::${n}/64`])],
        },
      ],
    };
  }

  beforeAll(async () => {
    const [a, left, right, b] = ['a', 'l', 'r', 'b'].map((label) => makeQuietNamespace(`mtu${label}`));
    hosts.push(a, b);
    routers.push(left, right);
    stations.push(...['sa', 'sb'].map((label) => makeQuietNamespace(`mtu${label}`)));
    joinByVeth(
      { namespace: a, device: 'wan', address: '198.18.1.1/24' },
      { namespace: left, device: 'la', address: '198.18.1.2/24' },
    );
    joinByVeth(
      { namespace: left, device: 'lr', address: '198.18.3.1/24' },
      { namespace: right, device: 'rl', address: '198.18.3.2/24' },
    );
    joinByVeth(
      { namespace: right, device: 'rb', address: '198.18.2.2/24' },
      { namespace: b, device: 'wan', address: '198.18.2.1/24' },
    );
    const six: [string, string, string][] = [
      [a, 'wan', 'fd12:1::1/64'],
      [left, 'la', 'fd12:1::2/64'],
      [left, 'lr', 'fd12:3::1/64'],
      [right, 'rl', 'fd12:3::2/64'],
      [right, 'rb', 'fd12:2::2/64'],
      [b, 'wan', 'fd12:2::1/64'],
    ];
    for (const [namespace, device, address] of six) {
      runIn(namespace, 'sysctl', '-qw', `net.ipv6.conf.${device}.disable_ipv6=0`);
      runIn(namespace, 'ip', 'address', 'add', address, 'dev', device, 'nodad');
    }
    for (const [namespace, device] of [
      [left, 'lr'],
      [right, 'rl'],
    ] as const) {
      runIn(namespace, 'ip', 'link', 'set', device, 'mtu', `${LINK}`);
      runIn(namespace, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    }
    const ways: [string, string, string][] = [
      [a, '198.18.1.2', 'fd12:1::2'],
      [left, '198.18.3.2', 'fd12:3::2'],
      [right, '198.18.3.1', 'fd12:3::1'],
      [b, '198.18.2.2', 'fd12:2::2'],
    ];
    for (const [namespace, via4, via6] of ways) {
      runIn(namespace, 'ip', 'route', 'add', '198.18.0.0/16', 'via', via4);
      runIn(namespace, 'ip', 'route', 'add', 'fd12::/16', 'via', via6);
    }
    for (const namespace of stations) runIn(namespace, 'sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=0');
    nodes.push(...(await Promise.all(hosts.map((host, k) => up(host, configOf(k + 1))))));
  }, 60_000);
  afterAll(async () => {
    for (const node of nodes) await node.end();
    await removeNamespaces();
  });

  const peerOf = async (n: number, network: string) =>
    (await nodes[n].read<PeerDocument[]>('peers')).find((peer) => peer.network === network)!;
  const linkOf = (n: number, device: string) =>
    JSON.parse(runIn(stations[n], 'ip', '-j', '-d', 'link', 'show', device))[0];
  /** A kernel's own memory of small paths is in the MSS that it announces. */
  const forgetPaths = () => {
    for (const station of stations) runIn(station, 'ip', 'route', 'flush', 'cache');
  };
  /** What the kernel of a station thinks of a path. */
  const pathOf = (n: number, address: string) =>
    /mtu (\d+)/.exec(runIn(stations[n], 'ip', 'route', 'get', address))?.[1];

  async function pingFromA(...args: string[]): Promise<string> {
    const { stdout, stderr } = await runToEnd('ip', ['netns', 'exec', stations[0], 'ping', '-n', ...args]);
    return `${stdout}${stderr}`;
  }
  /** Station A sends packets with DF until it is told of an MTU: the node looks once a second for what routers say. */
  const untilToldOf = (mtu: number, address: string, size: number) =>
    until(`station A is told of ${mtu} bytes to ${address}`, async () =>
      new RegExp(`mtu ?[=:] ?${mtu}`).test(
        await pingFromA('-M', 'do', '-i', '0.2', '-c', '4', '-W', '0.3', '-s', `${size}`, address),
      ),
    );
  /** Of three pings of station A, sent at once, so that each is waited for as long. */
  const answers = async (fragments: 'do' | 'dont', size: number, address: string) =>
    Number(
      /(\d+) received/.exec(
        await pingFromA('-M', fragments, '-c', '3', '-l', '3', '-W', '3', '-s', `${size}`, address),
      )?.[1],
    );

  it.each([
    ['blue', '10.1.0.2', 28],
    ['blue', 'fd01::2', 48],
    ['green', 'fd02::2', 48],
    ['green', '10.2.0.2', 28],
  ] as const)('is heard of by a sender with DF in %s, to %s', async (network, address, headers) => {
    const full = linkOf(0, network).mtu;
    expect(full).toBe(ROOM[network] + 100);
    await untilToldOf(ROOM[network], address, full - headers);
    expect(pathOf(0, address)).toBe(`${ROOM[network]}`);
    expect(await peerOf(0, network)).toMatchObject({ mtu: ROOM[network], pathMtu: { bytes: LINK, why: 'icmp' } });
    const news = new RegExp(`of network ${network} may have ${ROOM[network]} bytes now`);
    await until('node A says so', () => news.test(nodes[0].said));
    expect(await ping(stations[0], address, { size: ROOM[network] - headers })).toBe(3);
  });

  it('does not stop a TCP stream that begins before anybody knows', async () => {
    forgetPaths();
    expect(await peerOf(1, 'blue')).toMatchObject({ pathMtu: null });
    const { sent, received } = await sendTcp(stations[1], stations[0], '10.1.0.1', 3_000_000);
    expect(received).toEqual(sent);
    expect(await peerOf(1, 'blue')).toMatchObject({ mtu: ROOM.blue, pathMtu: { bytes: LINK } });
    const again = await sendTcp(stations[0], stations[1], 'fd01::2', 3_000_000);
    expect(again.received).toEqual(again.sent);
  });

  it('is passed by packets without DF, in fragments that the other kernel joins', async () => {
    forgetPaths();
    const recording = await record(stations[1], 'blue', { direction: 'in', filter: 'icmp' });
    expect(await answers('dont', 1422, '10.1.0.2')).toBe(3);
    const seen = await readFields(await recording.stop(), ['ip.len', 'ip.flags.mf', 'ip.frag_offset']);
    const lengths = seen.map((f) => `${f['ip.len'][0]} ${f['ip.frag_offset'][0]}`);
    // 1350 - 20 is 8 * 166 and 2 more; 1430 bytes of payload make 1328 and 102. tshark counts offsets as the header does, by eights.
    expect(lengths.slice(0, 2)).toEqual(['1348 0', '122 166']);
    expect(seen).toHaveLength(6);
    expect((await nodes[0].status()).account.made).toBeGreaterThanOrEqual(3);
  });

  it('is in the MSS of connections, where that is not switched off', async () => {
    const mssOf = async (network: string, address: string) => {
      const recording = await record(stations[1], network, { direction: 'in', filter: 'tcp[13] & 2 != 0' });
      await sendTcp(stations[0], stations[1], address, 1000);
      return (await readFields(await recording.stop(), ['tcp.options.mss_val']))[0]['tcp.options.mss_val'][0];
    };
    forgetPaths();
    expect(await mssOf('green', '10.2.0.2')).toBe(`${ROOM.green - 40}`);
    expect(await mssOf('blue', '10.1.0.2')).toBe(`${ROOM.blue + 100 - 40}`);
  });

  it.each([1280, 9000, 1500])('gives way to the device: MTU %d is followed', async (mtu) => {
    runIn(hosts[0], 'ip', 'link', 'set', 'wan', 'mtu', `${mtu}`);
    await until('the MTU of blue', async () => (await nodes[0].status()).networks[0].mtu === mtu - 50);
    const { networks, underlays, ports } = await nodes[0].status();
    expect(networks.map((n) => [n.mtu, n.mtuAuto])).toEqual([
      [mtu - 50, true],
      [mtu - 70, true],
    ]);
    expect(ports.map((p) => p.mtu)).toEqual([mtu - 50, mtu - 70]);
    expect(underlays.map((u) => u.deviceMtu)).toEqual([mtu, mtu]);
    expect(linkOf(0, 'blue').mtu).toBe(mtu - 50);
    // A superframe is what one UDP_SEGMENT message takes.
    const { gso_max_size } = linkOf(0, 'blue');
    expect(gso_max_size).toBeLessThanOrEqual(65_280);
    expect(Math.ceil((gso_max_size - 66) / (mtu - 102)) * (mtu - 28)).toBeLessThanOrEqual(65_000);
    await until('node A says so', () => nodes[0].said.includes(`the MTU of network blue is ${mtu - 50} now`));
    expect(await ping(stations[0], '10.1.0.2')).toBe(3);
  });

  it('may shrink from 9000 to 1280: with DF, without, and for TCP', { timeout: 120_000 }, async () => {
    for (const node of nodes.splice(0)) await node.end();
    const [a, b] = hosts;
    const [left, right] = routers;
    const set = (namespace: string, device: string, mtu: number) =>
      runIn(namespace, 'ip', 'link', 'set', device, 'mtu', `${mtu}`);
    set(a, 'wan', 9000);
    set(left, 'la', 9000);
    set(right, 'rb', 9000);
    set(b, 'wan', 9000);
    nodes.push(...(await Promise.all(hosts.map((host, k) => up(host, configOf(k + 1))))));
    for (const [size, before] of [
      [9000, 9000],
      [4000, 9000],
      [1280, 4000],
    ]) {
      set(left, 'lr', size);
      set(right, 'rl', size);
      forgetPaths();
      for (const [network, address] of [
        ['blue', '10.1.0.2'],
        ['green', '10.2.0.2'],
      ] as const) {
        const own = network === 'blue' ? 50 : 70;
        // As much as went through until now.
        const full = before - own;
        if (size === 9000) expect(await answers('do', full - 28, address), network).toBe(3);
        else await untilToldOf(size - own, address, full - 28);
        forgetPaths();
        // The other node hears of the narrow link by its own answers.
        const areThere = async () => (await answers('dont', full - 28, address)) === 3;
        await until(`answers without DF in ${network}, ${size}`, areThere);
        const { sent, received } = await sendTcp(stations[0], stations[1], address, 1_000_000);
        expect(received).toEqual(sent);
      }
    }
  });

  it('leaves nothing behind', async () => {
    await expectQuiet(...nodes);
    const dropped = await nodes[0].dropped();
    expect(
      Object.keys(dropped).filter((reason) => !['too-big', 'tx-too-big', 'no-destination'].includes(reason)),
    ).toEqual([]);
  });
});
