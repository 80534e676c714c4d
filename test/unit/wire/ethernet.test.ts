import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Ethernet from '../../../src/wire/ethernet.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

// scapy: Dot1AD(prio=5, vlan=100) / Dot1Q(prio=3, id=1, vlan=4094) / IP / UDP / 'hello'
const doubleTagged = hex(`01005e0000fb 02aabbccddee 88a8a064 81007ffe 0800
  45000021000100004011f6c7c0000201c0000202 13881770000d0d06 68656c6c6f`);
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 });

describe('check', () => {
  it('wants the 14 bytes of the header', () => {
    const bytes = hex('ffffffffffff 020000000001 0806 00');
    expect(acceptedEnds(bytes, Ethernet.check)).toEqual([14, 15]);
  });
});

describe('getters', () => {
  it('read a tagged frame', () => {
    expect(Ethernet.dstHigh(doubleTagged, 0)).toBe(0x0100);
    expect(Ethernet.dstLow(doubleTagged, 0)).toBe(0x5e0000fb);
    expect(Ethernet.srcHigh(doubleTagged, 0)).toBe(0x02aa);
    expect(Ethernet.srcLow(doubleTagged, 0) >>> 0).toBe(0xbbccddee);
    expect(Ethernet.type(doubleTagged, 0)).toBe(Ethernet.TYPE_QINQ);
  });

  it('walk over both tags', () => {
    const outer = Ethernet.TYPE_OFF;
    expect(Ethernet.vlanId(doubleTagged, outer)).toBe(100);
    expect(Ethernet.vlanPriority(doubleTagged, outer)).toBe(5);
    expect(Ethernet.vlanDropEligible(doubleTagged, outer)).toBe(false);
    const inner = outer + Ethernet.TAG_BYTES;
    expect(Ethernet.vlanId(doubleTagged, inner)).toBe(4094);
    expect(Ethernet.vlanPriority(doubleTagged, inner)).toBe(3);
    expect(Ethernet.vlanDropEligible(doubleTagged, inner)).toBe(true);
    const l3 = Ethernet.l3At(doubleTagged, 0, doubleTagged.length);
    expect(l3).toBe(22);
    expect(Ethernet.l3Type(doubleTagged, l3)).toBe(Ethernet.TYPE_IPV4);
  });

  it('find no layer 3 in a frame cut inside its tags', () => {
    const found = range(14, 30).filter((end) => Ethernet.l3At(doubleTagged.slice(0, end), 0, end) >= 0);
    expect(found).toEqual(range(22, 30));
  });

  it('find no layer 3 behind more tags than TAGS_MAX', () => {
    const tripled = hex('ffffffffffff 020000000001 88a80001 88a80002 81000003 0800 45');
    expect(Ethernet.l3At(tripled, 0, tripled.length)).toBe(-1);
    expect(Ethernet.l3At(hex('ffffffffffff 020000000001 81000003 0800 45'), 0, 19)).toBe(18);
  });

  it('take no other ethertype for a tag', () => {
    for (const type of [0x0800, 0x86dd, 0x0806, 0x9100, 0x88cc]) {
      const frame = hex(`ffffffffffff 020000000001 ${type.toString(16).padStart(4, '0')} 0000`);
      expect(Ethernet.l3At(frame, 0, frame.length)).toBe(14);
    }
  });
});

