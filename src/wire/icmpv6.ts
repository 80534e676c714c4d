/*
 * ICMPv6 (RFC 4443) and the neighbour discovery messages (RFC 4861) that a switch looks into.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |     Type      |     Code      |           Checksum            |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |  Body: MTU / identifier and sequence / neighbour flags        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |  Data, or the packet in error, or the target, 16 bytes        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |  Options of neighbour discovery: type, length/8, content      |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
import { get16, get32, getU32, set16, set32 } from './bytes.js';
import { finish, pseudoIpv6, RIGHT, sum } from './checksum.js';

export const HEADER_BYTES = 8;
/** Neighbour solicitation or advertisement without options. */
export const NEIGHBOUR_BYTES = 24;
export const OPTIONS_MAX = 8;

export const UNREACHABLE = 1;
export const PACKET_TOO_BIG = 2;
export const TIME_EXCEEDED = 3;
export const PARAMETER_PROBLEM = 4;
export const ECHO_REQUEST = 128;
export const ECHO_REPLY = 129;
export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;
export const NEIGHBOUR_SOLICITATION = 135;
export const NEIGHBOUR_ADVERTISEMENT = 136;
export const REDIRECT = 137;

export const OPTION_SOURCE_LINK_LAYER = 1;
export const OPTION_TARGET_LINK_LAYER = 2;

/** Flags of an advertisement's body. */
export const FLAG_ROUTER = 0x8000_0000 | 0;
export const FLAG_SOLICITED = 0x4000_0000;
export const FLAG_OVERRIDE = 0x2000_0000;

const PROTOCOL = 58;

export const TYPE_OFF = 0;
export const CODE_OFF = 1;
export const CHECKSUM_OFF = 2;
export const BODY_OFF = 4;
export const TARGET_OFF = 8;
export const NEIGHBOUR_OPTIONS_OFF = 24;

/** The header fits; of neighbour solicitations and advertisements, the target too. */
export function check(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at < HEADER_BYTES) return false;
  return !isNeighbour(bytes, at) || end - at >= NEIGHBOUR_BYTES;
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

/** Signed: the flags of an advertisement. */
export function body(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + BODY_OFF);
}

/** Of PACKET_TOO_BIG; unsigned, for it is compared with limits. */
export function mtu(bytes: Uint8Array, at: number): number {
  return getU32(bytes, at + BODY_OFF);
}

export function identifier(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + BODY_OFF);
}

export function sequence(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + BODY_OFF + 2);
}

/** No error may be sent about a message that is one itself (RFC 4443 section 2.4). */
export function isError(bytes: Uint8Array, at: number): boolean {
  return bytes[at + TYPE_OFF] < 128 || bytes[at + TYPE_OFF] === REDIRECT;
}

export function isNeighbour(bytes: Uint8Array, at: number): boolean {
  return bytes[at + TYPE_OFF] === NEIGHBOUR_SOLICITATION || bytes[at + TYPE_OFF] === NEIGHBOUR_ADVERTISEMENT;
}

/** Position of the neighbour discovery option `option` between `optionsAt` and `end`; -1 when there is none that fits. */
export function optionAt(bytes: Uint8Array, optionsAt: number, end: number, option: number): number {
  let position = optionsAt;
  for (let i = 0; i < OPTIONS_MAX && end - position >= 8; i++) {
    const len = bytes[position + 1] << 3;
    if (len === 0 || len > end - position) return -1;
    if (bytes[position] === option) return position;
    position += len;
  }
  return -1;
}

/** `ipAt` is the IPv6 header, whose addresses the checksum covers; `len` is that of the whole message. */
export function checksumIsRight(bytes: Uint8Array, ipAt: number, at: number, len: number): boolean {
  return sum(bytes, at, len, pseudoIpv6(bytes, ipAt, PROTOCOL, len)) === RIGHT;
}

// Setters

export function setType(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + TYPE_OFF] = value;
}

/** Computes the checksum over the pseudo header and `len` bytes of message and writes it. */
export function writeChecksum(bytes: Uint8Array, ipAt: number, at: number, len: number): void {
  set16(bytes, at + CHECKSUM_OFF, 0);
  set16(bytes, at + CHECKSUM_OFF, finish(sum(bytes, at, len, pseudoIpv6(bytes, ipAt, PROTOCOL, len))));
}

/** The header with its checksum as 0: `writeChecksum` completes it when the data is in place. */
export function write(bytes: Uint8Array, at: number, type: number, code: number, body: number): void {
  bytes[at + TYPE_OFF] = type;
  bytes[at + CODE_OFF] = code;
  set16(bytes, at + CHECKSUM_OFF, 0);
  set32(bytes, at + BODY_OFF, body);
}
