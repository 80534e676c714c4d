/*
 * VXLAN header (RFC 7348 section 5), with the Generic Protocol Extension (draft-ietf-nvo3-vxlan-gpe) and group policy
 * (draft-smith-vxlan-group-policy).
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |R|R|R|R|I|R|R|R|                    Reserved                   |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |       VXLAN network identifier (VNI)          |   Reserved    |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *
 *   the first word of GPE, and of group policy:
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |R|R|Ver|I|P|B|O|       Reserved                | Next protocol |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |G|R|R|R|I|R|R|R|R|D|R|R|A|R|R|R|        Group policy id        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
import { get16, get24, set16, set24 } from './bytes.js';

export const HEADER_BYTES = 8;
/** Assigned by IANA. */
export const PORT = 4789;
/** What Linux took before the assignment, and what flannel and others still use. */
export const PORT_LINUX = 8472;
/** Of GPE, assigned by IANA. */
export const PORT_GPE = 4790;
export const VNI_MAX = 0xff_ffff;
export const GROUP_MAX = 0xffff;

/** The I flag: the VNI is valid. */
export const FLAG_VNI = 0x08;

/** GPE, P: the next protocol is valid; without it the payload is Ethernet. */
export const FLAG_NEXT_PROTOCOL = 0x04;
/** GPE, B: the ingress sends the frame to several peers. */
export const FLAG_BUM = 0x02;
/** GPE, O: operations and maintenance, whose payload is not forwarded. */
export const FLAG_OAM = 0x01;
/** GPE, 0 is the only one. */
export const VERSION_MASK = 0x30;

export const NEXT_IPV4 = 1;
export const NEXT_IPV6 = 2;
export const NEXT_ETHERNET = 3;

/** Group policy, G: the group policy id is valid. */
export const FLAG_GROUP = 0x80;
/** Group policy, in the second byte, D: the egress must not learn the sender's address. */
export const GROUP_DONT_LEARN = 0x40;
/** Group policy, in the second byte, A: policy was applied already. */
export const GROUP_APPLIED = 0x08;

export const FLAGS_OFF = 0;
export const RESERVED_OFF = 1;
export const GROUP_FLAGS_OFF = 1;
export const GROUP_OFF = 2;
export const NEXT_PROTOCOL_OFF = 3;
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

// Getters of GPE

/** Of another version the rest of the header means something else. */
export function version(bytes: Uint8Array, at: number): number {
  return (bytes[at + FLAGS_OFF] & VERSION_MASK) >>> 4;
}

export function isOam(bytes: Uint8Array, at: number): boolean {
  return (bytes[at + FLAGS_OFF] & FLAG_OAM) !== 0;
}

/** NEXT_ETHERNET without the P flag, as in a header of RFC 7348. */
export function nextProtocol(bytes: Uint8Array, at: number): number {
  return (bytes[at + FLAGS_OFF] & FLAG_NEXT_PROTOCOL) === 0 ? NEXT_ETHERNET : bytes[at + NEXT_PROTOCOL_OFF];
}

// Getters of group policy

/** -1 without the G flag. */
export function group(bytes: Uint8Array, at: number): number {
  return (bytes[at + FLAGS_OFF] & FLAG_GROUP) === 0 ? -1 : get16(bytes, at + GROUP_OFF);
}

export function dontLearn(bytes: Uint8Array, at: number): boolean {
  return (bytes[at + GROUP_FLAGS_OFF] & GROUP_DONT_LEARN) !== 0;
}

export function policyApplied(bytes: Uint8Array, at: number): boolean {
  return (bytes[at + GROUP_FLAGS_OFF] & GROUP_APPLIED) !== 0;
}

export function payloadAt(at: number): number {
  return at + HEADER_BYTES;
}

// Setters

export function setVni(bytes: Uint8Array, at: number, value: number): void {
  set24(bytes, at + VNI_OFF, value);
}

/** Makes a header that was written by `write` one of GPE. */
export function setNextProtocol(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + FLAGS_OFF] |= FLAG_NEXT_PROTOCOL;
  bytes[at + NEXT_PROTOCOL_OFF] = value;
}

/** Makes a header that was written by `write` one of group policy; `flags` is GROUP_DONT_LEARN, GROUP_APPLIED, both or 0. */
export function setGroup(bytes: Uint8Array, at: number, value: number, flags: number): void {
  bytes[at + FLAGS_OFF] |= FLAG_GROUP;
  bytes[at + GROUP_FLAGS_OFF] = flags;
  set16(bytes, at + GROUP_OFF, value);
}

export function write(bytes: Uint8Array, at: number, vni: number): void {
  bytes[at + FLAGS_OFF] = FLAG_VNI;
  set24(bytes, at + RESERVED_OFF, 0);
  setVni(bytes, at, vni);
  bytes[at + RESERVED2_OFF] = 0;
}
