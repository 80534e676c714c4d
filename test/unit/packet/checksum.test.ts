import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { instantiateChecksum } from '../../../src/packet/checksum.js';
import * as Checksum from '../../../src/wire/checksum.js';

const PAGE = 65536;
const memory = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
const bytes = new Uint8Array(memory.buffer);
const kernel = instantiateChecksum(memory);

/** The slow twin: words in memory order, one at a time, as arithmetic on numbers that do not overflow. */
function twin(at: number, len: number): number {
  let total = 0;
  for (let i = 0; i < len; i++) total += bytes[at + i] * (i % 2 === 0 ? 1 : 256);
  return total === 0 ? 0 : total % 0xffff || 0xffff;
}

/** Noise that is the same every time; everything outside `at` to `at + len` becomes 0xff, which would change any sum. */
function lay(at: number, len: number, seed: number): void {
  bytes.fill(0xff, Math.max(PAGE, at - 80), at + len + 80);
  let x = seed | 1;
  for (let i = 0; i < len; i++) {
    x = Math.imul(x, 1664525) + 1013904223;
    bytes[at + i] = x >>> 24;
  }
}

describe('the module', () => {
  it('imports the memory alone and keeps no data of its own', () => {
    const module = new WebAssembly.Module(readFileSync(new URL('../../../src/packet/checksum.wasm', import.meta.url)));
    expect(WebAssembly.Module.imports(module)).toEqual([{ module: 'env', name: 'memory', kind: 'memory' }]);
    expect(WebAssembly.Module.exports(module).map(({ name }) => name)).toEqual(['sum', 'copy']);
    expect(bytes.subarray(0, PAGE).every((byte) => byte === 0)).toBe(true);
  });

  it('takes an arena of any size', () => {
    for (const pages of [1, 2, 1000]) {
      const arena = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
      expect(instantiateChecksum(arena).sum(0, 64)).toBe(0);
    }
  });
});

describe('sum', () => {
  it('agrees with its twin at every length up to 300 and every alignment in a cache line', () => {
    for (let len = 0; len <= 300; len++) {
      for (let offset = 0; offset < 64; offset += len % 8 === 0 ? 1 : 7) {
        const at = PAGE + 128 + offset;
        lay(at, len, len * 64 + offset);
        expect(kernel.sum(at, len), `${len} bytes at ${offset}`).toBe(twin(at, len));
      }
    }
  });

  it('agrees with its twin for packets and superframes', () => {
    for (const len of [1398, 1400, 1448, 1499, 1500, 8999, 9000, 63_999, 64_000, 65_535, 65_536]) {
      for (const offset of [0, 1, 2, 14, 63]) {
        lay(PAGE + 128 + offset, len, len);
        expect(kernel.sum(PAGE + 128 + offset, len), `${len} bytes at ${offset}`).toBe(twin(PAGE + 128 + offset, len));
      }
    }
  });

  it('does not overflow over the largest words', () => {
    bytes.fill(0xff, PAGE);
    for (const len of [64, 65_535, 65_536, 2 ** 21, 2 ** 21 + 64, bytes.length - PAGE]) {
      expect(kernel.sum(PAGE, len), `${len} bytes`).toBe(len % 2 === 0 ? 0xffff : 0x00ff);
    }
  });

  it('is 0 of nothing and of zeros only', () => {
    bytes.fill(0xff, PAGE, PAGE + 4096);
    expect(kernel.sum(PAGE + 1, 0)).toBe(0);
    bytes.fill(0, PAGE, PAGE + 4096);
    expect(kernel.sum(PAGE, 4096)).toBe(0);
    bytes[PAGE + 4095] = 1;
    expect(kernel.sum(PAGE, 4096)).toBe(0x100);
  });

  it('is the sum of wire/checksum.ts with its two bytes swapped', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat(63), (data, offset) => {
        const at = PAGE + 128 + offset;
        bytes.fill(0xff, at - 64, at + data.length + 64);
        bytes.set(data, at);
        expect(Checksum.swap(kernel.sum(at, data.length))).toBe(Checksum.sum(data, 0, data.length, 0));
      }),
    );
  });

  it('gives the right field when its complement is stored little-endian', () => {
    // scapy: ICMP(type=8, id=0x1234, seq=7) / 'abcdefghijk', checksum 0x7fc4
    const echo = Buffer.from('08000000123400076162636465666768696a6b', 'hex');
    bytes.set(echo, PAGE + 3);
    new DataView(memory.buffer).setUint16(PAGE + 3 + 2, ~kernel.sum(PAGE + 3, echo.length), true);
    expect([bytes[PAGE + 5], bytes[PAGE + 6]]).toEqual([0x7f, 0xc4]);
  });

  it('traps behind the end of the memory and not before', () => {
    expect(kernel.sum(bytes.length - 100, 100)).toBeGreaterThanOrEqual(0);
    expect(() => kernel.sum(bytes.length - 100, 101)).toThrow(WebAssembly.RuntimeError);
  });
});

describe('copy', () => {
  it('moves exactly the bytes named, also over themselves', () => {
    const place = fc.nat(300);
    fc.assert(
      fc.property(place, place, place, (to, from, len) => {
        lay(PAGE, 1024, to * 7 + from);
        const expected = bytes.slice(PAGE, PAGE + 1024);
        expected.copyWithin(to, from, from + len);
        kernel.copy(PAGE + to, PAGE + from, len);
        expect(Buffer.compare(bytes.slice(PAGE, PAGE + 1024), expected)).toBe(0);
      }),
    );
  });
});
