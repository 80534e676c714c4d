import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IS_TCP, IS_UDP, sharedInts } from '../../../src/packet/burst.js';
import { bindCoalesce } from '../../../src/pipeline/coalesce.js';
import { ip, join, noise, tcp, toHex, type UdpFields, udp } from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';

// Datagrams of a flow as one superframe, by the rules of the kernel's udp_gro_receive_segment and inet_gro_flush.

const lanes = makeLanes();
const { burst, transport } = lanes;
const coalescer = bindCoalesce(lanes.arena, burst, transport);
const list = sharedInts(64);

interface Chain {
  lanes: number[];
  bytes: Uint8Array;
  size: number;
}

function coalesce(frames: Uint8Array[], kinds = IS_TCP | IS_UDP): Chain[] {
  lanes.lay(frames, (i) => ({ offset: (i * 7) % 64 }));
  lanes.parse(frames.length);
  frames.forEach((_, i) => {
    list[i] = i;
  });
  const count = coalescer.group(list, frames.length, kinds);
  return Array.from({ length: count }, (_, c) => {
    const members: number[] = [];
    for (let i = coalescer.head[c]; i >= 0; i = coalescer.next[i]) members.push(i);
    const [head, ...others] = members;
    const length = members.length > 1 ? coalescer.finish(c) : frames[head].length;
    const headers = coalescer.headerLen[head];
    const bytes = join(lanes.frame(head), ...others.map((i) => lanes.frame(i).slice(headers)));
    expect(bytes.length).toBe(length);
    for (const i of members) expect(lanes.isGuarded(i)).toBe(true);
    return { lanes: members, bytes, size: coalescer.chainSize[c] };
  });
}

const groups = (frames: Uint8Array[], kinds?: number) => coalesce(frames, kinds).map((c) => c.lanes);

/** n datagrams of 100 bytes whose ids count up, each changed by `change`. */
const run = (n: number, change: (k: number) => UdpFields = () => ({})) =>
  Array.from({ length: n }, (_, k) => udp({ id: 50 + k, payload: noise(100, k + 1), ...change(k) }));

