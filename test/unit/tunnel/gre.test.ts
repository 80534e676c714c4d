import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DROP } from '../../../src/packet/drop.js';
import * as Gre from '../../../src/tunnel/gre.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { decapOf } from '../../rig/decap.js';
import { join, onesSum, toHex, u16, u32, udp } from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';

const lanes = makeLanes();
const { burst, arena } = lanes;
const bound = Gre.bindDecap(arena, burst, lanes.kernel);
const decap = decapOf(lanes, 'gre', bound);
const inner = udp({ payload: 20 });

// Linux 6.1, key 42, checksum and sequence number 1, around an ICMP echo reply in IPv4.
const echo = join(
  '4500005448000000 40011e53 0a2a0002 0a2a0001 0000ac74 010a0002 ccbc006b00000000ba840c0000000000',
  '101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637',
);
const linux = join('b0000800 47d40000 0000002a 00000001', echo);

function template(...args: Parameters<typeof tunnelPlan>): string {
  const plan = tunnelPlan(...args);
  const len = Gre.headerLen(plan);
  const bytes = new Uint8Array(len + 6).fill(0xa5);
  Gre.writeHeader(bytes, 3, plan, 0x6558);
  expect(toHex(bytes.slice(0, 3)) + toHex(bytes.slice(3 + len))).toBe('a5a5a5a5a5a5');
  return toHex(bytes.slice(3, 3 + len));
}

describe('encap', () => {
  it('writes what Linux and Open vSwitch send', () => {
    expect(template('gre')).toBe('00006558');
    expect(template('gre', 42)).toBe('200065580000002a');
  });

  it('writes every combination of fields, and says where the sender completes them', () => {
    const all: [object, string, number, number][] = [
      [{}, '20006558 deadbeef', -1, -1],
      [{ hasKey: false }, '00006558', -1, -1],
      [{ sequence: true }, '30006558 deadbeef 00000000', -1, 8],
      [{ sequence: true, hasKey: false }, '10006558 00000000', -1, 4],
      [{ checksum: true }, 'a0006558 00000000 deadbeef', 4, -1],
      [{ checksum: true, hasKey: false }, '80006558 00000000', 4, -1],
      [{ checksum: true, sequence: true, hasKey: false }, '90006558 00000000 00000000', 4, 8],
      [{ checksum: true, sequence: true }, 'b0006558 00000000 deadbeef 00000000', 4, 12],
    ];
    for (const [rest, header, checksumOff, sequenceOff] of all) {
      // Signed and unsigned keys are the same.
      for (const key of [0xdeadbeef, 0xdeadbeef | 0]) expect(template('gre', key, rest)).toBe(toHex(join(header)));
      const plan = tunnelPlan('gre', 0xdeadbeef, rest);
      expect([Gre.checksumOff(plan), Gre.sequenceOff(plan)], header).toEqual([checksumOff, sequenceOff]);
    }
  });

  it('writes key 0 when there is one', () => {
    expect(template('gre', 0, { hasKey: true })).toBe('2000655800000000');
  });
});

