import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipv6FromText } from '../../../src/wire/address.js';
import * as Ipv6 from '../../../src/wire/ipv6.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

const stations = '20010db8000000000000000000000001 20010db8000000000000000000000002';
// scapy: IPv6(tc=0xb9, fl=0xabcde, plen=0, nh=59, hlim=33, src='2001:db8:0:1::a', dst='ff02::fb')
const plain = hex('6b9abcde00003b21 20010db800000001000000000000000a ff0200000000000000000000000000fb');
// scapy: hop-by-hop, destination options of 16 bytes, routing header, UDP
const chain = hex(`60000000003a0040 ${stations} 3c00050200000100 2b01010c000000000000000000000000
  1102000100000000 20010db8000000000000000000000003 03e807d0000a3043 6869`);
// scapy: hop-by-hop, then the first fragment of a datagram
const firstFragment = hex(
  `6000000000200040 ${stations} 2c00050200000100 11000001deadbeef 03e807d000181234 3132333435363738`,
);
// scapy: the last fragment, offset 16
const lastFragment = hex(`6000000000102c40 ${stations} 11000010deadbeef 3837363534333231`);
// scapy: authentication header with an ICV of 12 bytes, TCP
const authenticated = hex(`60000000002c3340 ${stations} 060400000000000100000001aaaaaaaaaaaaaaaaaaaaaaaa
  0001000200000000000000005002200000000000`);
const encrypted = hex(`6000000000183240 ${stations} 0000000100000001 00000000000000000000000000000000`);

const upper = (packet: Uint8Array) => Ipv6.upper(packet, 0, packet.length);
const whatIsUp = (packet: Uint8Array) => {
  const found = upper(packet);
  return [Ipv6.upperProtocol(found), Ipv6.upperOff(found), Ipv6.isFragment(found), Ipv6.isLaterFragment(found)];
};

describe('check', () => {
  it('wants the header and the payload that it announces, at every length it is cut to', () => {
    expect(acceptedEnds(plain, Ipv6.check)).toEqual([40]);
    expect(acceptedEnds(Uint8Array.of(...chain, 0, 0), Ipv6.check)).toEqual(range(98, 100));
  });

  it('wants version 6', () => {
    for (let version = 0; version < 16; version++) {
      const other = Uint8Array.of((version << 4) | 0x0b, ...plain.slice(1));
      expect(Ipv6.check(other, 0, 40)).toBe(version === 6);
    }
  });
});

describe('getters', () => {
  it('read every field', () => {
    expect(Ipv6.trafficClass(plain, 0)).toBe(0xb9);
    expect(Ipv6.dscp(plain, 0)).toBe(46);
    expect(Ipv6.ecn(plain, 0)).toBe(1);
    expect(Ipv6.flowLabel(plain, 0)).toBe(0xabcde);
    expect(Ipv6.payloadLength(plain, 0)).toBe(0);
    expect(Ipv6.nextHeader(plain, 0)).toBe(Ipv6.NEXT_NONE);
    expect(Ipv6.hopLimit(plain, 0)).toBe(33);
    expect(Ipv6.endAt(chain, 0)).toBe(98);
    expect(Ipv6.isMulticast(plain, Ipv6.SRC_OFF)).toBe(false);
    expect(Ipv6.isMulticast(plain, Ipv6.DST_OFF)).toBe(true);
  });
});

