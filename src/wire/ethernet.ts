/*
 * Ethernet II frames and VLAN tags (IEEE 802.3, 802.1Q).
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                   Destination MAC address                     |
 *   +                               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                               |                               |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+                               +
 *   |                     Source MAC address                        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |           EtherType           |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *
 *   and between source and EtherType, any number of times (0x8100 a C-tag, 0x88a8 an S-tag):
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |        0x8100 / 0x88a8        | PCP |D|        VLAN ID        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
import { copy, equal, get16, get32, set16, set32 } from './bytes.js';

export const HEADER_BYTES = 14;
export const MAC_BYTES = 6;
export const TAG_BYTES = 4;
/** Tags that `l3At` walks over. A frame with more is still a frame: it is carried, but not looked into. */
export const TAGS_MAX = 2;

export const TYPE_IPV4 = 0x0800;
export const TYPE_ARP = 0x0806;
export const TYPE_VLAN = 0x8100;
export const TYPE_IPV6 = 0x86dd;
/** Provider bridging, IEEE 802.1ad. */
export const TYPE_QINQ = 0x88a8;
/** Smaller values of the field are the length of an IEEE 802.3 frame. */
export const TYPE_MIN = 0x0600;

export const DST_OFF = 0;
export const SRC_OFF = 6;
export const TYPE_OFF = 12;

const TAG_CONTROL_OFF = 2;

/** The header fits. Tags are not looked at: see `l3At`. */
export function check(_bytes: Uint8Array, at: number, end: number): boolean {
  return end - at >= HEADER_BYTES;
}

// Getters. A MAC address is read as two numbers: `high`, its first two bytes, and `low`, the other four, signed.

export function dstHigh(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + DST_OFF);
}

export function dstLow(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + DST_OFF + 2);
}

export function srcHigh(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + SRC_OFF);
}

export function srcLow(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + SRC_OFF + 2);
}

/** The first EtherType: that of a tag, where there is one. */
export function type(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + TYPE_OFF);
}

export function isTagType(etherType: number): boolean {
  return etherType === TYPE_VLAN || etherType === TYPE_QINQ;
}

/** Position behind the EtherType that follows the tags; -1 when a tag is cut off or there are more than TAGS_MAX. */
export function l3At(bytes: Uint8Array, at: number, end: number): number {
  let typeAt = at + TYPE_OFF;
  for (let tags = 0; isTagType(get16(bytes, typeAt)); tags++) {
    typeAt += TAG_BYTES;
    if (tags === TAGS_MAX || typeAt + 2 > end) return -1;
  }
  return typeAt + 2;
}

/** EtherType of what starts at `l3`, a position that `l3At` gave. */
export function l3Type(bytes: Uint8Array, l3: number): number {
  return get16(bytes, l3 - 2);
}

/** VLAN ID of the tag whose EtherType lies at `tagAt`; the first tag lies at `at + TYPE_OFF`. */
export function vlanId(bytes: Uint8Array, tagAt: number): number {
  return get16(bytes, tagAt + TAG_CONTROL_OFF) & 0x0fff;
}

export function vlanPriority(bytes: Uint8Array, tagAt: number): number {
  return bytes[tagAt + TAG_CONTROL_OFF] >>> 5;
}

export function vlanDropEligible(bytes: Uint8Array, tagAt: number): boolean {
  return (bytes[tagAt + TAG_CONTROL_OFF] & 0x10) !== 0;
}

// What a MAC address says of itself; `macAt` is the position of the address

/** Multicast and broadcast. Never right as a source. */
export function isGroup(bytes: Uint8Array, macAt: number): boolean {
  return (bytes[macAt] & 1) !== 0;
}

export function isBroadcast(bytes: Uint8Array, macAt: number): boolean {
  return get16(bytes, macAt) === 0xffff && get32(bytes, macAt + 2) === -1;
}

export function isZero(bytes: Uint8Array, macAt: number): boolean {
  return get16(bytes, macAt) === 0 && get32(bytes, macAt + 2) === 0;
}

/** 01:80:c2:00:00:00 to 0f, which no customer bridge forwards (IEEE 802.1Q table 8-1): STP, pause, LACP, 802.1X, LLDP. */
export function isLinkLocalControl(bytes: Uint8Array, macAt: number): boolean {
  return get16(bytes, macAt) === 0x0180 && (get32(bytes, macAt + 2) & ~0x0f) === (0xc2000000 | 0);
}

export function macEqual(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): boolean {
  return equal(a, aAt, b, bAt, MAC_BYTES);
}

// Setters

/** Writes a MAC address given as two numbers. */
export function setMac(bytes: Uint8Array, macAt: number, high: number, low: number): void {
  set16(bytes, macAt, high);
  set32(bytes, macAt + 2, low);
}

export function setDst(bytes: Uint8Array, at: number, mac: Uint8Array, macAt: number): void {
  copy(bytes, at + DST_OFF, mac, macAt, MAC_BYTES);
}

export function setSrc(bytes: Uint8Array, at: number, mac: Uint8Array, macAt: number): void {
  copy(bytes, at + SRC_OFF, mac, macAt, MAC_BYTES);
}

export function setType(bytes: Uint8Array, at: number, etherType: number): void {
  set16(bytes, at + TYPE_OFF, etherType);
}

/** Writes a whole tag; `etherType` is TYPE_VLAN or TYPE_QINQ. */
export function writeTag(bytes: Uint8Array, tagAt: number, etherType: number, priority: number, vlan: number): void {
  set16(bytes, tagAt, etherType);
  set16(bytes, tagAt + TAG_CONTROL_OFF, (priority << 13) | (vlan & 0x0fff));
}

export function write(
  bytes: Uint8Array,
  at: number,
  dst: Uint8Array,
  dstAt: number,
  src: Uint8Array,
  srcAt: number,
  etherType: number,
): void {
  setDst(bytes, at, dst, dstAt);
  setSrc(bytes, at, src, srcAt);
  setType(bytes, at, etherType);
}

// Text

const MAC_TEXT = /^[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$/i;

/** Six bytes of `02:00:5e:10:00:01` or `02-00-5E-10-00-01`; null for anything else. */
export function macFromText(text: string): Uint8Array | null {
  if (!MAC_TEXT.test(text)) return null;
  const mac = new Uint8Array(MAC_BYTES);
  for (let i = 0; i < MAC_BYTES; i++) mac[i] = Number.parseInt(text.slice(i * 3, i * 3 + 2), 16);
  return mac;
}

/** Lower case with colons, as iproute2 prints it. */
export function macToText(bytes: Uint8Array, macAt: number): string {
  let text = '';
  for (let i = 0; i < MAC_BYTES; i++) text += (i === 0 ? '' : ':') + bytes[macAt + i].toString(16).padStart(2, '0');
  return text;
}

/** A MAC in text as two little-endian words, bytes 0-3 and 4-5, as tables keep it; null for what is not one. */
export function macWords(text: string): [lo: number, hi: number] | null {
  const mac = macFromText(text);
  if (mac === null) return null;
  return [mac[0] | (mac[1] << 8) | (mac[2] << 16) | (mac[3] << 24), mac[4] | (mac[5] << 8)];
}