describe('decap', () => {
  it('takes off headers of Linux and Open vSwitch', () => {
    const taken = decap(linux, join('00000800', echo), join('00006558', inner), join('20006558 0000002a', inner));
    expect(taken).toEqual([
      { drop: 'none', key: 42, payload: 0x0800, metaLen: 4, inner: echo },
      { drop: 'none', key: 0, payload: 0x0800, metaLen: 0, inner: echo },
      { drop: 'none', key: 0, payload: 0x6558, metaLen: 0, inner },
      { drop: 'none', key: 42, payload: 0x6558, metaLen: 0, inner },
    ]);
  });

  it('leaves the sequence number in front of the payload', () => {
    decap(linux);
    expect(arena.view.getInt32(burst.at[0] - burst.metaLen[0])).toBe(1);
  });

  it('reads the key of any combination of fields', () => {
    // scapy: GRE(proto=0x6558, ...) / 'wefts': an odd number of bytes under the checksum.
    const packets = [
      '20006558 deadbeef 7765667473',
      '10006558 00000007 7765667473',
      '30006558 0000002a fffffffe 7765667473',
      '80006558 c9cc0000 7765667473',
      '90006558 b9c70000 00000005 7765667473',
      'b0006558 999d0000 0000002a 00000005 7765667473',
    ];
    const taken = decap(...packets.map((p) => join(p)));
    expect(taken.map((t) => [t.drop, t.key, t.metaLen])).toEqual([
      ['none', 0xdeadbeef | 0, 0],
      ['none', 0, 4],
      ['none', 42, 4],
      ['none', 0, 0],
      ['none', 0, 4],
      ['none', 42, 4],
    ]);
    for (const { inner } of taken) expect(toHex(inner as Uint8Array)).toBe('7765667473');
  });

  it('takes Ethernet, IPv4 and IPv6', () => {
    const taken = decap(...['6558', '0800', '86dd', '880b', '0806', '0000'].map((p) => join(`0000${p}`, inner)));
    expect(taken.map(({ drop, payload }) => payload ?? drop)).toEqual([
      0x6558,
      0x0800,
      0x86dd,
      'tunnel-protocol',
      'tunnel-protocol',
      'tunnel-protocol',
    ]);
  });

  it('refuses bits 1, 4 and 5 and every version but 0, and ignores the other reserved bits (RFC 2784 section 2.3)', () => {
    for (let bit = 0; bit < 16; bit++) {
      if (bit === 0 || bit === 2 || bit === 3) continue;
      const header = join('00006558');
      header[bit >> 3] |= 0x80 >> (bit & 7);
      const isRefused = [1, 4, 5, 13, 14, 15].includes(bit);
      expect(decap(join(header, inner))[0].drop, `bit ${bit}`).toBe(isRefused ? 'tunnel-flags' : 'none');
    }
    // PPTP: version 1 with key, sequence number and acknowledgement.
    expect(decap(join('3081880b 00040001 00000000 00000000', inner))[0].drop).toBe('tunnel-flags');
  });

  it('verifies the checksum over every byte of header and payload', () => {
    for (let at = 4; at < linux.length; at++) {
      const other = linux.slice();
      other[at] ^= 0x10;
      expect(decap(other)[0].drop, `byte ${at}`).toBe('tunnel-checksum');
    }
    // One byte more, as Ethernet padding would be: not 0, so it counts.
    expect(decap(join(linux, 1))[0].drop).toBe('tunnel-checksum');
  });

  it('needs something behind its header, at every length', () => {
    const fields = [0, 0x80, 0x20, 0x10, 0xa0, 0x90, 0x30, 0xb0];
    for (const flags of fields) {
      const count = [0x80, 0x20, 0x10].filter((flag) => (flags & flag) !== 0).length;
      const header = 4 + 4 * count;
      for (let length = 0; length <= header + 20; length++) {
        const packet = join(flags, 0, '6558', new Uint8Array(12), inner).slice(0, length);
        if ((flags & 0x80) !== 0 && length >= 6) packet.set(u16(0xffff - onesSum(packet)), 4);
        expect(decap(packet)[0].drop, `${flags} ${length}`).toBe(length <= header ? 'malformed-tunnel' : 'none');
      }
    }
  });

  it('leaves lanes of other kinds and lanes that are dropped', () => {
    lanes.lay([linux, linux], (i) => ({ drop: i === 0 ? DROP.truncated : 0 }));
    burst.tunnel.set([3, 1]);
    bound(2);
    expect(Array.from(burst.drop.slice(0, 2))).toEqual([DROP.truncated, 0]);
    expect([burst.len[0], burst.len[1]]).toEqual([linux.length, linux.length]);
  });
});

describe('decap of encap', () => {
  it('gives the frame back, with any key, sequence number and checksum', () => {
    const flag = fc.boolean();
    const key = fc.integer();
    const frame = fc.uint8Array({ minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(flag, flag, flag, key, fc.integer(), frame, (hasKey, sequence, checksum, id, number, frame) => {
        const plan = tunnelPlan('gre', id, { hasKey, sequence, checksum });
        const len = Gre.headerLen(plan);
        const packet = join(new Uint8Array(len), frame);
        Gre.writeHeader(packet, 0, plan, 0x6558);
        if (sequence) packet.set(u32(number), Gre.sequenceOff(plan));
        if (checksum) packet.set(u16(0xffff - onesSum(packet)), Gre.checksumOff(plan));
        const metaLen = sequence ? 4 : 0;
        expect(decap(packet)).toEqual([{ drop: 'none', key: hasKey ? id : 0, payload: 0x6558, metaLen, inner: frame }]);
        if (sequence) expect(arena.view.getInt32(burst.at[0] - 4)).toBe(number);
      }),
    );
  });
});
