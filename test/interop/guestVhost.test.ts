// Virtual machines behind ports of type vhost-user, and a namespace behind the kernel's VXLAN: rings of every kind, superframes, MTUs,
// and machines that start anew, crash or outlive the node.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { ConfigInput, PortInput } from '../../src/control/config/config.js';
import { GUEST_DEVICE, GUEST_HOOK_MS, type Guest } from '../rig/guest.js';
import { guestPing, sendTcpFromGuest } from '../rig/guestTraffic.js';
import {
  addKernelVxlan,
  type Hosts,
  KERNEL_DEVICE,
  makeHosts,
  pinOffloads,
  UNDERLAY_A,
  UNDERLAY_B,
} from '../rig/hosts.js';
import { bootMachine, expectTalk, FAR, giveAddress, TCP_BYTES } from '../rig/machine.js';
import { removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, scratchFile, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { until } from '../rig/waiting.js';

const JUMBO = 9000;
const HEADERS = 50;

const configOf = (port: Partial<PortInput>): ConfigInput => ({
  underlays: [{ name: 'lan', address: UNDERLAY_A }],
  networks: [
    {
      name: 'blue',
      vni: 42,
      underlay: 'lan',
      peers: [UNDERLAY_B],
      ports: [{ type: 'vhost-user', name: 'vm0', ...port } as PortInput],
    },
  ],
});

describeWith(['root', 'tun', 'addon', 'dpdk', 'guest', 'ip', 'ping', 'ethtool', 'vxlan'], 'a virtual machine', () => {
  let hosts: Hosts;
  let node: WeftNode;
  let guest: Guest | null = null;

  const deviceState = async () => (await node.status()).ports[0].deviceState;
  const comesBack = (machine: Guest) =>
    until(
      'the machine reaches the other host again',
      async () => (await guestPing(machine, FAR, { count: 1, withinSec: 1 })) === 1,
      {
        withinMs: 40_000,
      },
    );

  async function expectNothingLost(): Promise<void> {
    await expectQuiet(node);
    // An emulated processor may be too slow for its ring, and TCP sends again. Others ask for a machine that is not there.
    const { 'tx-full': _slow, 'device-gone': _absent, ...others } = await node.dropped();
    expect(others).toEqual({});
  }

  beforeAll(() => {
    hosts = makeHosts();
    pinOffloads(hosts);
    addKernelVxlan({ host: hosts.b, local: UNDERLAY_B, remote: UNDERLAY_A, addresses: [`${FAR}/24`] });
  });
  afterEach(async () => {
    await guest?.stop();
    guest = null;
    await node?.end();
  });
  afterAll(removeNamespaces);

  it('talks over split and packed rings, without mergeable buffers, and over two queues with a worker each', {
    timeout: 2 * GUEST_HOOK_MS,
  }, async () => {
    const path = scratchFile('vm0.sock');
    node = await up(hosts.a.namespace, { ...configOf({ path }), node: { workers: 2 } });
    // One machine after the other on the same port.
    for (const [nic, queues] of [
      ['', 1],
      ['packed=on', 2],
      ['mrg_rxbuf=off', 2],
    ] as const) {
      guest = await bootMachine({ path, nic, queues });
      if (queues === 2) expect(await guest.run(`ethtool -l ${GUEST_DEVICE}`)).toMatch(/Current.*Combined:\s+2\n/s);
      const before = await node.stats();
      await expectTalk(guest, hosts.b.namespace);
      const { ports, underlays } = await node.stats();
      // The machine cuts nothing itself, and the socket takes what it sends as superframes.
      expect(ports[0].rxSuperframes - before.ports[0].rxSuperframes, nic).toBeGreaterThan(10);
      expect(underlays[0].txSuperframes - before.underlays[0].txSuperframes, nic).toBeGreaterThan(10);
      // It has agreed to superframes, so what the socket has joined reaches it uncut.
      expect(ports[0].txSuperframes - before.ports[0].txSuperframes, nic).toBeGreaterThan(10);
      expect((await node.status()).ports[0]).toMatchObject({ queues: 2, queuesEnabled: queues });
      await guest.stop();
      await until('the port sees its end', async () => (await deviceState()) === 'down');
    }
    await expectNothingLost();
  });

  it('is told the MTU, up to jumbo frames', { timeout: 2 * GUEST_HOOK_MS }, async () => {
    for (const { namespace, device } of [hosts.a, hosts.b])
      runIn(namespace, 'ip', 'link', 'set', device, 'mtu', `${JUMBO + HEADERS}`);
    runIn(hosts.b.namespace, 'ip', 'link', 'set', KERNEL_DEVICE, 'mtu', `${JUMBO}`);
    const path = scratchFile('vm0.sock');
    node = await up(hosts.a.namespace, configOf({ path }));
    guest = await bootMachine({ path, nic: `host_mtu=${JUMBO}` });
    expect(await guest.run(`cat /sys/class/net/${GUEST_DEVICE}/mtu`)).toBe(`${JUMBO}\n`);
    await expectTalk(guest, hosts.b.namespace, JUMBO);
    await expectNothingLost();
    for (const { namespace, device } of [hosts.a, hosts.b])
      runIn(namespace, 'ip', 'link', 'set', device, 'mtu', '1500');
    runIn(hosts.b.namespace, 'ip', 'link', 'set', KERNEL_DEVICE, 'mtu', '1450');
  });

  it.each([
    ['that connects to it', 'server', ['SIGTERM', 'SIGKILL']],
    ['that listens', 'client', ['SIGKILL']],
  ] as const)(
    '%s starts anew, outlives the node, and crashes',
    { timeout: 2 * GUEST_HOOK_MS },
    async (_what, mode, signals) => {
      const path = scratchFile('vm0.sock');
      const config = configOf({ path, mode });
      node = await up(hosts.a.namespace, config);
      guest = await bootMachine({ path, mode: mode === 'server' ? 'client' : 'server' });
      await comesBack(guest);
      await guest.reboot();
      await giveAddress(guest);
      await comesBack(guest);
      for (const signal of signals) {
        await node.end(signal);
        node = await up(hosts.a.namespace, config);
        await comesBack(guest);
      }
      const { sent, received } = await sendTcpFromGuest(guest, hosts.b.namespace, FAR, TCP_BYTES);
      expect(received).toEqual(sent);
      // SIGKILL.
      await guest.stop();
      await until('the port sees its end', async () => (await deviceState()) === 'down');
      await expectNothingLost();
      await node.end();
    },
  );
});
