// Slow twin of TCP segmentation, from the rules (RFC 9293, RFC 3168 section 6.1.2, RFC 6864): each segment is built whole, as a frame of
// its own, and every checksum is computed over all of its bytes.
import { decode, pseudoOf } from './decode.js';
import { CWR, FIN, join, onesSum, PSH, read16, read32, u16, u32 } from './frames.js';

/** Finishes the checksum of a frame whose field holds anything. */
export function finishTransport(frame: Uint8Array): Uint8Array {
  const f = frame.slice();
  const d = decode(f);
  if (d === null || d.l4 === 0) throw new Error('no TCP or UDP frame');
  const at = d.l4 + (d.protocol === 6 ? 16 : 6);
  f.set([0, 0], at);
  const segment = f.slice(d.l4, d.end);
  let sum = 0xffff - onesSum(pseudoOf(f, d, segment.length), segment);
  if (d.protocol === 17 && sum === 0) sum = 0xffff;
  f.set(u16(sum), at);
  return f;
}

/** The segments of a TCP superframe, as the wire sees them. */
export function segmentTwin(frame: Uint8Array, mss: number): Uint8Array[] {
  const d = decode(frame);
  if (d === null || d.protocol !== 6 || d.l4 === 0) throw new Error('no TCP frame');
  const headerEnd = d.l4 + Math.floor(frame[d.l4 + 12] / 16) * 4;
  const payload = frame.slice(headerEnd, d.end);
  const segments: Uint8Array[] = [];
  for (let from = 0; from < payload.length; from += mss) {
    const slice = payload.slice(from, from + mss);
    const s = join(frame.slice(0, headerEnd), slice);
    const isLast = from + mss >= payload.length;
    if (d.family === 4) {
      s.set(u16(s.length - d.l3), d.l3 + 2);
      s.set(u16((read16(frame, d.l3 + 4) + segments.length) % 65536), d.l3 + 4);
      s.set([0, 0], d.l3 + 10);
      s.set(u16(0xffff - onesSum(s.slice(d.l3, d.l3 + (s[d.l3] % 16) * 4))), d.l3 + 10);
    } else s.set(u16(s.length - d.l3 - 40), d.l3 + 4);
    s.set(u32((read32(frame, d.l4 + 4) + from) % 2 ** 32), d.l4 + 4);
    if (!isLast) s[d.l4 + 13] &= 0xff - FIN - PSH;
    if (from > 0) s[d.l4 + 13] &= 0xff - CWR;
    segments.push(finishTransport(s));
  }
  return segments;
}
