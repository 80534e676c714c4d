/*
 * Geneve header and options (RFC 8926 sections 3.4 and 3.5).
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |Ver|  Opt Len  |O|C|    Rsvd.  |          Protocol type        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |        Virtual network identifier (VNI)       |    Reserved   |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *
 *   an option; the first bit of its type says that it is critical:
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |          Option class         |C    Type      |R|R|R|  Length |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                Data, Length times 4 bytes                     |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
import { copy, get16, get24, set16, set24 } from './bytes.js';

/** Without options. */
export const HEADER_BYTES = 8;
export const OPTION_HEADER_BYTES = 4;
/** All options together: six bits that count words. */
export const OPTIONS_BYTES_MAX = 252;
/** Data of one option: five bits that count words. */
export const OPTION_DATA_MAX = 124;
/** Assigned by IANA. */
export const PORT = 6081;
export const VNI_MAX = 0xff_ffff;
export const VERSION = 0;

/** O: a control packet, whose payload is not forwarded. */
export const FLAG_CONTROL = 0x80;
/** C: there are critical options. Linux leaves it clear when there are, Open vSwitch sets it: go by the types. */
export const FLAG_CRITICAL = 0x40;
/** In an option's type: who does not understand it must drop the packet. */
export const TYPE_CRITICAL = 0x80;

/** Transparent Ethernet Bridging; other values are EtherTypes. */
export const PROTOCOL_ETHERNET = 0x6558;
export const PROTOCOL_IPV4 = 0x0800;
export const PROTOCOL_IPV6 = 0x86dd;

/** Open Virtual Network: one word, a reserved bit, ingress port (15 bits), egress port (16 bits). */
export const CLASS_OVN = 0x0102;
export const TYPE_OVN = 0x80;
/** Cilium's address of the service that a packet was for. */
export const CLASS_CILIUM = 0x014b;
export const TYPE_CILIUM = 0x81;

export const VERSION_OFF = 0;
export const FLAGS_OFF = 1;
export const PROTOCOL_OFF = 2;
export const VNI_OFF = 4;
export const RESERVED_OFF = 7;

export const OPTION_CLASS_OFF = 0;
export const OPTION_TYPE_OFF = 2;
export const OPTION_LENGTH_OFF = 3;

/** The version is 0, the header with its options fits, and the options fill their space exactly. */
export function check(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at < HEADER_BYTES || version(bytes, at) !== VERSION) return false;
  const optionsEnd = payloadAt(bytes, at);
  if (optionsEnd > end) return false;
  let option = optionsAt(at);
  while (option + OPTION_HEADER_BYTES <= optionsEnd) option = nextOption(bytes, option);
  return option === optionsEnd;
}

// Getters

export function version(bytes: Uint8Array, at: number): number {
  return bytes[at + VERSION_OFF] >>> 6;
}

/** Of all options together. */
export function optionsBytes(bytes: Uint8Array, at: number): number {
  return (bytes[at + VERSION_OFF] & 0x3f) << 2;
}

export function isControl(bytes: Uint8Array, at: number): boolean {
  return (bytes[at + FLAGS_OFF] & FLAG_CONTROL) !== 0;
}

/** What the header says; the options say it themselves, see `optionIsCritical`. */
export function hasCriticalFlag(bytes: Uint8Array, at: number): boolean {
  return (bytes[at + FLAGS_OFF] & FLAG_CRITICAL) !== 0;
}

export function protocol(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + PROTOCOL_OFF);
}

export function vni(bytes: Uint8Array, at: number): number {
  return get24(bytes, at + VNI_OFF);
}

/** Position of the first option, or of the payload when there is none. */
export function optionsAt(at: number): number {
  return at + HEADER_BYTES;
}

export function payloadAt(bytes: Uint8Array, at: number): number {
  return at + HEADER_BYTES + optionsBytes(bytes, at);
}

// The option at `optionAt`; options go on to `payloadAt`

export function nextOption(bytes: Uint8Array, optionAt: number): number {
  return optionAt + OPTION_HEADER_BYTES + optionDataBytes(bytes, optionAt);
}

export function optionClass(bytes: Uint8Array, optionAt: number): number {
  return get16(bytes, optionAt + OPTION_CLASS_OFF);
}

/** With its critical bit. */
export function optionType(bytes: Uint8Array, optionAt: number): number {
  return bytes[optionAt + OPTION_TYPE_OFF];
}

export function optionIsCritical(bytes: Uint8Array, optionAt: number): boolean {
  return (bytes[optionAt + OPTION_TYPE_OFF] & TYPE_CRITICAL) !== 0;
}

export function optionDataBytes(bytes: Uint8Array, optionAt: number): number {
  return (bytes[optionAt + OPTION_LENGTH_OFF] & 0x1f) << 2;
}

export function optionDataAt(optionAt: number): number {
  return optionAt + OPTION_HEADER_BYTES;
}

// Setters

export function setVni(bytes: Uint8Array, at: number, value: number): void {
  set24(bytes, at + VNI_OFF, value);
}

export function setCriticalFlag(bytes: Uint8Array, at: number): void {
  bytes[at + FLAGS_OFF] |= FLAG_CRITICAL;
}

/** `data` is a multiple of four bytes, at most OPTION_DATA_MAX. The position behind the option. */
export function writeOption(
  bytes: Uint8Array,
  optionAt: number,
  optionClass: number,
  type: number,
  data: Uint8Array,
): number {
  set16(bytes, optionAt + OPTION_CLASS_OFF, optionClass);
  bytes[optionAt + OPTION_TYPE_OFF] = type;
  bytes[optionAt + OPTION_LENGTH_OFF] = data.length >>> 2;
  copy(bytes, optionDataAt(optionAt), data, 0, data.length);
  return nextOption(bytes, optionAt);
}

/** The header; `optionsBytes`, a multiple of four up to OPTIONS_BYTES_MAX, are left for `writeOption`. */
export function write(bytes: Uint8Array, at: number, optionsBytes: number, protocol: number, vni: number): void {
  bytes[at + VERSION_OFF] = (VERSION << 6) | (optionsBytes >>> 2);
  bytes[at + FLAGS_OFF] = 0;
  set16(bytes, at + PROTOCOL_OFF, protocol);
  setVni(bytes, at, vni);
  bytes[at + RESERVED_OFF] = 0;
}