describe('upper', () => {
  it('is next where there are no extension headers', () => {
    expect(whatIsUp(plain)).toEqual([Ipv6.NEXT_NONE, 40, false, false]);
  });

  it('stands behind the chain', () => {
    expect(whatIsUp(chain)).toEqual([Ipv6.NEXT_UDP, 88, false, false]);
    expect(whatIsUp(authenticated)).toEqual([Ipv6.NEXT_TCP, 64, false, false]);
  });

  it('is the encrypted payload itself', () => {
    expect(whatIsUp(encrypted)).toEqual([Ipv6.NEXT_ESP, 40, false, false]);
  });

  it('stands in the first fragment and not in later ones', () => {
    expect(whatIsUp(firstFragment)).toEqual([Ipv6.NEXT_UDP, 56, true, false]);
    expect(whatIsUp(lastFragment)).toEqual([Ipv6.NEXT_UDP, 48, true, true]);
  });

  it('is not looked for behind a later fragment, whose payload only looks like a header', () => {
    const packet = lastFragment.slice();
    packet[40] = Ipv6.NEXT_DESTINATION;
    expect(whatIsUp(packet)).toEqual([Ipv6.NEXT_DESTINATION, 48, true, true]);
  });

  it('is not found in a chain cut at any length', () => {
    for (const end of range(40, 98)) {
      expect(Ipv6.upper(chain.slice(0, end), 0, end) >= 0, `${end} bytes`).toBe(end >= 88);
    }
    for (const end of range(40, 64)) {
      expect(Ipv6.upper(authenticated.slice(0, end), 0, end) >= 0, `${end} bytes`).toBe(end >= 64);
    }
    expect(Ipv6.upper(chain, 0, 87)).toBe(Ipv6.TRUNCATED);
  });

  it('is given up after EXTENSIONS_MAX headers', () => {
    const packetOf = (extensions: number) => {
      const packet = new Uint8Array(40 + extensions * 8 + 8);
      packet[0] = 0x60;
      packet[6] = Ipv6.NEXT_DESTINATION;
      for (let i = 0; i < extensions; i++) {
        packet[40 + i * 8] = i === extensions - 1 ? Ipv6.NEXT_UDP : Ipv6.NEXT_DESTINATION;
      }
      return packet;
    };
    expect(whatIsUp(packetOf(Ipv6.EXTENSIONS_MAX))).toEqual([Ipv6.NEXT_UDP, 104, false, false]);
    expect(upper(packetOf(Ipv6.EXTENSIONS_MAX + 1))).toBe(Ipv6.TOO_LONG);
  });

  it('never lies outside the packet, whatever the bytes', () => {
    const header = fc.constantFrom(0, 43, 44, 51, 60, 135, 17, 6, 59, 50);
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 120 }), (next, rest) => {
        const packet = Uint8Array.of(...plain, ...rest);
        packet[6] = next;
        const found = upper(packet);
        if (found >= 0) expect(Ipv6.upperOff(found)).toBeLessThanOrEqual(packet.length);
        else expect([Ipv6.TRUNCATED, Ipv6.TOO_LONG]).toContain(found);
      }),
    );
  });
});

describe('fragment header', () => {
  it('is read', () => {
    expect(Ipv6.fragmentOffsetBytes(firstFragment, 48)).toBe(0);
    expect(Ipv6.moreFragments(firstFragment, 48)).toBe(true);
    expect(Ipv6.fragmentIdentification(firstFragment, 48) >>> 0).toBe(0xdeadbeef);
    expect(Ipv6.fragmentOffsetBytes(lastFragment, 40)).toBe(16);
    expect(Ipv6.moreFragments(lastFragment, 40)).toBe(false);
  });

  it('is written', () => {
    const bytes = unwritten(8 + 2 * MARGIN);
    Ipv6.writeFragment(bytes, MARGIN, 17, 0, true, 0xdeadbeef);
    expect(toHex(bytes)).toBe(`${'a5'.repeat(MARGIN)}11000001deadbeef${'a5'.repeat(MARGIN)}`);
    Ipv6.writeFragment(bytes, MARGIN, 17, 16, false, 0xdeadbeef);
    expect(toHex(bytes, MARGIN, MARGIN + 8)).toBe('11000010deadbeef');
  });
});

describe('write', () => {
  it('writes the example', () => {
    const bytes = unwritten(40 + 2 * MARGIN);
    Ipv6.write(bytes, MARGIN, 0xb9, 0xabcde, 0, Ipv6.NEXT_NONE, 33);
    Ipv6.setSrc(bytes, MARGIN, ipv6FromText('2001:db8:0:1::a')!, 0);
    Ipv6.setDst(bytes, MARGIN, ipv6FromText('ff02::fb')!, 0);
    expect(toHex(bytes)).toBe('a5'.repeat(MARGIN) + toHex(plain) + 'a5'.repeat(MARGIN));
  });

  it('is read back, and a changed traffic class leaves the flow label alone', () => {
    const byte = fc.integer({ min: 0, max: 0xff });
    const label = fc.integer({ min: 0, max: 0xf_ffff });
    fc.assert(
      fc.property(
        byte,
        byte,
        label,
        fc.integer({ min: 0, max: 0xffff }),
        byte,
        byte,
        (first, tos, flow, len, next, hops) => {
          const bytes = unwritten(40);
          Ipv6.write(bytes, 0, first, flow, len, next, hops);
          expect(Ipv6.trafficClass(bytes, 0)).toBe(first);
          Ipv6.setTrafficClass(bytes, 0, tos);
          expect(bytes[0] >>> 4).toBe(6);
          expect(Ipv6.trafficClass(bytes, 0)).toBe(tos);
          expect(Ipv6.flowLabel(bytes, 0)).toBe(flow);
          expect(Ipv6.payloadLength(bytes, 0)).toBe(len);
          expect(Ipv6.nextHeader(bytes, 0)).toBe(next);
          expect(Ipv6.hopLimit(bytes, 0)).toBe(hops);
        },
      ),
    );
  });
});
