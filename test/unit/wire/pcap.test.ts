import { describe, expect, it } from 'vitest';
import * as Pcap from '../../../src/wire/pcap.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

// The four kinds of header: magic number, version 2.4, snap length 262144, Ethernet
const headers = {
  'little-endian, microseconds': hex('d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000'),
  'big-endian, microseconds': hex('a1b2c3d4 0002 0004 00000000 00000000 00040000 00000001'),
  'little-endian, nanoseconds': hex('4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000'),
  'big-endian, nanoseconds': hex('a1b23c4d 0002 0004 00000000 00000000 00040000 00000001'),
};

describe.each(Object.entries(headers))('%s', (kind, header) => {
  const little = kind.startsWith('little');

  it('is told by its magic number', () => {
    expect(Pcap.isMagic(header, 0)).toBe(true);
    expect(Pcap.isLittle(header, 0)).toBe(little);
    expect(Pcap.isNano(header, 0)).toBe(kind.endsWith('nanoseconds'));
    expect(Pcap.snapLength(header, 0, little)).toBe(262_144);
    expect(Pcap.linkType(header, 0, little)).toBe(Pcap.LINK_ETHERNET);
  });

  it('is accepted whole, and of version 2', () => {
    expect(acceptedEnds(Uint8Array.of(...header, 0), Pcap.check)).toEqual([24, 25]);
    for (const at of range(0, 5)) {
      const other = header.slice();
      other[at] ^= 0x40;
      expect(Pcap.check(other, 0, 24), `byte ${at}`).toBe(false);
    }
  });

  it('hides the FCS length from the link type', () => {
    const other = header.slice();
    other[little ? 23 : 20] = 0x50;
    expect(Pcap.linkType(other, 0, little)).toBe(Pcap.LINK_ETHERNET);
  });
});

describe('records', () => {
  it('are read in either byte order', () => {
    const little = hex('19cb006b 2e6b0000 5c000000 ffffffff');
    const big = hex('6b00cb19 00006b2e 0000005c ffffffff');
    for (const [bytes, order] of [
      [little, true],
      [big, false],
    ] as const) {
      expect(Pcap.recordSeconds(bytes, 0, order)).toBe(1795214105);
      expect(Pcap.recordFraction(bytes, 0, order)).toBe(27438);
      expect(Pcap.recordCaptured(bytes, 0, order)).toBe(92);
      expect(Pcap.recordOriginal(bytes, 0, order)).toBe(0xffff_ffff);
    }
  });
});

describe('writing', () => {
  it('writes a header of nanoseconds and nothing else', () => {
    const bytes = unwritten(24 + 2 * MARGIN);
    expect(Pcap.write(bytes, MARGIN, Pcap.LINK_ETHERNET, 262_144)).toBe(MARGIN + 24);
    const expected = toHex(headers['little-endian, nanoseconds']);
    expect(toHex(bytes)).toBe('a5'.repeat(MARGIN) + expected + 'a5'.repeat(MARGIN));
  });

  it('writes a record header and nothing else', () => {
    const bytes = unwritten(16 + 2 * MARGIN);
    expect(Pcap.writeRecord(bytes, MARGIN, 1795214105, 999_999_999, 92, 1514)).toBe(MARGIN + 16);
    expect(toHex(bytes)).toBe(`${'a5'.repeat(MARGIN)}19cb006bffc99a3b5c000000ea050000${'a5'.repeat(MARGIN)}`);
  });
});
