import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DROP } from '../../../src/packet/drop.js';
import * as Geneve from '../../../src/tunnel/geneve.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { decapOf } from '../../rig/decap.js';
import { join, toHex, udp } from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';

const lanes = makeLanes();
const { burst, arena } = lanes;
const bound = Geneve.bindDecap(arena, burst);
const decap = decapOf(lanes, 'geneve', bound);
const inner = udp({ payload: 20 });

// Linux 6.1 with two options, Open vSwitch 3.1 with two of which one is critical, Linux 6.1 with a critical one and the C bit clear.
const linux = '0500655800002a00 0102010111223344 010202025566778899aabbcc';
const ovs = '0540655800002a00 0102010111223344 010280025566778899aabbcc';
const linuxCritical = '0300655800002a00 010280021122334455667788';

const option = (type: number, data: string) => ({ class: 0x0102, type, data: join(data) });

function written(...args: Parameters<typeof tunnelPlan>): string {
  const plan = tunnelPlan(...args);
  const len = Geneve.headerLen(plan);
  const bytes = new Uint8Array(len + 6).fill(0xa5);
  Geneve.writeHeader(bytes, 3, plan, 0x6558);
  expect(toHex(bytes.slice(0, 3)) + toHex(bytes.slice(3 + len))).toBe('a5a5a5a5a5a5');
  return toHex(bytes.slice(3, 3 + len));
}

describe('encap', () => {
  it('writes what Linux and Open vSwitch send', () => {
    expect(written('geneve', 42)).toBe('0000655800002a00');
    const first = option(0x01, '11223344');
    expect(written('geneve', 42, { options: [first, option(0x02, '5566778899aabbcc')] })).toBe(toHex(join(linux)));
    expect(written('geneve', 42, { options: [first, option(0x80, '5566778899aabbcc')] })).toBe(toHex(join(ovs)));
  });

  it('writes IP payloads and the highest VNI', () => {
    const bytes = new Uint8Array(8);
    Geneve.writeHeader(bytes, 0, tunnelPlan('geneve', 0xffffff), 0x86dd);
    expect(toHex(bytes)).toBe('000086ddffffff00');
  });

  it('writes options without data', () => {
    // scapy: GENEVE(vni=42, proto=0x6558, critical=1, options=[class 0x0102 type 0x80 data 00010002, class 0xffff type 0x7f])
    const options = [option(0x80, '00010002'), { class: 0xffff, type: 0x7f, data: new Uint8Array(0) }];
    expect(written('geneve', 42, { options })).toBe('0340655800002a000102800100010002ffff7f00');
  });
});

describe('decap', () => {
  it('takes off headers of Linux and Open vSwitch', () => {
    const plain = { drop: 'none', key: 42, payload: 0x6558, inner };
    const headers = ['0000655800002a00', linux, ovs, linuxCritical];
    expect(decap(...headers.map((header) => join(header, inner)))).toEqual([
      { ...plain, metaLen: 0 },
      { ...plain, metaLen: 20 },
      { ...plain, metaLen: 20 },
      { ...plain, metaLen: 12 },
    ]);
  });

  it('leaves the options in front of the payload', () => {
    decap(join(ovs, inner));
    const [at, meta] = [burst.at[0], burst.metaLen[0]];
    expect(toHex(arena.bytes.slice(at - meta, at))).toBe('0102010111223344010280025566778899aabbcc');
  });

  it('takes Ethernet, IPv4 and IPv6', () => {
    const taken = decap(
      ...['6558', '0800', '86dd', '0806', '8847', '0000'].map((p) => join(`0000${p}00000100`, inner)),
    );
    expect(taken.map(({ drop, payload }) => payload ?? drop)).toEqual([
      0x6558,
      0x0800,
      0x86dd,
      'tunnel-protocol',
      'tunnel-protocol',
      'tunnel-protocol',
    ]);
  });

  it('knows version 0, drops control packets, and ignores reserved bits and the C bit', () => {
    for (let bit = 0; bit < 64; bit++) {
      const header = join('0000655800002a00');
      header[bit >> 3] |= 0x80 >> (bit & 7);
      const [{ drop, key }] = decap(join(header, inner));
      if (bit < 2) expect(drop).toBe('tunnel-flags');
      else if (bit === 8) expect(drop).toBe('tunnel-control');
      else if ((bit > 8 && bit < 16) || bit >= 56) expect([drop, key]).toEqual(['none', 42]);
    }
  });

  it('needs something behind header and options, at every length', () => {
    for (const [header, len] of [
      ['0000655800002a00', 8],
      [linux, 28],
    ] as const) {
      const datagram = join(header, inner);
      for (let length = 0; length <= datagram.length; length++) {
        const [{ drop, inner }] = decap(datagram.slice(0, length));
        expect(drop, `${length}`).toBe(length <= len ? 'malformed-tunnel' : 'none');
        expect(inner?.length).toBe(length <= len ? undefined : length - len);
      }
    }
  });

  it('refuses options that do not fill their space', () => {
    const words = (n: number) => `${n.toString(16).padStart(2, '0')}00655800002a00`;
    const cases: [string, string][] = [
      [`${words(1)} 01020101`, 'malformed-tunnel'],
      [`${words(1)} 0102011f`, 'malformed-tunnel'],
      [`${words(2)} 01020102 00000000`, 'malformed-tunnel'],
      [`${words(3)} 01020101 00000000 01020101`, 'malformed-tunnel'],
      [`${words(0x3f)} 0102011f ${'00'.repeat(248)}`, 'none'],
      [`${words(0x3f)} ${'01020100'.repeat(62)} 01020101`, 'malformed-tunnel'],
      [`${words(0x3f)} ${'01020100'.repeat(63)}`, 'none'],
      [`${words(1)} 010201e0`, 'none'],
    ];
    // In the fifth, 128 bytes of one option, then zeros: thirty-one options without data.
    for (const [header, drop] of cases) expect(decap(join(header, inner))[0].drop, header).toBe(drop);
  });

  it('leaves lanes of other kinds and lanes that are dropped', () => {
    lanes.lay([join(linux, inner), join(linux, inner)], (i) => ({ drop: i === 0 ? DROP.truncated : 0 }));
    burst.tunnel.set([2, 1]);
    bound(2);
    expect(Array.from(burst.drop.slice(0, 2))).toEqual([DROP.truncated, 0]);
    expect([0, 1].map((i) => burst.len[i])).toEqual([28 + inner.length, 28 + inner.length]);
  });
});

describe('decap of encap', () => {
  it('gives the frame back, whatever options are on the way', () => {
    const options = fc.array(
      fc.record({
        class: fc.integer({ min: 0, max: 0xffff }),
        type: fc.integer({ min: 0, max: 0xff }),
        data: fc.integer({ min: 0, max: 6 }).chain((w) => fc.uint8Array({ minLength: w * 4, maxLength: w * 4 })),
      }),
      { maxLength: 9 },
    );
    const id = fc.integer({ min: 0, max: 0xffffff });
    const frame = fc.uint8Array({ minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(options, id, frame, fc.constantFrom(0x6558, 0x0800, 0x86dd), (options, id, frame, payload) => {
        const plan = tunnelPlan('geneve', id, { options });
        const len = Geneve.headerLen(plan);
        const packet = join(new Uint8Array(len), frame);
        Geneve.writeHeader(packet, 0, plan, payload);
        expect(decap(packet)).toEqual([{ drop: 'none', key: id, payload, metaLen: len - 8, inner: frame }]);
      }),
    );
  });
});
