// The veth as it comes, with offloads on: the kernel's VXLAN leaves inner checksums to hardware that is not there.
import { afterEach, expect, it } from 'vitest';
import type { DropsDocument, StatusDocument } from '../../src/observe/documents.js';
import { addKernelVxlan, makeHosts, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces } from '../rig/namespaces.js';
import { expectQuiet, up } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendTcp, sendUdp } from '../rig/traffic.js';

const WEFT = '10.1.0.1';
const KERNEL = '10.1.0.2';

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'vxlan'], 'the kernel VXLAN over a veth with offloads on', () => {
  afterEach(removeNamespaces);

  async function start(offloadLeak: 'drop' | 'deliver') {
    const { a, b } = makeHosts();
    addKernelVxlan({ host: b, local: UNDERLAY_B, remote: UNDERLAY_A, addresses: [`${KERNEL}/24`] });
    const port = { type: 'tap' as const, name: 'weft0', addresses: [`${WEFT}/24`] };
    const node = await up(a.namespace, {
      underlays: [{ name: 'veth', address: UNDERLAY_A, offloadLeak }],
      networks: [{ name: 'blue', vni: 42, underlay: 'veth', peers: [UNDERLAY_B], ports: [port] }],
    });
    return { a: a.namespace, b: b.namespace, node };
  }

  it('drops what has no finished checksum, and says what to do', async () => {
    const { a, b, node } = await start('drop');
    // ICMP and ARP have nothing that is left to an offload.
    expect(await ping(a, KERNEL)).toBe(3);
    await expect(sendTcp(b, a, WEFT, 1_000_000, 2500)).rejects.toThrow(/tcp-send/);
    expect(await sendUdp(b, a, WEFT, 20, 1400)).toEqual({ datagrams: 0, damaged: 0 });
    await expectQuiet(node);

    const drops = await node.read<DropsDocument>('drops');
    const leak = drops.reasons.find(({ reason }) => reason === 'offload-leak');
    expect(leak?.packets).toBeGreaterThanOrEqual(21);
    expect(leak?.where).toEqual([{ kind: 'peer', name: `blue ${UNDERLAY_B}`, packets: leak?.packets }]);
    expect(drops.reasons.map(({ reason }) => reason)).toEqual(['offload-leak']);

    const { hints } = await node.read<StatusDocument>('status');
    expect(hints.find(({ message }) => message.includes('offload-leak'))?.remedy).toMatch(/ethtool -K DEV tx off/);
    const { stdout } = await node.weft('status');
    expect(stdout).toMatch(/offload-leak/);
    expect(stdout).toMatch(/ethtool -K/);
  });

  it('delivers it, whole, where the configuration says so', async () => {
    const { a, b, node } = await start('deliver');
    const toWeft = await sendTcp(b, a, WEFT, 30_000_000);
    expect(toWeft.received).toEqual(toWeft.sent);
    expect(await sendUdp(b, a, WEFT, 200, 1400)).toEqual({ datagrams: 200, damaged: 0 });
    const toKernel = await sendTcp(a, b, KERNEL, 30_000_000);
    expect(toKernel.received).toEqual(toKernel.sent);
    await expectQuiet(node);
    const { account, ports } = await node.stats();
    expect(account.dropped).toBe(0);
    // Uncut packets of up to 64 KB went through as superframes.
    expect(ports[0].txSuperframes).toBeGreaterThan(50);
  });

  it('needs no such thing between two nodes', async () => {
    const { a, b } = makeHosts();
    const config = (own: string, peer: string, address: string) => ({
      underlays: [{ name: 'veth', address: own }],
      networks: [
        {
          name: 'blue',
          vni: 42,
          underlay: 'veth',
          peers: [peer],
          ports: [{ type: 'tap' as const, name: 'weft0', addresses: [`${address}/24`] }],
        },
      ],
    });
    const left = await up(a.namespace, config(UNDERLAY_A, UNDERLAY_B, '10.1.0.1'));
    const right = await up(b.namespace, config(UNDERLAY_B, UNDERLAY_A, '10.1.0.2'));
    const stream = await sendTcp(a.namespace, b.namespace, '10.1.0.2', 50_000_000);
    expect(stream.received).toEqual(stream.sent);
    const answer = await sendTcp(b.namespace, a.namespace, '10.1.0.1', 50_000_000);
    expect(answer.received).toEqual(answer.sent);
    await expectQuiet(left, right);
    for (const node of [left, right]) expect((await node.stats()).account.dropped).toBe(0);
  });
});
