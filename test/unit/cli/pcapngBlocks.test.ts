import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBlockReader } from '../../../src/cli/pcapngBlocks.js';

/** Blocks of the draft, written out: type, length, body, length. */
function block(type: number, body: Buffer): Buffer {
  const bytes = Buffer.alloc(12 + body.length);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(bytes.length, 4);
  body.copy(bytes, 8);
  bytes.writeUInt32LE(bytes.length, 8 + body.length);
  return bytes;
}

const SECTION = block(0x0a0d0d0a, Buffer.from('4d3c2b1a01000000ffffffffffffffff', 'hex'));
const PACKET = block(6, Buffer.alloc(20 + 64));
// Interface 0, time 0, isb_ifrecv (4) = 9, isb_ifdrop (5) = 258, end.
const STATISTICS = block(
  5,
  Buffer.from('000000000000000000000000' + '040008000900000000000000' + '050008000201000000000000' + '00000000', 'hex'),
);

describe('a pcapng stream in pieces', () => {
  it('comes out in whole blocks, its packets counted', () => {
    const whole = Buffer.concat([SECTION, PACKET, PACKET, STATISTICS]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 })), (sizes) => {
        const reader = createBlockReader();
        const out: Buffer[] = [];
        let at = 0;
        for (const size of [...sizes, whole.length]) {
          out.push(reader.push(whole.subarray(at, at + size)));
          at = Math.min(whole.length, at + size);
        }
        expect(Buffer.concat(out)).toEqual(whole);
        expect([reader.packets, reader.lost]).toEqual([2, 258]);
      }),
    );
  });

  it('keeps a block back that is not whole', () => {
    const reader = createBlockReader();
    expect(reader.push(Buffer.concat([SECTION, PACKET.subarray(0, 50)]))).toEqual(SECTION);
    expect(reader.packets).toBe(0);
  });

  it('is refused when it is something else', () => {
    expect(() => createBlockReader().push(Buffer.alloc(64))).toThrow(/not pcapng/);
    expect(() => createBlockReader().push(Buffer.alloc(64, 0xff))).toThrow(/not pcapng/);
  });
});