describe('kinds of address', () => {
  const isLinkLocal = (text: string) => Ethernet.isLinkLocalControl(Ethernet.macFromText(text)!, 0);

  it('knows the 16 addresses that a bridge keeps to itself, and no neighbour of theirs', () => {
    for (let last = 0; last < 256; last++) {
      const text = `01:80:c2:00:00:${last.toString(16).padStart(2, '0')}`;
      expect(isLinkLocal(text), text).toBe(last < 16);
    }
    // GMRP, the IS-IS addresses, LLDP's address with one bit changed in every other byte
    const others = ['01:80:c2:00:00:20', '01:80:c2:00:01:0e', '01:80:c2:01:00:0e', '01:80:c3:00:00:0e'];
    others.push('01:81:c2:00:00:0e', '00:80:c2:00:00:0e', '03:80:c2:00:00:0e', 'ff:ff:ff:ff:ff:ff');
    for (const text of others) expect(isLinkLocal(text), text).toBe(false);
  });

  it('tells groups, broadcast and nothing', () => {
    const kinds = (text: string) => {
      const bytes = Ethernet.macFromText(text)!;
      return [Ethernet.isGroup(bytes, 0), Ethernet.isBroadcast(bytes, 0), Ethernet.isZero(bytes, 0)];
    };
    expect(kinds('ff:ff:ff:ff:ff:ff')).toEqual([true, true, false]);
    expect(kinds('33:33:00:00:00:01')).toEqual([true, false, false]);
    expect(kinds('02:00:00:00:00:01')).toEqual([false, false, false]);
    expect(kinds('00:00:00:00:00:00')).toEqual([false, false, true]);
    expect(kinds('ff:ff:ff:ff:ff:fe')).toEqual([true, false, false]);
    expect(kinds('00:00:00:00:00:01')).toEqual([false, false, false]);
  });
});

describe('write', () => {
  it('writes the header and nothing else, and is read back', () => {
    fc.assert(
      fc.property(mac, mac, fc.integer({ min: 0, max: 0xffff }), (dst, src, type) => {
        const bytes = unwritten(14 + 2 * MARGIN);
        Ethernet.write(bytes, MARGIN, dst, 0, src, 0, type);
        const typeText = type.toString(16).padStart(4, '0');
        const margin = 'a5'.repeat(MARGIN);
        expect(toHex(bytes)).toBe(margin + toHex(dst) + toHex(src) + typeText + margin);
        expect(Ethernet.type(bytes, MARGIN)).toBe(type);
        expect(Ethernet.macEqual(bytes, MARGIN, dst, 0)).toBe(true);
        expect(Ethernet.macEqual(bytes, MARGIN + Ethernet.SRC_OFF, src, 0)).toBe(true);
        const copy = unwritten(6);
        Ethernet.setMac(copy, 0, Ethernet.srcHigh(bytes, MARGIN), Ethernet.srcLow(bytes, MARGIN));
        expect(toHex(copy)).toBe(toHex(src));
      }),
    );
  });

  it('writes the tags of the example', () => {
    const bytes = unwritten(8);
    Ethernet.writeTag(bytes, 0, Ethernet.TYPE_QINQ, 5, 100);
    Ethernet.writeTag(bytes, 4, Ethernet.TYPE_VLAN, 3, 0xfffe);
    expect(toHex(bytes)).toBe('88a8a06481006ffe');
  });
});

describe('text', () => {
  it('reads colons and dashes in either case', () => {
    for (const text of ['02:00:5e:AB:cd:0f', '02-00-5E-ab-CD-0F']) {
      expect(toHex(Ethernet.macFromText(text)!)).toBe('02005eabcd0f');
    }
  });

  it('refuses everything else', () => {
    const wrong = ['', '02:00:5e:ab:cd', '02:00:5e:ab:cd:0f:11', '02:00:5e:ab:cd:0g', '2:0:5e:ab:cd:f', '02005eabcd0f'];
    wrong.push('02:00-5e:ab:cd:0f', ' 02:00:5e:ab:cd:0f', '02:00:5e:ab:cd:0f\n', '02.00.5e.ab.cd.0f', '0200.5eab.cd0f');
    for (const text of wrong) expect(Ethernet.macFromText(text), text).toBeNull();
  });

  it('reads back what it prints', () => {
    fc.assert(
      fc.property(mac, (bytes) => {
        expect(Ethernet.macFromText(Ethernet.macToText(bytes, 0))).toEqual(bytes);
      }),
    );
    expect(Ethernet.macToText(hex('ff 02005eabcd0f'), 1)).toBe('02:00:5e:ab:cd:0f');
  });
});
