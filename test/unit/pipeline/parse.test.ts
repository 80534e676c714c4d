import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  HAS_OPTIONS,
  HAS_VLAN,
  IS_DISCOVERY,
  IS_FRAGMENT,
  IS_SYN,
  IS_TCP,
  IS_UDP,
  IS_V4,
  IS_V6,
  NEEDS_CSUM,
} from '../../../src/packet/burst.js';
import { DROP } from '../../../src/packet/drop.js';
import { flowHash } from '../../../src/pipeline/parse.js';
import { anyFrame } from '../../rig/arbitrary.js';
import { decode } from '../../rig/decode.js';
import { ACK, arpRequest, ethernet, ip, join, macWords, noise, SYN, tcp, udp } from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';

const lanes = makeLanes();
const { burst } = lanes;

/** What parse says of lane i, with positions from the frame's first byte. */
function columns(i: number) {
  const relative = (p: number) => (p === 0 ? 0 : p - burst.at[i]);
  return {
    drop: burst.drop[i],
    flags: burst.flags[i],
    tos: burst.tos[i],
    flow: burst.flow[i],
    l3: relative(burst.l3[i]),
    l4: relative(burst.l4[i]),
    dst: [burst.dstLo[i], burst.dstHi[i]],
    src: [burst.srcLo[i], burst.srcHi[i]],
  };
}

function parseOne(frame: Uint8Array, offset = 0, flags = 0) {
  lanes.lay([frame], { offset, flags });
  lanes.parse(1);
  return columns(0);
}

/** The same, by the slow reader. */
function expected(frame: Uint8Array) {
  const d = decode(frame);
  if (d === null) return null;
  let flags = d.tags.length > 0 ? HAS_VLAN : 0;
  if (d.family === 4) flags |= IS_V4;
  if (d.family === 6) flags |= IS_V6;
  if (d.l4 > 0) flags |= d.protocol === 6 ? IS_TCP : IS_UDP;
  if (d.l4 > 0 && d.protocol === 6 && frame[d.l4 + 13] & SYN) flags |= IS_SYN;
  if (d.isFragment) flags |= IS_FRAGMENT;
  if (d.hasOptions) flags |= HAS_OPTIONS;
  if (d.isDiscovery) flags |= IS_DISCOVERY;
  const dst = macWords(d.dstMac);
  const src = macWords(d.srcMac);
  return { drop: 0, flags, tos: d.tos, l3: d.l3, l4: d.l4, dst: [dst.lo, dst.hi], src: [src.lo, src.hi] };
}

