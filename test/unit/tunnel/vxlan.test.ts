import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DROP } from '../../../src/packet/drop.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import * as Vxlan from '../../../src/tunnel/vxlan.js';
import { decapOf } from '../../rig/decap.js';
import { join, toHex, udp, vxlan } from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';

const VNI = 0x123456;
const lanes = makeLanes();
const { burst, arena } = lanes;
const bound = Vxlan.bindDecap(arena, burst);
const decap = decapOf(lanes, 'vxlan', bound);
const inner = udp({ payload: 20 });

function written(innerProtocol: number, ...args: Parameters<typeof tunnelPlan>): string {
  const plan = tunnelPlan(...args);
  expect(Vxlan.headerLen(plan)).toBe(8);
  const bytes = new Uint8Array(14).fill(0xa5);
  Vxlan.writeHeader(bytes, 3, plan, innerProtocol);
  expect(toHex(bytes.slice(0, 3)) + toHex(bytes.slice(11))).toBe('a5a5a5a5a5a5');
  return toHex(bytes.slice(3, 11));
}

describe('encap', () => {
  it('writes the eight bytes of RFC 7348', () => {
    expect(written(0x6558, 'vxlan', VNI)).toBe('0800000012345600');
    expect(written(0x6558, 'vxlan', 0xffffff)).toBe('08000000ffffff00');
  });

  it('says with GPE what it carries', () => {
    // Linux 6.1, `gpe`, an IPv4 packet.
    expect(written(0x0800, 'vxlan', 42, { gpe: true })).toBe('0c00000100002a00');
    // scapy: VXLAN(flags=0x0c, NextProtocol=2, vni=0xabcdef)
    expect(written(0x86dd, 'vxlan', 0xabcdef, { gpe: true })).toBe('0c000002abcdef00');
    expect(written(0x6558, 'vxlan', 42, { gpe: true })).toBe('0c00000300002a00');
  });

  it('carries a group policy id, 0 included', () => {
    // scapy: VXLAN(flags=0x88, gpid=0x1234, vni=0xabcdef)
    expect(written(0x6558, 'vxlan', 0xabcdef, { group: 0x1234 })).toBe('88001234abcdef00');
    expect(written(0x6558, 'vxlan', 42, { group: 0 })).toBe('8800000000002a00');
  });
});

describe('decap', () => {
  it('takes the header of RFC 7348 off', () => {
    expect(decap(join('0800000012345600', inner))).toEqual([
      { drop: 'none', key: VNI, payload: 0x6558, metaLen: 0, inner },
    ]);
    expect(decap(vxlan(0, inner), vxlan(0xffffff, inner)).map(({ key }) => key)).toEqual([0, 0xffffff]);
  });

  it('ignores every reserved bit on receipt (RFC 7348 section 5)', () => {
    for (let bit = 0; bit < 64; bit++) {
      const header = join('0800000012345600');
      const at = bit >> 3;
      if (at >= 4 && at < 7) continue; // the VNI
      header[at] |= 0x80 >> (bit & 7);
      const [{ drop, key }] = decap(join(header, inner));
      expect([drop, key], `bit ${bit}`).toEqual(['none', VNI]);
    }
  });

  it('needs the I flag', () => {
    for (const flags of [0, 0xf7, 0x04, 0x10])
      expect(decap(vxlan(VNI, inner, flags))).toEqual([{ drop: 'tunnel-flags' }]);
  });

  it('reads what a header of GPE carries; 0 for what no network does', () => {
    const packets = ['01', '02', '03', '04', '00', 'ff'].map((next) => join(`0c0000${next} 00002a00`, inner));
    expect(decap(...packets).map(({ payload }) => payload)).toEqual([0x0800, 0x86dd, 0x6558, 0, 0, 0]);
    // Without flag P the byte is reserved.
    expect(decap(join('0800000100002a00', inner))[0].payload).toBe(0x6558);
  });

  it('needs something behind its header, at every length', () => {
    const datagram = vxlan(VNI, inner);
    for (let length = 0; length <= datagram.length; length++) {
      const [{ drop, inner }] = decap(datagram.slice(0, length));
      expect(drop, `${length}`).toBe(length <= 8 ? 'malformed-tunnel' : 'none');
      expect(inner?.length).toBe(length <= 8 ? undefined : length - 8);
    }
  });

  it('leaves lanes of other kinds and lanes that are dropped', () => {
    lanes.lay([vxlan(VNI, inner), vxlan(VNI, inner)], (i) => ({ drop: i === 0 ? DROP.truncated : 0 }));
    burst.tunnel.set([1, 2]);
    bound(2);
    expect(Array.from(burst.drop.slice(0, 2))).toEqual([DROP.truncated, 0]);
    expect(lanes.frame(0)).toEqual(vxlan(VNI, inner));
    expect(lanes.frame(1)).toEqual(vxlan(VNI, inner));
  });
});

describe('decap of encap', () => {
  it('gives the frame back', () => {
    const frame = fc.uint8Array({ minLength: 1, maxLength: 200 });
    const group = fc.integer({ min: -1, max: 0xffff });
    fc.assert(
      fc.property(frame, fc.integer({ min: 0, max: 0xffffff }), group, fc.boolean(), (frame, id, group, gpe) => {
        const sent = join(new Uint8Array(8).fill(0xa5), frame);
        Vxlan.writeHeader(sent, 0, tunnelPlan('vxlan', id, { group, gpe }), 0x6558);
        expect(decap(sent)).toEqual([{ drop: 'none', key: id, payload: 0x6558, metaLen: 0, inner: frame }]);
      }),
    );
  });
});
