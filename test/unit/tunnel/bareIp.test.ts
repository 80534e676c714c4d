import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DROP } from '../../../src/packet/drop.js';
import * as BareIp from '../../../src/tunnel/bareIp.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { decapOf } from '../../rig/decap.js';
import { join, udp } from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';

// Linux 6.1: an echo request behind an outer IPv4 header (ipip), behind an IPv6 header (ip4ip6) and in UDP (fou) alike.
const echo = join(
  '450000548c844000400199ce0a2a00010a2a000208009709008f0001c5bc006b00000000d96b020000000000',
  '101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637',
);
const packetOf = (frame: Uint8Array) => frame.slice(14);
const ipv6 = packetOf(udp({ family: 6, payload: 20 }));

const lanes = makeLanes();
const { arena, burst } = lanes;

// Two kinds with the same form: a bare IP packet, behind an IP header or in UDP.
describe.each([
  ['ipip', 4, 3],
  ['fou', 5, 6],
] as const)('%s', (kind, number, other) => {
  const module = BareIp;
  const bound = module.bindDecap(arena, burst);
  const decap = decapOf(lanes, kind, bound);

  it('writes no header', () => {
    const bytes = new Uint8Array(8).fill(0xa5);
    module.writeHeader(bytes, 4, tunnelPlan(kind), 0x0800);
    expect(bytes.every((b) => b === 0xa5)).toBe(true);
    expect(module.headerLen(tunnelPlan(kind))).toBe(0);
  });

  it('tells IPv4 from IPv6 by the packet', () => {
    expect(decap(echo, ipv6)).toEqual([
      { drop: 'none', key: 0, payload: 0x0800, metaLen: 0, inner: echo },
      { drop: 'none', key: 0, payload: 0x86dd, metaLen: 0, inner: ipv6 },
    ]);
  });

  it('drops every other version', () => {
    for (let version = 0; version < 16; version++) {
      const packet = join((version << 4) | 5, new Uint8Array(59));
      const drop = version === 4 || version === 6 ? 'none' : 'tunnel-protocol';
      expect(decap(packet)[0].drop, `${version}`).toBe(drop);
    }
  });

  it('needs a whole IP header, at every length', () => {
    for (const [packet, header] of [
      [echo, 20],
      [ipv6, 40],
    ] as const) {
      for (let length = 0; length <= packet.length; length++) {
        expect(decap(packet.slice(0, length))[0].drop, `${length}`).toBe(length < header ? 'malformed-tunnel' : 'none');
      }
    }
  });

  it('leaves lanes of other kinds and lanes that are dropped', () => {
    lanes.lay([echo, join('00')], (i) => ({ drop: i === 0 ? DROP.truncated : 0 }));
    burst.payload.fill(-1);
    burst.tunnel.set([number, other]);
    bound(2);
    expect(Array.from(burst.drop.slice(0, 2))).toEqual([DROP.truncated, 0]);
    expect([burst.payload[0], burst.payload[1]]).toEqual([-1, -1]);
  });

  it('takes any packet as it is', () => {
    const packet = fc.uint8Array({ minLength: 40, maxLength: 200 });
    fc.assert(
      fc.property(packet, fc.constantFrom(0x45, 0x4f, 0x60, 0x6f), (rest, first) => {
        const whole = join(first, rest);
        const payload = first < 0x60 ? 0x0800 : 0x86dd;
        expect(decap(whole)).toEqual([{ drop: 'none', key: 0, payload, metaLen: 0, inner: whole }]);
      }),
    );
  });
});
