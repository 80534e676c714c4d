// decap(encap(x)) = x, for whatever frames and packets: one node sends, another takes the same bytes in.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TO_PEER, TO_PORT } from '../../../../src/packet/burst.js';
import { tcpFields, udpFields } from '../../../rig/arbitrary.js';
import { casesOf, familyOf, makeBench, WAYS } from '../../../rig/conformance.js';
import { decode, looksUnfinished } from '../../../rig/decode.js';
import { type ChecksumKind, ethernet, join, stationMac, tcp, toHex, u16, udp } from '../../../rig/frames.js';

const between = { src: 1, dst: 9 };
/** Transport checksums that are right or wrong, but finished: an unfinished one is an offload leak, and no packet of a wire. One in 65,535 wrong ones is the same. */
const isFinished = (frame: Uint8Array) => {
  const d = decode(frame);
  return d === null || !looksUnfinished(frame, d);
};
const finished = <T extends { checksum?: ChecksumKind }>(f: T): T & typeof between => ({
  ...f,
  ...between,
  checksum: f.checksum === 'unfinished' ? 'good' : f.checksum,
});
const anyPacket = fc
  .oneof(
    tcpFields.map((f) => tcp(finished(f))),
    udpFields.map((f) => udp(finished(f))),
  )
  .filter(isFinished);
const anyOther = fc
  // Room for what looks like tags.
  .tuple(fc.integer({ min: 0x0600, max: 0xffff }), fc.uint8Array({ minLength: 8, maxLength: 80 }))
  .map(([type, body]) => ethernet(between, type, body));

/** What a packet network has of a frame: tags and padding stay behind. */
function packetFrame(frame: Uint8Array): Uint8Array | null {
  const d = decode(frame);
  return d === null || d.l3 === 0 ? null : join(frame.slice(0, 12), u16(d.type), frame.slice(d.l3, d.end));
}

describe.each(casesOf(WAYS))('$name', ({ e, way }) => {
  it('brings everything over as it was', () => {
    const near = makeBench(e, way);
    // Seen from there, station 1 is behind the peer and 9 behind the port.
    const far = makeBench(e, way, {
      stations: [
        [9, TO_PORT | 1],
        [1, TO_PEER | 1],
      ],
    });
    fc.assert(
      fc.property(fc.array(fc.oneof(anyPacket, anyPacket, anyOther), { minLength: 1, maxLength: 8 }), (drawn) => {
        const frames = drawn.map((f) => (e.mode === 'l2' ? f : packetFrame(f))).filter((f) => f !== null);
        near.from(frames);
        const sent = near.sent();
        expect(sent).toHaveLength(frames.length);
        for (const [k, { payload, tos }] of sent.entries()) {
          // The MACs between routers are those of this direction.
          const bytes = payload.slice();
          if (e.name === 'vxlan between routers') bytes.set(stationMac(0x0b01), 8);
          far.arrivesRaw(bytes, familyOf(frames[k]), { tos: Math.max(0, tos) });
        }
        // Flows may be sent one after the other, whichever was first.
        expect(far.took('a').map(toHex).sort()).toEqual(frames.map(far.inner).map(toHex).sort());
      }),
      { numRuns: 15 },
    );
    expect([near.rig.drops(), far.rig.drops()]).toEqual([{}, {}]);
  });
});
