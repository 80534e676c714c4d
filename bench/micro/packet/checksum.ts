import { instantiateChecksum } from '../../../dist/packet/checksum.js';
import * as Checksum from '../../../dist/wire/checksum.js';
import { type Case, sink } from '../cases.js';

export const SIZES = [40, 64, 512, 1400, 64_000];

const PAGES = 2;
/** The first page is the kernels'. */
const AT = 65536;

/** The best that plain JavaScript was seen to do: eight 16-bit words a round. Even positions and lengths only. */
function unrolledSum(words: Uint16Array, at: number, lenBytes: number): number {
  let s = 0;
  let w = at >> 1;
  const end = w + (lenBytes >> 1);
  for (; w + 8 <= end; w += 8) {
    s += words[w] + words[w + 1] + words[w + 2] + words[w + 3];
    s += words[w + 4] + words[w + 5] + words[w + 6] + words[w + 7];
  }
  for (; w < end; w++) s += words[w];
  return Checksum.fold(s);
}

/** The kernel, the loop of wire/ and the unrolled one, over the same bytes, which stay in the cache. */
export function checksumCases(): Case[] {
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  for (let i = AT; i < bytes.length; i++) bytes[i] = Math.imul(i, 0x9e3779b1) >>> 24;
  const words = new Uint16Array(memory.buffer);
  const { sum } = instantiateChecksum(memory);
  return SIZES.flatMap((size) => {
    const operations = Math.max(1, Math.round(100_000 / size));
    const kernel = () => {
      for (let k = 0; k < operations; k++) sink.value ^= sum(AT + (k & 14), size);
    };
    const plain = () => {
      for (let k = 0; k < operations; k++) sink.value ^= Checksum.sum(bytes, AT + (k & 14), size, 0);
    };
    const unrolled = () => {
      for (let k = 0; k < operations; k++) sink.value ^= unrolledSum(words, AT + (k & 14), size);
    };
    return [
      { name: `checksum ${size} B, kernel`, operations, run: kernel },
      { name: `checksum ${size} B, loop of wire/`, operations, run: plain },
      { name: `checksum ${size} B, unrolled loop`, operations, run: unrolled },
    ];
  });
}
