import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DROP } from '../../../src/packet/drop.js';
import * as Gue from '../../../src/tunnel/gue.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { decapOf } from '../../rig/decap.js';
import { join, toHex, udp } from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';

// Linux 6.1, `ip link ... type ipip encap gue`: an echo request.
const echo = join(
  '45000054aa1f400040017c330a2a00010a2a00020800b66a03870001f0bc006b000000008712070000000000',
  '101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637',
);
const linux = join('00040000', echo);
const ipv6 = udp({ family: 6, payload: 20 }).slice(14);

const lanes = makeLanes();
const { arena, burst } = lanes;
const bound = Gue.bindDecap(arena, burst);
const decap = decapOf(lanes, 'gue', bound);

describe('encap', () => {
  it('writes what Linux does, and nothing else', () => {
    const plan = tunnelPlan('gue');
    expect(Gue.headerLen(plan)).toBe(4);
    for (const [innerProtocol, header] of [
      [0x0800, '00040000'],
      [0x86dd, '00290000'],
    ] as const) {
      const bytes = new Uint8Array(12).fill(0xa5);
      Gue.writeHeader(bytes, 4, plan, innerProtocol);
      expect(toHex(bytes)).toBe(`a5a5a5a5${header}a5a5a5a5`);
    }
  });
});

describe('decap', () => {
  it('takes off headers of Linux', () => {
    expect(decap(linux, join('00290000', ipv6))).toEqual([
      { drop: 'none', key: 0, payload: 0x0800, metaLen: 0, inner: echo },
      { drop: 'none', key: 0, payload: 0x86dd, metaLen: 0, inner: ipv6 },
    ]);
  });

  it('takes packets without a header, variant 1', () => {
    expect(decap(echo, ipv6).map(({ inner }) => inner)).toEqual([echo, ipv6]);
    // 0101 and 0111 are variant 1 as well, and no IP version.
    expect(decap(join(0x50, new Uint8Array(60)), join(0x70, new Uint8Array(60)))).toEqual([
      { drop: 'tunnel-protocol' },
      { drop: 'tunnel-protocol' },
    ]);
  });

  it('skips extension fields without a flag, and drops flags, which it knows none of', () => {
    expect(decap(join('02040000 11223344 55667788', echo))[0].inner).toEqual(echo);
    expect(decap(join(`1f040000 ${'00'.repeat(124)}`, echo))[0].inner).toEqual(echo);
    for (let bit = 0; bit < 16; bit++) {
      const packet = linux.slice();
      packet[2 + (bit >> 3)] |= 0x80 >> (bit & 7);
      expect(decap(packet)[0].drop, `bit ${bit}`).toBe('tunnel-flags');
    }
  });

  it('drops control messages and unknown variants', () => {
    expect(
      decap(join('20040000', echo), join('20000000', echo), join('20048000', echo)).map(({ drop }) => drop),
    ).toEqual(['tunnel-control', 'tunnel-control', 'tunnel-control']);
    expect(
      decap(join('80040000', echo), join('c0040000', echo), join('a0040000', echo)).map(({ drop }) => drop),
    ).toEqual(['tunnel-flags', 'tunnel-flags', 'tunnel-flags']);
  });

  it('carries IPv4 and IPv6 alone, and the packet must be what the header says', () => {
    const taken = decap(
      join('00040000', ipv6),
      join('00290000', echo),
      // GRE, no next header, UDP.
      join('002f0000', echo),
      join('003b0000', echo),
      join('00110000', echo),
      join('00040000', 0x55, new Uint8Array(60)),
    );
    expect(taken.map(({ drop }) => drop)).toEqual(Array.from({ length: 6 }, () => 'tunnel-protocol'));
  });

  it('needs a whole IP header behind its own, at every length', () => {
    for (const [packet, header] of [
      [linux, 24],
      [join('01040000 11223344', echo), 28],
      [join('00290000', ipv6), 44],
      [echo, 20],
    ] as const) {
      for (let length = 0; length <= packet.length; length++) {
        const drop = length < header ? 'malformed-tunnel' : 'none';
        expect(decap(packet.slice(0, length))[0].drop, `${header} ${length}`).toBe(drop);
      }
    }
  });

  it('leaves lanes of other kinds and lanes that are dropped', () => {
    lanes.lay([linux, linux], (i) => ({ drop: i === 0 ? DROP.truncated : 0 }));
    burst.tunnel.set([6, 5]);
    bound(2);
    expect(Array.from(burst.drop.slice(0, 2))).toEqual([DROP.truncated, 0]);
    expect([burst.len[0], burst.len[1]]).toEqual([linux.length, linux.length]);
  });
});

describe('decap of encap', () => {
  it('gives the packet back', () => {
    const rest = fc.uint8Array({ minLength: 39, maxLength: 200 });
    fc.assert(
      fc.property(rest, fc.constantFrom(0x45, 0x60), (rest, first) => {
        const packet = join(first, rest);
        const payload = first === 0x45 ? 0x0800 : 0x86dd;
        const sent = join('a5a5a5a5', packet);
        Gue.writeHeader(sent, 0, tunnelPlan('gue'), payload);
        expect(decap(sent)).toEqual([{ drop: 'none', key: 0, payload, metaLen: 0, inner: packet }]);
      }),
    );
  });
});
