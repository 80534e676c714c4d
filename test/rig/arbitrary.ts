// Frames for property tests: every kind that parse tells apart, and what is left of them after damage.
import fc from 'fast-check';
import {
  ACK,
  arpRequest,
  ethernet,
  type IpFields,
  ip,
  noise,
  PSH,
  type TcpFields,
  tcp,
  type UdpFields,
  udp,
} from './frames.js';

const words = (max: number) =>
  fc.integer({ min: 0, max }).chain((n) => fc.uint8Array({ minLength: n * 4, maxLength: n * 4 }));

const none = fc.constant(new Uint8Array(0));

const tags = fc.constantFrom<NonNullable<IpFields['tags']>>(
  [],
  [],
  [[0x8100, 7]],
  [
    [0x88a8, 5],
    [0x8100, 0x6fff],
  ],
  [
    [0x8100, 1],
    [0x8100, 2],
    [0x8100, 3],
  ],
);

type Extension = { number: number; bytes: ArrayLike<number> };

/** Hop-by-hop, routing, destination options and fragment headers. */
const extension = fc.oneof<fc.Arbitrary<Extension>[]>(
  fc
    .record({ number: fc.constantFrom(0, 43, 60), eights: fc.integer({ min: 0, max: 3 }) })
    .map(({ number, eights }) => ({ number, bytes: [0, eights, ...noise(6 + eights * 8, eights + 1)] })),
  fc.constant({ number: 44, bytes: [0, 0, 0x05, 0xb9, 1, 2, 3, 4] }),
);

const ipFields: fc.Arbitrary<IpFields> = fc.record({
  src: fc.integer({ min: 1, max: 5 }),
  dst: fc.integer({ min: 1, max: 5 }),
  tags,
  family: fc.constantFrom<4 | 6>(4, 4, 6),
  tos: fc.integer({ min: 0, max: 255 }),
  ttl: fc.integer({ min: 1, max: 255 }),
  id: fc.integer({ min: 0, max: 65535 }),
  fragment: fc.constantFrom(0x4000, 0x4000, 0, 0x2000, 0x00b9, 0x20b9),
  options: fc.oneof(none, none, words(10)),
  extensions: fc.oneof(
    fc.constant<Extension[]>([]),
    fc.constant<Extension[]>([]),
    fc.array(extension, { maxLength: 10 }),
  ),
  flowLabel: fc.integer({ min: 0, max: 0xfffff }),
  trailer: fc.constantFrom(0, 0, 0, 1, 6, 46),
});

const checksum = fc.constantFrom<'good' | 'bad' | 'unfinished' | 'zero'>('good', 'good', 'bad', 'unfinished', 'zero');
const port = fc.integer({ min: 0, max: 65535 });
const number32 = fc.integer({ min: 0, max: 0xffffffff });

export const tcpFields: fc.Arbitrary<TcpFields> = fc
  .record({
    ip: ipFields,
    sport: port,
    dport: port,
    seq: number32,
    ack: number32,
    flags: fc.oneof(fc.constantFrom(ACK, ACK | PSH), fc.integer({ min: 0, max: 255 })),
    window: port,
    tcpOptions: fc.oneof(none, words(10)),
    payload: fc.integer({ min: 0, max: 120 }),
    checksum,
  })
  .map(({ ip, ...rest }) => ({ ...ip, ...rest }));

export const udpFields: fc.Arbitrary<UdpFields> = fc
  .record({ ip: ipFields, sport: port, dport: port, payload: fc.integer({ min: 0, max: 120 }), checksum })
  .map(({ ip, ...rest }) => ({ ...ip, ...rest }));

const otherFrame = fc.oneof(
  fc.integer({ min: 1, max: 5 }).map((n) => arpRequest(n)),
  fc
    .tuple(fc.integer({ min: 0x0600, max: 0xffff }), fc.uint8Array({ maxLength: 80 }))
    .map(([type, body]) => ethernet({}, type, body)),
  fc
    .tuple(ipFields, fc.constantFrom(1, 47, 50, 58, 132, 255), fc.uint8Array({ maxLength: 60 }))
    .map(([f, protocol, body]) => ip(f, protocol, body)),
);

export const wholeFrame: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 4, arbitrary: tcpFields.map(tcp) },
  { weight: 3, arbitrary: udpFields.map(udp) },
  { weight: 1, arbitrary: otherFrame },
);

/** Bytes overwritten at random, mostly in the headers, and the end cut off. */
export const damagedFrame: fc.Arbitrary<Uint8Array> = fc
  .tuple(
    wholeFrame,
    fc.array(fc.tuple(fc.nat(90), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
    fc.option(fc.nat(200), { nil: undefined }),
  )
  .map(([frame, patches, cut]) => {
    const out = frame.slice(0, cut === undefined ? frame.length : Math.max(0, frame.length - cut));
    for (const [at, value] of patches) if (at < out.length) out[at] = value;
    return out;
  });

export const anyFrame: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 4, arbitrary: wholeFrame },
  { weight: 4, arbitrary: damagedFrame },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 120 }) },
);
