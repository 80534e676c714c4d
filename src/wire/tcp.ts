/*
 * TCP header (RFC 9293).
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |          Source port          |       Destination port        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                        Sequence number                        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                    Acknowledgement number                     |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |  Data |       |C|E|U|A|P|R|S|F|                               |
 *   | offset| Rsrvd |W|C|R|C|S|S|Y|I|            Window             |
 *   |       |       |R|E|G|K|H|T|N|N|                               |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |           Checksum            |         Urgent pointer        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                Options, to a multiple of 4 bytes              |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
import { get16, get32, set16, set32 } from './bytes.js';

/** Without options. */
export const HEADER_BYTES = 20;
export const HEADER_BYTES_MAX = 60;

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;
export const ECE = 0x40;
export const CWR = 0x80;

export const SRC_PORT_OFF = 0;
export const DST_PORT_OFF = 2;
export const SEQUENCE_OFF = 4;
export const ACKNOWLEDGEMENT_OFF = 8;
export const DATA_OFFSET_OFF = 12;
export const FLAGS_OFF = 13;
export const WINDOW_OFF = 14;
export const CHECKSUM_OFF = 16;
export const URGENT_OFF = 18;

/** The header and its options fit. */
export function check(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at < HEADER_BYTES) return false;
  const header = headerBytes(bytes, at);
  return header >= HEADER_BYTES && header <= end - at;
}

// Getters

export function srcPort(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + SRC_PORT_OFF);
}

export function dstPort(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + DST_PORT_OFF);
}

/** Signed: add with `(sequence + len) | 0`, and what was added so compares equal. */
export function sequence(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + SEQUENCE_OFF);
}

/** Signed, as `sequence`. */
export function acknowledgement(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + ACKNOWLEDGEMENT_OFF);
}

export function headerBytes(bytes: Uint8Array, at: number): number {
  return (bytes[at + DATA_OFFSET_OFF] & 0xf0) >>> 2;
}

export function flags(bytes: Uint8Array, at: number): number {
  return bytes[at + FLAGS_OFF];
}

export function window(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + WINDOW_OFF);
}

export function checksum(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + CHECKSUM_OFF);
}

export function urgent(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + URGENT_OFF);
}

export function payloadAt(bytes: Uint8Array, at: number): number {
  return at + headerBytes(bytes, at);
}

// Setters

export function setSrcPort(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + SRC_PORT_OFF, value);
}

export function setDstPort(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + DST_PORT_OFF, value);
}

export function setSequence(bytes: Uint8Array, at: number, value: number): void {
  set32(bytes, at + SEQUENCE_OFF, value);
}

export function setAcknowledgement(bytes: Uint8Array, at: number, value: number): void {
  set32(bytes, at + ACKNOWLEDGEMENT_OFF, value);
}

/** Writes the data offset for a header of `value` bytes and clears the reserved bits. */
export function setHeaderBytes(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + DATA_OFFSET_OFF] = value << 2;
}

export function setFlags(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + FLAGS_OFF] = value;
}

export function setWindow(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + WINDOW_OFF, value);
}

export function setChecksum(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + CHECKSUM_OFF, value);
}

export function setUrgent(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + URGENT_OFF, value);
}

/** A whole header without options; the checksum is written as 0, for it covers the payload. */
export function write(
  bytes: Uint8Array,
  at: number,
  srcPort: number,
  dstPort: number,
  sequence: number,
  acknowledgement: number,
  flags: number,
  window: number,
): void {
  setSrcPort(bytes, at, srcPort);
  setDstPort(bytes, at, dstPort);
  setSequence(bytes, at, sequence);
  setAcknowledgement(bytes, at, acknowledgement);
  setHeaderBytes(bytes, at, HEADER_BYTES);
  setFlags(bytes, at, flags);
  setWindow(bytes, at, window);
  setChecksum(bytes, at, 0);
  setUrgent(bytes, at, 0);
}
