// Geneve options between weft and Open vSwitch: read by its flows, and asked for by weft.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { NetworkInput } from '../rig/guestTunnel.js';
import { makeHosts, pinOffloads, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { type OpenVswitch, startOpenVswitch, TUNNEL_PORT } from '../rig/openVswitch.js';
import { describeWith } from '../rig/requirements.js';
import { ping } from '../rig/traffic.js';
import { readFields, record } from '../rig/tshark.js';

const WEFT = '10.43.0.1';
const SWITCH = '10.43.0.2';
const MTU = 1400;

const PLAIN = { class: 0x0102, type: 0x01, data: '11223344' };
const CRITICAL = { class: 0x0102, type: 0x80, data: '5566778899aabbcc' };
const TUNNEL = { type: 'geneve' as const, remote: UNDERLAY_A, options: { key: '42' } };
const FIELDS = [
  'geneve.flags.critical',
  'geneve.option.class',
  'geneve.option.type',
  'geneve.option.unknown.data',
] as const;

const needs = ['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'tcpdump', 'tshark', 'openVswitch'] as const;
describeWith([...needs], 'Geneve options between weft and Open vSwitch', () => {
  let a: string;
  let b: string;
  let openVswitch: OpenVswitch;
  let node: WeftNode | undefined;

  beforeAll(async () => {
    const hosts = makeHosts();
    pinOffloads(hosts);
    a = hosts.a.namespace;
    b = hosts.b.namespace;
    openVswitch = await startOpenVswitch({ host: hosts.b, addresses: [`${SWITCH}/24`], overlayMtu: MTU });
    openVswitch.mapOptions(
      '{class=0x0102,type=0x01,len=4}->tun_metadata0',
      '{class=0x0102,type=0x80,len=8}->tun_metadata1',
    );
  });
  afterEach(async () => {
    await node?.end();
    node = undefined;
  });
  afterAll(removeNamespaces);

  async function start(settings: object): Promise<WeftNode> {
    const encapsulation = { type: 'geneve', ...settings } as NetworkInput['encapsulation'];
    const port = { type: 'tap' as const, name: 'weft0', addresses: [`${WEFT}/24`] };
    const network = { name: 'blue', vni: 42, underlay: 'wire', peers: [UNDERLAY_B], mtu: MTU, ports: [port] };
    const underlays = [{ name: 'wire', address: UNDERLAY_A }];
    node = await up(a, { underlays, networks: [{ ...network, encapsulation }] });
    return node;
  }

  const toLocal = (match: string) => `priority=10,in_port=${TUNNEL_PORT}${match},actions=LOCAL`;
  const toTunnel = (actions: string) => `in_port=LOCAL,actions=${actions}output:${TUNNEL_PORT}`;
  const setBoth = 'set_field:0x11223344->tun_metadata0,set_field:0x5566778899aabbcc->tun_metadata1,';

  it('the options that weft sends are what its flows match', async () => {
    const wanted = ',tun_metadata0=0x11223344,tun_metadata1=0x5566778899aabbcc';
    openVswitch.setTunnel({ ...TUNNEL, flows: [toLocal(wanted), toTunnel('')] });
    const weft = await start({ options: [PLAIN, CRITICAL] });
    const recording = await record(a, 'va', { direction: 'out', filter: 'udp port 6081' });
    expect(await ping(a, SWITCH)).toBe(3);
    expect(await ping(a, SWITCH, { size: MTU - 28 })).toBe(3);
    const rows = await readFields(await recording.stop(), FIELDS);
    expect(rows.length).toBeGreaterThan(5);
    for (const row of rows) {
      expect(row).toEqual({
        'geneve.flags.critical': ['1'],
        'geneve.option.class': ['0x0102', '0x0102'],
        'geneve.option.type': ['0x01', '0x80'],
        'geneve.option.unknown.data': [PLAIN.data, CRITICAL.data],
      });
    }
    const [packets] = [...openVswitch.flowPackets()]
      .filter(([match]) => match.includes('tun_metadata1'))
      .map(([, n]) => n);
    expect(packets).toBeGreaterThan(5);
    await expectQuiet(weft);
    expect(await weft.dropped()).toEqual({});
  });

  it('nothing that weft sends matches other options', async () => {
    openVswitch.setTunnel({ ...TUNNEL, flows: [toLocal(',tun_metadata0=0x11223345'), toTunnel('')] });
    await start({ options: [PLAIN] });
    expect(await ping(a, SWITCH, { withinSec: 1 })).toBe(0);
  });

  it('a critical option that weft is told to match passes', async () => {
    openVswitch.setTunnel({ ...TUNNEL, flows: [toLocal(''), toTunnel(setBoth)] });
    const weft = await start({ match: [{ class: 0x0102, type: 0x80, data: CRITICAL.data }] });
    expect(await ping(a, SWITCH)).toBe(3);
    expect(await ping(b, WEFT, { size: MTU - 28 })).toBe(3);
    await expectQuiet(weft);
    expect(await weft.dropped()).toEqual({});
  });

  it('a critical option that nobody told weft of does not pass, and is counted under its reason', async () => {
    openVswitch.setTunnel({ ...TUNNEL, flows: [toLocal(''), toTunnel(setBoth)] });
    const weft = await start({});
    expect(await ping(b, WEFT, { withinSec: 1 })).toBe(0);
    await expectQuiet(weft);
    expect(await weft.dropped()).toEqual({ 'critical-option': expect.any(Number) });
  });

  it('another value than the wanted one does not pass', async () => {
    openVswitch.setTunnel({ ...TUNNEL, flows: [toLocal(''), toTunnel(setBoth)] });
    const weft = await start({ match: [{ class: 0x0102, type: 0x80, data: '5566778899aabbcd' }] });
    expect(await ping(b, WEFT, { withinSec: 1 })).toBe(0);
    await expectQuiet(weft);
    expect(await weft.dropped()).toEqual({ 'option-mismatch': expect.any(Number) });
  });

  it("OVN's option goes both ways", async () => {
    // Ingress 3 in the upper 16 bits behind a reserved one, egress 5 in the lower.
    openVswitch.mapOptions('{class=0x0102,type=0x80,len=4}->tun_metadata0');
    openVswitch.setTunnel({
      ...TUNNEL,
      flows: [toLocal(',tun_metadata0=0x30005'), toTunnel('set_field:0x50003->tun_metadata0,')],
    });
    const weft = await start({
      options: [{ ovn: { ingress: 3, egress: 5 } }],
      match: [{ class: 0x0102, type: 0x80, data: '00050003' }],
    });
    expect(await ping(a, SWITCH)).toBe(3);
    await expectQuiet(weft);
    expect(await weft.dropped()).toEqual({});
  });
});
