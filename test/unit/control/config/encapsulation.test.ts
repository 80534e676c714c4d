import { describe, expect, it } from 'vitest';
import { checkText, checkValue, requireConfig } from '../../../../src/control/config/check.js';
import type { ConfigInput } from '../../../../src/control/config/config.js';
import { tunnelOf } from '../../../../src/control/config/encapsulation.js';
import { overheadOf } from '../../../../src/control/plan/mtu.js';
import type { TunnelPlan } from '../../../../src/tunnel/tunnel.js';
import { faultsOf, ONE_TUN } from '../faultsOf.js';

type Network = ConfigInput['networks'][number];

/** The tunnel of a network over IPv4. */
function tunnel(network: Partial<Network>): TunnelPlan {
  const value = {
    underlays: [{ name: 'lan', address: '192.0.2.1' }],
    networks: [{ name: 'n', underlay: 'lan', ...network }],
  };
  return tunnelOf(requireConfig(checkValue(value)).networks[0], 4789);
}

describe('words of an encapsulation', () => {
  it.each<[string, Partial<Network>, Partial<TunnelPlan>]>([
    ['vxlan by default', { vni: 42 }, { kind: 'vxlan', id: 42, udpPort: 4789, payload: 'ethernet' }],
    ['a word', { vni: 42, encapsulation: 'geneve' }, { kind: 'geneve', id: 42, udpPort: 6081, payload: 'ethernet' }],
    ['gre without a key', { encapsulation: 'gre' }, { kind: 'gre', id: 0, hasKey: false, udpPort: 0 }],
    [
      'gre with all of it',
      { encapsulation: { type: 'gre', key: 0, checksum: true, sequence: true } },
      { id: 0, hasKey: true, checksum: true, sequence: true, payload: 'ethernet' },
    ],
    ['gre of routed packets', { ...ONE_TUN, encapsulation: 'gre', mode: 'l3' }, { payload: 'ip' }],
    ['the largest gre key', { encapsulation: { type: 'gre', key: 0xffffffff } }, { id: 0xffffffff, hasKey: true }],
    ['ipip', { ...ONE_TUN, encapsulation: 'ipip' }, { kind: 'ipip', udpPort: 0, payload: 'ip' }],
    ['fou', { ...ONE_TUN, encapsulation: 'fou' }, { kind: 'fou', udpPort: 8285, payload: 'ip' }],
    [
      'gue',
      { ...ONE_TUN, encapsulation: { type: 'gue', udpPort: 6666 } },
      { kind: 'gue', udpPort: 6666, payload: 'ip' },
    ],
    ['gpe', { vni: 1, encapsulation: { type: 'vxlan', gpe: true } }, { udpPort: 4790, gpe: true, payload: 'ethernet' }],
    [
      'gpe of routed packets',
      { ...ONE_TUN, vni: 1, mode: 'l3', encapsulation: { type: 'vxlan', gpe: true, udpPort: 9999 } },
      { udpPort: 9999, payload: 'ip' },
    ],
    ['a group', { vni: 1, encapsulation: { type: 'vxlan', group: 7 } }, { group: 7, gpe: false }],
    ['vxlan of routed packets', { ...ONE_TUN, vni: 1, mode: 'l3' }, { payload: 'ethernet' }],
    ['geneve of routed packets', { ...ONE_TUN, vni: 1, mode: 'l3', encapsulation: 'geneve' }, { payload: 'ip' }],
    ['flannel', { ...ONE_TUN, preset: 'flannel' }, { kind: 'vxlan', id: 1, udpPort: 8472, payload: 'ethernet' }],
    [
      'flannel with another VNI and port',
      { ...ONE_TUN, preset: 'flannel', vni: 4096, encapsulation: { type: 'vxlan', udpPort: 4789 } },
      { id: 4096, udpPort: 4789 },
    ],
  ])('%s', (_name, network, expected) => expect(tunnel(network)).toMatchObject(expected));
});

