/*
 * ICMP for IPv4 (RFC 792, RFC 1191 for the next-hop MTU).
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |     Type      |     Code      |           Checksum            |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |   Identifier, echo / unused   |    Sequence / next-hop MTU    |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |      Data, or the IPv4 header and start of the packet         |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
import { get16, set16 } from './bytes.js';
import { finish, RIGHT, sum } from './checksum.js';

export const HEADER_BYTES = 8;

export const ECHO_REPLY = 0;
export const UNREACHABLE = 3;
export const REDIRECT = 5;
export const ECHO_REQUEST = 8;
export const TIME_EXCEEDED = 11;
export const PARAMETER_PROBLEM = 12;

/** Codes of UNREACHABLE. */
export const CODE_HOST = 1;
export const CODE_PORT = 3;
export const CODE_FRAGMENTATION_NEEDED = 4;

export const TYPE_OFF = 0;
export const CODE_OFF = 1;
export const CHECKSUM_OFF = 2;
export const IDENTIFIER_OFF = 4;
export const SEQUENCE_OFF = 6;
export const MTU_OFF = 6;

/** The header fits. */
export function check(_bytes: Uint8Array, at: number, end: number): boolean {
  return end - at >= HEADER_BYTES;
}

// Getters

export function type(bytes: Uint8Array, at: number): number {
  return bytes[at + TYPE_OFF];
}

export function code(bytes: Uint8Array, at: number): number {
  return bytes[at + CODE_OFF];
}

export function checksum(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + CHECKSUM_OFF);
}

export function identifier(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + IDENTIFIER_OFF);
}

export function sequence(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + SEQUENCE_OFF);
}

/** Of CODE_FRAGMENTATION_NEEDED; 0 from routers older than RFC 1191. */
export function mtu(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + MTU_OFF);
}

/** No error may be sent about a message that is one itself (RFC 1122 section 3.2.2). */
export function isError(bytes: Uint8Array, at: number): boolean {
  switch (bytes[at + TYPE_OFF]) {
    case UNREACHABLE:
    case REDIRECT:
    case TIME_EXCEEDED:
    case PARAMETER_PROBLEM:
    case 4: // source quench, deprecated by RFC 6633
      return true;
    default:
      return false;
  }
}

/** `len` is that of the whole message, header included. */
export function checksumIsRight(bytes: Uint8Array, at: number, len: number): boolean {
  return sum(bytes, at, len, 0) === RIGHT;
}

// Setters

export function setType(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + TYPE_OFF] = value;
}

export function setMtu(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + MTU_OFF, value);
}

/** Computes the checksum over `len` bytes of message and writes it. */
export function writeChecksum(bytes: Uint8Array, at: number, len: number): void {
  set16(bytes, at + CHECKSUM_OFF, 0);
  set16(bytes, at + CHECKSUM_OFF, finish(sum(bytes, at, len, 0)));
}

/** The header with its checksum as 0: `writeChecksum` completes it when the data is in place. */
export function write(
  bytes: Uint8Array,
  at: number,
  type: number,
  code: number,
  identifier: number,
  sequence: number,
): void {
  bytes[at + TYPE_OFF] = type;
  bytes[at + CODE_OFF] = code;
  set16(bytes, at + CHECKSUM_OFF, 0);
  set16(bytes, at + IDENTIFIER_OFF, identifier);
  set16(bytes, at + SEQUENCE_OFF, sequence);
}