describe('parse', () => {
  it('agrees with the slow reader, for whole, damaged and random frames', () => {
    fc.assert(
      fc.property(anyFrame, fc.nat(63), (frame, offset) => {
        const got = parseOne(frame, offset);
        const wanted = expected(frame);
        if (wanted === null) expect(got.drop).toBe(DROP['malformed-frame']);
        else expect(got).toMatchObject(wanted);
        expect(lanes.isGuarded(0)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it('gives the same wherever a frame lies', () => {
    fc.assert(
      fc.property(anyFrame, (frame) => {
        const atZero = parseOne(frame, 0);
        if (atZero.drop !== 0) return;
        for (let offset = 1; offset < 64; offset++) expect(parseOne(frame, offset), `offset ${offset}`).toEqual(atZero);
      }),
      { numRuns: 300 },
    );
  });

  it('gives the same by the kernel and by the form in TypeScript alone', () => {
    fc.assert(
      fc.property(anyFrame, fc.nat(63), (frame, offset) => {
        const byKernel = parseOne(frame, offset);
        lanes.lay([frame], { offset });
        lanes.parseCarefully(1);
        expect(columns(0)).toEqual(byKernel);
      }),
      { numRuns: 2000 },
    );
  });

  it('takes plain IPv4 frames at every length near the bound of the kernel', () => {
    for (let payload = 0; payload < 40; payload++) {
      for (const frame of [udp({ payload }), tcp({ payload }), udp({ payload, trailer: 20 })]) {
        const wanted = expected(frame);
        expect(parseOne(frame, 0)).toMatchObject(wanted as object);
        expect(parseOne(frame, 2)).toEqual(parseOne(frame, 0));
      }
    }
  });

  const families = {
    'IPv4 TCP': tcp({ payload: 30, tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] }),
    'IPv4 TCP with IP options': tcp({ payload: 8, options: [7, 7, 4, 0, 0, 0, 0, 0] }),
    'IPv4 UDP': udp({ payload: 30 }),
    'IPv6 TCP': tcp({ family: 6, payload: 30 }),
    'IPv6 UDP': udp({ family: 6, payload: 30 }),
    'IPv6 with three extensions': udp({
      family: 6,
      payload: 9,
      extensions: [
        { number: 0, bytes: [0, 0, 1, 4, 0, 0, 0, 0] },
        { number: 43, bytes: [0, 2, ...new Uint8Array(22)] },
        { number: 60, bytes: [0, 0, 1, 4, 0, 0, 0, 0] },
      ],
    }),
    VLAN: tcp({ payload: 5, tags: [[0x8100, 9]] }),
    QinQ: udp({
      family: 6,
      payload: 5,
      tags: [
        [0x88a8, 9],
        [0x8100, 10],
      ],
    }),
    ARP: arpRequest(1),
  };

  describe.each(Object.entries(families))('%s', (_name, frame) => {
    it('cut off at every length never gives an offset outside of the frame', () => {
      for (let length = 0; length <= frame.length; length++) {
        const cut = frame.slice(0, length);
        for (const offset of [0, 1, 2, 58]) {
          const got = parseOne(cut, offset);
          const wanted = expected(cut);
          if (wanted === null) expect(got.drop, `${length}`).toBe(DROP['malformed-frame']);
          else expect(got, `${length}`).toMatchObject(wanted);
          if (got.drop !== 0) continue;
          if (got.l3 > 0) expect(got.l3 + (got.flags & IS_V4 ? 20 : 40)).toBeLessThanOrEqual(length);
          if (got.l4 > 0) expect(got.l4 + (got.flags & IS_TCP ? 20 : 8)).toBeLessThanOrEqual(length);
        }
      }
    });

    it('with any one header byte set to its extremes agrees with the slow reader', () => {
      for (let at = 12; at < Math.min(frame.length, 100); at++) {
        for (const value of [0, 1, 0x0f, 0x45, 0x60, 0x7f, 0x80, 0xff]) {
          const bad = frame.slice();
          bad[at] = value;
          const wanted = expected(bad);
          if (wanted === null) expect(parseOne(bad).drop).toBe(DROP['malformed-frame']);
          else expect(parseOne(bad), `byte ${at} = ${value}`).toMatchObject(wanted);
        }
      }
    });
  });
});

describe('VLAN tags', () => {
  it('are looked through twice; a third makes an opaque frame', () => {
    const tag = (n: number): [number, number][] => Array.from({ length: n }, (_, i) => [i === 0 ? 0x88a8 : 0x8100, i]);
    expect(parseOne(udp({ payload: 4, tags: tag(1) }))).toMatchObject({ l3: 18, flags: IS_V4 | IS_UDP | HAS_VLAN });
    expect(parseOne(udp({ payload: 4, tags: tag(2) }))).toMatchObject({ l3: 22, l4: 42 });
    expect(parseOne(udp({ payload: 4, tags: tag(3) }))).toMatchObject({ l3: 0, l4: 0, flags: HAS_VLAN, drop: 0 });
  });

  it('that run past the end make a malformed frame', () => {
    const bare = join('020000000002 020000000001 8100');
    expect(parseOne(bare).drop).toBe(DROP['malformed-frame']);
    expect(parseOne(join(bare, '0007 08')).drop).toBe(DROP['malformed-frame']);
    expect(parseOne(join(bare, '0007 88b5')).drop).toBe(0);
    expect(parseOne(join(bare, '0007 8100 00')).drop).toBe(DROP['malformed-frame']);
  });
});

describe('what is not to be trusted', () => {
  it('never becomes a TCP header that is not whole', () => {
    const good = tcp({ payload: 10 });
    for (const nibble of [0, 1, 4]) {
      const bad = good.slice();
      bad[46] = nibble << 4;
      expect(parseOne(bad), `data offset ${nibble}`).toMatchObject({ l3: 14, l4: 0, flags: IS_V4, drop: 0 });
    }
    const long = good.slice();
    long[46] = 0xf0;
    expect(parseOne(long)).toMatchObject({ l4: 0 });
  });

  it('stays opaque when its length field says more than the frame has', () => {
    const bad = udp({ payload: 20 });
    bad[17] += 1;
    expect(parseOne(bad)).toMatchObject({ l3: 0, l4: 0, flags: 0, drop: 0 });
    const six = udp({ family: 6, payload: 20 });
    six[19] += 1;
    expect(parseOne(six)).toMatchObject({ l3: 0, flags: 0, drop: 0 });
  });

  it('keeps the transport header inside of the IP packet, not of the frame', () => {
    const padded = ip({ trailer: 26 }, 6, join(new Uint8Array(12)));
    expect(parseOne(padded)).toMatchObject({ l3: 14, l4: 0, flags: IS_V4 });
  });

  it('ends at eight extension headers', () => {
    const chain = (n: number) =>
      udp({
        family: 6,
        payload: 4,
        extensions: Array.from({ length: n }, () => ({ number: 60, bytes: [0, 0, 1, 4, 0, 0, 0, 0] })),
      });
    expect(parseOne(chain(8))).toMatchObject({ l4: 14 + 40 + 64, flags: IS_V6 | IS_UDP | HAS_OPTIONS });
    expect(parseOne(chain(9))).toMatchObject({ l4: 0, flags: IS_V6 | HAS_OPTIONS });
  });

  it('leaves flags that came with the lane, and lanes that are dropped', () => {
    expect(parseOne(tcp({ payload: 1 }), 0, NEEDS_CSUM).flags).toBe(IS_V4 | IS_TCP | NEEDS_CSUM);
    lanes.lay([tcp({ payload: 1 })], { drop: DROP.truncated, flags: 0 });
    lanes.parse(1);
    expect([burst.drop[0], burst.flags[0]]).toEqual([DROP.truncated, 0]);
  });
});

describe('the flow hash', () => {
  const flow = (frame: Uint8Array) => parseOne(frame).flow;

  it('is the same for all packets of a flow', () => {
    const first = flow(tcp({ payload: 1, seq: 1, flags: SYN }));
    expect(flow(tcp({ payload: 900, seq: 77, flags: ACK, tos: 3, ttl: 9, id: 5 }))).toBe(first);
    expect(flow(tcp({ payload: 3, src: 1, dst: 2, tags: [[0x8100, 5]] }))).toBe(first);
  });

  it('is the same for all fragments of a datagram, and not that of its ports', () => {
    const fragments = [0x2000, 0x20b9, 0x0172].map((fragment) => flow(udp({ payload: 30, fragment })));
    expect(new Set(fragments).size).toBe(1);
    expect(flow(udp({ payload: 30 }))).not.toBe(fragments[0]);
  });

  it('is the same with IPv6 extension headers and without, and for all fragments', () => {
    const destination = { number: 60, bytes: [0, 0, 1, 4, 0, 0, 0, 0] };
    const hop = { ...destination, number: 0 };
    const routing = { number: 43, bytes: [0, 0, 4, 0, 0, 0, 0, 0] };
    const plain = flow(udp({ family: 6, payload: 30 }));
    for (const extensions of [[hop], [destination], [hop, routing, destination]])
      expect(flow(udp({ family: 6, payload: 30, extensions }))).toBe(plain);
    const piece = (offset: number, more: number) => ({
      number: 44,
      bytes: [0, 0, offset >> 5, ((offset << 3) | more) & 255, 0, 0, 0, 9],
    });
    // Destination options behind the fragment header are in the first one only; in the others payload lies there.
    const first = flow(udp({ family: 6, payload: 30, extensions: [piece(0, 1), destination] }));
    const others = [2, 4].map((offset) =>
      flow(ip({ family: 6, extensions: [piece(offset, 1)] }, 60, noise(64, offset))),
    );
    expect(others).toEqual([first, first]);
    expect(first).not.toBe(plain);
  });

  it('differs by address, port, protocol, direction and, without IP, by MAC', () => {
    const flows = [
      tcp({ payload: 1 }),
      tcp({ payload: 1, ipSrc: 3 }),
      tcp({ payload: 1, ipDst: 3 }),
      tcp({ payload: 1, sport: 1001 }),
      tcp({ payload: 1, dport: 2001 }),
      udp({ payload: 1 }),
      tcp({ payload: 1, src: 2, dst: 1, sport: 2000, dport: 1000 }),
      tcp({ payload: 1, family: 6 }),
      tcp({ payload: 1, family: 6, sport: 1001 }),
      ethernet({ src: 1 }, 0x88b5, new Uint8Array(50)),
      ethernet({ src: 2 }, 0x88b5, new Uint8Array(50)),
    ].map(flow);
    expect(new Set(flows).size).toBe(flows.length);
  });

  it('spreads flows over source ports: no bucket of 64 takes more than three times its share', () => {
    const buckets = new Int32Array(64);
    for (let n = 0; n < 6400; n++) buckets[flowHash(0x0100000a, (2 + (n >> 8)) << 24, (1000 << 16) | n, 6) >>> 26]++;
    expect(Math.max(...buckets)).toBeLessThan(300);
    expect(Math.min(...buckets)).toBeGreaterThan(33);
  });
});
