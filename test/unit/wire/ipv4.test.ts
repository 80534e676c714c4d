import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipv4WordFromText } from '../../../src/wire/address.js';
import * as Ipv4 from '../../../src/wire/ipv4.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

// scapy: IP(src='198.51.100.7', dst='203.0.113.200', tos=0xb9, id=0xbeef, flags='DF', ttl=63, proto=17, len=20)
const plain = hex('45b90014beef40003f11152d c6336407 cb0071c8');
// scapy: the same stations, router alert option, IGMP
const withOption = hex('460000200001000040027ed3 c6336407 cb0071c8 94040000 16000904e00000fb');
// scapy: IP(src='10.0.0.1', dst='10.0.0.2', id=7, flags='MF', frag=185, proto=17) / 16 bytes
const middleFragment = hex(`45000024000720b940114607 0a000001 0a000002 ${'78'.repeat(16)}`);

const byte = fc.integer({ min: 0, max: 0xff });
const word = fc.integer({ min: 0, max: 0xffff });
const address = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

describe('check', () => {
  it('wants the whole packet, at every length it is cut to', () => {
    expect(acceptedEnds(plain, Ipv4.check)).toEqual([20]);
    expect(acceptedEnds(withOption, Ipv4.check)).toEqual([32]);
    expect(acceptedEnds(Uint8Array.of(...middleFragment, 0, 0, 0), Ipv4.check)).toEqual(range(36, 39));
  });

  it('wants version 4', () => {
    for (let version = 0; version < 16; version++) {
      const other = Uint8Array.of((version << 4) | 5, ...plain.slice(1));
      expect(Ipv4.check(other, 0, 20)).toBe(version === 4);
    }
  });

  it('wants a header of 20 bytes or more that lies inside the total length', () => {
    for (let words = 0; words < 16; words++) {
      const other = new Uint8Array(64);
      other.set(withOption);
      other[0] = 0x40 | words;
      expect(Ipv4.check(other, 0, 64), `${words} words`).toBe(words >= 5 && words * 4 <= 32);
    }
    const short = plain.slice();
    Ipv4.setTotalLength(short, 0, 19);
    expect(Ipv4.check(short, 0, 20)).toBe(false);
    Ipv4.setTotalLength(short, 0, 0);
    expect(Ipv4.check(short, 0, 20)).toBe(false);
  });
});

describe('getters', () => {
  it('read every field', () => {
    expect(Ipv4.headerBytes(plain, 0)).toBe(20);
    expect(Ipv4.tos(plain, 0)).toBe(0xb9);
    expect(Ipv4.dscp(plain, 0)).toBe(46);
    expect(Ipv4.ecn(plain, 0)).toBe(1);
    expect(Ipv4.totalLength(plain, 0)).toBe(20);
    expect(Ipv4.identification(plain, 0)).toBe(0xbeef);
    expect(Ipv4.dontFragment(plain, 0)).toBe(true);
    expect(Ipv4.moreFragments(plain, 0)).toBe(false);
    expect(Ipv4.fragmentOffsetBytes(plain, 0)).toBe(0);
    expect(Ipv4.isFragment(plain, 0)).toBe(false);
    expect(Ipv4.ttl(plain, 0)).toBe(63);
    expect(Ipv4.protocol(plain, 0)).toBe(Ipv4.PROTOCOL_UDP);
    expect(Ipv4.checksum(plain, 0)).toBe(0x152d);
    expect(Ipv4.src(plain, 0)).toBe(ipv4WordFromText('198.51.100.7'));
    expect(Ipv4.dst(plain, 0)).toBe(ipv4WordFromText('203.0.113.200'));
    expect(Ipv4.payloadAt(plain, 0)).toBe(20);
    expect(Ipv4.endAt(plain, 0)).toBe(20);
  });

  it('find the payload behind options', () => {
    expect(Ipv4.headerBytes(withOption, 0)).toBe(24);
    expect(Ipv4.payloadAt(withOption, 0)).toBe(24);
    expect(Ipv4.endAt(withOption, 0)).toBe(32);
  });

  it('tell fragments', () => {
    expect(Ipv4.isFragment(middleFragment, 0)).toBe(true);
    expect(Ipv4.isLaterFragment(middleFragment, 0)).toBe(true);
    expect(Ipv4.moreFragments(middleFragment, 0)).toBe(true);
    expect(Ipv4.dontFragment(middleFragment, 0)).toBe(false);
    expect(Ipv4.fragmentOffsetBytes(middleFragment, 0)).toBe(1480);
    const first = middleFragment.slice();
    Ipv4.setFragment(first, 0, Ipv4.MORE_FRAGMENTS, 0);
    expect(Ipv4.isFragment(first, 0)).toBe(true);
    expect(Ipv4.isLaterFragment(first, 0)).toBe(false);
    Ipv4.setFragment(first, 0, 0, 65528);
    expect(Ipv4.fragmentOffsetBytes(first, 0)).toBe(65528);
    expect(Ipv4.isLaterFragment(first, 0)).toBe(true);
  });

  it('tell multicast addresses', () => {
    for (const [text, is] of [
      ['223.255.255.255', false],
      ['224.0.0.0', true],
      ['239.255.255.255', true],
      ['240.0.0.0', false],
    ] as const) {
      expect(Ipv4.isMulticast(ipv4WordFromText(text)!), text).toBe(is);
    }
  });
});

