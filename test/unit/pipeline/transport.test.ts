import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CSUM_VALID, NEEDS_CSUM } from '../../../src/packet/burst.js';
import { fold } from '../../../src/packet/checksum.js';
import { CSUM_BAD, CSUM_GOOD, CSUM_NONE, CSUM_UNFINISHED } from '../../../src/pipeline/transport.js';
import { tcpFields, udpFields } from '../../rig/arbitrary.js';
import { decode, isTransportChecksumRight, looksUnfinished } from '../../rig/decode.js';
import { arpRequest, join, noise, onesSum, read16, tcp, toHex, type UdpFields, udp } from '../../rig/frames.js';
import { makeLanes, unfinished } from '../../rig/lanes.js';
import { finishTransport } from '../../rig/segmentTwin.js';

const lanes = makeLanes();
const { burst, transport } = lanes;

function lay(frame: Uint8Array, offset = 0, fields = {}): void {
  lanes.lay([frame], { offset, ...fields });
  lanes.parse(1);
}

const verify = (frame: Uint8Array, offset = 0) => {
  lay(frame, offset);
  return transport.verify(0);
};

/** What the checksum of a frame is, by the slow reader. */
function verdict(frame: Uint8Array): number {
  const d = decode(frame);
  if (d === null || d.l4 === 0) return CSUM_NONE;
  const field = read16(frame, d.l4 + (d.protocol === 6 ? 16 : 6));
  if (d.protocol === 17 && field === 0) return CSUM_NONE;
  if (isTransportChecksumRight(frame, d)) return CSUM_GOOD;
  return looksUnfinished(frame, d) ? CSUM_UNFINISHED : CSUM_BAD;
}

const anyTransport = fc.oneof(tcpFields.map(tcp), udpFields.map(udp));

describe('verify', () => {
  it('agrees with the slow reader, wherever the frame lies', () => {
    fc.assert(
      fc.property(anyTransport, fc.nat(63), (frame, offset) => {
        expect(verify(frame, offset)).toBe(verdict(frame));
        expect((burst.flags[0] & CSUM_VALID) !== 0).toBe(verdict(frame) === CSUM_GOOD);
        expect(toHex(lanes.frame(0))).toBe(toHex(frame));
      }),
      { numRuns: 1000 },
    );
  });

  it('finds every byte that is wrong', () => {
    const frame = tcp({ payload: 33, tcpOptions: [1, 1, 1, 0] });
    for (let at = 26; at < frame.length; at++) {
      const bad = frame.slice();
      bad[at] ^= 0x40;
      // Ports and the like may make it another packet, but never a right one.
      expect(verify(bad), `byte ${at}`).not.toBe(CSUM_GOOD);
    }
  });

  it('leaves padding out of the sum', () => {
    expect(verify(tcp({ payload: 1, trailer: 5 }))).toBe(CSUM_GOOD);
    expect(verify(udp({ family: 6, payload: 1, trailer: 7 }))).toBe(CSUM_GOOD);
  });

  it('knows a checksum that is all ones as right', () => {
    // RFC 768: a sum of zero is sent as all ones. A payload that makes it so:
    const fields: UdpFields = { payload: Uint8Array.of(0, 0) };
    const rest = read16(udp(fields), 40);
    const frame = udp({ payload: join([rest >> 8, rest & 255]) });
    expect(read16(frame, 40)).toBe(0xffff);
    expect(verify(frame)).toBe(CSUM_GOOD);
  });

  it('has nothing to verify in other packets', () => {
    expect(verify(arpRequest(1))).toBe(CSUM_NONE);
    expect(verify(udp({ payload: 8, fragment: 0x2000 }))).toBe(CSUM_NONE);
    expect(verify(udp({ payload: 8, checksum: 'zero' }))).toBe(CSUM_NONE);
  });
});

describe('complete', () => {
  it('finishes what a device left, in place, and writes nothing else', () => {
    const whole = fc.oneof(
      tcpFields.map((f) => tcp({ ...f, fragment: 0x4000, extensions: [], checksum: 'unfinished' })),
      udpFields.map((f) => udp({ ...f, fragment: 0x4000, extensions: [], checksum: 'unfinished' })),
    );
    fc.assert(
      fc.property(whole, fc.nat(63), (frame, offset) => {
        if (decode(frame)?.l4 === 0) return; // three VLAN tags
        lay(frame, offset, unfinished(frame));
        transport.complete(0);
        expect(lanes.frame(0)).toEqual(finishTransport(frame));
        expect(burst.flags[0] & NEEDS_CSUM).toBe(0);
        expect(lanes.isGuarded(0)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('sends a UDP sum of zero as all ones', () => {
    const rest = read16(udp({ payload: Uint8Array.of(0, 0) }), 40);
    const frame = udp({ payload: join([rest >> 8, rest & 255]), checksum: 'unfinished' });
    lay(frame, 0, unfinished(frame));
    transport.complete(0);
    expect(read16(lanes.frame(0), 40)).toBe(0xffff);
  });

  it('takes the rest of the frame where the device means no TCP or UDP that was parsed', () => {
    const frame = join(arpRequest(1).slice(0, 14), noise(40));
    lay(frame, 3, { flags: NEEDS_CSUM, csumStart: 20, csumOffset: 4 });
    transport.complete(0);
    const wanted = frame.slice();
    const sum = 0xffff - onesSum(frame.slice(20));
    wanted.set([sum >> 8, sum & 255], 24);
    expect(lanes.frame(0)).toEqual(wanted);
  });
});

describe('lengths', () => {
  const packetLen = (frame: Uint8Array, gso = {}) => {
    lay(frame, 0, gso);
    return transport.packetLen(0);
  };

  it('of a packet are those behind the Ethernet header and its tags', () => {
    expect(packetLen(udp({ payload: 100 }))).toBe(128);
    expect(packetLen(udp({ payload: 100, tags: [[0x8100, 1]] }))).toBe(128);
    expect(
      packetLen(
        udp({
          family: 6,
          payload: 100,
          tags: [
            [0x88a8, 1],
            [0x8100, 1],
          ],
        }),
      ),
    ).toBe(148);
    expect(packetLen(arpRequest(1))).toBe(46);
  });

  it('of a superframe are those of one segment', () => {
    const gso = { gsoType: 1, gsoSize: 1410 };
    expect(packetLen(tcp({ payload: 9000 }), gso)).toBe(1450);
    expect(packetLen(tcp({ payload: 9000, tcpOptions: new Uint8Array(12), tags: [[0x8100, 1]] }), gso)).toBe(1462);
    lay(tcp({ family: 6, payload: 9000, tags: [[0x8100, 1]] }), 0, gso);
    expect(transport.headersLen(0)).toBe(18 + 40 + 20);
    expect(transport.transportLen(0)).toBe(9020);
  });
});

it('folds any sum of superframe halves', () => {
  for (const n of [0, 1, 0xffff, 0x10000, 0x1fffe, 0x1ffff, 0xffff0000, 0xffffffff]) {
    expect(fold(n)).toBe(n === 0 ? 0 : n % 0xffff || 0xffff);
  }
});
