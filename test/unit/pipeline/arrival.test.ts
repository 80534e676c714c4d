import { describe, expect, it } from 'vitest';
import { FROM_PEER, NEEDS_CSUM, TO_PEER } from '../../../src/packet/burst.js';
import { PEER_ROW, ROW_WIDTH, ROWS, RX_PACKETS } from '../../../src/packet/counters.js';
import { DROP } from '../../../src/packet/drop.js';
import { GSO_TCPV4, GSO_TCPV6 } from '../../../src/packet/offload.js';
import { bindArrival } from '../../../src/pipeline/arrival.js';
import { decode, isIpChecksumRight } from '../../rig/decode.js';
import { arpRequest, type IpFields, read16, tcp, udp } from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';

const lanes = makeLanes();
const { burst } = lanes;
const counters = new Float64Array(ROWS * ROW_WIDTH);
const arrival = bindArrival(lanes.arena, burst, lanes.transport, counters);
const MTU = 1450;
const networkMtu = new Int32Array(512).fill(MTU);

const NOT_ECT = 0;
const ECT_1 = 1;
const ECT_0 = 2;
const CE = 3;

/** RFC 6040 figure 4: [arriving inner, arriving outer, outgoing]. */
const FIGURE_4: [number, number, number | 'drop'][] = [
  [NOT_ECT, NOT_ECT, NOT_ECT],
  [NOT_ECT, ECT_0, NOT_ECT],
  [NOT_ECT, ECT_1, NOT_ECT],
  [NOT_ECT, CE, 'drop'],
  [ECT_0, NOT_ECT, ECT_0],
  [ECT_0, ECT_0, ECT_0],
  [ECT_0, ECT_1, ECT_1],
  [ECT_0, CE, CE],
  [ECT_1, NOT_ECT, ECT_1],
  [ECT_1, ECT_0, ECT_1],
  [ECT_1, ECT_1, ECT_1],
  [ECT_1, CE, CE],
  [CE, NOT_ECT, CE],
  [CE, ECT_0, CE],
  [CE, ECT_1, CE],
  [CE, CE, CE],
];

describe.each([4, 6] as const)('congestion marks over IPv%i (RFC 6040 section 4.2)', (family) => {
  it.each(FIGURE_4)('inner %i, outer %i give %s', (inner, outer, outgoing) => {
    for (const dscp of [0, 46]) {
      const fields: IpFields = { family, tos: (dscp << 2) | inner, ttl: 7, id: 99 };
      const frame = udp({ ...fields, payload: 20 });
      lanes.lay([frame], { offset: 8, outerTos: (10 << 2) | outer });
      lanes.parse(1);
      arrival.markCongestion(1);
      if (outgoing === 'drop') {
        expect(burst.drop[0]).toBe(DROP.ecn);
        expect(lanes.frame(0)).toEqual(frame);
        continue;
      }
      expect(burst.drop[0]).toBe(0);
      const wanted = udp({ ...fields, tos: (dscp << 2) | outgoing, payload: 20 });
      expect(lanes.frame(0)).toEqual(wanted);
      expect(burst.tos[0]).toBe((dscp << 2) | outgoing);
      expect(lanes.isGuarded(0)).toBe(true);
    }
  });
});

describe('congestion marks', () => {
  it('keep the IPv4 header checksum right, also with options', () => {
    const frame = tcp({ payload: 5, tos: 2, options: [1, 1, 1, 0] });
    lanes.lay([frame], { outerTos: 3 });
    lanes.parse(1);
    arrival.markCongestion(1);
    const after = lanes.frame(0);
    const d = decode(after);
    expect(d?.tos).toBe(3);
    expect(isIpChecksumRight(after, d as NonNullable<typeof d>)).toBe(true);
  });

  it('leave what is not IP, what is dropped, and what came with an unknown mark', () => {
    const frames = [arpRequest(1), udp({ payload: 4, tos: 2 }), udp({ payload: 4, tos: 0 })];
    lanes.lay(frames, (i) => ({ outerTos: i === 1 ? 3 : i === 2 ? -1 : 3, drop: i === 1 ? DROP.truncated : 0 }));
    lanes.parse(3);
    arrival.markCongestion(3);
    expect([0, 1, 2].map((i) => lanes.frame(i))).toEqual(frames);
    expect(Array.from(burst.drop.slice(0, 3))).toEqual([0, DROP.truncated, 0]);
  });
});

/** [drop, packets, gsoType, gsoSize, unfinished] of one frame out of a tunnel. */
function arrive(frame: Uint8Array, deliver: boolean, flags = FROM_PEER) {
  lanes.lay([frame], { flags, offset: 58 });
  lanes.parse(1);
  arrival.findLeaks(1, deliver, networkMtu);
  const { drop, packets, gsoType, gsoSize } = burst;
  return [drop[0], packets[0], gsoType[0], gsoSize[0], (burst.flags[0] & NEEDS_CSUM) !== 0];
}

const LEAK = [DROP['offload-leak'], 1, 0, 0, false];
const FINE = [0, 1, 0, 0, false];

