import { describe, expect, it } from 'vitest';
import * as Gue from '../../../src/wire/gue.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

// Linux 6.1, `ip link ... type ipip encap gue`: the first bytes of an ICMP echo request in IPv4.
const packet = hex('00040000 45000054aa1f400040017c330a2a00010a2a0002');

describe('check', () => {
  it('wants the header and its extension fields', () => {
    expect(acceptedEnds(packet, Gue.check)).toEqual(range(4, packet.length));
    expect(acceptedEnds(hex('02040000 11223344 55667788 45'), Gue.check)).toEqual([12, 13]);
    const longest = hex(`1f040000${'00'.repeat(124)}`);
    expect(acceptedEnds(longest, Gue.check)).toEqual([128]);
  });

  it('knows the variant with a header alone', () => {
    for (const first of ['45', '60', '80', 'c0']) {
      expect(acceptedEnds(hex(`${first}040000 00000000`), Gue.check), first).toEqual([]);
    }
  });
});

describe('getters', () => {
  it('read a header of Linux', () => {
    expect(Gue.variant(packet, 0)).toBe(Gue.VARIANT_HEADER);
    expect(Gue.isControl(packet, 0)).toBe(false);
    expect(Gue.headerBytes(packet, 0)).toBe(4);
    expect(Gue.protocol(packet, 0)).toBe(Gue.PROTOCOL_IPV4);
    expect(Gue.flags(packet, 0)).toBe(0);
    expect(Gue.payloadAt(packet, 0)).toBe(4);
  });

  it('read every field by itself', () => {
    const control = hex('2329abcd 00000000 00000000 00000000');
    expect(Gue.isControl(control, 0)).toBe(true);
    expect(Gue.headerBytes(control, 0)).toBe(16);
    expect(Gue.protocol(control, 0)).toBe(Gue.PROTOCOL_IPV6);
    expect(Gue.flags(control, 0)).toBe(0xabcd);
  });

  it('see IP packets without a header', () => {
    expect(Gue.variant(hex('45'), 0)).toBe(Gue.VARIANT_IP);
    expect(Gue.variant(hex('60'), 0)).toBe(Gue.VARIANT_IP);
    expect(Gue.variant(hex('80'), 0)).toBe(2);
  });
});

describe('write', () => {
  it('writes what Linux does, and nothing else', () => {
    const bytes = unwritten(4 + 2 * MARGIN);
    Gue.write(bytes, MARGIN, Gue.PROTOCOL_IPV4);
    expect(toHex(bytes)).toBe(`${'a5'.repeat(MARGIN)}${toHex(packet, 0, 4)}${'a5'.repeat(MARGIN)}`);
    Gue.setProtocol(bytes, MARGIN, Gue.PROTOCOL_IPV6);
    expect(toHex(bytes, MARGIN, MARGIN + 4)).toBe('00290000');
  });
});
