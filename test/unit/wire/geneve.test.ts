import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Geneve from '../../../src/wire/geneve.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

// Linux 6.1, `ip link ... type geneve` with options of class 0x0102: type 0x01 (4 bytes) and type 0x02 (8 bytes), then ARP.
const packet = hex('0500655800002a00 0102010111223344 010202025566778899aabbcc ffffffffffff 020000004202 0806 0001');

// Open vSwitch 3.1: the same with type 0x80, which is critical.
const ovs = hex('0540655800002a00 0102010111223344 010280025566778899aabbcc ffffffffffff');

// scapy: GENEVE(vni=42, proto=0x0800, oam=1, critical=1, options=[class 0x0102 type 0x80 data 00010002, class 0xffff type 0x7f no data]) / 'weft'
const control = hex('03c0080000002a00 0102800100010002 ffff7f00 77656674');

interface Option {
  class: number;
  type: number;
  data: string;
}

function options(bytes: Uint8Array, at = 0): Option[] {
  const found: Option[] = [];
  let option = Geneve.optionsAt(at);
  for (; option < Geneve.payloadAt(bytes, at); option = Geneve.nextOption(bytes, option)) {
    const dataAt = Geneve.optionDataAt(option);
    found.push({
      class: Geneve.optionClass(bytes, option),
      type: Geneve.optionType(bytes, option),
      data: toHex(bytes, dataAt, dataAt + Geneve.optionDataBytes(bytes, option)),
    });
  }
  expect(option).toBe(Geneve.payloadAt(bytes, at));
  return found;
}

describe('check', () => {
  it('wants the header and all of its options', () => {
    expect(acceptedEnds(packet, Geneve.check)).toEqual(range(28, packet.length));
    expect(acceptedEnds(control, Geneve.check)).toEqual(range(20, control.length));
    expect(acceptedEnds(hex('0000655800002a00 ff'), Geneve.check)).toEqual([8, 9]);
  });

  it('knows version 0 alone', () => {
    for (const version of [1, 2, 3]) {
      const other = packet.slice();
      other[0] |= version << 6;
      expect(Geneve.version(other, 0)).toBe(version);
      expect(acceptedEnds(other, Geneve.check)).toEqual([]);
    }
  });

  it('refuses options that do not fill their space', () => {
    const header = (words: number, rest: string) => hex(`${words.toString(16).padStart(2, '0')}00655800002a00 ${rest}`);
    const refused: [string, Uint8Array][] = [
      ['an option longer than the space', header(1, '01020101 11223344 55667788')],
      ['the longest option in one word', header(1, `0102011f ${'00'.repeat(140)}`)],
      ['the second one longer', header(3, '01020101 11223344 01020201 55667788 99aabbcc')],
    ];
    for (const [what, bytes] of refused) expect(Geneve.check(bytes, 0, bytes.length), what).toBe(false);
    const filled = header(2, '01020100 01020200');
    expect(Geneve.check(filled, 0, filled.length)).toBe(true);
  });
});

describe('getters', () => {
  it('read a header of Linux', () => {
    expect(Geneve.version(packet, 0)).toBe(0);
    expect(Geneve.optionsBytes(packet, 0)).toBe(20);
    expect(Geneve.isControl(packet, 0)).toBe(false);
    expect(Geneve.hasCriticalFlag(packet, 0)).toBe(false);
    expect(Geneve.protocol(packet, 0)).toBe(Geneve.PROTOCOL_ETHERNET);
    expect(Geneve.vni(packet, 0)).toBe(42);
    expect(Geneve.payloadAt(packet, 0)).toBe(28);
    expect(options(packet)).toEqual([
      { class: 0x0102, type: 0x01, data: '11223344' },
      { class: 0x0102, type: 0x02, data: '5566778899aabbcc' },
    ]);
  });

  it('read one of Open vSwitch, whose C bit is set', () => {
    expect(Geneve.hasCriticalFlag(ovs, 0)).toBe(true);
    expect(Geneve.optionIsCritical(ovs, 8)).toBe(false);
    expect(Geneve.optionIsCritical(ovs, 16)).toBe(true);
    expect(options(ovs)[1]).toEqual({ class: Geneve.CLASS_OVN, type: Geneve.TYPE_OVN, data: '5566778899aabbcc' });
  });

  it('read control bit, IPv4 payload and an option without data', () => {
    expect(Geneve.isControl(control, 0)).toBe(true);
    expect(Geneve.protocol(control, 0)).toBe(Geneve.PROTOCOL_IPV4);
    expect(options(control)).toEqual([
      { class: 0x0102, type: 0x80, data: '00010002' },
      { class: 0xffff, type: 0x7f, data: '' },
    ]);
  });

  it('do not mind the reserved bits', () => {
    const other = control.slice();
    other[1] |= 0x3f;
    other[7] = 0xff;
    other[11] |= 0xe0;
    expect(Geneve.check(other, 0, other.length)).toBe(true);
    expect(Geneve.vni(other, 0)).toBe(42);
    expect(options(other)).toEqual(options(control));
  });
});

