import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Checksum from '../../../src/wire/checksum.js';
import * as Tcp from '../../../src/wire/tcp.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

// scapy: TCP(sport=443, dport=55555, seq=0xfedcba98, ack=0x89abcdef, flags='PAE', window=501, urgptr=3), five options, 'data!'
const packet = hex(`45000041000100004006f6b2c0000201c0000202 01bbd903fedcba9889abcdefa05801f5dc130003
  020405b40402080a0000000100000002010303076461746121`);
// scapy: IPv6 / TCP(sport=443, dport=55555, seq=1, ack=2, flags='S', window=65535)
const packet6 = hex(`6000000000140640 20010db8000000000000000000000001 20010db8000000000000000000000002
  01bbd90300000001000000025002ffff79ac0000`);

describe('check', () => {
  it('wants the header with its options, at every length it is cut to', () => {
    expect(acceptedEnds(packet.slice(20), Tcp.check)).toEqual(range(40, 45));
    expect(acceptedEnds(packet6.slice(40), Tcp.check)).toEqual([20]);
  });

  it('wants a data offset of 5 words or more', () => {
    for (let words = 0; words < 16; words++) {
      const segment = new Uint8Array(60);
      segment[Tcp.DATA_OFFSET_OFF] = words << 4;
      expect(Tcp.check(segment, 0, 60), `${words} words`).toBe(words >= 5);
    }
  });
});

describe('getters', () => {
  it('read every field', () => {
    expect(Tcp.srcPort(packet, 20)).toBe(443);
    expect(Tcp.dstPort(packet, 20)).toBe(55555);
    expect(Tcp.sequence(packet, 20) >>> 0).toBe(0xfedcba98);
    expect(Tcp.acknowledgement(packet, 20) >>> 0).toBe(0x89abcdef);
    expect(Tcp.headerBytes(packet, 20)).toBe(40);
    expect(Tcp.flags(packet, 20)).toBe(Tcp.PSH | Tcp.ACK | Tcp.ECE);
    expect(Tcp.window(packet, 20)).toBe(501);
    expect(Tcp.checksum(packet, 20)).toBe(0xdc13);
    expect(Tcp.urgent(packet, 20)).toBe(3);
    expect(Tcp.payloadAt(packet, 20)).toBe(60);
    expect(Tcp.flags(packet6, 40)).toBe(Tcp.SYN);
  });

  it('give sequence numbers that wrap when they are added with | 0', () => {
    const bytes = unwritten(20);
    Tcp.setSequence(bytes, 0, 0xffff_fff0);
    const next = (Tcp.sequence(bytes, 0) + 0x20) | 0;
    Tcp.setSequence(bytes, 0, next);
    expect(Tcp.sequence(bytes, 0)).toBe(next);
    expect(Tcp.sequence(bytes, 0)).toBe(0x10);
  });

  it('name the flags as RFC 9293 places them', () => {
    const bits = [Tcp.CWR, Tcp.ECE, Tcp.URG, Tcp.ACK, Tcp.PSH, Tcp.RST, Tcp.SYN, Tcp.FIN];
    expect(bits).toEqual([128, 64, 32, 16, 8, 4, 2, 1]);
  });
});

describe('checksum', () => {
  it('of packets of others is right over both pseudo headers', () => {
    const sum4 = Checksum.sum(packet, 20, 45, Checksum.pseudoIpv4(packet, 0, 6, 45));
    expect(sum4).toBe(Checksum.RIGHT);
    const sum6 = Checksum.sum(packet6, 40, 20, Checksum.pseudoIpv6(packet6, 0, 6, 20));
    expect(sum6).toBe(Checksum.RIGHT);
  });
});

describe('write', () => {
  it('writes a header without options and nothing else', () => {
    const bytes = unwritten(20 + 2 * MARGIN);
    Tcp.write(bytes, MARGIN, 443, 55555, 1, 2, Tcp.SYN, 65535);
    const example = packet6.slice(40);
    Tcp.setChecksum(example, 0, 0);
    expect(toHex(bytes)).toBe('a5'.repeat(MARGIN) + toHex(example) + 'a5'.repeat(MARGIN));
  });

  it('is read back', () => {
    const word = fc.integer({ min: 0, max: 0xffff });
    const number = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    const flags = fc.integer({ min: 0, max: 0xff });
    const headerWords = fc.integer({ min: 5, max: 15 });
    fc.assert(
      fc.property(word, word, number, number, flags, word, headerWords, (src, dst, seq, ack, flag, window, words) => {
        const bytes = unwritten(20);
        Tcp.write(bytes, 0, src, dst, seq, ack, flag, window);
        Tcp.setHeaderBytes(bytes, 0, words * 4);
        Tcp.setUrgent(bytes, 0, window ^ 1);
        expect(Tcp.srcPort(bytes, 0)).toBe(src);
        expect(Tcp.dstPort(bytes, 0)).toBe(dst);
        expect(Tcp.sequence(bytes, 0)).toBe(seq);
        expect(Tcp.acknowledgement(bytes, 0)).toBe(ack);
        expect(Tcp.headerBytes(bytes, 0)).toBe(words * 4);
        expect(Tcp.flags(bytes, 0)).toBe(flag);
        expect(Tcp.window(bytes, 0)).toBe(window);
        expect(Tcp.checksum(bytes, 0)).toBe(0);
        expect(Tcp.urgent(bytes, 0)).toBe(window ^ 1);
      }),
    );
  });
});
