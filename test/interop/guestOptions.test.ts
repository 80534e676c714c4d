// Geneve options between weft and the kernel of a guest, which sets and reads them with tc.

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { GUEST_HOOK_MS } from '../rig/guest.js';
import { guestPing } from '../rig/guestTraffic.js';
import { GUEST_TUNNEL, type GuestRig, makeGuestRig, type NetworkInput, nodeConfig } from '../rig/guestTunnel.js';
import { UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping } from '../rig/traffic.js';
import { readFields, record } from '../rig/tshark.js';

const WEFT = '10.42.0.1';
const GUEST = '10.42.0.2';
const CRITICAL = { class: 0x0102, type: 0x80, data: '1122334455667788' };
const PLAIN = { class: 0x0102, type: 0x01, data: 'aabbccdd' };

const needs = ['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'tcpdump', 'tshark', 'guest'] as const;
describeWith([...needs], 'Geneve options between weft and a guest', () => {
  let rig: GuestRig;
  let node: WeftNode | undefined;

  beforeAll(async () => {
    rig = await makeGuestRig();
  }, GUEST_HOOK_MS);
  afterEach(async () => {
    await node?.end();
    node = undefined;
    await rig.guest.exec(`ip link del ${GUEST_TUNNEL}`);
  });
  afterAll(removeNamespaces);

  /** A device that takes the options of each packet from tc. */
  async function makeTunnel(options: string): Promise<void> {
    const key = `tunnel_key set src_ip ${UNDERLAY_B} dst_ip ${UNDERLAY_A} id 42 dst_port 6081 ttl 64 csum ${options}`;
    const t0 = GUEST_TUNNEL;
    await rig.guest.run(`ip link add ${t0} type geneve external && tc qdisc add dev ${t0} clsact`);
    await rig.guest.run(`tc filter add dev ${t0} egress protocol all matchall action ${key} pass`);
    await rig.guest.run(`ip link set ${t0} mtu 1400 up && ip address add ${GUEST}/24 dev ${t0}`);
  }

  async function start(settings: object): Promise<WeftNode> {
    const encapsulation = { type: 'geneve', ...settings } as NetworkInput['encapsulation'];
    const port = { type: 'tap' as const, name: 'weft0', addresses: [`${WEFT}/24`] };
    node = await up(rig.namespace, nodeConfig({ encapsulation, mtu: 1400, ports: [port] }));
    return node;
  }

  it('a critical option without the C bit passes where it is wanted', async () => {
    await makeTunnel('geneve_opts 0102:80:1122334455667788');
    const weft = await start({ match: [CRITICAL] });
    const recording = await record(rig.namespace, 'g0', { direction: 'in', filter: 'udp port 6081' });
    expect(await guestPing(rig.guest, WEFT)).toBe(3);
    expect(await ping(rig.namespace, GUEST, { size: 1372 })).toBe(3);
    // What this test is about: this kernel leaves the bit clear.
    const rows = await readFields(await recording.stop(), ['geneve.flags.critical', 'geneve.option.type']);
    expect(new Set(rows.map((row) => row['geneve.flags.critical'].join()))).toEqual(new Set(['0']));
    expect(new Set(rows.map((row) => row['geneve.option.type'].join()))).toEqual(new Set(['0x80']));
    await expectQuiet(weft);
    expect(await weft.dropped()).toEqual({});
  });

  it('a critical option that nobody told weft of is dropped, C bit or not', async () => {
    await makeTunnel('geneve_opts 0102:80:1122334455667788');
    const weft = await start({});
    expect(await guestPing(rig.guest, WEFT, { withinSec: 2 })).toBe(0);
    await expectQuiet(weft);
    expect(await weft.dropped()).toEqual({ 'critical-option': expect.any(Number) });
  });

  it('options of no critical type are none of its business', async () => {
    await makeTunnel('geneve_opts 0102:01:11223344,0102:02:5566778899aabbcc');
    const weft = await start({});
    expect(await guestPing(rig.guest, WEFT)).toBe(3);
    await expectQuiet(weft);
    expect(await weft.dropped()).toEqual({});
  });

  it('the options that weft sends are what tc matches', async () => {
    await makeTunnel('');
    const wanted = 'enc_key_id 42 geneve_opts 0102:01:aabbccdd,0102:80:1122334455667788';
    await rig.guest.run(`tc filter add dev ${GUEST_TUNNEL} ingress protocol ip flower ${wanted} action pass`);
    const weft = await start({ options: [PLAIN, CRITICAL] });
    expect(await ping(rig.namespace, GUEST, { count: 5 })).toBe(5);
    const shown = await rig.guest.run(`tc -s filter show dev ${GUEST_TUNNEL} ingress`);
    // All that was answered; a late answer has ping ask once more.
    expect(Number(/Sent \d+ bytes (\d+) pkt/.exec(shown)?.[1]), shown).toBeGreaterThanOrEqual(5);
    await expectQuiet(weft);
    expect(await weft.dropped()).toEqual({});
  });
});
