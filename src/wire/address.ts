/*
 * IP addresses as text, bytes and words.
 *
 *   IPv4   4 bytes, or one signed 32-bit word
 *   IPv6  16 bytes
 *   either in 16 bytes, IPv4 as ::ffff:a.b.c.d:
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |             10 bytes of 0             | ff ff |  IPv4 address |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *
 * The functions on text are for configuration and display, and return null for what is not an address: leading zeros, short
 * forms such as `10.1`, and zones (`%eth0`) are refused.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { equal, fill, get16, get32, set16, set32 } from './bytes.js';

export const IPV4_BYTES = 4;
export const IPV6_BYTES = 16;

const MAPPED_MARK_OFF = 10;
const MAPPED_IPV4_OFF = 12;

/** An address and the length of its prefix; bits behind the prefix are kept, as in `10.0.0.1/24`. */
export interface Cidr {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly prefixLength: number;
}

// Words and mapped form

/** 16 bytes at `at` hold an IPv4 address in mapped form. */
export function isMapped(bytes: Uint8Array, at: number): boolean {
  return (
    get32(bytes, at) === 0 &&
    get32(bytes, at + 4) === 0 &&
    get16(bytes, at + 8) === 0 &&
    get16(bytes, at + MAPPED_MARK_OFF) === 0xffff
  );
}

/** The IPv4 word of a mapped address. */
export function mappedWord(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + MAPPED_IPV4_OFF);
}

/** Writes 16 bytes: the IPv4 word in mapped form. */
export function writeMapped(bytes: Uint8Array, at: number, word: number): void {
  fill(bytes, at, MAPPED_MARK_OFF, 0);
  set16(bytes, at + MAPPED_MARK_OFF, 0xffff);
  set32(bytes, at + MAPPED_IPV4_OFF, word);
}

/** 16 bytes of an address of 4 or 16. */
export function toMapped(address: Uint8Array): Uint8Array {
  const mapped = new Uint8Array(IPV6_BYTES);
  if (address.length === IPV4_BYTES) writeMapped(mapped, 0, get32(address, 0));
  else mapped.set(address);
  return mapped;
}

// From text

/** The signed word of a dotted quad; null for anything else. */
export function ipv4WordFromText(text: string): number | null {
  if (!isIPv4(text)) return null;
  return text.split('.').reduce((word, part) => (word << 8) | Number(part), 0);
}

/** 4 bytes of a dotted quad. */
export function ipv4FromText(text: string): Uint8Array | null {
  const word = ipv4WordFromText(text);
  if (word === null) return null;
  const bytes = new Uint8Array(IPV4_BYTES);
  set32(bytes, 0, word);
  return bytes;
}

/** 16 bytes of any form of RFC 4291 section 2.2. */
export function ipv6FromText(text: string): Uint8Array | null {
  if (!isIPv6(text) || text.includes('%')) return null;
  const quadAt = text.includes('.') ? text.lastIndexOf(':') + 1 : text.length;
  const [before, after] = text.slice(0, quadAt).split('::');
  const left = groups(before);
  const right = groups(after ?? '');
  const tail = ipv4FromText(text.slice(quadAt)) ?? new Uint8Array(0);
  const bytes = new Uint8Array(IPV6_BYTES);
  for (let i = 0; i < left.length; i++) set16(bytes, i * 2, left[i]);
  for (let i = 0; i < right.length; i++) set16(bytes, IPV6_BYTES - tail.length - (right.length - i) * 2, right[i]);
  bytes.set(tail, IPV6_BYTES - tail.length);
  return bytes;
}

/** 4 or 16 bytes. */
export function fromText(text: string): Uint8Array | null {
  return ipv4FromText(text) ?? ipv6FromText(text);
}

/** `10.0.0.1/24` or `fd00::1/64`; the prefix length must be there. */
export function cidrFromText(text: string): Cidr | null {
  const slash = text.indexOf('/');
  const address = slash < 0 ? null : fromText(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === null || !/^(?:0|[1-9]\d{0,2})$/.test(digits)) return null;
  const prefixLength = Number(digits);
  return prefixLength <= address.length * 8 ? { address, prefixLength } : null;
}

function groups(text: string): number[] {
  return text
    .split(':')
    .filter((group) => group !== '')
    .map((group) => Number.parseInt(group, 16));
}

// To text

export function ipv4WordToText(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

export function ipv4ToText(bytes: Uint8Array, at: number): string {
  return ipv4WordToText(get32(bytes, at));
}

/** The canonical form of RFC 5952; a mapped address as `::ffff:a.b.c.d`. */
export function ipv6ToText(bytes: Uint8Array, at: number): string {
  if (isMapped(bytes, at)) return `::ffff:${ipv4WordToText(mappedWord(bytes, at))}`;
  // The longest run of zero groups, the first of equals, of at least two, becomes `::`.
  let zerosAt = -1;
  let zeros = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && get16(bytes, at + (i + run) * 2) === 0) run++;
    if (run > zeros) {
      zerosAt = i;
      zeros = run;
    }
    i += run;
  }
  if (zerosAt < 0) return groupsToText(bytes, at, 0, 8);
  return `${groupsToText(bytes, at, 0, zerosAt)}::${groupsToText(bytes, at, zerosAt + zeros, 8)}`;
}

/** Text of an address of 4 or 16 bytes that fills the array; a mapped one as plain IPv4. */
export function toText(address: Uint8Array): string {
  if (address.length === IPV4_BYTES) return ipv4ToText(address, 0);
  return isMapped(address, 0) ? ipv4WordToText(mappedWord(address, 0)) : ipv6ToText(address, 0);
}

function groupsToText(bytes: Uint8Array, at: number, from: number, to: number): string {
  let text = '';
  for (let i = from; i < to; i++) text += (i === from ? '' : ':') + get16(bytes, at + i * 2).toString(16);
  return text;
}

// Prefixes

/** A prefix of its own, as routes have it: all bits behind it are 0. */
export function clearHostBits({ address, prefixLength }: Cidr): Cidr {
  const prefix = address.slice();
  const whole = prefixLength >>> 3;
  if (whole < prefix.length) prefix[whole] &= 0xff00 >>> (prefixLength & 7);
  prefix.fill(0, whole + 1);
  return { address: prefix, prefixLength };
}

/** A bit behind the prefix is set: an address in a network, not a network. */
export function hasHostBits({ address, prefixLength }: Cidr): boolean {
  return !equal(clearHostBits({ address, prefixLength }).address, 0, address, 0, address.length);
}

/** `10.0.0.0/24`, `fd00::/64`: what cidrFromText reads. A mapped address keeps its IPv6 form, which its prefix length counts in. */
export function cidrToText({ address, prefixLength }: Cidr): string {
  const text = address.length === IPV4_BYTES ? ipv4ToText(address, 0) : ipv6ToText(address, 0);
  return `${text}/${prefixLength}`;
}

/** The first `prefixLength` bits of two addresses of equal size are the same. */
export function samePrefix(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, prefixLength: number): boolean {
  const whole = prefixLength >>> 3;
  if (!equal(a, aAt, b, bAt, whole)) return false;
  const mask = (0xff00 >>> (prefixLength & 7)) & 0xff;
  return mask === 0 || ((a[aAt + whole] ^ b[bAt + whole]) & mask) === 0;
}
