import { describe, expect, it } from 'vitest';
import { NEEDS_CSUM } from '../../../src/packet/burst.js';
import { DROP } from '../../../src/packet/drop.js';
import { GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4 } from '../../../src/packet/offload.js';
import { bindOffloads } from '../../../src/pipeline/offloads.js';
import { type TcpFields, tcp, udp } from '../../rig/frames.js';
import { type LaneFields, makeLanes, unfinished } from '../../rig/lanes.js';

const lanes = makeLanes();
const { burst } = lanes;
const checkOffloads = bindOffloads(burst, lanes.transport);

/** [drop, packets, gsoType, flags & NEEDS_CSUM] of a frame with these metadata. */
function check(frame: Uint8Array, fields: LaneFields): [number, number, number, number] {
  lanes.lay([frame], fields);
  lanes.parse(1);
  checkOffloads(1);
  return [burst.drop[0], burst.packets[0], burst.gsoType[0], burst.flags[0] & NEEDS_CSUM];
}

const big = (f: TcpFields = {}) => tcp({ payload: 3000, checksum: 'unfinished', ...f });
const gso = (frame: Uint8Array, gsoType: number, gsoSize: number): LaneFields => ({
  ...unfinished(frame),
  gsoType,
  gsoSize,
});
const BAD = DROP['bad-offload'];

describe('a superframe', () => {
  it('counts its wire packets', () => {
    const v4 = big();
    const v6 = big({ family: 6 });
    expect(check(v4, gso(v4, GSO_TCPV4, 1000))).toEqual([0, 3, GSO_TCPV4, NEEDS_CSUM]);
    expect(check(v4, gso(v4, GSO_TCPV4, 999))).toEqual([0, 4, GSO_TCPV4, NEEDS_CSUM]);
    expect(check(v6, gso(v6, GSO_TCPV6, 1400))).toEqual([0, 3, GSO_TCPV6, NEEDS_CSUM]);
    expect(check(v4, gso(v4, GSO_TCPV4 | GSO_ECN, 1500))).toEqual([0, 2, GSO_TCPV4 | GSO_ECN, NEEDS_CSUM]);
  });

  it('of one segment is a plain frame with an unfinished checksum', () => {
    const frame = big();
    expect(check(frame, gso(frame, GSO_TCPV4, 3000))).toEqual([0, 1, 0, NEEDS_CSUM]);
    const empty = big({ payload: 0 });
    expect(check(empty, gso(empty, GSO_TCPV4, 1000))).toEqual([0, 1, 0, NEEDS_CSUM]);
  });

  it('has options, tags and extensions counted as headers', () => {
    const frames = [
      big({ tcpOptions: new Uint8Array(40).fill(1) }),
      big({ options: new Uint8Array(40).fill(1) }),
      big({
        tags: [
          [0x88a8, 1],
          [0x8100, 2],
        ],
      }),
      big({
        options: new Uint8Array(40).fill(1),
        tcpOptions: new Uint8Array(40).fill(1),
        tags: [
          [0x88a8, 1],
          [0x8100, 2],
        ],
      }),
    ];
    for (const frame of frames) {
      expect(check(frame, gso(frame, GSO_TCPV4, 1000))).toEqual([0, 3, GSO_TCPV4, NEEDS_CSUM]);
      expect(check(frame, gso(frame, GSO_TCPV4, 2999))[1]).toBe(2);
    }
  });

  it('must be what its type says', () => {
    const v4 = big();
    const v6 = big({ family: 6 });
    expect(check(v4, gso(v4, GSO_TCPV6, 1000))[0]).toBe(BAD);
    expect(check(v6, gso(v6, GSO_TCPV4, 1000))[0]).toBe(BAD);
    const datagram = udp({ payload: 3000 });
    for (const type of [GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4 | GSO_ECN, GSO_ECN, 2, 0x7f, 0xff]) {
      expect(check(datagram, gso(datagram, type, 1000))[0], `type ${type}`).toBe(BAD);
    }
    for (const type of [GSO_UDP, GSO_UDP_L4, GSO_ECN, 2, 6, 0x40 | GSO_TCPV4]) {
      expect(check(v4, gso(v4, type, 1000))[0], `type ${type}`).toBe(BAD);
    }
  });

  it('must say where its checksum is, and that it is unfinished', () => {
    const frame = big();
    const good = gso(frame, GSO_TCPV4, 1000);
    expect(check(frame, { ...good, flags: 0 })[0]).toBe(BAD);
    for (const csumStart of [0, 14, 33, 35, 54, 65535]) expect(check(frame, { ...good, csumStart })[0]).toBe(BAD);
    for (const csumOffset of [0, 6, 15, 17, 65535]) expect(check(frame, { ...good, csumOffset })[0]).toBe(BAD);
    expect(check(frame, { ...good, gsoSize: 0 })[0]).toBe(BAD);
  });

  it('is no fragment, and has a TCP header that is whole', () => {
    for (const fragment of [0x2000, 0x0001]) {
      const frame = big({ fragment });
      expect(
        check(frame, { flags: NEEDS_CSUM, csumStart: 34, csumOffset: 16, gsoType: GSO_TCPV4, gsoSize: 1000 })[0],
      ).toBe(BAD);
    }
    const cut = big().slice(0, 50);
    expect(check(cut, { flags: NEEDS_CSUM, csumStart: 34, csumOffset: 16, gsoType: GSO_TCPV4, gsoSize: 1000 })[0]).toBe(
      BAD,
    );
  });

  it('is not cut into more pieces than a TCP sender makes', () => {
    const frame = big({ payload: 60_000 });
    expect(check(frame, gso(frame, GSO_TCPV4, 34))).toEqual([0, 1765, GSO_TCPV4, NEEDS_CSUM]);
    expect(check(frame, gso(frame, GSO_TCPV4, 33))[0]).toBe(BAD);
    expect(check(frame, gso(frame, GSO_TCPV4, 1))[0]).toBe(BAD);
  });

  it('ends where its IP packet ends: bytes behind it are no payload', () => {
    for (const family of [4, 6] as const) {
      const frame = big({ family, trailer: 1 });
      expect(check(frame, gso(frame, family === 4 ? GSO_TCPV4 : GSO_TCPV6, 1000))[0]).toBe(BAD);
    }
  });

  it('has headers that fit a header block', () => {
    const extensions = (count: number, eights: number) =>
      Array.from({ length: count }, () => ({ number: 60, bytes: [0, eights - 1, ...new Uint8Array(eights * 8 - 2)] }));
    const small = big({ family: 6, extensions: extensions(2, 4) });
    expect(check(small, gso(small, GSO_TCPV6, 1000))).toEqual([0, 3, GSO_TCPV6, NEEDS_CSUM]);
    for (const [count, eights] of [
      [8, 4],
      [1, 200],
      [8, 256],
    ]) {
      const frame = big({ family: 6, extensions: extensions(count, eights) });
      expect(check(frame, gso(frame, GSO_TCPV6, 1000))[0], `${count} of ${eights * 8} bytes`).toBe(BAD);
    }
  });
});