describe.each([4, 6] as const)('datagrams of one flow over IPv%i', (family) => {
  const f = { family };

  it('become the superframe that a sender with UDP_SEGMENT would have handed over', () => {
    const [chain, ...rest] = coalesce(run(4, () => f));
    const payload = join(...[1, 2, 3, 4].map((seed) => noise(100, seed)));
    expect(rest).toEqual([]);
    const wanted = udp({ ...f, id: 50, payload, checksum: 'unfinished' });
    expect(chain).toEqual({ lanes: [0, 1, 2, 3], bytes: wanted, size: 100 });
  });

  it('end with a shorter one; a longer one begins anew', () => {
    expect(groups(run(4, (k) => (k === 1 ? { ...f, payload: 60 } : f)))).toEqual([
      [0, 1],
      [2, 3],
    ]);
    expect(groups(run(4, (k) => (k === 2 ? { ...f, payload: 101 } : f)))).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  it.each<[string, UdpFields]>([
    ['no checksum: a superframe has one', { checksum: 'zero' }],
    ['a wrong checksum', { checksum: 'bad' }],
    ['an unfinished checksum', { checksum: 'unfinished' }],
    ['nothing in it', { payload: 0 }],
    ['another TOS or traffic class', { tos: 4 }],
    ['another TTL or hop limit', { ttl: 63 }],
    ['bytes behind its packet', { trailer: 3 }],
  ])('leave alone one with %s', (_, change) => {
    expect(groups(run(5, (k) => (k === 2 ? { ...f, ...change } : f)))).toEqual([[0, 1], [2], [3, 4]]);
  });

  it('leave alone those without checksums altogether', () => {
    expect(groups(run(3, () => ({ ...f, checksum: 'zero' })))).toEqual([[0], [1], [2]]);
  });

  it('keep flows apart, by port, address, MAC and tag', () => {
    const others: UdpFields[] = [{ sport: 1 }, { dport: 1 }, { ipSrc: 9 }, { ipDst: 9 }, { src: 9 }];
    for (const other of others) {
      const frames = run(4, (k) => ({ ...f, ...(k & 1 ? other : {}), id: 50 + (k >> 1) }));
      expect(groups(frames), JSON.stringify(other)).toEqual([
        [0, 2],
        [1, 3],
      ]);
    }
    expect(groups(run(2, (k) => (k ? { ...f, tags: [[0x8100, 7]] } : f)))).toEqual([[0], [1]]);
  });

  it('have the length that their IP header says', () => {
    const odd = run(3, () => f);
    const lengthAt = family === 4 ? 38 : 58;
    odd[1][lengthAt + 1] -= 4;
    expect(groups(odd)).toEqual([[0], [1], [2]]);
  });

  it('have at most 65,535 bytes of packet', () => {
    const frames = Array.from({ length: 50 }, (_, k) => udp({ ...f, id: k, payload: noise(1400, k) }));
    const header = family === 4 ? 28 : 48;
    const most = Math.floor((65_535 - header) / 1400);
    expect(groups(frames).map((g) => g.length)).toEqual([most, 50 - most]);
  });

  it('are joined only for a receiver that takes them', () => {
    expect(
      groups(
        run(2, () => f),
        IS_TCP,
      ),
    ).toEqual([[0], [1]]);
    const segments = [0, 100].map((seq) => tcp({ ...f, seq, payload: 100 }));
    expect(groups(segments, IS_UDP)).toEqual([[0], [1]]);
    expect(groups(segments)).toEqual([[0, 1]]);
  });

  it('are not overtaken by what comes behind a fragment of their hosts', () => {
    const fragment =
      family === 4
        ? udp({ ...f, fragment: 0x2000, payload: 64 })
        : ip({ ...f, extensions: [{ number: 44, bytes: [0, 0, 0, 1, 0, 0, 0, 9] }] }, 17, noise(64));
    const [a, b, c, d] = run(4, () => f);
    expect(groups([a, b, fragment, c, d])).toEqual([[0, 1], [2], [3, 4]]);
  });
});

describe('IPv4 ids', () => {
  it.each<[string, (k: number) => UdpFields, number[][]]>([
    ['count up', (k) => ({ id: 0xfffe + k > 0xffff ? (0xfffe + k) & 0xffff : 0xfffe + k }), [[0, 1, 2, 3]]],
    ['stay, with DF', () => ({ id: 0 }), [[0, 1, 2, 3]]],
    ['stay, without DF: each could be fragmented', () => ({ id: 7, fragment: 0 }), [[0], [1], [2], [3]]],
    ['count up without DF', (k) => ({ id: 7 + k, fragment: 0 }), [[0, 1, 2, 3]]],
    ['jump', (k) => ({ id: 7 + 5 * k }), [[0], [1], [2], [3]]],
    [
      'count up, then stay',
      (k) => ({ id: [1, 2, 2, 2][k] }),
      [
        [0, 1],
        [2, 3],
      ],
    ],
    [
      'stay, then count up',
      (k) => ({ id: [1, 1, 2, 3][k] }),
      [
        [0, 1],
        [2, 3],
      ],
    ],
    [
      'with another DF bit',
      (k) => ({ id: k, fragment: k < 2 ? 0x4000 : 0 }),
      [
        [0, 1],
        [2, 3],
      ],
    ],
  ])('that %s', (_, change, wanted) => {
    expect(groups(run(4, change))).toEqual(wanted);
  });
});

it('nothing is lost, changed or brought out of its flow’s order, whatever comes', () => {
  const event = fc.record({
    flow: fc.nat(11),
    kind: fc.constantFrom('data', 'data', 'data', 'short', 'long', 'zero', 'bad', 'tos', 'tcp'),
  });
  fc.assert(
    fc.property(fc.array(event, { minLength: 1, maxLength: 64 }), (events) => {
      const ids = new Map<number, number>();
      const frames = events.map(({ flow, kind }, n) => {
        const id = ids.get(flow) ?? 0;
        ids.set(flow, id + 1);
        const base: UdpFields = { sport: 1000 + flow, family: flow % 3 === 2 ? 6 : 4, id };
        if (kind === 'tcp') return tcp({ ...base, payload: noise(50, n) });
        const payload = noise(kind === 'short' ? 30 : kind === 'long' ? 120 : 100, n);
        const checksum = kind === 'zero' ? 'zero' : kind === 'bad' ? 'bad' : 'good';
        return udp({ ...base, payload, checksum, tos: kind === 'tos' ? 8 : 0 });
      });
      const chains = coalesce(frames);
      const order = chains.flatMap((c) => c.lanes);
      expect([...order].sort((a, b) => a - b)).toEqual(frames.map((_, i) => i));
      for (let flow = 0; flow < 12; flow++) {
        const own = order.filter((i) => events[i].flow === flow && events[i].kind !== 'tcp');
        expect(own).toEqual([...own].sort((a, b) => a - b));
      }
      // Cut again, a chain is what was joined: headers of the head, payload of each.
      for (const { lanes: members, bytes, size } of chains) {
        if (members.length === 1 || events[members[0]].kind === 'tcp') continue;
        const headers = frames[members[0]].length - (size > 0 ? size : 0);
        const payloads = members.map((i) => toHex(frames[i].slice(headers)));
        expect(payloads.join('')).toBe(toHex(bytes.slice(headers)));
        expect(members.slice(0, -1).every((i) => frames[i].length - headers === size)).toBe(true);
      }
    }),
    { numRuns: 300 },
  );
});
