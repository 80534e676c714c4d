// Two virtual machines and a TAP on one node, without a tunnel: they talk to each other through weft.
import { afterAll, expect, it } from 'vitest';
import { GUEST_HOOK_MS } from '../rig/guest.js';
import { guestPing, sendTcpBetweenGuests } from '../rig/guestTraffic.js';
import { makeQuietNamespace } from '../rig/hosts.js';
import { bootMachine, expectTalk, FAR, MACHINE, TCP_BYTES } from '../rig/machine.js';
import { removeNamespaces } from '../rig/namespaces.js';
import { expectQuiet, scratchFile, up } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { until } from '../rig/waiting.js';

const OTHER = '10.0.0.3';
const ETHERNET_MTU = 1500;

describeWith(['root', 'tun', 'addon', 'dpdk', 'guest', 'ip', 'ping'], 'two virtual machines of one node', () => {
  afterAll(removeNamespaces);

  it('talk to each other and to a TAP, also after one is gone', { timeout: 2 * GUEST_HOOK_MS }, async () => {
    const namespace = makeQuietNamespace('a');
    const paths = [scratchFile('vm0.sock'), scratchFile('vm1.sock')];
    const node = await up(namespace, {
      networks: [
        {
          name: 'blue',
          ports: [
            ...paths.map((path, i) => ({ type: 'vhost-user' as const, name: `vm${i}`, path })),
            { type: 'tap', name: 'blue0', addresses: [`${FAR}/24`] },
          ],
        },
      ],
    });
    // Rings of two kinds: what leaves one goes into the other.
    const [one, other] = await Promise.all([
      bootMachine({ path: paths[0] }),
      bootMachine({ path: paths[1], nic: 'packed=on,mrg_rxbuf=off' }, OTHER, '52:54:00:00:00:0c'),
    ]);
    try {
      expect(await guestPing(one, OTHER)).toBe(3);
      expect(await guestPing(other, MACHINE, { size: ETHERNET_MTU - 28 })).toBe(3);
      for (const [from, to, address] of [
        [one, other, OTHER],
        [other, one, MACHINE],
      ] as const) {
        const { sent, received } = await sendTcpBetweenGuests(from, to, address, TCP_BYTES);
        expect(received).toEqual(sent);
      }
      await other.stop();
      await until('the port sees its end', async () => (await node.status()).ports[1].deviceState === 'down');
      await expectTalk(one, namespace, ETHERNET_MTU);
      await expectQuiet(node);
      const { 'tx-full': _slow, 'device-gone': _absent, ...others } = await node.dropped();
      expect(others).toEqual({});
    } finally {
      await Promise.all([one.stop(), other.stop()]);
      await node.end();
    }
  });
});
