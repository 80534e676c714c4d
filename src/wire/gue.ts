/*
 * Generic UDP Encapsulation (draft-ietf-intarea-gue-09).
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   | 0 |C|   Hlen  |  Proto/ctype  |             Flags             |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |             Extension fields, Hlen times 4 bytes              |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *
 * Variant 1 has no header at all: its two bits are the first of an IPv4 or IPv6 header (0100 and 0110).
 */
import { get16, set16 } from './bytes.js';

/** Without extension fields. */
export const HEADER_BYTES = 4;
/** Assigned by IANA. */
export const PORT = 6080;

/** A GUE header. */
export const VARIANT_HEADER = 0;
/** An IP packet without a GUE header. */
export const VARIANT_IP = 1;

/** C: a control message, and the protocol field is its type. */
export const FLAG_CONTROL = 0x20;

export const PROTOCOL_IPV4 = 4;
export const PROTOCOL_IPV6 = 41;

export const VARIANT_OFF = 0;
export const PROTOCOL_OFF = 1;
export const FLAGS_OFF = 2;

/** A header (variant 0) that fits. */
export function check(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at < HEADER_BYTES || variant(bytes, at) !== VARIANT_HEADER) return false;
  return headerBytes(bytes, at) <= end - at;
}

// Getters

export function variant(bytes: Uint8Array, at: number): number {
  return bytes[at + VARIANT_OFF] >>> 6;
}

export function isControl(bytes: Uint8Array, at: number): boolean {
  return (bytes[at + VARIANT_OFF] & FLAG_CONTROL) !== 0;
}

/** With extension fields. */
export function headerBytes(bytes: Uint8Array, at: number): number {
  return HEADER_BYTES + ((bytes[at + VARIANT_OFF] & 0x1f) << 2);
}

/** IP protocol number of the payload; of a control message its type. */
export function protocol(bytes: Uint8Array, at: number): number {
  return bytes[at + PROTOCOL_OFF];
}

/** Which extension fields there are. A packet with a flag that is not known must be dropped. */
export function flags(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + FLAGS_OFF);
}

export function payloadAt(bytes: Uint8Array, at: number): number {
  return at + headerBytes(bytes, at);
}

// Setters

export function setProtocol(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + PROTOCOL_OFF] = value;
}

/** A header without extension fields. */
export function write(bytes: Uint8Array, at: number, protocol: number): void {
  bytes[at + VARIANT_OFF] = VARIANT_HEADER << 6;
  setProtocol(bytes, at, protocol);
  set16(bytes, at + FLAGS_OFF, 0);
}