describe('an unfinished checksum', () => {
  const datagram = udp({ payload: 20, checksum: 'unfinished' });

  it('lies inside of the frame and behind the Ethernet header', () => {
    const at = (csumStart: number, csumOffset: number) =>
      check(datagram, { flags: NEEDS_CSUM, csumStart, csumOffset })[0];
    expect(at(34, 6)).toBe(0);
    expect(at(13, 6)).toBe(BAD);
    expect(at(14, datagram.length - 16)).toBe(0);
    expect(at(14, datagram.length - 15)).toBe(BAD);
    expect(at(datagram.length, 0)).toBe(BAD);
    expect(at(datagram.length - 2, 0)).toBe(0);
    expect(at(65535, 65535)).toBe(BAD);
  });

  it('is not asked for without the flag', () => {
    expect(check(datagram, { csumStart: 9, csumOffset: 9999 })).toEqual([0, 1, 0, 0]);
  });
});

it('leaves lanes that are dropped', () => {
  expect(check(big(), { drop: DROP.truncated, gsoType: 77 })[0]).toBe(DROP.truncated);
});

describe.each([4, 6] as const)('a superframe of datagrams over IPv%i', (family) => {
  const frame = udp({ family, payload: 3000, checksum: 'unfinished' });

  it('counts its wire packets', () => {
    expect(check(frame, gso(frame, GSO_UDP_L4, 1000))).toEqual([0, 3, GSO_UDP_L4, NEEDS_CSUM]);
    expect(check(frame, gso(frame, GSO_UDP_L4, 999))).toEqual([0, 4, GSO_UDP_L4, NEEDS_CSUM]);
    expect(check(frame, gso(frame, GSO_UDP_L4, 3000))).toEqual([0, 1, 0, NEEDS_CSUM]);
  });

  it('must be UDP, whole, with an unfinished checksum at its place', () => {
    const good = gso(frame, GSO_UDP_L4, 1000);
    const segment = big({ family });
    expect(check(segment, gso(segment, GSO_UDP_L4, 1000))[0]).toBe(BAD);
    expect(check(frame, { ...good, flags: 0 })[0]).toBe(BAD);
    expect(check(frame, { ...good, csumOffset: 16 })[0]).toBe(BAD);
    expect(check(frame, { ...good, csumStart: good.csumStart! + 1 })[0]).toBe(BAD);
    expect(check(frame, { ...good, gsoSize: 0 })[0]).toBe(BAD);
    const padded = udp({ family, payload: 3000, checksum: 'unfinished', trailer: 1 });
    expect(check(padded, gso(padded, GSO_UDP_L4, 1000))[0]).toBe(BAD);
  });
});
