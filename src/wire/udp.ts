/*
 * UDP header (RFC 768).
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |          Source port          |       Destination port        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |            Length             |           Checksum            |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
import { get16, set16 } from './bytes.js';

export const HEADER_BYTES = 8;
/** In the checksum field: the sender computed none. */
export const NO_CHECKSUM = 0;

export const SRC_PORT_OFF = 0;
export const DST_PORT_OFF = 2;
export const LENGTH_OFF = 4;
export const CHECKSUM_OFF = 6;

/** The header fits and its length agrees with `end`. Not for a first fragment, which is shorter than its length field says. */
export function check(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at < HEADER_BYTES) return false;
  const len = length(bytes, at);
  return len >= HEADER_BYTES && len <= end - at;
}

// Getters

export function srcPort(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + SRC_PORT_OFF);
}

export function dstPort(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + DST_PORT_OFF);
}

/** Of header and payload together. */
export function length(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + LENGTH_OFF);
}

export function checksum(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + CHECKSUM_OFF);
}

export function payloadAt(at: number): number {
  return at + HEADER_BYTES;
}

/** Position behind the datagram. */
export function endAt(bytes: Uint8Array, at: number): number {
  return at + length(bytes, at);
}

// Setters

export function setSrcPort(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + SRC_PORT_OFF, value);
}

export function setDstPort(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + DST_PORT_OFF, value);
}

export function setLength(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + LENGTH_OFF, value);
}

export function setChecksum(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + CHECKSUM_OFF, value);
}

/** A whole header; the checksum is the caller's, for it covers the payload: `Checksum.finishUdp`, or NO_CHECKSUM. */
export function write(
  bytes: Uint8Array,
  at: number,
  srcPort: number,
  dstPort: number,
  length: number,
  checksum: number,
): void {
  setSrcPort(bytes, at, srcPort);
  setDstPort(bytes, at, dstPort);
  setLength(bytes, at, length);
  setChecksum(bytes, at, checksum);
}
