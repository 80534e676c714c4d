/*
 * Generic Routing Encapsulation (RFC 2784), with key and sequence number (RFC 2890).
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |C| |K|S| Reserved0       | Ver |         Protocol type         |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |      Checksum, with C         |       Reserved1, with C       |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                         Key, with K                           |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                  Sequence number, with S                      |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
import { get16, get32, set16, set32 } from './bytes.js';
import { finish, RIGHT, sum } from './checksum.js';

/** Without optional fields. */
export const HEADER_BYTES = 4;
/** Of each optional field; the checksum has 16 reserved bits behind it. */
export const FIELD_BYTES = 4;
export const HEADER_BYTES_MAX = HEADER_BYTES + 3 * FIELD_BYTES;

export const FLAG_CHECKSUM = 0x8000;
export const FLAG_KEY = 0x2000;
export const FLAG_SEQUENCE = 0x1000;
/**
 * Bits with which a packet must be discarded: routing, strict source route and recursion of RFC 1701 (RFC 2784 section 2.3), and any version
 * but 0; 1 is PPTP (RFC 2637). The other reserved bits are ignored.
 */
export const FLAGS_REFUSED = 0x4c07;

/** Transparent Ethernet Bridging; other values are EtherTypes. */
export const PROTOCOL_ETHERNET = 0x6558;
export const PROTOCOL_IPV4 = 0x0800;
export const PROTOCOL_IPV6 = 0x86dd;

export const FLAGS_OFF = 0;
export const PROTOCOL_OFF = 2;
/** Of the checksum, where there is one. The other fields: see `keyAt` and `sequenceAt`. */
export const CHECKSUM_OFF = 4;

/** Version and flags are of RFC 2784 and 2890, and the header fits. The checksum: see `checksumIsRight`. */
export function check(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at < HEADER_BYTES || (flags(bytes, at) & FLAGS_REFUSED) !== 0) return false;
  return headerBytes(flags(bytes, at)) <= end - at;
}

// Getters

/** The first 16 bits: flags, reserved bits and version. */
export function flags(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + FLAGS_OFF);
}

/** Of a header with these flags. */
export function headerBytes(flags: number): number {
  let fields = (flags & FLAG_CHECKSUM) !== 0 ? 1 : 0;
  if ((flags & FLAG_KEY) !== 0) fields++;
  if ((flags & FLAG_SEQUENCE) !== 0) fields++;
  return HEADER_BYTES + fields * FIELD_BYTES;
}

export function protocol(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + PROTOCOL_OFF);
}

/** Offset of the key in a header with these flags, -1 without. */
export function keyOff(flags: number): number {
  if ((flags & FLAG_KEY) === 0) return -1;
  return headerBytes(flags & FLAG_CHECKSUM);
}

/** Offset of the sequence number in a header with these flags, -1 without. */
export function sequenceOff(flags: number): number {
  if ((flags & FLAG_SEQUENCE) === 0) return -1;
  return headerBytes(flags & (FLAG_CHECKSUM | FLAG_KEY));
}

/** Signed; 0 without. */
export function key(bytes: Uint8Array, at: number): number {
  const off = keyOff(flags(bytes, at));
  return off < 0 ? 0 : get32(bytes, at + off);
}

/** Signed; 0 without. */
export function sequence(bytes: Uint8Array, at: number): number {
  const off = sequenceOff(flags(bytes, at));
  return off < 0 ? 0 : get32(bytes, at + off);
}

export function payloadAt(bytes: Uint8Array, at: number): number {
  return at + headerBytes(flags(bytes, at));
}

/** The checksum covers header and payload (RFC 2784 section 2.2); a packet without one is right. */
export function checksumIsRight(bytes: Uint8Array, at: number, end: number): boolean {
  return (flags(bytes, at) & FLAG_CHECKSUM) === 0 || sum(bytes, at, end - at, 0) === RIGHT;
}

// Setters, for fields that the header has

export function setKey(bytes: Uint8Array, at: number, value: number): void {
  set32(bytes, at + keyOff(flags(bytes, at)), value);
}

export function setSequence(bytes: Uint8Array, at: number, value: number): void {
  set32(bytes, at + sequenceOff(flags(bytes, at)), value);
}

/** Computes the checksum of the packet that goes on to `end`, and writes it. */
export function writeChecksum(bytes: Uint8Array, at: number, end: number): void {
  set16(bytes, at + CHECKSUM_OFF, 0);
  set16(bytes, at + CHECKSUM_OFF, finish(sum(bytes, at, end - at, 0)));
}

/** The header, its optional fields 0. */
export function write(bytes: Uint8Array, at: number, flags: number, protocol: number): void {
  set16(bytes, at + FLAGS_OFF, flags);
  set16(bytes, at + PROTOCOL_OFF, protocol);
  for (let off = HEADER_BYTES; off < headerBytes(flags); off += FIELD_BYTES) set32(bytes, at + off, 0);
}