describe('an offload leak', () => {
  it('is a frame whose checksum is the pseudo header alone, small or uncut', () => {
    for (const family of [4, 6] as const) {
      for (const payload of [100, 30_000]) {
        expect(arrive(tcp({ family, payload, checksum: 'unfinished' }), false)).toEqual(LEAK);
      }
      expect(arrive(udp({ family, payload: 100, checksum: 'unfinished' }), false)).toEqual(LEAK);
    }
  });

  it('is not a frame that is damaged, has no checksum, or is right', () => {
    for (const make of [tcp, udp]) {
      expect(arrive(make({ payload: 100, checksum: 'bad' }), false)).toEqual(FINE);
      expect(arrive(make({ payload: 100, checksum: 'good' }), false)).toEqual(FINE);
    }
    expect(arrive(udp({ payload: 100, checksum: 'zero' }), false)).toEqual(FINE);
    expect(arrive(udp({ family: 6, payload: 100, checksum: 'zero' }), false)).toEqual(FINE);
    expect(arrive(arpRequest(1), false)).toEqual(FINE);
  });

  it('is not looked for in local frames', () => {
    expect(arrive(tcp({ payload: 100, checksum: 'unfinished' }), false, 0)).toEqual(FINE);
  });

  it('is delivered, where the underlay says so, as what a device would have handed over', () => {
    expect(arrive(tcp({ payload: 100, checksum: 'unfinished' }), true)).toEqual([0, 1, 0, 0, true]);
    expect([burst.csumStart[0], burst.csumOffset[0]]).toEqual([34, 16]);
    expect(arrive(udp({ family: 6, payload: 100, checksum: 'unfinished' }), true)).toEqual([0, 1, 0, 0, true]);
    expect([burst.csumStart[0], burst.csumOffset[0]]).toEqual([54, 6]);
    // 1450 - 20 - 20 and 1450 - 40 - 20 bytes a segment.
    expect(arrive(tcp({ payload: 30_000, checksum: 'unfinished' }), true)).toEqual([0, 22, GSO_TCPV4, 1410, true]);
    const six = tcp({ family: 6, payload: 30_000, checksum: 'unfinished', tags: [[0x8100, 5]] });
    expect(arrive(six, true)).toEqual([0, 22, GSO_TCPV6, 1390, true]);
    expect([burst.csumStart[0], burst.csumOffset[0]]).toEqual([58, 16]);
  });

  it('is not delivered when its headers leave no room in a segment or do not fit a header block', () => {
    const extensions = (eights: number) => [{ number: 60, bytes: [0, eights - 1, ...new Uint8Array(eights * 8 - 2)] }];
    for (const eights of [20, 173, 174, 175, 256]) {
      const frame = tcp({ family: 6, payload: 30_000, checksum: 'unfinished', extensions: extensions(eights) });
      expect(arrive(frame, true), `${eights * 8} bytes of extensions`).toEqual(LEAK);
    }
    const three = tcp({ family: 6, payload: 30_000, checksum: 'unfinished', extensions: extensions(3) });
    expect(arrive(three, true).slice(0, 4)).toEqual([0, 22, GSO_TCPV6, 1366]);
  });

  it('is cut as soon as it is longer than the MTU, and counted as what it is cut into', () => {
    expect(arrive(tcp({ payload: 1410, checksum: 'unfinished' }), true)).toEqual([0, 1, 0, 0, true]);
    const received = () => counters[(PEER_ROW + 7) * ROW_WIDTH + RX_PACKETS];
    const before = received();
    lanes.lay([tcp({ payload: 1411, checksum: 'unfinished' })], { flags: FROM_PEER });
    lanes.parse(1);
    burst.origin[0] = TO_PEER | 7;
    arrival.findLeaks(1, true, networkMtu);
    expect([burst.packets[0], burst.gsoSize[0], received() - before]).toEqual([2, 1410, 1]);
  });

  it('of datagrams is not delivered uncut: nothing says how long each was', () => {
    for (const family of [4, 6] as const)
      expect(arrive(udp({ family, payload: 3000, checksum: 'unfinished' }), true)).toEqual(LEAK);
  });

  it('is not cut when bytes stand behind its packet', () => {
    expect(arrive(tcp({ payload: 30_000, checksum: 'unfinished', trailer: 3 }), true)).toEqual(LEAK);
  });
});

describe('a frame larger than the MTU', () => {
  const atMost = (payload: number) =>
    tcp({
      payload,
      tags: [
        [0x88a8, 1],
        [0x8100, 2],
      ],
    });

  it('is too big, unless it is a leak', () => {
    expect(read16(atMost(1410), 24)).toBe(MTU);
    expect(arrive(atMost(1410), false)).toEqual(FINE);
    expect(arrive(atMost(1411), false)[0]).toBe(DROP['too-big']);
    expect(arrive(atMost(1411), true)[0]).toBe(DROP['too-big']);
    expect(arrive(tcp({ payload: 30_000, checksum: 'bad' }), true)[0]).toBe(DROP['too-big']);
    expect(arrive(udp({ payload: 30_000, checksum: 'zero' }), true)[0]).toBe(DROP['too-big']);
  });

  it('is judged by the MTU of its own network', () => {
    networkMtu[1] = 9000;
    expect(arrive(atMost(5000), false)).toEqual(FINE);
    networkMtu[1] = MTU;
  });
});
