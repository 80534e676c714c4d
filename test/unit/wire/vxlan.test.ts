import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Vxlan from '../../../src/wire/vxlan.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

// scapy: VXLAN(vni=0xabcdef, flags=8) / Ether / 'weft'
const packet = hex('08000000abcdef00 02005e100002 02005e100001 88b5 77656674');

describe('check', () => {
  it('wants 8 bytes', () => {
    expect(acceptedEnds(packet, Vxlan.check)).toEqual(range(8, packet.length));
  });
});

describe('getters', () => {
  it('read the header', () => {
    expect(Vxlan.flags(packet, 0)).toBe(Vxlan.FLAG_VNI);
    expect(Vxlan.vni(packet, 0)).toBe(0xabcdef);
    expect(Vxlan.hasVni(packet, 0)).toBe(true);
    expect(Vxlan.reservedAreZero(packet, 0)).toBe(true);
    expect(Vxlan.payloadAt(0)).toBe(8);
  });

  it('go by the I flag alone, whatever the reserved bits say', () => {
    for (const flags of range(0, 255)) {
      const other = Uint8Array.of(flags, ...packet.slice(1));
      expect(Vxlan.hasVni(other, 0)).toBe((flags & 8) !== 0);
      expect(Vxlan.reservedAreZero(other, 0)).toBe((flags & ~8) === 0);
      expect(Vxlan.vni(other, 0)).toBe(0xabcdef);
    }
  });

  it('see every reserved bit', () => {
    for (const byte of [1, 2, 3, 7]) {
      const other = packet.slice();
      other[byte] = 1;
      expect(Vxlan.reservedAreZero(other, 0), `byte ${byte}`).toBe(false);
      expect(Vxlan.vni(other, 0)).toBe(0xabcdef);
    }
  });
});

describe('write', () => {
  it('writes every bit of the header and nothing else', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: Vxlan.VNI_MAX }), (vni) => {
        const bytes = unwritten(8 + 2 * MARGIN);
        Vxlan.write(bytes, MARGIN, vni);
        const text = vni.toString(16).padStart(6, '0');
        expect(toHex(bytes)).toBe(`${'a5'.repeat(MARGIN)}08000000${text}00${'a5'.repeat(MARGIN)}`);
        expect(Vxlan.vni(bytes, MARGIN)).toBe(vni);
      }),
    );
  });

  it('changes a VNI alone', () => {
    const bytes = unwritten(8);
    Vxlan.setVni(bytes, 0, 42);
    expect(toHex(bytes)).toBe('a5a5a5a500002aa5');
  });
});
