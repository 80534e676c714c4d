/*
 * IPv4 header (RFC 791, RFC 2474 for DSCP, RFC 3168 for ECN).
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |Version|  IHL  |    DSCP   |ECN|          Total length         |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |         Identification        |0|D|M|     Fragment offset     |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |  Time to live |    Protocol   |        Header checksum        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                         Source address                        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                      Destination address                      |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                Options, to a multiple of 4 bytes              |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
import { get16, get32, set16, set32 } from './bytes.js';
import { change16, finish, RIGHT, sum } from './checksum.js';

/** Without options. */
export const HEADER_BYTES = 20;
export const TOTAL_LENGTH_MAX = 65535;

export const PROTOCOL_ICMP = 1;
/** IPv4 in IP (RFC 2003). */
export const PROTOCOL_IPV4 = 4;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
/** IPv6 in IP (RFC 4213, RFC 2473). */
export const PROTOCOL_IPV6 = 41;
export const PROTOCOL_GRE = 47;

/** The fragment word: flags in its upper three bits, the offset in units of 8 bytes below. */
export const DONT_FRAGMENT = 0x4000;
export const MORE_FRAGMENTS = 0x2000;
const FRAGMENT_OFFSET_MASK = 0x1fff;

const VERSION_OFF = 0;
export const TOS_OFF = 1;
export const TOTAL_LENGTH_OFF = 2;
export const IDENTIFICATION_OFF = 4;
export const FRAGMENT_OFF = 6;
export const TTL_OFF = 8;
export const PROTOCOL_OFF = 9;
export const CHECKSUM_OFF = 10;
export const SRC_OFF = 12;
export const DST_OFF = 16;

/** Version, header length and total length agree with each other and with `end`. The checksum: see `checksumIsRight`. */
export function check(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at < HEADER_BYTES || bytes[at] >>> 4 !== 4) return false;
  const header = headerBytes(bytes, at);
  const total = totalLength(bytes, at);
  return header >= HEADER_BYTES && total >= header && total <= end - at;
}

// Getters

export function headerBytes(bytes: Uint8Array, at: number): number {
  return (bytes[at + VERSION_OFF] & 0x0f) << 2;
}

/** DSCP and ECN together. */
export function tos(bytes: Uint8Array, at: number): number {
  return bytes[at + TOS_OFF];
}

export function dscp(bytes: Uint8Array, at: number): number {
  return bytes[at + TOS_OFF] >>> 2;
}

export function ecn(bytes: Uint8Array, at: number): number {
  return bytes[at + TOS_OFF] & 3;
}

export function totalLength(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + TOTAL_LENGTH_OFF);
}

export function identification(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + IDENTIFICATION_OFF);
}

export function dontFragment(bytes: Uint8Array, at: number): boolean {
  return (get16(bytes, at + FRAGMENT_OFF) & DONT_FRAGMENT) !== 0;
}

export function moreFragments(bytes: Uint8Array, at: number): boolean {
  return (get16(bytes, at + FRAGMENT_OFF) & MORE_FRAGMENTS) !== 0;
}

export function fragmentOffsetBytes(bytes: Uint8Array, at: number): number {
  return (get16(bytes, at + FRAGMENT_OFF) & FRAGMENT_OFFSET_MASK) << 3;
}

/** First, middle or last fragment of a packet, rather than a whole packet. */
export function isFragment(bytes: Uint8Array, at: number): boolean {
  return (get16(bytes, at + FRAGMENT_OFF) & (MORE_FRAGMENTS | FRAGMENT_OFFSET_MASK)) !== 0;
}

/** A fragment that has no upper-layer header. */
export function isLaterFragment(bytes: Uint8Array, at: number): boolean {
  return (get16(bytes, at + FRAGMENT_OFF) & FRAGMENT_OFFSET_MASK) !== 0;
}

export function ttl(bytes: Uint8Array, at: number): number {
  return bytes[at + TTL_OFF];
}