describe('Geneve options', () => {
  const options = (text: string) => {
    const { config, problems } = checkText(
      `underlays: [{name: lan, address: 192.0.2.1}]\nnetworks: [{name: n, underlay: lan, vni: 1, encapsulation: {type: geneve, options: ${text}}}]`,
    );
    expect(problems).toEqual([]);
    return tunnelOf(config!.networks[0], 4789).options.map((o) => [
      o.class,
      o.type,
      Buffer.from(o.data).toString('hex'),
    ]);
  };

  // Layouts: ovn-architecture(7) (1 bit reserved, 15 ingress, 16 egress); Cilium's geneve_dsr_opt4 and geneve_dsr_opt6.
  it.each<[string, (string | number)[][]]>([
    ['[{class: 0x0102, type: 0x80, data: "00010002"}]', [[0x0102, 0x80, '00010002']]],
    [
      '[{class: "0xffff", type: "0x7f", data: ""}, {class: 1, type: 2}]',
      [
        [0xffff, 0x7f, ''],
        [1, 2, ''],
      ],
    ],
    ['[{ovn: {ingress: 3, egress: 5}}]', [[0x0102, 0x80, '00030005']]],
    ['[{ovn: {ingress: 32767, egress: 65535}}]', [[0x0102, 0x80, '7fffffff']]],
    ['[{cilium: {address: 10.0.0.1, port: 80}}]', [[0x014b, 0x81, '0a00000100500000']]],
    ['[{cilium: {address: "fd00::1", port: 443}}]', [[0x014b, 0x81, 'fd00000000000000000000000000000101bb0000']]],
  ])('%s', (text, expected) => expect(options(text)).toEqual(expected));

  const geneve = (rest: object) => faultsOf({ vni: 1, encapsulation: { type: 'geneve', ...rest } });

  it.each<[object, RegExp]>([
    [{ class: 65536, type: 0 }, /class: 65536 is not 0 to 0xffff/],
    [{ class: 'abc', type: 0 }, /class: "abc" is not 0 to 0xffff/],
    [{ class: 0, type: 256 }, /type: 256 is not 0 to 0xff/],
    [{ class: 0, type: 0, data: '0001' }, /2 bytes are not a multiple of four/],
    [{ class: 0, type: 0, data: '00010g02' }, /not a row of bytes in hex/],
    [{ class: 0, type: 0, data: '0001000' }, /not a row of bytes in hex/],
    [{ class: 0, type: 0, data: 10002 }, /`data` is 10002, expected text.*quotation|`data` is 10002, expected text/],
    [{ class: 0 }, /an option of class is not possible/],
    [{ class: 0, type: 0, ovn: { ingress: 1, egress: 1 } }, /an option of class, type, ovn is not possible/],
    [{}, /an option of nothing is not possible/],
    [{ ovn: { ingress: 32768, egress: 0 } }, /ingress: .*at most 32767/],
    [{ ovn: { ingress: 1 } }, /`egress` is missing/],
    [{ cilium: { address: '10.0.0.300', port: 80 } }, /not an IP address/],
    [{ clas: 1 }, /unknown key `clas`.*did you mean `class`/],
  ])('%j', (option, message) => {
    const found = geneve({ options: [option] });
    expect(found.join('\n')).toMatch(message);
    expect(found.join('\n')).toContain('networks[0].encapsulation.options[0]');
  });

  it('have at most 120 bytes in all', () => {
    const option = { class: 1, type: 1, data: '00'.repeat(56) };
    expect(geneve({ options: [option, option] })).toEqual([]);
    expect(geneve({ options: [option, option, { class: 1, type: 1 }] })[0]).toMatch(/have 124 bytes .* at most 120/);
    expect(geneve({ options: [{ class: 1, type: 1, data: '00'.repeat(120) }] })[0]).toMatch(/120 bytes in one option/);
  });

  it('that must be there, with any data or this one', () => {
    const match = [
      { class: 0x0102, type: 0x80 },
      { class: '0x1', type: 2, data: '0a0b0c0d' },
    ];
    expect(tunnel({ vni: 1, encapsulation: { type: 'geneve', match, relayOptions: 'strip' } })).toMatchObject({
      match: [
        { class: 0x0102, type: 0x80, data: null },
        { class: 1, type: 2, data: Uint8Array.of(10, 11, 12, 13) },
      ],
      relayOptions: 'strip',
    });
  });
});

describe('bytes in front of an inner packet', () => {
  // IPv4 20 or IPv6 40, UDP 8, tunnel header, inner Ethernet 14 where it is carried. 50, 70 and 20 are what Linux and Calico count too.
  it.each<[string, Partial<Network>, number, number]>([
    ['vxlan', { vni: 1 }, 50, 70],
    ['vxlan, routed', { ...ONE_TUN, vni: 1, mode: 'l3' }, 50, 70],
    ['gpe, routed', { ...ONE_TUN, vni: 1, mode: 'l3', encapsulation: { type: 'vxlan', gpe: true } }, 36, 56],
    ['geneve', { vni: 1, encapsulation: 'geneve' }, 50, 70],
    [
      "OVN's geneve",
      { vni: 1, encapsulation: { type: 'geneve', options: [{ ovn: { ingress: 1, egress: 2 } }] } },
      58,
      78,
    ],
    ['geneve, routed', { ...ONE_TUN, vni: 1, mode: 'l3', encapsulation: 'geneve' }, 36, 56],
    ['gretap', { encapsulation: 'gre' }, 38, 58],
    ['gretap with a key', { encapsulation: { type: 'gre', key: 1 } }, 42, 62],
    [
      'gre with everything',
      { ...ONE_TUN, mode: 'l3', encapsulation: { type: 'gre', key: 1, checksum: true, sequence: true } },
      36,
      56,
    ],
    ['gre, routed', { ...ONE_TUN, mode: 'l3', encapsulation: 'gre' }, 24, 44],
    ['ipip', { ...ONE_TUN, encapsulation: 'ipip' }, 20, 40],
    ['fou', { ...ONE_TUN, encapsulation: 'fou' }, 28, 48],
    ['gue', { ...ONE_TUN, encapsulation: 'gue' }, 32, 52],
  ])('%s', (_name, network, v4, v6) => {
    expect([overheadOf(tunnel(network), 4), overheadOf(tunnel(network), 6)]).toEqual([v4, v6]);
  });
});