describe('write', () => {
  it('writes every bit of the header and nothing else', () => {
    const bytes = unwritten(8 + 2 * MARGIN);
    Geneve.write(bytes, MARGIN, 0, Geneve.PROTOCOL_ETHERNET, 0xabcdef);
    // scapy: GENEVE(vni=0xabcdef, proto=0x6558)
    expect(toHex(bytes)).toBe(`${'a5'.repeat(MARGIN)}00006558abcdef00${'a5'.repeat(MARGIN)}`);
  });

  it('writes what Open vSwitch sends', () => {
    const bytes = unwritten(28 + MARGIN);
    Geneve.write(bytes, 0, 20, Geneve.PROTOCOL_ETHERNET, 42);
    Geneve.setCriticalFlag(bytes, 0);
    const second = Geneve.writeOption(bytes, Geneve.optionsAt(0), 0x0102, 0x01, hex('11223344'));
    expect(second).toBe(16);
    expect(Geneve.writeOption(bytes, second, 0x0102, 0x80, hex('5566778899aabbcc'))).toBe(28);
    expect(toHex(bytes)).toBe(toHex(ovs, 0, 28) + 'a5'.repeat(MARGIN));
  });

  it('writes the longest options', () => {
    // scapy: options of 124 and 120 bytes of data; 0x3f words in the header, 0x1f and 0x1e in the options.
    const bytes = unwritten(260);
    const data = Uint8Array.from(range(0, 123));
    Geneve.write(bytes, 0, Geneve.OPTIONS_BYTES_MAX, 0, 1);
    const second = Geneve.writeOption(bytes, 8, 1, 2, data);
    expect(Geneve.writeOption(bytes, second, 3, 4, data.slice(0, 120))).toBe(260);
    expect(toHex(bytes, 0, 24)).toBe('3f000000000001000001021f000102030405060708090a0b');
    expect(toHex(bytes, 136, 144)).toBe('0003041e00010203');
    expect(Geneve.check(bytes, 0, 260)).toBe(true);
  });

  it('is read back, whatever the options', () => {
    const option = fc.record({
      class: fc.integer({ min: 0, max: 0xffff }),
      type: fc.integer({ min: 0, max: 0xff }),
      data: fc
        .integer({ min: 0, max: 5 })
        .chain((words) => fc.uint8Array({ minLength: words * 4, maxLength: words * 4 })),
    });
    fc.assert(
      fc.property(fc.array(option, { maxLength: 10 }), fc.integer({ min: 0, max: Geneve.VNI_MAX }), (written, vni) => {
        const len = written.reduce((sum, { data }) => sum + 4 + data.length, 0);
        const bytes = unwritten(MARGIN + 8 + len);
        Geneve.write(bytes, MARGIN, len, Geneve.PROTOCOL_IPV6, vni);
        let at = Geneve.optionsAt(MARGIN);
        for (const { class: c, type, data } of written) at = Geneve.writeOption(bytes, at, c, type, data);
        expect(Geneve.check(bytes, MARGIN, bytes.length)).toBe(true);
        expect(Geneve.vni(bytes, MARGIN)).toBe(vni);
        expect(options(bytes, MARGIN)).toEqual(written.map((o) => ({ ...o, data: toHex(o.data) })));
      }),
    );
  });

  it('changes a VNI alone', () => {
    const bytes = unwritten(8);
    Geneve.setVni(bytes, 0, 42);
    expect(toHex(bytes)).toBe('a5a5a5a500002aa5');
  });
});
