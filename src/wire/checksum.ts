/*
 * The Internet checksum (RFC 1071): the 16-bit ones' complement of the ones' complement sum of 16-bit words.
 *
 *   +---------+---------+-- ... --+---------+
 *   | word 0  | word 1  |         | last: 0 |     an odd last byte counts as the high byte of a word
 *   +---------+---------+-- ... --+---------+
 *
 * A sum here is a number of 16 bits in network order, not inverted: partial sums are joined with `add`, and the field of a header
 * holds `finish(sum)`. Over bytes that include their own right checksum field the sum is 0xffff.
 *
 * Payloads are summed by the kernel of packet/checksum.ts, whose sums are in memory order: `swap` turns one into the other.
 */
import { get16, set16 } from './bytes.js';

/** A sum over data that includes a right checksum. */
export const RIGHT = 0xffff;

// 16,384 words of at most 0xffff stay below 2^30, so the accumulator stays a small integer.
const RUN_BYTES = 32768;

const IPV4_SRC_OFF = 12;
const IPV6_SRC_OFF = 8;
const IPV4_ADDRESSES_BYTES = 8;
const IPV6_ADDRESSES_BYTES = 32;

// Sums

/** Ones' complement addition of two sums. */
export function add(sum: number, part: number): number {
  const s = sum + part;
  return (s & 0xffff) + (s >>> 16);
}

/** Takes `part` out of `sum` again. */
export function subtract(sum: number, part: number): number {
  return add(sum, ~part & 0xffff);
}

/** Brings any sum of words below 2^31 to 16 bits. */
export function fold(sum: number): number {
  const s = (sum & 0xffff) + (sum >>> 16);
  return (s & 0xffff) + (s >>> 16);
}

/** Exchanges network and memory order; also what a part needs that starts at an odd distance from the start of the data. */
export function swap(sum: number): number {
  return ((sum & 0xff) << 8) | (sum >>> 8);
}

/** Sum of `len` bytes from `at`, added to `initial` (a sum of 16 bits). Any length and alignment. */
export function sum(bytes: Uint8Array, at: number, len: number, initial: number): number {
  let total = initial;
  let position = at;
  let left = len;
  while (left > 1) {
    const run = left < RUN_BYTES ? left & ~1 : RUN_BYTES;
    let s = 0;
    for (const end = position + run; position < end; position += 2) s += (bytes[position] << 8) | bytes[position + 1];
    total = add(total, fold(s));
    left -= run;
  }
  return left === 1 ? add(total, bytes[position] << 8) : total;
}

/** Sum of the IPv4 pseudo header (RFC 793, 768) for the header at `at`; `lenBytes` is that of the upper-layer packet. */
export function pseudoIpv4(bytes: Uint8Array, at: number, protocol: number, lenBytes: number): number {
  const s = sum(bytes, at + IPV4_SRC_OFF, IPV4_ADDRESSES_BYTES, 0);
  return fold(s + protocol + (lenBytes & 0xffff) + (lenBytes >>> 16));
}

/** Sum of the IPv6 pseudo header (RFC 8200 section 8.1) for the header at `at`; `protocol` is that of the upper layer. */
export function pseudoIpv6(bytes: Uint8Array, at: number, protocol: number, lenBytes: number): number {
  const s = sum(bytes, at + IPV6_SRC_OFF, IPV6_ADDRESSES_BYTES, 0);
  return fold(s + protocol + (lenBytes & 0xffff) + (lenBytes >>> 16));
}

// From a sum to a field

export function finish(sum: number): number {
  return ~sum & 0xffff;
}

/** As `finish`, for UDP, where 0 means "no checksum" and a computed 0 is sent as 0xffff (RFC 768). */
export function finishUdp(sum: number): number {
  return ~sum & 0xffff || 0xffff;
}

// Incremental update (RFC 1624, equation 3: HC' = ~(~HC + ~m + m'))

/** The checksum field after the word `was` became `is`. */
export function update(checksum: number, was: number, is: number): number {
  return ~fold((~checksum & 0xffff) + (~was & 0xffff) + is) & 0xffff;
}

/** Writes the word `is` at `at` and keeps the checksum field at `checksumAt` right. Both lie at even distance in the data. */
export function change16(bytes: Uint8Array, at: number, is: number, checksumAt: number): void {
  set16(bytes, checksumAt, update(get16(bytes, checksumAt), get16(bytes, at), is));
  set16(bytes, at, is);
}
