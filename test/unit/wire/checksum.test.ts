import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Checksum from '../../../src/wire/checksum.js';
import { hex, toHex } from './frames.js';

/** The slow twin: RFC 1071 as the remainder of one big number, which is what ones' complement addition computes. */
function twin(bytes: Uint8Array): number {
  const even = bytes.length % 2 === 0 ? bytes : Uint8Array.of(...bytes, 0);
  const value = BigInt(`0x0${toHex(even)}`);
  const rest = Number(value % 0xffffn);
  // 0 and 0xffff are the two zeros: the sum is 0 only over zeros.
  return rest === 0 && value !== 0n ? 0xffff : rest;
}

/** The two zeros of ones' complement are the same sum. */
const oneZero = (sum: number) => (sum === 0xffff ? 0 : sum);

const word = fc.integer({ min: 0, max: 0xffff });
const data = fc.uint8Array({ maxLength: 200 });

describe('sum', () => {
  it('adds the example of RFC 1071 section 3', () => {
    const bytes = hex('00 01 f2 03 f4 f5 f6 f7');
    expect(Checksum.sum(bytes, 0, 8, 0)).toBe(0xddf2);
    expect(Checksum.finish(0xddf2)).toBe(0x220d);
  });

  it('agrees with arithmetic on big numbers at every length and alignment', () => {
    fc.assert(
      fc.property(data, fc.integer({ min: 0, max: 3 }), (bytes, at) => {
        const shifted = new Uint8Array(at + bytes.length + 3).fill(0xa5);
        shifted.set(bytes, at);
        expect(Checksum.sum(shifted, at, bytes.length, 0)).toBe(twin(bytes));
      }),
      { numRuns: 500 },
    );
  });

  it('does not overflow over a superframe or more of the largest words', () => {
    for (const len of [32766, 32767, 32768, 32769, 32770, 65535, 65536, 300_001]) {
      const bytes = new Uint8Array(len).fill(0xff);
      expect(Checksum.sum(bytes, 0, len, 0), `${len} bytes`).toBe(len % 2 === 0 ? 0xffff : 0xff00);
    }
  });

  it('is 0 of nothing, and its initial value then', () => {
    expect(Checksum.sum(hex(''), 0, 0, 0)).toBe(0);
    expect(Checksum.sum(hex('ff'), 0, 0, 0x1234)).toBe(0x1234);
  });

  it('joins parts that start at even distance by adding', () => {
    fc.assert(
      fc.property(data, fc.nat(100), (bytes, half) => {
        const cut = Math.min(half * 2, bytes.length & ~1);
        const head = Checksum.sum(bytes, 0, cut, 0);
        const whole = Checksum.sum(bytes, 0, bytes.length, 0);
        expect(Checksum.sum(bytes, cut, bytes.length - cut, head)).toBe(whole);
        expect(Checksum.add(head, Checksum.sum(bytes, cut, bytes.length - cut, 0))).toBe(whole);
      }),
    );
  });

  it('joins a part that starts at odd distance when it is swapped', () => {
    fc.assert(
      fc.property(data, fc.nat(100), (bytes, half) => {
        const cut = Math.min(half * 2 + 1, bytes.length);
        const head = Checksum.sum(bytes, 0, cut, 0);
        const tail = Checksum.sum(bytes, cut, bytes.length - cut, 0);
        const joined = Checksum.add(head, cut % 2 === 1 ? Checksum.swap(tail) : tail);
        expect(joined).toBe(Checksum.sum(bytes, 0, bytes.length, 0));
      }),
    );
  });

  it('is swapped when the words are read in the other byte order', () => {
    fc.assert(
      fc.property(data, (bytes) => {
        const pairs = bytes.slice(0, bytes.length & ~1);
        const exchanged = Uint8Array.from(pairs, (_, i) => pairs[i ^ 1]);
        expect(Checksum.swap(Checksum.sum(exchanged, 0, exchanged.length, 0))).toBe(twin(pairs));
      }),
    );
  });
});

describe('arithmetic', () => {
  it('takes out what was added', () => {
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(oneZero(Checksum.subtract(Checksum.add(a, b), b))).toBe(oneZero(a));
      }),
    );
  });

  it('folds any sum below 2^31', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (sum) => {
        const folded = Checksum.fold(sum);
        expect(folded).toBeLessThanOrEqual(0xffff);
        expect(folded % 0xffff).toBe(sum % 0xffff);
        expect(folded === 0).toBe(sum === 0);
      }),
    );
  });

  it('writes a computed zero as 0xffff for UDP alone', () => {
    expect(Checksum.finish(0xffff)).toBe(0);
    expect(Checksum.finishUdp(0xffff)).toBe(0xffff);
    expect(Checksum.finishUdp(0x1234)).toBe(0xedcb);
  });
});

describe('pseudo headers', () => {
  // Whole packets from scapy 2.5: a right checksum makes the sum 0xffff.
  it('covers addresses, protocol and length of IPv4', () => {
    const packet = hex('4500001f000100004011f6c9c0000201c0000202 c00012b5000bd5b9 6f6464');
    expect(Checksum.sum(packet, 20, 11, Checksum.pseudoIpv4(packet, 0, 17, 11))).toBe(Checksum.RIGHT);
  });

  it('covers addresses, protocol and length of IPv6', () => {
    const packet = hex(
      '60000000000b1140 20010db8000000000000000000000001 20010db8000000000000000000000002 c00012b5000bfe48 6f6464',
    );
    expect(Checksum.sum(packet, 40, 11, Checksum.pseudoIpv6(packet, 0, 17, 11))).toBe(Checksum.RIGHT);
  });

  it('takes lengths above 16 bits, which superframes have over IPv6', () => {
    const header = new Uint8Array(40);
    expect(Checksum.pseudoIpv6(header, 0, 6, 0x12345)).toBe(0x2345 + 1 + 6);
  });
});

describe('update', () => {
  it('gives the result of RFC 1624 section 4, where RFC 1141 failed', () => {
    expect(Checksum.update(0xdd2f, 0x5555, 0x3285)).toBe(0x0000);
  });

  it('equals a new sum after any change of a word', () => {
    const even = fc.uint8Array({ minLength: 4, maxLength: 60 }).map((bytes) => bytes.slice(0, bytes.length & ~1));
    fc.assert(
      fc.property(even, fc.nat(100), word, (bytes, index, is) => {
        const data = Uint8Array.of(0x45, ...bytes.slice(1), 0, 0);
        const checksumAt = data.length - 2;
        const write = (value: number) => data.set([value >> 8, value & 255], checksumAt);
        write(Checksum.finish(Checksum.sum(data, 0, data.length, 0)));
        // Any word but the first, which here is never 0, so that the two zeros cannot be met.
        const at = 2 + ((index * 2) % (bytes.length - 2));
        Checksum.change16(data, at, is, checksumAt);
        expect((data[at] << 8) | data[at + 1]).toBe(is);
        expect(Checksum.sum(data, 0, data.length, 0)).toBe(Checksum.RIGHT);
        const incremental = (data[checksumAt] << 8) | data[checksumAt + 1];
        write(0);
        expect(incremental).toBe(Checksum.finish(Checksum.sum(data, 0, data.length, 0)));
      }),
    );
  });
});
