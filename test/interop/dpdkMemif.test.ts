// Two nodes in two processes, joined by memif: shared memory, one of them listening.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import { makeQuietNamespace } from '../rig/hosts.js';
import { namespacePath, removeNamespaces } from '../rig/namespaces.js';
import { expectQuiet, scratchFile, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendTcp } from '../rig/traffic.js';
import { until } from '../rig/waiting.js';

const ADDRESSES = ['10.0.2.1', '10.0.2.2'];

describeWith(['root', 'addon', 'dpdk', 'ip', 'ping', 'tun'], 'two nodes, joined by memif', () => {
  let stations: string[];
  let configs: ConfigInput[];
  let nodes: WeftNode[];

  const upNode = (which: number) => up(stations[which], configs[which]);
  const linkOf = async (node: WeftNode) => (await node.status()).ports.find(({ name }) => name === 'mem')?.deviceState;
  const areLinked = () =>
    until('the link is up', async () => (await Promise.all(nodes.map(linkOf))).every((state) => state === 'up'));

  beforeAll(async () => {
    const path = scratchFile('memif.sock');
    stations = ['a', 'b'].map(makeQuietNamespace);
    configs = stations.map((station, i): ConfigInput => {
      const devargs = `net_memif0,role=${['server', 'client'][i]},socket=${path},socket-abstract=no`;
      const tap = {
        type: 'tap' as const,
        name: 't0',
        netns: namespacePath(station),
        addresses: [`${ADDRESSES[i]}/24`],
      };
      return { networks: [{ name: 'blue', ports: [{ type: 'dpdk', name: 'mem', devargs }, tap] }] };
    });
    // The one that connects comes first.
    const client = await upNode(1);
    await until('it says that it waits', async () =>
      (await client.status()).hints.some(({ message }) => message.startsWith(`waiting for a memif server at ${path}`)),
    );
    nodes = [await upNode(0), client];
  }, 60_000);
  afterAll(removeNamespaces);

  it('carry pings of all sizes and TCP both ways', { timeout: 120_000 }, async () => {
    await areLinked();
    expect(await ping(stations[0], ADDRESSES[1])).toBe(3);
    expect(await ping(stations[1], ADDRESSES[0], { size: 1472 })).toBe(3);
    for (const [from, to] of [
      [0, 1],
      [1, 0],
    ]) {
      const { sent, received } = await sendTcp(stations[from], stations[to], ADDRESSES[to], 1_000_000);
      expect(received).toEqual(sent);
    }
  });

  it('go on when the one that connects was killed and is back', { timeout: 120_000 }, async () => {
    await nodes[1].end('SIGKILL');
    await until('its end is seen', async () => (await linkOf(nodes[0])) === 'down');
    nodes[1] = await upNode(1);
    await areLinked();
    // Its TAP is a new one, with a MAC that the other station has to hear first.
    expect(await ping(stations[1], ADDRESSES[0])).toBe(3);
    expect(await ping(stations[0], ADDRESSES[1])).toBe(3);
  });

  it('go on when the one that listens was killed and is back', { timeout: 120_000 }, async () => {
    await nodes[0].end('SIGKILL');
    await until('its end is seen', async () => (await linkOf(nodes[1])) === 'down');
    // The socket that it left does not keep it from listening.
    nodes[0] = await upNode(0);
    await areLinked();
    expect(await ping(stations[0], ADDRESSES[1])).toBe(3);
    expect(await ping(stations[1], ADDRESSES[0])).toBe(3);
    await expectQuiet(...nodes);
  });
});
