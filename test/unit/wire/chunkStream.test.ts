import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkStream } from '../../../src/wire/chunkStream.js';
import { hex, toHex } from './frames.js';

describe('ChunkStream', () => {
  it('gives pieces that lie whole in a chunk where they lie', () => {
    const stream = new ChunkStream(8);
    const chunk = hex('0102030405');
    stream.feed(chunk);
    expect(stream.need(2)).toBe(true);
    stream.take(2);
    expect(stream.need(3)).toBe(true);
    expect(stream.bytes).toBe(chunk);
    expect(stream.at).toBe(2);
    stream.take(3);
    expect(stream.position).toBe(5);
    expect(stream.unfinished).toBe(false);
  });

  it('grows a piece that was begun', () => {
    const stream = new ChunkStream(8);
    stream.feed(hex('0102'));
    expect(stream.need(1)).toBe(true);
    expect(stream.need(3)).toBe(false);
    expect(stream.unfinished).toBe(true);
    stream.feed(hex('0304'));
    expect(stream.need(3)).toBe(true);
    expect(toHex(stream.bytes, stream.at, stream.at + 3)).toBe('010203');
    expect(stream.need(4)).toBe(true);
    stream.take(4);
    expect(stream.unfinished).toBe(false);
  });

  it('refuses a chunk before the last one is used up', () => {
    const stream = new ChunkStream(8);
    stream.feed(hex('0102'));
    expect(() => stream.feed(hex('03'))).toThrow(/not used up/);
  });

  it('gives and skips the same bytes however they are cut into chunks', () => {
    const pieces = fc.array(fc.record({ len: fc.nat(12), skip: fc.boolean() }), { maxLength: 20 });
    fc.assert(
      fc.property(pieces, fc.array(fc.nat(9), { minLength: 1 }), (wanted, cuts) => {
        const total = wanted.reduce((sum, { len }) => sum + len, 0);
        const data = Uint8Array.from({ length: total }, (_, i) => i + 1);
        const stream = new ChunkStream(12);
        const given: string[] = [];
        let fed = 0;
        let next = 0;
        const advance = () => {
          while (stream.skipped() && next < wanted.length) {
            const { len, skip } = wanted[next];
            if (skip) stream.skip(len);
            // As a reader does: the start first, and from the start again when more has come
            else if (!stream.need(len >> 1) || !stream.need(len)) return;
            else {
              given.push(toHex(stream.bytes, stream.at, stream.at + len));
              stream.take(len);
            }
            next++;
          }
        };
        advance();
        for (let i = 0; fed < total; i++) {
          const len = Math.max(1, cuts[i % cuts.length]);
          stream.feed(data.slice(fed, fed + len));
          fed += len;
          advance();
        }
        let at = 0;
        const expected: string[] = [];
        for (const { len, skip } of wanted) {
          if (!skip) expected.push(toHex(data, at, at + len));
          at += len;
        }
        expect(given).toEqual(expected);
        expect(stream.position).toBe(total);
        expect(stream.unfinished).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});
