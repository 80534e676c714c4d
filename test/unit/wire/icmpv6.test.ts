import { describe, expect, it } from 'vitest';
import * as Icmpv6 from '../../../src/wire/icmpv6.js';
import { acceptedEnds, hex, range, toHex, unwritten } from './frames.js';

// scapy: whole IPv6 packets; the message starts at 40
const solicitation = hex(`6000000000203aff fe800000000000000000000000000001 ff0200000000000000000001ff000002
  8700ed4e00000000 20010db8000000000000000000000002 010102005e100001`);
const advertisement = hex(`6000000000203aff 20010db8000000000000000000000002 fe800000000000000000000000000001
  88005b9960000000 20010db8000000000000000000000002 020102005e100002`);
const tooBig = hex(`6000000000383a40 20010db80000000000000000000000ff 20010db8000000000000000000000001
  0200f9f100000500 6000000005b40640 20010db8000000000000000000000001 20010db8000000000000000000000002 01bbd90300000001`);
const echo = hex(
  `60000000000b3a40 20010db8000000000000000000000001 20010db8000000000000000000000002 800085faabcd0003 78797a`,
);
const all = [solicitation, advertisement, tooBig, echo];

describe('check', () => {
  it('wants 8 bytes, and the target of neighbour messages', () => {
    expect(acceptedEnds(echo.slice(40), Icmpv6.check)).toEqual(range(8, 11));
    expect(acceptedEnds(solicitation.slice(40), Icmpv6.check)).toEqual(range(24, 32));
    expect(acceptedEnds(advertisement.slice(40), Icmpv6.check)).toEqual(range(24, 32));
  });
});

describe('getters', () => {
  it('read an echo request', () => {
    expect(Icmpv6.type(echo, 40)).toBe(Icmpv6.ECHO_REQUEST);
    expect(Icmpv6.code(echo, 40)).toBe(0);
    expect(Icmpv6.checksum(echo, 40)).toBe(0x85fa);
    expect(Icmpv6.identifier(echo, 40)).toBe(0xabcd);
    expect(Icmpv6.sequence(echo, 40)).toBe(3);
  });

  it('read the MTU of a router, unsigned', () => {
    expect(Icmpv6.type(tooBig, 40)).toBe(Icmpv6.PACKET_TOO_BIG);
    expect(Icmpv6.mtu(tooBig, 40)).toBe(1280);
    expect(Icmpv6.mtu(hex('02000000ffffffff'), 0)).toBe(0xffff_ffff);
  });

  it('read neighbour messages', () => {
    expect(Icmpv6.type(solicitation, 40)).toBe(Icmpv6.NEIGHBOUR_SOLICITATION);
    expect(toHex(solicitation, 40 + Icmpv6.TARGET_OFF, 40 + Icmpv6.TARGET_OFF + 16)).toBe(
      '20010db8000000000000000000000002',
    );
    expect(Icmpv6.type(advertisement, 40)).toBe(Icmpv6.NEIGHBOUR_ADVERTISEMENT);
    expect(Icmpv6.body(advertisement, 40)).toBe(Icmpv6.FLAG_SOLICITED | Icmpv6.FLAG_OVERRIDE);
    expect(Icmpv6.body(hex('88000000 80000000'), 0)).toBe(Icmpv6.FLAG_ROUTER);
    const neighbours = range(0, 255).filter((type) => Icmpv6.isNeighbour(Uint8Array.of(type), 0));
    expect(neighbours).toEqual([135, 136]);
  });

  it('tell errors from questions and answers', () => {
    const errors = range(0, 255).filter((type) => Icmpv6.isError(Uint8Array.of(type), 0));
    expect(errors).toEqual([...range(0, 127), 137]);
  });
});

describe('options', () => {
  const optionsAt = 40 + Icmpv6.NEIGHBOUR_OPTIONS_OFF;

  it('are found by their code', () => {
    const end = solicitation.length;
    expect(Icmpv6.optionAt(solicitation, optionsAt, end, Icmpv6.OPTION_SOURCE_LINK_LAYER)).toBe(optionsAt);
    expect(Icmpv6.optionAt(solicitation, optionsAt, end, Icmpv6.OPTION_TARGET_LINK_LAYER)).toBe(-1);
    const behindNonce = hex('0e01000000000000 010102005e100001');
    expect(Icmpv6.optionAt(behindNonce, 0, 16, Icmpv6.OPTION_SOURCE_LINK_LAYER)).toBe(8);
  });

  it('are not found where they are cut, of length 0, or too many', () => {
    for (const end of range(optionsAt, solicitation.length - 1)) {
      expect(Icmpv6.optionAt(solicitation.slice(0, end), optionsAt, end, 1)).toBe(-1);
    }
    expect(Icmpv6.optionAt(hex('0100000000000000'), 0, 8, 1)).toBe(-1);
    expect(Icmpv6.optionAt(hex('0e00000000000000 0101000000000000'), 0, 16, 1)).toBe(-1);
    expect(Icmpv6.optionAt(hex('0e03000000000000 0101000000000000'), 0, 16, 1)).toBe(-1);
    const many = new Uint8Array(9 * 8);
    for (let i = 0; i < 9; i++) many.set(i === 8 ? [1, 1] : [14, 1], i * 8);
    expect(Icmpv6.optionAt(many, 0, many.length, 1)).toBe(-1);
    expect(Icmpv6.optionAt(many, 8, many.length, 1)).toBe(64);
  });
});

describe('checksum', () => {
  it('of packets of others is right, and no other', () => {
    for (const packet of all) {
      expect(Icmpv6.checksumIsRight(packet, 0, 40, packet.length - 40)).toBe(true);
      const broken = packet.slice();
      broken[39] ^= 1;
      expect(Icmpv6.checksumIsRight(broken, 0, 40, packet.length - 40)).toBe(false);
    }
  });
});

describe('write', () => {
  it('writes the examples', () => {
    for (const packet of all) {
      const bytes = unwritten(packet.length);
      bytes.set(packet.slice(0, 40));
      bytes.set(packet.slice(48), 48);
      Icmpv6.write(bytes, 40, packet[40], packet[41], Icmpv6.body(packet, 40));
      Icmpv6.writeChecksum(bytes, 0, 40, packet.length - 40);
      expect(toHex(bytes)).toBe(toHex(packet));
    }
  });

  it('changes a type alone', () => {
    const bytes = unwritten(8);
    Icmpv6.setType(bytes, 0, Icmpv6.ECHO_REPLY);
    expect(toHex(bytes)).toBe('81a5a5a5a5a5a5a5');
  });
});
