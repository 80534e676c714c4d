import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Gre from '../../../src/wire/gre.js';
import { onesSum } from '../../rig/frames.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

// Linux 6.1, key 42, checksum and sequence number 1, around an ICMP echo reply in IPv4.
const kernel = hex(
  `b0000800 47d40000 0000002a 00000001
  4500005448000000 40011e53 0a2a0002 0a2a0001 0000ac74 010a0002 ccbc006b00000000ba840c0000000000
  101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637`,
);

// scapy: GRE(proto=0x6558, ...) / 'wefts': an odd number of bytes under the checksum.
const CASES: { what: string; bytes: string; key: number; sequence: number; header: number }[] = [
  { what: 'plain', bytes: '00006558 7765667473', key: 0, sequence: 0, header: 4 },
  { what: 'key', bytes: '20006558 deadbeef 7765667473', key: 0xdeadbeef | 0, sequence: 0, header: 8 },
  { what: 'sequence', bytes: '10006558 00000007 7765667473', key: 0, sequence: 7, header: 8 },
  { what: 'key, sequence', bytes: '30006558 0000002a fffffffe 7765667473', key: 42, sequence: -2, header: 12 },
  { what: 'checksum', bytes: '80006558 c9cc0000 7765667473', key: 0, sequence: 0, header: 8 },
  { what: 'checksum, sequence', bytes: '90006558 b9c70000 00000005 7765667473', key: 0, sequence: 5, header: 12 },
  { what: 'all', bytes: 'b0006558 999d0000 0000002a 00000005 7765667473', key: 42, sequence: 5, header: 16 },
];

describe('check', () => {
  it('wants the fields that the flags name', () => {
    for (const { what, bytes, header } of CASES) {
      const packet = hex(bytes);
      expect(acceptedEnds(packet, Gre.check), what).toEqual(range(header, packet.length));
    }
  });

  it('refuses bits 1, 4 and 5 and every version but 0, and ignores the other reserved bits (RFC 2784 section 2.3)', () => {
    for (let bit = 0; bit < 16; bit++) {
      const packet = hex('0000 6558 00000000 00000000');
      packet[bit >> 3] |= 0x80 >> (bit & 7);
      const isRefused = [1, 4, 5, 13, 14, 15].includes(bit);
      expect(Gre.check(packet, 0, packet.length), `bit ${bit}`).toBe(!isRefused);
    }
  });

  it('refuses PPTP (RFC 2637)', () => {
    const pptp = hex('3081 880b 0004 0001 00000000 00000000');
    expect(Gre.check(pptp, 0, pptp.length)).toBe(false);
  });
});

describe('getters', () => {
  it('read every combination of fields', () => {
    for (const { what, bytes, key, sequence, header } of CASES) {
      const packet = hex(bytes);
      expect(Gre.protocol(packet, 0), what).toBe(Gre.PROTOCOL_ETHERNET);
      expect(Gre.key(packet, 0), what).toBe(key);
      expect(Gre.sequence(packet, 0), what).toBe(sequence);
      expect(Gre.payloadAt(packet, 0), what).toBe(header);
      expect(Gre.checksumIsRight(packet, 0, packet.length), what).toBe(true);
    }
  });

  it('read a packet of Linux', () => {
    expect(Gre.check(kernel, 0, kernel.length)).toBe(true);
    expect(Gre.protocol(kernel, 0)).toBe(Gre.PROTOCOL_IPV4);
    expect([Gre.key(kernel, 0), Gre.sequence(kernel, 0)]).toEqual([42, 1]);
    expect(kernel[Gre.payloadAt(kernel, 0)]).toBe(0x45);
    expect(Gre.checksumIsRight(kernel, 0, kernel.length)).toBe(true);
  });

  it('see every wrong byte under a checksum', () => {
    for (const at of range(2, kernel.length - 1)) {
      const other = kernel.slice();
      other[at] ^= 0x10;
      expect(Gre.checksumIsRight(other, 0, other.length), `byte ${at}`).toBe(false);
    }
  });
});

describe('write', () => {
  it('writes what scapy does, and nothing else', () => {
    for (const { what, bytes, key, sequence, header } of CASES) {
      const packet = hex(bytes);
      const flags = (packet[0] << 8) | packet[1];
      const written = unwritten(packet.length + 2 * MARGIN);
      written.set(packet.slice(header), MARGIN + header);
      Gre.write(written, MARGIN, flags, Gre.PROTOCOL_ETHERNET);
      if (flags & Gre.FLAG_KEY) Gre.setKey(written, MARGIN, key);
      if (flags & Gre.FLAG_SEQUENCE) Gre.setSequence(written, MARGIN, sequence);
      if (flags & Gre.FLAG_CHECKSUM) Gre.writeChecksum(written, MARGIN, MARGIN + packet.length);
      const margin = 'a5'.repeat(MARGIN);
      expect(toHex(written), what).toBe(margin + toHex(packet) + margin);
    }
  });

  it('leaves optional fields 0', () => {
    const bytes = unwritten(16 + MARGIN);
    Gre.write(bytes, 0, Gre.FLAG_CHECKSUM | Gre.FLAG_KEY | Gre.FLAG_SEQUENCE, Gre.PROTOCOL_IPV6);
    expect(toHex(bytes)).toBe(`b00086dd${'00'.repeat(12)}${'a5'.repeat(MARGIN)}`);
  });

  it('writes checksums that are right for any payload', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (payload) => {
        const bytes = unwritten(8 + payload.length);
        bytes.set(payload, 8);
        Gre.write(bytes, 0, Gre.FLAG_CHECKSUM, Gre.PROTOCOL_ETHERNET);
        Gre.writeChecksum(bytes, 0, bytes.length);
        expect(onesSum(bytes)).toBe(0xffff);
      }),
    );
  });
});
