// Marks and routes between weft and the kernel of a guest: DSCP and ECN of both headers (RFC 6040), and packets that need no tunnel.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { PortInput } from '../../src/control/config/config.js';
import { GUEST_DEVICE, GUEST_HOOK_MS, GUEST_TEST_MS } from '../rig/guest.js';
import { guestPing } from '../rig/guestTraffic.js';
import { GUEST_TUNNEL, type GuestRig, makeGuestRig, type NetworkInput, nodeConfig } from '../rig/guestTunnel.js';
import { UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping } from '../rig/traffic.js';
import { readFields, record } from '../rig/tshark.js';

const WEFT = '10.42.1.1';
const GUEST = '10.42.2.1';
const ends = `local ${UNDERLAY_B} remote ${UNDERLAY_A} ttl 64`;
/** Expedited forwarding with ECT(1), and best effort with ECT(0). */
const EF_ECT1 = 0xb9;
const ECT0 = 0x02;
const CE = '0x03';
/** Each row once. A late answer has ping ask once more: as many packets as were meant, or more, and all of them alike. */
function alike<T>(rows: T[], atLeast: number): T[] {
  expect(rows.length).toBeGreaterThanOrEqual(atLeast);
  return [...new Map(rows.map((row) => [JSON.stringify(row), row])).values()];
}

const kinds: { name: string; network: Partial<NetworkInput>; link: string }[] = [
  { name: 'IPIP', network: { encapsulation: 'ipip' }, link: `ipip ${ends}` },
  { name: 'GRE', network: { encapsulation: 'gre', mode: 'l3' }, link: `gre ${ends}` },
  {
    name: 'Geneve',
    network: { encapsulation: 'geneve' },
    link: `geneve id 42 remote ${UNDERLAY_A} ttl 64`,
  },
];

const needs = ['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'tcpdump', 'tshark', 'guest'] as const;
describeWith([...needs], 'marks and routes between weft and a guest', () => {
  let rig: GuestRig;
  let node: WeftNode | undefined;

  beforeAll(async () => {
    rig = await makeGuestRig();
  }, GUEST_HOOK_MS);
  afterEach(async () => {
    await node?.end();
    node = undefined;
    await rig.guest.exec(`tc qdisc del dev ${GUEST_DEVICE} root; ip link del ${GUEST_TUNNEL}`);
    await rig.guest.exec(`ip route del 10.42.1.0/24; ip address del ${GUEST}/32 dev lo`);
  });
  afterAll(removeNamespaces);

  async function start(network: Partial<NetworkInput>, dscp: 'inherit' | 0): Promise<WeftNode> {
    const isRouted = network.mode === 'l3' || network.encapsulation === 'ipip';
    const port: PortInput = isRouted
      ? { type: 'tun', name: 'weft0', addresses: [`${WEFT}/24`] }
      : { type: 'tap', name: 'weft0', addresses: [`${WEFT}/16`] };
    const peers = isRouted ? [{ address: UNDERLAY_B, prefixes: ['10.42.2.0/24'] }] : [UNDERLAY_B];
    const settings = { ports: [port], peers, mtu: 1400, ...network };
    node = await up(rig.namespace, nodeConfig(settings, { underlay: { dscp } }));
    return node;
  }

  async function makeTunnel(link: string): Promise<void> {
    await rig.guest.run(`ip link add ${GUEST_TUNNEL} type ${link} && ip link set ${GUEST_TUNNEL} mtu 1400 up`);
    await rig.guest.run(`ip address add ${GUEST}/16 dev ${GUEST_TUNNEL}`);
  }

  it.each(kinds)(
    '$name: DSCP is copied where it is told to be, ECN always',
    { timeout: GUEST_TEST_MS },
    async ({ network, link }) => {
      await makeTunnel(link);
      const weft = await start(network, 'inherit');
      const recording = await record(rig.namespace, 'g0', { direction: 'out', filter: 'ip' });
      expect(await ping(rig.namespace, GUEST, { tos: EF_ECT1 })).toBe(3);
      const rows = await readFields(await recording.stop(), ['ip.dsfield'], { filter: 'icmp.type == 8' });
      expect(alike(rows, 3)).toEqual([{ 'ip.dsfield': ['0xb9', '0xb9'] }]);
      await weft.end();

      await start(network, 0);
      const again = await record(rig.namespace, 'g0', { direction: 'out', filter: 'ip' });
      expect(await ping(rig.namespace, GUEST, { tos: EF_ECT1 })).toBe(3);
      const ecnOnly = await readFields(await again.stop(), ['ip.dsfield'], { filter: 'icmp.type == 8' });
      expect(alike(ecnOnly, 3)).toEqual([{ 'ip.dsfield': ['0x01', '0xb9'] }]);
    },
  );

  it.each(kinds)(
    '$name: a mark of congestion on the way reaches the packet inside',
    { timeout: GUEST_TEST_MS },
    async ({ network, link }) => {
      await makeTunnel(link);
      const weft = await start(network, 0);
      expect(await guestPing(rig.guest, WEFT, { tos: ECT0 })).toBe(3);
      // Every packet that can be marked is marked instead of lost. ARP cannot be: whom they know, they know for good. A device of IP packets knows nobody.
      const keep = (address: string, device: string) => `ip neigh change ${address} dev ${device} nud permanent`;
      await rig.guest.exec(`${keep(WEFT, GUEST_TUNNEL)}; ${keep(UNDERLAY_A, GUEST_DEVICE)}`);
      runIn(rig.namespace, 'sh', '-c', `${keep(GUEST, 'weft0')}; ${keep(UNDERLAY_B, 'g0')}`);
      await rig.guest.run(`tc qdisc add dev ${GUEST_DEVICE} root netem loss 100% ecn`);
      const recording = await record(rig.namespace, 'weft0', { direction: 'in' });
      expect(await guestPing(rig.guest, WEFT, { tos: ECT0 })).toBe(3);
      const rows = await readFields(await recording.stop(), ['ip.dsfield', 'ip.checksum.status'], {
        filter: 'icmp.type == 8',
      });
      expect(alike(rows, 3)).toEqual([{ 'ip.dsfield': [CE], 'ip.checksum.status': ['1'] }]);
      await expectQuiet(weft);
      expect(await weft.dropped()).toEqual({});
    },
  );

  it('a peer on the same link gets plain packets where the network says so', async () => {
    await rig.guest.run(`ip address add ${GUEST}/32 dev lo && ip route add 10.42.1.0/24 via ${UNDERLAY_A}`);
    const weft = await start({ encapsulation: 'ipip', routing: 'crossSubnet' }, 0);
    const recording = await record(rig.namespace, 'g0', { filter: 'ip' });
    expect(await ping(rig.namespace, GUEST)).toBe(3);
    expect(await guestPing(rig.guest, WEFT)).toBe(3);
    // Requests and replies both ways, none of them in a tunnel.
    const rows = await readFields(await recording.stop(), ['ip.proto'], { filter: 'icmp' });
    expect(alike(rows, 12)).toEqual([{ 'ip.proto': ['1'] }]);
    await expectQuiet(weft);
  });
});
