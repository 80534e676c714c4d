// Virtual machines that do not fit their port: what would be silence is said.
import { afterAll, afterEach, expect, it } from 'vitest';
import { bootGuest, GUEST_HOOK_MS, type Guest } from '../rig/guest.js';
import { makeQuietNamespace } from '../rig/hosts.js';
import { removeNamespaces } from '../rig/namespaces.js';
import { scratchFile, up } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { until } from '../rig/waiting.js';

describeWith(['root', 'tun', 'addon', 'dpdk', 'guest', 'ip'], 'a virtual machine that does not fit', () => {
  let guest: Guest | null = null;
  afterEach(async () => {
    await guest?.stop();
    guest = null;
  });
  afterAll(removeNamespaces);

  it('is told of in the status of the node', { timeout: 2 * GUEST_HOOK_MS }, async () => {
    const path = scratchFile('vm0.sock');
    const config = { networks: [{ name: 'blue', ports: [{ type: 'vhost-user' as const, name: 'vm0', path }] }] };
    const namespace = makeQuietNamespace('a');
    const node = await up(namespace, config);
    const says = (what: RegExp) =>
      until(`weft status says ${what}`, async () => what.test((await node.weft('status')).stdout), {
        withinMs: 40_000,
        everyMs: 200,
      });
    await says(/port vm0: nobody is at the other end/);

    // Its kernel comes up, and qemu alone says why nothing goes across.
    guest = await bootGuest({ link: { vhost: { path, namespace, isShared: false } } });
    await says(/port vm0: a machine is connected and has not started its network card; .*share=on/);
    expect((await node.status()).hints).toEqual([]);
    await guest.stop();
    await says(/port vm0: nobody is at the other end/);

    guest = await bootGuest({ link: { vhost: { path, namespace, queues: 2 } } });
    await says(/port vm0: the machine has 2 queues, and the port reads 1: .*`queues: 2`/);
    await node.end();
  });
});
