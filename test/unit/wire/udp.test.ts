import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Checksum from '../../../src/wire/checksum.js';
import * as Udp from '../../../src/wire/udp.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

// scapy: IP / UDP(sport=49152, dport=4789) / 'odd'
const packet = hex('4500001f000100004011f6c9c0000201c0000202 c00012b5000bd5b9 6f6464');
// scapy: a payload chosen so that the checksum comes to 0, which is sent as 0xffff
const zeroSum = hex('4500001e000100004011f6cac0000201c0000202 00010002000affff 7bd3');

describe('check', () => {
  it('wants the whole datagram, at every length it is cut to', () => {
    expect(acceptedEnds(Uint8Array.of(...packet.slice(20), 0, 0), Udp.check)).toEqual(range(11, 13));
  });

  it('wants a length of 8 or more', () => {
    for (let len = 0; len < 12; len++) {
      const datagram = packet.slice(20);
      Udp.setLength(datagram, 0, len);
      expect(Udp.check(datagram, 0, 11), `length ${len}`).toBe(len >= 8 && len <= 11);
    }
  });
});

describe('getters', () => {
  it('read every field', () => {
    expect(Udp.srcPort(packet, 20)).toBe(49152);
    expect(Udp.dstPort(packet, 20)).toBe(4789);
    expect(Udp.length(packet, 20)).toBe(11);
    expect(Udp.checksum(packet, 20)).toBe(0xd5b9);
    expect(Udp.payloadAt(20)).toBe(28);
    expect(Udp.endAt(packet, 20)).toBe(31);
  });
});

describe('checksum', () => {
  it('is that of scapy, also where it comes to zero', () => {
    for (const example of [packet, zeroSum]) {
      const bytes = example.slice();
      const len = bytes.length - 20;
      Udp.setChecksum(bytes, 20, 0);
      const sum = Checksum.sum(bytes, 20, len, Checksum.pseudoIpv4(bytes, 0, 17, len));
      Udp.setChecksum(bytes, 20, Checksum.finishUdp(sum));
      expect(toHex(bytes)).toBe(toHex(example));
    }
  });
});

describe('write', () => {
  it('writes the header and nothing else, and is read back', () => {
    const word = fc.integer({ min: 0, max: 0xffff });
    fc.assert(
      fc.property(word, word, word, word, (src, dst, length, checksum) => {
        const bytes = unwritten(8 + 2 * MARGIN);
        Udp.write(bytes, MARGIN, src, dst, length, checksum);
        expect(Udp.srcPort(bytes, MARGIN)).toBe(src);
        expect(Udp.dstPort(bytes, MARGIN)).toBe(dst);
        expect(Udp.length(bytes, MARGIN)).toBe(length);
        expect(Udp.checksum(bytes, MARGIN)).toBe(checksum);
        expect(toHex(bytes, 0, MARGIN) + toHex(bytes, MARGIN + 8)).toBe('a5'.repeat(2 * MARGIN));
      }),
    );
    const bytes = unwritten(8);
    Udp.write(bytes, 0, 49152, 4789, 11, 0xd5b9);
    expect(toHex(bytes)).toBe('c00012b5000bd5b9');
  });
});
