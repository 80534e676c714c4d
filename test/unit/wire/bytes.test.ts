import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Bytes from '../../../src/wire/bytes.js';
import { hex, MARGIN, toHex, unwritten } from './frames.js';

// The slow twin is DataView.
const buffer = () => unwritten(16);
const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer);
const offset = fc.integer({ min: 0, max: 12 });
const content = fc.uint8Array({ minLength: 16, maxLength: 16 });

describe('reading', () => {
  it('reads as DataView does, at every alignment', () => {
    fc.assert(
      fc.property(content, offset, (bytes, at) => {
        const view = viewOf(bytes);
        expect(Bytes.get16(bytes, at)).toBe(view.getUint16(at));
        expect(Bytes.get24(bytes, at)).toBe((view.getUint16(at) << 8) | view.getUint8(at + 2));
        expect(Bytes.get32(bytes, at)).toBe(view.getInt32(at));
        expect(Bytes.getU32(bytes, at)).toBe(view.getUint32(at));
        expect(Bytes.getLe16(bytes, at)).toBe(view.getUint16(at, true));
        expect(Bytes.getLeU32(bytes, at)).toBe(view.getUint32(at, true));
        for (const little of [true, false]) {
          expect(Bytes.getOrdered16(bytes, at, little)).toBe(view.getUint16(at, little));
          expect(Bytes.getOrderedU32(bytes, at, little)).toBe(view.getUint32(at, little));
        }
      }),
    );
  });

  it('gives 32-bit fields signed, so that they are never boxed', () => {
    expect(Bytes.get32(hex('ffffffff'), 0)).toBe(-1);
    expect(Bytes.get32(hex('80000000'), 0)).toBe(-(2 ** 31));
    expect(Bytes.getU32(hex('ffffffff'), 0)).toBe(4294967295);
  });
});

describe('writing', () => {
  it('writes as DataView does and nothing beside', () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 32 - 1 }), offset, (value, at) => {
        const cases: [(bytes: Uint8Array) => void, (view: DataView) => void][] = [
          [(bytes) => Bytes.set16(bytes, at, value), (view) => view.setUint16(at, value)],
          [(bytes) => Bytes.set32(bytes, at, value), (view) => view.setUint32(at, value)],
          [(bytes) => Bytes.setLe16(bytes, at, value), (view) => view.setUint16(at, value, true)],
          [(bytes) => Bytes.setLe32(bytes, at, value), (view) => view.setUint32(at, value, true)],
        ];
        for (const [write, twin] of cases) {
          const bytes = buffer();
          const expected = buffer();
          write(bytes);
          twin(viewOf(expected));
          expect(toHex(bytes)).toBe(toHex(expected));
        }
      }),
    );
  });

  it('writes 24 bits', () => {
    const bytes = unwritten(5);
    Bytes.set24(bytes, 1, 0x12abcdef);
    expect(toHex(bytes)).toBe('a5abcdefa5');
  });
});

describe('runs', () => {
  it('copies, fills and compares exactly the bytes named', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 20 }), (from) => {
        const to = unwritten(from.length + 2 * MARGIN);
        Bytes.copy(to, MARGIN, from, 0, from.length);
        expect(toHex(to)).toBe('a5'.repeat(MARGIN) + toHex(from) + 'a5'.repeat(MARGIN));
        expect(Bytes.equal(to, MARGIN, from, 0, from.length)).toBe(true);
        to[MARGIN + from.length - 1] ^= 1;
        expect(Bytes.equal(to, MARGIN, from, 0, from.length)).toBe(false);
        expect(Bytes.equal(to, MARGIN, from, 0, from.length - 1)).toBe(true);
        Bytes.fill(to, MARGIN, from.length, 0xee);
        expect(toHex(to)).toBe('a5'.repeat(MARGIN) + 'ee'.repeat(from.length) + 'a5'.repeat(MARGIN));
      }),
    );
  });

  it('compares nothing as equal', () => {
    expect(Bytes.equal(hex('01'), 0, hex('02'), 0, 0)).toBe(true);
  });
});
