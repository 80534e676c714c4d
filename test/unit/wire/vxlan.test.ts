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

describe('the Generic Protocol Extension', () => {
  // Linux 6.1, `ip link ... type vxlan ... gpe`: the first bytes of an ICMP echo request in IPv4.
  const gpe = hex('0c00000100002a00 45000054');

  it('is read', () => {
    expect(Vxlan.hasVni(gpe, 0)).toBe(true);
    expect(Vxlan.vni(gpe, 0)).toBe(42);
    expect(Vxlan.version(gpe, 0)).toBe(0);
    expect(Vxlan.isOam(gpe, 0)).toBe(false);
    expect(Vxlan.nextProtocol(gpe, 0)).toBe(Vxlan.NEXT_IPV4);
    expect(Vxlan.group(gpe, 0)).toBe(-1);
  });

  it('carries Ethernet without the P flag', () => {
    expect(Vxlan.nextProtocol(hex('0800000100002a00'), 0)).toBe(Vxlan.NEXT_ETHERNET);
    expect(Vxlan.nextProtocol(hex('0c00000300002a00'), 0)).toBe(Vxlan.NEXT_ETHERNET);
  });

  it('tells version and O flag from the other bits', () => {
    for (const flags of range(0, 255)) {
      const other = Uint8Array.of(flags, ...gpe.slice(1));
      expect(Vxlan.version(other, 0)).toBe(Math.floor(flags / 16) % 4);
      expect(Vxlan.isOam(other, 0)).toBe(flags % 2 === 1);
    }
  });

  it('is written', () => {
    const bytes = unwritten(8 + MARGIN);
    Vxlan.write(bytes, 0, 0xabcdef);
    Vxlan.setNextProtocol(bytes, 0, Vxlan.NEXT_IPV6);
    // scapy: VXLAN(flags=0x0c, NextProtocol=2, vni=0xabcdef)
    expect(toHex(bytes)).toBe(`0c000002abcdef00${'a5'.repeat(MARGIN)}`);
  });
});

describe('group policy', () => {
  // scapy: VXLAN(flags=0x88, gpid=0x1234, gpflags=0x48, vni=0xabcdef)
  const tagged = hex('88481234abcdef00');

  it('is read', () => {
    expect(Vxlan.group(tagged, 0)).toBe(0x1234);
    expect(Vxlan.dontLearn(tagged, 0)).toBe(true);
    expect(Vxlan.policyApplied(tagged, 0)).toBe(true);
    expect(Vxlan.vni(tagged, 0)).toBe(0xabcdef);
    expect(Vxlan.group(hex('08481234abcdef00'), 0)).toBe(-1);
    expect(Vxlan.dontLearn(hex('88081234abcdef00'), 0)).toBe(false);
    expect(Vxlan.policyApplied(hex('88401234abcdef00'), 0)).toBe(false);
  });

  it('is written', () => {
    const bytes = unwritten(8 + MARGIN);
    Vxlan.write(bytes, 0, 0xabcdef);
    Vxlan.setGroup(bytes, 0, 0x1234, Vxlan.GROUP_DONT_LEARN | Vxlan.GROUP_APPLIED);
    expect(toHex(bytes)).toBe(`88481234abcdef00${'a5'.repeat(MARGIN)}`);
    Vxlan.setGroup(bytes, 0, 7, 0);
    expect(toHex(bytes, 0, 8)).toBe('88000007abcdef00');
  });
});
