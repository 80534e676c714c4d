import { describe, expect, it } from 'vitest';
import * as Icmp from '../../../src/wire/icmp.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

// scapy: ICMP(type=8, id=0x1234, seq=7) / 'abcdefghijk'
const echo = hex('08007fc412340007 6162636465666768696a6b');
// scapy: ICMP(type=3, code=4, nexthopmtu=1400) about a TCP packet
const tooBig = hex('03041cc400000578 450005dc000140004006b117c0000201c0000202 01bbd90300000001');

describe('check', () => {
  it('wants 8 bytes', () => {
    expect(acceptedEnds(echo, Icmp.check)).toEqual(range(8, 19));
  });
});

describe('getters', () => {
  it('read an echo request', () => {
    expect(Icmp.type(echo, 0)).toBe(Icmp.ECHO_REQUEST);
    expect(Icmp.code(echo, 0)).toBe(0);
    expect(Icmp.checksum(echo, 0)).toBe(0x7fc4);
    expect(Icmp.identifier(echo, 0)).toBe(0x1234);
    expect(Icmp.sequence(echo, 0)).toBe(7);
    expect(Icmp.checksumIsRight(echo, 0, echo.length)).toBe(true);
    expect(Icmp.checksumIsRight(echo, 0, echo.length - 1)).toBe(false);
  });

  it('read the MTU of a router', () => {
    expect(Icmp.type(tooBig, 0)).toBe(Icmp.UNREACHABLE);
    expect(Icmp.code(tooBig, 0)).toBe(Icmp.CODE_FRAGMENTATION_NEEDED);
    expect(Icmp.mtu(tooBig, 0)).toBe(1400);
    expect(Icmp.checksumIsRight(tooBig, 0, tooBig.length)).toBe(true);
  });

  it('tell errors from questions and answers', () => {
    const errors = range(0, 255).filter((type) => Icmp.isError(Uint8Array.of(type), 0));
    expect(errors).toEqual([3, 4, 5, 11, 12]);
  });
});

describe('write', () => {
  it('writes the examples', () => {
    const bytes = unwritten(echo.length + 2 * MARGIN);
    bytes.set(echo.slice(8), MARGIN + 8);
    Icmp.write(bytes, MARGIN, Icmp.ECHO_REQUEST, 0, 0x1234, 7);
    Icmp.writeChecksum(bytes, MARGIN, echo.length);
    expect(toHex(bytes)).toBe('a5'.repeat(MARGIN) + toHex(echo) + 'a5'.repeat(MARGIN));

    const error = unwritten(tooBig.length);
    error.set(tooBig.slice(8), 8);
    Icmp.write(error, 0, Icmp.UNREACHABLE, Icmp.CODE_FRAGMENTATION_NEEDED, 0, 0);
    Icmp.setMtu(error, 0, 1400);
    Icmp.writeChecksum(error, 0, error.length);
    expect(toHex(error)).toBe(toHex(tooBig));
  });

  it('turns a request into its answer', () => {
    const answer = echo.slice();
    Icmp.setType(answer, 0, Icmp.ECHO_REPLY);
    Icmp.writeChecksum(answer, 0, answer.length);
    // The type is the high byte of a word: 8 less in it makes the checksum 0x0800 larger.
    expect(Icmp.checksum(answer, 0)).toBe(0x87c4);
  });
});
