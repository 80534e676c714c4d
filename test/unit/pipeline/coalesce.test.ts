import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IS_TCP, sharedInts } from '../../../src/packet/burst.js';
import { bindCoalesce } from '../../../src/pipeline/coalesce.js';
import { coalesceTwin } from '../../rig/coalesceTwin.js';
import { decode, isIpChecksumRight } from '../../rig/decode.js';
import {
  ACK,
  CWR,
  ECE,
  FIN,
  join,
  noise,
  onesSum,
  PSH,
  RST,
  SYN,
  stationMac,
  type TcpFields,
  tcp,
  toHex,
  type UdpFields,
  URG,
  u16,
  udp,
} from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';
import { segmentTwin } from '../../rig/segmentTwin.js';

const lanes = makeLanes();
const { burst, transport } = lanes;
const coalescer = bindCoalesce(lanes.arena, burst, transport);
const list = sharedInts(64);

interface Chain {
  lanes: number[];
  /** The superframe: the head's frame and the other lanes' payload. */
  bytes: Uint8Array;
  size: number;
}

/** Chains of frames that lie at odd places, as UDP_GRO leaves them. */
function coalesce(frames: Uint8Array[], network: (i: number) => number = () => 1): Chain[] {
  lanes.lay(frames, (i) => ({ offset: (i * 7) % 64, network: network(i) }));
  lanes.parse(frames.length);
  for (let i = 0; i < frames.length; i++) list[i] = i;
  const count = coalescer.group(list, frames.length, IS_TCP);
  const chains: Chain[] = [];
  for (let c = 0; c < count; c++) {
    const members: number[] = [];
    for (let i = coalescer.head[c]; i >= 0; i = coalescer.next[i]) members.push(i);
    expect(coalescer.chainLanes[c]).toBe(members.length);
    const [head, ...others] = members;
    const length = members.length > 1 ? coalescer.finish(c) : frames[head].length;
    const headers = coalescer.headerLen[head];
    const bytes = join(lanes.frame(head), ...others.map((i) => lanes.frame(i).slice(headers)));
    expect(bytes.length).toBe(length);
    chains.push({ lanes: members, bytes, size: coalescer.chainSize[c] });
    for (const i of members) expect(lanes.isGuarded(i)).toBe(true);
    for (const i of others) expect(toHex(lanes.frame(i)), 'only the head is written').toBe(toHex(frames[i]));
  }
  return chains;
}

const groups = (frames: Uint8Array[]) => coalesce(frames).map((c) => c.lanes);

/** n segments of 100 bytes in sequence, each changed by `change`. */
function run(n: number, change: (k: number) => TcpFields = () => ({}), base: TcpFields = {}): Uint8Array[] {
  return Array.from({ length: n }, (_, k) => {
    const f = { ...base, ...change(k) };
    return tcp({ seq: 100 + 100 * k, payload: noise(100, k + 1), ...f });
  });
}

describe('segments of one flow', () => {
  it.each([4, 6] as const)('become the superframe that they were cut from (IPv%i)', (family) => {
    const frames = run(4, (k) => ({ family, flags: k === 3 ? ACK | PSH : ACK, id: 7 + k }));
    const [chain, ...rest] = coalesce(frames);
    const payload = join(...[1, 2, 3, 4].map((seed) => noise(100, seed)));
    const wanted = tcp({ family, seq: 100, payload, flags: ACK | PSH, id: 7, checksum: 'unfinished' });
    expect(rest).toEqual([]);
    expect(chain).toEqual({ lanes: [0, 1, 2, 3], bytes: wanted, size: 100 });
  });

  it('are a superframe again after they were cut: any size, options, tags', () => {
    const options = fc.constantFrom<TcpFields>(
      {},
      { family: 6 },
      { tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] },
      { tcpOptions: noise(40), tags: [[0x8100, 5]] },
      {
        family: 6,
        tags: [
          [0x88a8, 5],
          [0x8100, 6],
        ],
        flowLabel: 0xabcde,
      },
      { fragment: 0, id: 0xfff0, tos: 0x2a },
    );
    const cuts = fc.record({
      options,
      payload: fc.integer({ min: 1, max: 12_000 }),
      mss: fc.integer({ min: 1, max: 1448 }),
      seq: fc.integer({ min: 0, max: 0xffffffff }),
      hasPush: fc.boolean(),
    });
    fc.assert(
      fc.property(cuts, ({ options: f, payload, mss, seq, hasPush }) => {
        if (payload / mss > 64) return;
        const flags = hasPush ? ACK | PSH : ACK;
        const frame = tcp({ ...f, seq, flags, payload: noise(payload, 9), checksum: 'unfinished' });
        const segments = segmentTwin(frame, mss);
        const chains = coalesce(segments);
        expect(chains).toHaveLength(1);
        if (segments.length > 1) expect(toHex(chains[0].bytes)).toBe(toHex(frame));
        else expect(chains[0].bytes).toEqual(segments[0]);
        expect(chains[0].size).toBe(Math.min(mss, payload));
      }),
      { numRuns: 100 },
    );
  });

  it('have a sum in their checksum field that an offload can finish', () => {
    const [{ bytes }] = coalesce(run(5, () => ({ family: 6 })));
    const d = decode(bytes);
    if (d === null) throw new Error('no frame');
    const finished = bytes.slice();
    finished.set(u16(0xffff - onesSum(bytes.slice(d.l4))), d.l4 + 16);
    const [segment] = segmentTwin(bytes, 60_000);
    expect(finished).toEqual(segment);
  });

  it('have an IPv4 header checksum that is right', () => {
    for (const n of [2, 3, 20, 41, 64]) {
      const [{ bytes }] = coalesce(run(n));
      const d = decode(bytes);
      expect(d !== null && isIpChecksumRight(bytes, d)).toBe(true);
    }
  });
});

