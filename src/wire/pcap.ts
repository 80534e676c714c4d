/*
 * The pcap capture file format (draft-ietf-opsawg-pcap), in either byte order, with microseconds or nanoseconds.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+   -.
 *   |       Magic number: byte order and unit of the fraction       |    |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+    |
 *   |       Major version: 2        |       Minor version: 4        |    | file
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+    | header,
 *   |                      8 bytes reserved                         |    | once
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+    |
 *   |                         Snap length                           |    |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+    |
 *   |  FCS  |               Link type                               |    |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+   -+
 *   |                       Time, seconds                           |    | record
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+    | header,
 *   |             Time, micro- or nanoseconds                       |    | before
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+    | each
 *   |                       Captured length                         |    | packet
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+    |
 *   |                       Original length                         |    |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+   -'
 *
 * Reading a file, in pieces and of either format: capture.ts. What is written here is little-endian.
 */
import { get32, getOrdered16, getOrderedU32, setLe16, setLe32 } from './bytes.js';

export const HEADER_BYTES = 24;
export const RECORD_BYTES = 16;

export const LINK_ETHERNET = 1;
/** Packets that start with their IPv4 or IPv6 header. */
export const LINK_RAW = 101;
/** The same by the numbers that BSD and OpenBSD wrote into files, and of one family only. */
export const LINK_RAW_BSD = 12;
export const LINK_RAW_OPENBSD = 14;
export const LINK_IPV4 = 228;
export const LINK_IPV6 = 229;
/** Linux cooked captures: what `tcpdump -i any` writes. */
export const LINK_SLL = 113;
export const LINK_SLL2 = 276;

// The magic numbers as they read big-endian
const MICRO_BIG = 0xa1b2c3d4 | 0;
const MICRO_LITTLE = 0xd4c3b2a1 | 0;
const NANO_BIG = 0xa1b23c4d | 0;
const NANO_LITTLE = 0x4d3cb2a1 | 0;
const LINK_TYPE_MASK = 0x0fff_ffff;

export const VERSION_OFF = 4;
export const SNAP_LENGTH_OFF = 16;
export const LINK_TYPE_OFF = 20;

export const RECORD_SECONDS_OFF = 0;
export const RECORD_FRACTION_OFF = 4;
export const RECORD_CAPTURED_OFF = 8;
export const RECORD_ORIGINAL_OFF = 12;

/** The file header fits, its magic number is known and its version is 2. */
export function check(bytes: Uint8Array, at: number, end: number): boolean {
  return (
    end - at >= HEADER_BYTES && isMagic(bytes, at) && getOrdered16(bytes, at + VERSION_OFF, isLittle(bytes, at)) === 2
  );
}

// Getters

/** The four bytes at `at` start a pcap file. */
export function isMagic(bytes: Uint8Array, at: number): boolean {
  return isLittle(bytes, at) || get32(bytes, at) === MICRO_BIG || get32(bytes, at) === NANO_BIG;
}

export function isLittle(bytes: Uint8Array, at: number): boolean {
  return get32(bytes, at) === MICRO_LITTLE || get32(bytes, at) === NANO_LITTLE;
}

/** The fraction counts nanoseconds rather than microseconds. */
export function isNano(bytes: Uint8Array, at: number): boolean {
  return get32(bytes, at) === NANO_LITTLE || get32(bytes, at) === NANO_BIG;
}

export function snapLength(bytes: Uint8Array, at: number, little: boolean): number {
  return getOrderedU32(bytes, at + SNAP_LENGTH_OFF, little);
}

export function linkType(bytes: Uint8Array, at: number, little: boolean): number {
  return getOrderedU32(bytes, at + LINK_TYPE_OFF, little) & LINK_TYPE_MASK;
}

export function recordSeconds(bytes: Uint8Array, at: number, little: boolean): number {
  return getOrderedU32(bytes, at + RECORD_SECONDS_OFF, little);
}

export function recordFraction(bytes: Uint8Array, at: number, little: boolean): number {
  return getOrderedU32(bytes, at + RECORD_FRACTION_OFF, little);
}

export function recordCaptured(bytes: Uint8Array, at: number, little: boolean): number {
  return getOrderedU32(bytes, at + RECORD_CAPTURED_OFF, little);
}

export function recordOriginal(bytes: Uint8Array, at: number, little: boolean): number {
  return getOrderedU32(bytes, at + RECORD_ORIGINAL_OFF, little);
}

// Writing; each returns the position behind what it wrote

/** The header of a file with nanoseconds, or microseconds when told so. */
export function write(bytes: Uint8Array, at: number, linkType: number, snapLength: number, isNano = true): number {
  setLe32(bytes, at, isNano ? NANO_BIG : MICRO_BIG);
  setLe16(bytes, at + VERSION_OFF, 2);
  setLe16(bytes, at + VERSION_OFF + 2, 4);
  setLe32(bytes, at + 8, 0);
  setLe32(bytes, at + 12, 0);
  setLe32(bytes, at + SNAP_LENGTH_OFF, snapLength);
  setLe32(bytes, at + LINK_TYPE_OFF, linkType);
  return at + HEADER_BYTES;
}

/** The header of a record; its `captured` bytes of packet belong at the position that comes back. The fraction is in the file's unit. */
export function writeRecord(
  bytes: Uint8Array,
  at: number,
  seconds: number,
  fraction: number,
  captured: number,
  original: number,
): number {
  setLe32(bytes, at + RECORD_SECONDS_OFF, seconds);
  setLe32(bytes, at + RECORD_FRACTION_OFF, fraction);
  setLe32(bytes, at + RECORD_CAPTURED_OFF, captured);
  setLe32(bytes, at + RECORD_ORIGINAL_OFF, original);
  return at + RECORD_BYTES;
}
