import { describe, expect, it } from 'vitest';
import { ipv4WordFromText } from '../../../src/wire/address.js';
import * as Arp from '../../../src/wire/arp.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

// scapy: ARP who-has 192.0.2.254 tell 192.0.2.1, and its answer
const request = hex('0001080006040001 02005e100001 c0000201 000000000000 c00002fe');
const reply = hex('0001080006040002 02005e1000fe c00002fe 02005e100001 c0000201');
const word = (text: string) => ipv4WordFromText(text)!;

describe('check', () => {
  it('wants 28 bytes', () => {
    expect(acceptedEnds(Uint8Array.of(...request, 0, 0), Arp.check)).toEqual(range(28, 30));
  });

  it('wants Ethernet and IPv4 by all four of its fields', () => {
    for (let i = 0; i < Arp.OPERATION_OFF; i++) {
      const other = request.slice();
      other[i] ^= 0x04;
      expect(Arp.check(other, 0, other.length), `byte ${i}`).toBe(false);
    }
  });
});

describe('getters', () => {
  it('read a request', () => {
    expect(Arp.operation(request, 0)).toBe(Arp.REQUEST);
    expect(Arp.senderIp(request, 0)).toBe(word('192.0.2.1'));
    expect(Arp.targetIp(request, 0)).toBe(word('192.0.2.254'));
    expect(toHex(request, Arp.SENDER_MAC_OFF, Arp.SENDER_MAC_OFF + 6)).toBe('02005e100001');
    expect(toHex(request, Arp.TARGET_MAC_OFF, Arp.TARGET_MAC_OFF + 6)).toBe('000000000000');
  });
});

describe('write', () => {
  it('writes an answer and nothing else', () => {
    const bytes = unwritten(Arp.PACKET_BYTES + 2 * MARGIN);
    Arp.write(bytes, MARGIN, Arp.REPLY);
    Arp.setSender(bytes, MARGIN, hex('02005e1000fe'), 0, word('192.0.2.254'));
    Arp.setTarget(bytes, MARGIN, request, Arp.SENDER_MAC_OFF, Arp.senderIp(request, 0));
    expect(toHex(bytes)).toBe('a5'.repeat(MARGIN) + toHex(reply) + 'a5'.repeat(MARGIN));
  });
});