/** What the kernel's tools/testing/selftests/net/gro.c sends, and how many packets arrive. */
describe.each([4, 6] as const)('the cases of the kernel selftest gro.c over IPv%i', (family) => {
  const f = { family };
  const two = (second: TcpFields, first: TcpFields = {}) => [
    tcp({ ...f, seq: 100, payload: 100, ...first }),
    tcp({ ...f, seq: 200, payload: 100, ...first, ...second }),
  ];
  const sizes = (frames: Uint8Array[]) => groups(frames).map((g) => g.length);

  it('data: equal sizes join, a shorter last one joins, a longer one does not', () => {
    expect(sizes(two({}))).toEqual([2]);
    expect(sizes(two({ payload: 50 }))).toEqual([2]);
    expect(sizes(two({ payload: 101 }))).toEqual([1, 1]);
  });

  it('data: nothing joins behind a shorter one', () => {
    const frames = [0, 1, 2, 3].map((k) => tcp({ ...f, seq: [100, 200, 250, 350][k], payload: k === 1 ? 50 : 100 }));
    expect(groups(frames)).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  it('ack: pure and duplicate ACKs stay apart', () => {
    const ack = { ...f, payload: 0, seq: 100 };
    expect(sizes([tcp(ack), tcp(ack), tcp({ ...ack, ack: 8 })])).toEqual([1, 1, 1]);
  });

  it('flags: PSH joins and ends a superframe', () => {
    expect(groups(run(5, (k) => ({ ...f, flags: k === 2 ? ACK | PSH : ACK })))).toEqual([
      [0, 1, 2],
      [3, 4],
    ]);
  });

  it.each<[string, number]>([
    ['SYN', ACK | SYN],
    ['RST', ACK | RST],
    ['URG', ACK | URG],
    ['FIN', ACK | FIN],
    ['CWR', ACK | CWR],
    ['ECE', ACK | ECE],
    ['none', 0],
  ])('flags: %s stays alone, and nothing passes it', (_name, flags) => {
    expect(groups(run(5, (k) => ({ ...f, flags: k === 2 ? flags : ACK })))).toEqual([[0, 1], [2], [3, 4]]);
  });

  it('tcp: a wrong checksum stays alone', () => {
    expect(sizes(two({ checksum: 'bad' }))).toEqual([1, 1]);
    expect(sizes(two({}, { checksum: 'bad' }))).toEqual([1, 1]);
    expect(sizes(two({ checksum: 'unfinished' }))).toEqual([1, 1]);
  });

  it('tcp: a gap, an overlap and a repetition stay alone', () => {
    for (const seq of [201, 199, 100, 200 + 2 ** 31]) expect(sizes(two({ seq })), `${seq}`).toEqual([1, 1]);
  });

  it('tcp: other options, in another order, or with other padding stay apart', () => {
    const stamp = (n: number) => [8, 10, 0, 0, 0, n, 0, 0, 0, 0];
    const first = { tcpOptions: [1, 1, ...stamp(1)] };
    expect(sizes(two({}, first))).toEqual([2]);
    for (const tcpOptions of [[], [1, 1, ...stamp(2)], [1, ...stamp(1), 1], [...stamp(1), 1, 1], [1, 3, 3, 0]]) {
      expect(sizes(two({ tcpOptions }, first))).toEqual([1, 1]);
      expect(sizes(two(first, { tcpOptions }))).toEqual([1, 1]);
    }
  });

  it('tcp: another acknowledgment, window or reserved bit stays apart', () => {
    for (const second of [{ ack: 8 }, { window: 501 }, { reserved: 1 }]) expect(sizes(two(second))).toEqual([1, 1]);
  });

  it('ip: another TOS, ECN mark or TTL stays apart', () => {
    for (const second of [{ tos: 1 }, { tos: 0x40 }, { ttl: 63 }]) expect(sizes(two(second))).toEqual([1, 1]);
  });

  it('ip: another flow is another superframe', () => {
    for (const second of [
      { sport: 1 },
      { dport: 1 },
      { ipSrc: 9 },
      { ipDst: 9 },
      { src: 9, ipSrc: 1 },
      { dst: 9, ipDst: 2 },
    ]) {
      expect(sizes(two(second)), JSON.stringify(second)).toEqual([1, 1]);
    }
  });

  it('ip: another VLAN is another superframe', () => {
    const tagged = (tci: number): TcpFields => ({ tags: [[0x8100, tci]] });
    expect(sizes(two({}, tagged(5)))).toEqual([2]);
    expect(sizes(two(tagged(6), tagged(5)))).toEqual([1, 1]);
    expect(sizes(two({ tags: [] }, tagged(5)))).toEqual([1, 1]);
    expect(sizes(two(tagged(5)))).toEqual([1, 1]);
  });

  it('large: no IP packet longer than 65,535 bytes', () => {
    // Of the whole IP packet: over IPv6 as well the header counts.
    const most = 65_535 - (family === 4 ? 40 : 60);
    const full = Array.from({ length: 15 }, (_, k) => tcp({ ...f, seq: k * 4096, payload: 4096 }));
    const room = most - 15 * 4096;
    expect(sizes([...full, tcp({ ...f, seq: 15 * 4096, payload: room })])).toEqual([16]);
    expect(sizes([...full, tcp({ ...f, seq: 15 * 4096, payload: room + 1 })])).toEqual([15, 1]);
  });

  it('padding behind the IP packet keeps a frame alone', () => {
    expect(sizes(two({ trailer: 1 }))).toEqual([1, 1]);
    expect(sizes(two({}, { trailer: 4 }))).toEqual([1, 1]);
  });
});

describe('IPv4 alone', () => {
  const two = (second: TcpFields, first: TcpFields = {}) =>
    groups([tcp({ seq: 100, payload: 100, ...first }), tcp({ seq: 200, payload: 100, ...first, ...second })]).map(
      (g) => g.length,
    );

  it('options, fragments and another DF stay apart', () => {
    expect(two({}, { options: [1, 1, 1, 0] })).toEqual([1, 1]);
    expect(two({ options: [1, 1, 1, 0] })).toEqual([1, 1]);
    expect(two({ fragment: 0x2000 })).toEqual([1, 1]);
    expect(two({ fragment: 0x0010 })).toEqual([1, 1]);
    expect(two({ fragment: 0 })).toEqual([1, 1]);
    expect(two({}, { fragment: 0 })).toEqual([2]);
  });

  it('ids are not compared', () => {
    expect(two({ id: 99 })).toEqual([2]);
  });
});

describe('IPv6 alone', () => {
  const hop = (value: number) => [{ number: 0, bytes: [0, 0, 1, 4, value, 0, 0, 0] }];
  const two = (second: TcpFields, first: TcpFields = {}) =>
    groups([
      tcp({ family: 6, seq: 100, payload: 100, ...first }),
      tcp({ family: 6, seq: 200, payload: 100, ...first, ...second }),
    ]).map((g) => g.length);

  it('extension headers and another flow label stay apart', () => {
    expect(two({ flowLabel: 1 })).toEqual([1, 1]);
    expect(two({}, { flowLabel: 1 })).toEqual([2]);
    expect(two({ extensions: hop(1) })).toEqual([1, 1]);
    expect(two({}, { extensions: hop(1) })).toEqual([1, 1]);
    expect(two({}, { extensions: [{ number: 44, bytes: [0, 0, 0, 1, 0, 0, 0, 1] }] })).toEqual([1, 1]);
  });
});

describe('frames that came with an offload of their own', () => {
  it('are not joined', () => {
    const frames = run(2);
    for (const fields of [{ gsoType: 1, gsoSize: 50 }, { flags: 64 }]) {
      lanes.lay(frames, fields);
      lanes.parse(2);
      list.set([0, 1]);
      expect(coalescer.group(list, 2, IS_TCP)).toBe(2);
    }
  });
});

describe('two networks with equal everything', () => {
  it('are never joined', () => {
    expect(coalesce(run(4), (i) => 1 + (i & 1)).map((c) => c.lanes)).toEqual([[0], [1], [2], [3]]);
    expect(coalesce(run(4), (i) => (i < 2 ? 1 : 2)).map((c) => c.lanes)).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });
});

/** A flow's next frame, or something that disturbs it. */
interface Event {
  flow: number;
  kind: 'data' | 'short' | 'push' | 'ack' | 'fin' | 'bad' | 'gap' | 'tos' | 'udp' | 'fragment';
}

const kinds: Event['kind'][] = [
  'data',
  'data',
  'data',
  'data',
  'data',
  'short',
  'push',
  'ack',
  'fin',
  'bad',
  'gap',
  'tos',
  'udp',
  'fragment',
];

function framesOf(events: Event[]): Uint8Array[] {
  const seqs = new Map<number, number>();
  return events.map(({ flow, kind }, n) => {
    const seq = seqs.get(flow) ?? 0xfffffe00;
    const base: TcpFields & UdpFields = {
      sport: 1000 + flow,
      family: flow % 3 === 2 ? 6 : 4,
      tags: flow % 4 === 3 ? [[0x8100, 7]] : [],
      src: stationMac(1 + (flow % 2)),
    };
    if (kind === 'udp') return udp({ ...base, payload: 30 });
    const length = kind === 'short' ? 60 : kind === 'ack' ? 0 : 100;
    const start = kind === 'gap' ? seq + 10 : seq;
    seqs.set(flow, (start + length) % 2 ** 32);
    return tcp({
      ...base,
      seq: start % 2 ** 32,
      payload: noise(length, n),
      flags: kind === 'push' ? ACK | PSH : kind === 'fin' ? ACK | FIN : ACK,
      checksum: kind === 'bad' ? 'bad' : 'good',
      tos: kind === 'tos' ? 2 : 0,
      fragment: kind === 'fragment' ? 0x2000 : 0x4000,
    });
  });
}

const events = (flows: number) =>
  fc.array(fc.record({ flow: fc.nat(flows - 1), kind: fc.constantFrom(...kinds) }), { minLength: 1, maxLength: 64 });

describe('interleaved flows', () => {
  it('are grouped as the twin groups them', () => {
    fc.assert(
      fc.property(events(6), (list) => {
        const frames = framesOf(list);
        expect(groups(frames)).toEqual(coalesceTwin(frames, 8));
      }),
      { numRuns: 400 },
    );
  });

  it('keep the order of every flow, however many there are', () => {
    fc.assert(
      fc.property(events(20), (list) => {
        const frames = framesOf(list);
        const chains = groups(frames);
        expect(chains.flat().sort((a, b) => a - b)).toEqual(frames.map((_, i) => i));
        for (let flow = 0; flow < 20; flow++) {
          const sent = chains
            .flat()
            .filter((i) => list[i].flow === flow && list[i].kind !== 'fragment' && list[i].kind !== 'udp');
          expect(sent).toEqual([...sent].sort((a, b) => a - b));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('of up to eight are joined in turn', () => {
    const turns = Array.from({ length: 64 }, (_, n) => ({ flow: n % 8, kind: 'data' as const }));
    const chains = groups(framesOf(turns));
    expect(chains).toHaveLength(8);
    expect(chains.every((c) => c.length === 8)).toBe(true);
  });

  it('give superframes that are cut into exactly what was joined', () => {
    fc.assert(
      fc.property(events(4), (list) => {
        const frames = framesOf(list).map((f) => f);
        for (const chain of coalesce(frames)) {
          if (chain.lanes.length === 1) continue;
          const again = segmentTwin(chain.bytes, chain.size);
          // Ids count up from the head's; those that came did not.
          const plain = (f: Uint8Array) => toHex(f.slice(decode(f)?.l4));
          expect(again.map(plain)).toEqual(chain.lanes.map((i) => plain(frames[i])));
        }
      }),
      { numRuns: 150 },
    );
  });
});
