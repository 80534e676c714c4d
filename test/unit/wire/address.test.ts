import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Address from '../../../src/wire/address.js';
import { hex, MARGIN, toHex, unwritten } from './frames.js';

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
// Zero groups are what makes text forms differ, so they come often.
const sparse16 = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255])));

/** The slow twin: the WHATWG URL parser, which prints IPv6 hosts in RFC 5952 form, but a mapped address in hexadecimal groups. */
const byUrl = (text: string) => new URL(`http://[${text}]/`).hostname.slice(1, -1);
const allGroups = (bytes: Uint8Array) => toHex(bytes).match(/.{4}/g)!.join(':');

describe('IPv4 text', () => {
  it('is read into a signed word and into bytes', () => {
    expect(Address.ipv4WordFromText('0.0.0.0')).toBe(0);
    expect(Address.ipv4WordFromText('1.2.3.4')).toBe(0x01020304);
    expect(Address.ipv4WordFromText('255.255.255.255')).toBe(-1);
    expect(toHex(Address.ipv4FromText('192.0.2.254')!)).toBe('c00002fe');
  });

  it('is refused where it is anything but a dotted quad', () => {
    const wrong = [
      '',
      '1.2.3',
      '1.2.3.4.5',
      '256.1.1.1',
      '01.2.3.4',
      '1.2.3.4/24',
      ' 1.2.3.4',
      '0x1.2.3.4',
      '1..3.4',
      '::1',
    ];
    for (const text of wrong) {
      expect(Address.ipv4WordFromText(text), text).toBeNull();
      expect(Address.ipv4FromText(text), text).toBeNull();
    }
  });

  it('reads back what it prints', () => {
    fc.assert(
      fc.property(word, (value) => {
        expect(Address.ipv4WordFromText(Address.ipv4WordToText(value))).toBe(value);
      }),
    );
    expect(Address.ipv4ToText(hex('00 c00002fe'), 1)).toBe('192.0.2.254');
  });
});

