// weft between two others: the kernel's VXLAN on one side, Open vSwitch's Geneve on the other, joined by `bridge`.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addKernelVxlan, KERNEL_DEVICE, makeMesh } from '../rig/hosts.js';
import { removeNamespaces, runIn, type VethEnd } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { type OpenVswitch, startOpenVswitch } from '../rig/openVswitch.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendTcp } from '../rig/traffic.js';
import { readFields, record } from '../rig/tshark.js';

const [WEFT, SWITCH, KERNEL] = ['198.18.0.1', '198.18.0.2', '198.18.0.3'];
const INNER_SWITCH = '10.43.0.2';
const INNER_KERNEL = '10.43.0.3';
const MTU = 1400;
const BYTES = 10_000_000;

const needs = ['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'tcpdump', 'tshark', 'vxlan', 'bridge'] as const;
describeWith([...needs, 'openVswitch'], "weft relays between the kernel's VXLAN and Open vSwitch's Geneve", () => {
  let weft: VethEnd;
  let b: string;
  let c: string;
  let openVswitch: OpenVswitch;
  let node: WeftNode;

  beforeAll(async () => {
    const hosts = makeMesh(3);
    for (const { namespace, device } of hosts) runIn(namespace, 'ethtool', '-K', device, 'tx', 'off', 'gro', 'on');
    weft = hosts[0];
    b = hosts[1].namespace;
    c = hosts[2].namespace;
    openVswitch = await startOpenVswitch({ host: hosts[1], addresses: [`${INNER_SWITCH}/24`], overlayMtu: MTU });
    openVswitch.setTunnel({ type: 'geneve', remote: WEFT, options: { key: '7' } });
    addKernelVxlan({ host: hosts[2], local: KERNEL, remote: WEFT, addresses: [`${INNER_KERNEL}/24`] });
    runIn(c, 'ip', 'link', 'set', KERNEL_DEVICE, 'mtu', `${MTU}`);
    const side = { underlay: 'wire', mtu: MTU };
    node = await up(weft.namespace, {
      underlays: [{ name: 'wire', address: WEFT }],
      networks: [
        { ...side, name: 'blue', vni: 42, peers: [KERNEL] },
        { ...side, name: 'green', vni: 7, encapsulation: 'geneve', peers: [SWITCH] },
      ],
      bridge: ['blue', 'green'],
    });
  });
  afterAll(async () => {
    await node?.end();
    await removeNamespaces();
  });

  it('carries pings, also of the MTU, in one tunnel on each side', async () => {
    const recording = await record(weft.namespace, weft.device);
    for (const size of [56, MTU - 28]) {
      expect(await ping(c, INNER_SWITCH, { size })).toBe(3);
      expect(await ping(b, INNER_KERNEL, { size })).toBe(3);
    }
    const path = await recording.stop();
    const sides = ['vxlan.vni == 42 && !geneve', 'geneve.vni == 7 && !vxlan'];
    for (const side of sides) {
      const rows = await readFields(path, ['icmp.checksum.status', '_ws.malformed'], { filter: `${side} && icmp` });
      // At least: ping asks again where an answer takes its time.
      expect(rows.length).toBeGreaterThanOrEqual(24);
      for (const row of rows) expect(row).toEqual({ 'icmp.checksum.status': ['1'], '_ws.malformed': [] });
    }
    await expectQuiet(node);
    expect(await node.dropped()).toEqual({});
  });

  it('carries TCP both ways without changing a byte', async () => {
    const toSwitch = await sendTcp(c, b, INNER_SWITCH, BYTES);
    expect(toSwitch.received).toEqual(toSwitch.sent);
    const toKernel = await sendTcp(b, c, INNER_KERNEL, BYTES);
    expect(toKernel.received).toEqual(toKernel.sent);
    await expectQuiet(node);
    expect(await node.dropped()).toEqual({});
    const { rxPackets, txPackets } = openVswitch.tunnelCounts();
    expect(Math.min(rxPackets, txPackets)).toBeGreaterThan(BYTES / 65536);
  });
});
