/*
 * IPv6 header and extension headers (RFC 8200).
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |Version| Traffic class |              Flow label               |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |         Payload length        |  Next header  |   Hop limit   |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                  Source address, 16 bytes                     |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                Destination address, 16 bytes                  |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *
 *   an extension header (the fragment header counts as one of 8 bytes):
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |  Next header  | Length/8 - 1  |              ...              |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |  Next header  |       0       |   Fragment offset       |0 0|M|
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                         Identification                        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
import { copy, get16, get32, set16, set32 } from './bytes.js';

export const HEADER_BYTES = 40;
export const FRAGMENT_BYTES = 8;
export const ADDRESS_BYTES = 16;
/** Extension headers that `upper` walks over; real packets carry one or two. */
export const EXTENSIONS_MAX = 8;

export const NEXT_HOP_BY_HOP = 0;
/** IPv4 in IP (RFC 2473). */
export const NEXT_IPV4 = 4;
export const NEXT_TCP = 6;
export const NEXT_UDP = 17;
/** IPv6 in IP (RFC 2473). */
export const NEXT_IPV6 = 41;
export const NEXT_ROUTING = 43;
export const NEXT_FRAGMENT = 44;
export const NEXT_GRE = 47;
export const NEXT_ESP = 50;
export const NEXT_AUTHENTICATION = 51;
export const NEXT_ICMPV6 = 58;
export const NEXT_NONE = 59;
export const NEXT_DESTINATION = 60;
export const NEXT_MOBILITY = 135;

/** From `upper`: the chain is cut off. */
export const TRUNCATED = -1;
/** From `upper`: the chain has more than EXTENSIONS_MAX headers. */
export const TOO_LONG = -2;

export const PAYLOAD_LENGTH_OFF = 4;
export const NEXT_HEADER_OFF = 6;
export const HOP_LIMIT_OFF = 7;
export const SRC_OFF = 8;
export const DST_OFF = 24;

// What `upper` returns: the protocol in bits 0-7, the offset in 8-23, and two flags.
const UPPER_OFF_SHIFT = 8;
const UPPER_OFF_MASK = 0xffff;
const UPPER_FRAGMENT = 1 << 24;
const UPPER_LATER_FRAGMENT = 1 << 25;

/** The header fits, and the payload length agrees with `end`. Jumbograms (RFC 2675) pass as packets without payload. */
export function check(bytes: Uint8Array, at: number, end: number): boolean {
  return end - at >= HEADER_BYTES && bytes[at] >>> 4 === 6 && payloadLength(bytes, at) <= end - at - HEADER_BYTES;
}

// Getters. The addresses are read where they lie, at SRC_OFF and DST_OFF.

/** DSCP and ECN together, the same byte as the IPv4 TOS. */
export function trafficClass(bytes: Uint8Array, at: number): number {
  return (get16(bytes, at) >>> 4) & 0xff;
}

export function dscp(bytes: Uint8Array, at: number): number {
  return trafficClass(bytes, at) >>> 2;
}

export function ecn(bytes: Uint8Array, at: number): number {
  return trafficClass(bytes, at) & 3;
}

export function flowLabel(bytes: Uint8Array, at: number): number {
  return get32(bytes, at) & 0xf_ffff;
}

/** Of everything behind the 40 bytes of the header, extension headers included. */
export function payloadLength(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + PAYLOAD_LENGTH_OFF);
}

export function nextHeader(bytes: Uint8Array, at: number): number {
  return bytes[at + NEXT_HEADER_OFF];
}

export function hopLimit(bytes: Uint8Array, at: number): number {
  return bytes[at + HOP_LIMIT_OFF];
}

/** Position behind the packet; an Ethernet frame may go on with padding. */
export function endAt(bytes: Uint8Array, at: number): number {
  return at + HEADER_BYTES + payloadLength(bytes, at);
}

export function isMulticast(bytes: Uint8Array, addressAt: number): boolean {
  return bytes[addressAt] === 0xff;
}

// The extension header chain

/**
 * Walks to the upper-layer header. The result, when not TRUNCATED or TOO_LONG, is read with `upperProtocol`, `upperOff`,
 * `isFragment` and `isLaterFragment`; of a later fragment it names the first byte behind the fragment header.
 * Encrypted payload, "no next header" and unknown protocols end the chain as upper layers do.
 */