describe('checksum', () => {
  it('is right in packets of others, options included', () => {
    for (const packet of [plain, withOption, middleFragment]) expect(Ipv4.checksumIsRight(packet, 0)).toBe(true);
  });

  it('shows every changed bit of the header', () => {
    for (let bit = 0; bit < 24 * 8; bit++) {
      // A changed header length would make it a checksum over other bytes.
      if (bit >= 4 && bit < 8) continue;
      const broken = withOption.slice();
      broken[bit >> 3] ^= 0x80 >> (bit & 7);
      expect(Ipv4.checksumIsRight(broken, 0), `bit ${bit}`).toBe(false);
    }
  });

  it('stays right when a field is changed', () => {
    fc.assert(
      fc.property(byte, word, word, byte, (tos, totalLength, identification, ttl) => {
        const changed = withOption.slice();
        Ipv4.changeTos(changed, 0, tos);
        Ipv4.changeTotalLength(changed, 0, totalLength);
        Ipv4.changeIdentification(changed, 0, identification);
        Ipv4.changeTtl(changed, 0, ttl);
        expect(Ipv4.checksumIsRight(changed, 0)).toBe(true);
        const rewritten = changed.slice();
        Ipv4.writeChecksum(rewritten, 0);
        expect(toHex(changed)).toBe(toHex(rewritten));
        expect(Ipv4.tos(changed, 0)).toBe(tos);
        expect(Ipv4.totalLength(changed, 0)).toBe(totalLength);
        expect(Ipv4.identification(changed, 0)).toBe(identification);
        expect(Ipv4.ttl(changed, 0)).toBe(ttl);
        expect(Ipv4.protocol(changed, 0)).toBe(2);
      }),
    );
  });
});

describe('write', () => {
  it('writes the example', () => {
    const bytes = unwritten(20 + 2 * MARGIN);
    const [src, dst] = [ipv4WordFromText('198.51.100.7')!, ipv4WordFromText('203.0.113.200')!];
    Ipv4.write(bytes, MARGIN, 0xb9, 20, 0xbeef, Ipv4.DONT_FRAGMENT, 63, 17, src, dst);
    expect(toHex(bytes)).toBe('a5'.repeat(MARGIN) + toHex(plain) + 'a5'.repeat(MARGIN));
  });

  it('is read back', () => {
    fc.assert(
      fc.property(byte, word, word, byte, byte, address, address, (tos, length, id, ttl, protocol, src, dst) => {
        const bytes = unwritten(20 + 2 * MARGIN);
        Ipv4.write(bytes, MARGIN, tos, length, id, 0, ttl, protocol, src, dst);
        expect(Ipv4.tos(bytes, MARGIN)).toBe(tos);
        expect(Ipv4.totalLength(bytes, MARGIN)).toBe(length);
        expect(Ipv4.identification(bytes, MARGIN)).toBe(id);
        expect(Ipv4.isFragment(bytes, MARGIN)).toBe(false);
        expect(Ipv4.ttl(bytes, MARGIN)).toBe(ttl);
        expect(Ipv4.protocol(bytes, MARGIN)).toBe(protocol);
        expect(Ipv4.src(bytes, MARGIN)).toBe(src);
        expect(Ipv4.dst(bytes, MARGIN)).toBe(dst);
        expect(Ipv4.checksumIsRight(bytes, MARGIN)).toBe(true);
        expect(toHex(bytes, 0, MARGIN) + toHex(bytes, MARGIN + 20)).toBe('a5'.repeat(2 * MARGIN));
      }),
    );
  });

  it('sets single fields over old content', () => {
    const bytes = unwritten(20);
    bytes[0] = 0x45;
    Ipv4.setProtocol(bytes, 0, 6);
    Ipv4.setTtl(bytes, 0, 1);
    Ipv4.setTos(bytes, 0, 4);
    Ipv4.setSrc(bytes, 0, 1);
    Ipv4.setDst(bytes, 0, -1);
    Ipv4.setIdentification(bytes, 0, 0x102);
    Ipv4.setChecksum(bytes, 0, 0x304);
    expect(toHex(bytes)).toBe('4504a5a50102a5a50106030400000001ffffffff');
  });
});
