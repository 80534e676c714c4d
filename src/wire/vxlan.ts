/*
 * VXLAN header (RFC 7348 section 5).
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |R|R|R|R|I|R|R|R|                    Reserved                   |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |       VXLAN network identifier (VNI)          |   Reserved    |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
import { get24, set24 } from './bytes.js';

export const HEADER_BYTES = 8;
/** Assigned by IANA. */
export const PORT = 4789;
/** What Linux took before the assignment, and what flannel and others still use. */
export const PORT_LINUX = 8472;
export const VNI_MAX = 0xff_ffff;

/** The I flag: the VNI is valid. */
export const FLAG_VNI = 0x08;

export const FLAGS_OFF = 0;
export const RESERVED_OFF = 1;
export const VNI_OFF = 4;
export const RESERVED2_OFF = 7;

/** The header fits. Whether it names a network: see `hasVni`. */
export function check(_bytes: Uint8Array, at: number, end: number): boolean {
  return end - at >= HEADER_BYTES;
}

// Getters

export function flags(bytes: Uint8Array, at: number): number {
  return bytes[at + FLAGS_OFF];
}

/** The I flag is set, without which a packet is not VXLAN's. All other bits are reserved and ignored on receipt. */
export function hasVni(bytes: Uint8Array, at: number): boolean {
  return (bytes[at + FLAGS_OFF] & FLAG_VNI) !== 0;
}

export function vni(bytes: Uint8Array, at: number): number {
  return get24(bytes, at + VNI_OFF);
}

/** Both reserved fields and the reserved flags are zero, as senders must leave them. */
export function reservedAreZero(bytes: Uint8Array, at: number): boolean {
  return (bytes[at] & ~FLAG_VNI) === 0 && get24(bytes, at + RESERVED_OFF) === 0 && bytes[at + RESERVED2_OFF] === 0;
}

export function payloadAt(at: number): number {
  return at + HEADER_BYTES;
}

// Setters

export function setVni(bytes: Uint8Array, at: number, value: number): void {
  set24(bytes, at + VNI_OFF, value);
}

export function write(bytes: Uint8Array, at: number, vni: number): void {
  bytes[at + FLAGS_OFF] = FLAG_VNI;
  set24(bytes, at + RESERVED_OFF, 0);
  setVni(bytes, at, vni);
  bytes[at + RESERVED2_OFF] = 0;
}