export function upper(bytes: Uint8Array, at: number, end: number): number {
  let next = nextHeader(bytes, at);
  let off = HEADER_BYTES;
  let fragment = 0;
  for (let extensions = 0; isExtension(next); extensions++) {
    const headerAt = at + off;
    if (extensions === EXTENSIONS_MAX) return TOO_LONG;
    if (end - headerAt < 8) return TRUNCATED;
    const len = extensionBytes(bytes, headerAt, next);
    if (len > end - headerAt) return TRUNCATED;
    off += len;
    if (next === NEXT_FRAGMENT) {
      fragment = UPPER_FRAGMENT;
      if (fragmentOffsetBytes(bytes, headerAt) !== 0) fragment |= UPPER_LATER_FRAGMENT;
    }
    next = bytes[headerAt];
    if ((fragment & UPPER_LATER_FRAGMENT) !== 0) break;
  }
  return fragment | (off << UPPER_OFF_SHIFT) | next;
}

export function upperProtocol(upper: number): number {
  return upper & 0xff;
}

/** Offset of the upper-layer header from the start of the IPv6 header. */
export function upperOff(upper: number): number {
  return (upper >>> UPPER_OFF_SHIFT) & UPPER_OFF_MASK;
}

/** The packet has a fragment header (also of an atomic fragment, RFC 6946). */
export function isFragment(upper: number): boolean {
  return (upper & UPPER_FRAGMENT) !== 0;
}

/** A fragment that has no upper-layer header. */
export function isLaterFragment(upper: number): boolean {
  return (upper & UPPER_LATER_FRAGMENT) !== 0;
}

function isExtension(next: number): boolean {
  switch (next) {
    case NEXT_HOP_BY_HOP:
    case NEXT_ROUTING:
    case NEXT_FRAGMENT:
    case NEXT_AUTHENTICATION:
    case NEXT_DESTINATION:
    case NEXT_MOBILITY:
      return true;
    default:
      return false;
  }
}

function extensionBytes(bytes: Uint8Array, headerAt: number, next: number): number {
  if (next === NEXT_FRAGMENT) return FRAGMENT_BYTES;
  // RFC 4302 counts words of 4 bytes, less 2.
  if (next === NEXT_AUTHENTICATION) return (bytes[headerAt + 1] + 2) << 2;
  return (bytes[headerAt + 1] + 1) << 3;
}

// The fragment header at `headerAt`

export function fragmentOffsetBytes(bytes: Uint8Array, headerAt: number): number {
  return get16(bytes, headerAt + 2) & 0xfff8;
}

export function moreFragments(bytes: Uint8Array, headerAt: number): boolean {
  return (bytes[headerAt + 3] & 1) !== 0;
}

export function fragmentIdentification(bytes: Uint8Array, headerAt: number): number {
  return get32(bytes, headerAt + 4);
}

// Setters

export function setTrafficClass(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = 0x60 | ((value >>> 4) & 0x0f);
  bytes[at + 1] = ((value & 0x0f) << 4) | (bytes[at + 1] & 0x0f);
}

export function setPayloadLength(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + PAYLOAD_LENGTH_OFF, value);
}

export function setHopLimit(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + HOP_LIMIT_OFF] = value;
}

export function setSrc(bytes: Uint8Array, at: number, address: Uint8Array, addressAt: number): void {
  copy(bytes, at + SRC_OFF, address, addressAt, ADDRESS_BYTES);
}

export function setDst(bytes: Uint8Array, at: number, address: Uint8Array, addressAt: number): void {
  copy(bytes, at + DST_OFF, address, addressAt, ADDRESS_BYTES);
}

/** A fragment header; `next` is what the header before it named, the offset a multiple of 8. */
export function writeFragment(
  bytes: Uint8Array,
  headerAt: number,
  next: number,
  offsetBytes: number,
  more: boolean,
  identification: number,
): void {
  bytes[headerAt] = next;
  bytes[headerAt + 1] = 0;
  set16(bytes, headerAt + 2, (offsetBytes & 0xfff8) | (more ? 1 : 0));
  set32(bytes, headerAt + 4, identification);
}

/** Everything but the addresses: `setSrc` and `setDst` complete the header. */
export function write(
  bytes: Uint8Array,
  at: number,
  trafficClass: number,
  flowLabel: number,
  payloadLength: number,
  nextHeader: number,
  hopLimit: number,
): void {
  set32(bytes, at, 0x6000_0000 | ((trafficClass & 0xff) << 20) | (flowLabel & 0xf_ffff));
  setPayloadLength(bytes, at, payloadLength);
  bytes[at + NEXT_HEADER_OFF] = nextHeader;
  setHopLimit(bytes, at, hopLimit);
}