export function protocol(bytes: Uint8Array, at: number): number {
  return bytes[at + PROTOCOL_OFF];
}

export function checksum(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + CHECKSUM_OFF);
}

/** Signed, as every IPv4 address word. */
export function src(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + SRC_OFF);
}

/** Signed, as every IPv4 address word. */
export function dst(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + DST_OFF);
}

/** Position behind the header and its options. */
export function payloadAt(bytes: Uint8Array, at: number): number {
  return at + headerBytes(bytes, at);
}

/** Position behind the packet; an Ethernet frame may go on with padding. */
export function endAt(bytes: Uint8Array, at: number): number {
  return at + totalLength(bytes, at);
}

export function checksumIsRight(bytes: Uint8Array, at: number): boolean {
  return sum(bytes, at, headerBytes(bytes, at), 0) === RIGHT;
}

export function isMulticast(address: number): boolean {
  return address >>> 28 === 0xe;
}

// Setters. `set...` leaves the checksum alone; `change...` keeps a right one right (RFC 1624).

export function setTos(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + TOS_OFF] = value;
}

export function setTotalLength(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + TOTAL_LENGTH_OFF, value);
}

export function setIdentification(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + IDENTIFICATION_OFF, value);
}

/** `flags` is DONT_FRAGMENT, MORE_FRAGMENTS or 0; the offset is a multiple of 8. */
export function setFragment(bytes: Uint8Array, at: number, flags: number, offsetBytes: number): void {
  set16(bytes, at + FRAGMENT_OFF, flags | (offsetBytes >>> 3));
}

export function setTtl(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + TTL_OFF] = value;
}

export function setProtocol(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + PROTOCOL_OFF] = value;
}

export function setChecksum(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + CHECKSUM_OFF, value);
}

export function setSrc(bytes: Uint8Array, at: number, address: number): void {
  set32(bytes, at + SRC_OFF, address);
}

export function setDst(bytes: Uint8Array, at: number, address: number): void {
  set32(bytes, at + DST_OFF, address);
}

export function changeTos(bytes: Uint8Array, at: number, value: number): void {
  change16(bytes, at + VERSION_OFF, (bytes[at + VERSION_OFF] << 8) | (value & 0xff), at + CHECKSUM_OFF);
}

export function changeTotalLength(bytes: Uint8Array, at: number, value: number): void {
  change16(bytes, at + TOTAL_LENGTH_OFF, value, at + CHECKSUM_OFF);
}

export function changeIdentification(bytes: Uint8Array, at: number, value: number): void {
  change16(bytes, at + IDENTIFICATION_OFF, value, at + CHECKSUM_OFF);
}

export function changeTtl(bytes: Uint8Array, at: number, value: number): void {
  change16(bytes, at + TTL_OFF, ((value & 0xff) << 8) | bytes[at + PROTOCOL_OFF], at + CHECKSUM_OFF);
}

/** Computes the header checksum and writes it. */
export function writeChecksum(bytes: Uint8Array, at: number): void {
  setChecksum(bytes, at, 0);
  setChecksum(bytes, at, finish(sum(bytes, at, headerBytes(bytes, at), 0)));
}

/** A whole header without options, unfragmented, checksum included; `flags` is DONT_FRAGMENT or 0. */
export function write(
  bytes: Uint8Array,
  at: number,
  tos: number,
  totalLength: number,
  identification: number,
  flags: number,
  ttl: number,
  protocol: number,
  src: number,
  dst: number,
): void {
  bytes[at + VERSION_OFF] = 0x45;
  setTos(bytes, at, tos);
  setTotalLength(bytes, at, totalLength);
  setIdentification(bytes, at, identification);
  setFragment(bytes, at, flags, 0);
  setTtl(bytes, at, ttl);
  setProtocol(bytes, at, protocol);
  setSrc(bytes, at, src);
  setDst(bytes, at, dst);
  writeChecksum(bytes, at);
}