describe('IPv6 text', () => {
  // Forms of RFC 4291 section 2.2
  it.each([
    ['::', '00000000000000000000000000000000'],
    ['::1', '00000000000000000000000000000001'],
    ['1::', '00010000000000000000000000000000'],
    ['2001:db8:0:0:8:800:200c:417a', '20010db80000000000080800200c417a'],
    ['2001:DB8::8:800:200C:417A', '20010db80000000000080800200c417a'],
    ['ff01::101', 'ff010000000000000000000000000101'],
    ['0:0:0:0:0:0:13.1.68.3', '0000000000000000000000000d014403'],
    ['::13.1.68.3', '0000000000000000000000000d014403'],
    ['::ffff:129.144.52.38', '00000000000000000000ffff81903426'],
    ['1:2:3:4:5:6:7::', '00010002000300040005000600070000'],
    ['::2:3:4:5:6:7:8', '00000002000300040005000600070008'],
    ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c0000221'],
  ])('reads %s', (text, expected) => {
    expect(toHex(Address.ipv6FromText(text)!)).toBe(expected);
  });

  it('is refused where it is not an address', () => {
    const wrong = ['', ':', ':::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1::2::3', '12345::', 'g::', 'fe80::1%eth0'];
    wrong.push('::1.2.3', '::1.2.3.4.5', '1.2.3.4::', '[::1]', '::1/64', '::01.2.3.4', '192.0.2.1');
    for (const text of wrong) expect(Address.ipv6FromText(text), text).toBeNull();
  });

  // Rules of RFC 5952 section 4: no leading zeros, the longest run, the first of equals, no run of one, lower case
  it.each([
    ['2001:0db8:0000:0000:0001:0000:0000:0001', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:DB8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['::ffff:c000:221', '::ffff:192.0.2.33'],
  ])('prints %s as %s', (text, expected) => {
    expect(Address.ipv6ToText(Address.ipv6FromText(text)!, 0)).toBe(expected);
  });

  it('prints as the URL parser does and reads back', () => {
    fc.assert(
      fc.property(fc.oneof(bytes16, sparse16), (bytes) => {
        const text = Address.ipv6ToText(bytes, 0);
        if (!Address.isMapped(bytes, 0)) expect(text).toBe(byUrl(allGroups(bytes)));
        expect(toHex(Address.ipv6FromText(text)!)).toBe(toHex(bytes));
        expect(toHex(Address.ipv6FromText(allGroups(bytes))!)).toBe(toHex(bytes));
      }),
      { numRuns: 500 },
    );
  });
});

describe('mapped form', () => {
  it('is written, told and read', () => {
    fc.assert(
      fc.property(word, (value) => {
        const bytes = unwritten(16 + 2 * MARGIN);
        Address.writeMapped(bytes, MARGIN, value);
        expect(toHex(bytes, 0, MARGIN) + toHex(bytes, MARGIN + 16)).toBe('a5'.repeat(2 * MARGIN));
        expect(toHex(bytes, MARGIN, MARGIN + 12)).toBe('00000000000000000000ffff');
        expect(Address.isMapped(bytes, MARGIN)).toBe(true);
        expect(Address.mappedWord(bytes, MARGIN)).toBe(value);
      }),
    );
  });

  it('is not seen where one bit differs', () => {
    for (let bit = 0; bit < 96; bit++) {
      const bytes = Address.ipv6FromText('::ffff:192.0.2.1')!;
      bytes[bit >> 3] ^= 1 << (bit & 7);
      expect(Address.isMapped(bytes, 0), `bit ${bit}`).toBe(false);
    }
  });

  it('holds either family', () => {
    expect(toHex(Address.toMapped(Address.fromText('192.0.2.33')!))).toBe('00000000000000000000ffffc0000221');
    expect(toHex(Address.toMapped(Address.fromText('2001:db8::1')!))).toBe('20010db8000000000000000000000001');
    expect(Address.toText(Address.toMapped(Address.fromText('192.0.2.33')!))).toBe('192.0.2.33');
    expect(Address.toText(Address.fromText('192.0.2.33')!)).toBe('192.0.2.33');
    expect(Address.toText(Address.fromText('2001:db8::1')!)).toBe('2001:db8::1');
    expect(Address.fromText('example.org')).toBeNull();
  });
});

describe('prefixes', () => {
  it('are read with the bits behind them kept', () => {
    expect(Address.cidrFromText('10.0.0.1/24')).toEqual({ address: hex('0a000001'), prefixLength: 24 });
    expect(Address.cidrFromText('fd00::1/64')).toEqual({
      address: hex('fd000000000000000000000000000001'),
      prefixLength: 64,
    });
    expect(Address.cidrFromText('0.0.0.0/0')?.prefixLength).toBe(0);
    expect(Address.cidrFromText('::/128')?.prefixLength).toBe(128);
  });

  it('are refused without a length, or with one that does not fit', () => {
    const wrong = ['10.0.0.1', '10.0.0.1/', '10.0.0.1/33', '::1/129', '10.0.0.1/-1', '10.0.0.1/024', '10.0.0.1/8/8'];
    wrong.push('/24', '10.0.0/24', '10.0.0.1/ 24', '10.0.0.1/1e1', '');
    for (const text of wrong) expect(Address.cidrFromText(text), text).toBeNull();
  });

  it('are compared bit by bit', () => {
    const toBits = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
    const near = fc.tuple(bytes16, fc.nat(128)).map(([a, flip]) => {
      const b = a.slice();
      if (flip < 128) b[flip >> 3] ^= 0x80 >> (flip & 7);
      return { a, b };
    });
    fc.assert(
      fc.property(near, fc.nat(128), ({ a, b }, length) => {
        const same = toBits(a).slice(0, length) === toBits(b).slice(0, length);
        expect(Address.samePrefix(a, 0, b, 0, length)).toBe(same);
      }),
      { numRuns: 500 },
    );
  });
});

describe('prefixes of routes', () => {
  it.each([
    ['10.42.1.77/24', '10.42.1.0/24'],
    ['10.42.1.77/0', '0.0.0.0/0'],
    ['255.255.255.255/1', '128.0.0.0/1'],
    ['255.255.255.255/25', '255.255.255.128/25'],
    ['255.255.255.255/31', '255.255.255.254/31'],
    ['fd00:1:2:3:ffff:ffff:ffff:ffff/64', 'fd00:1:2:3::/64'],
    ['ffff::ffff/127', 'ffff::fffe/127'],
    ['ffff:ffff::/15', 'fffe::/15'],
    ['::ffff:1.2.3.4/112', '::ffff:1.2.0.0/112'],
  ])('of %s is %s', (text, prefix) => {
    const cidr = Address.cidrFromText(text)!;
    const before = cidr.address.slice();
    expect(Address.cidrToText(Address.clearHostBits(cidr))).toBe(prefix);
    expect(cidr.address).toEqual(before);
    expect(Address.hasHostBits(cidr)).toBe(true);
    expect(Address.hasHostBits(Address.cidrFromText(prefix)!)).toBe(false);
  });

  it.each(['10.42.1.77/32', '0.0.0.0/0', '::/0', 'fd00::1/128'])('have no host bits in %s', (text) => {
    const cidr = Address.cidrFromText(text)!;
    expect(Address.hasHostBits(cidr)).toBe(false);
    expect(Address.cidrToText(Address.clearHostBits(cidr))).toBe(text);
  });
});
