/*
 * ARP for IPv4 over Ethernet (RFC 826).
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |       Hardware type: 1        |     Protocol type: 0x0800     |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   | HW length: 6  | Proto len: 4  |           Operation           |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                      Sender MAC address                       |
 *   +                               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                               |     Sender IPv4 address       |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                               |      Target MAC address       |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+                               +
 *   |                                                               |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                      Target IPv4 address                      |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
import { copy, get16, get32, set16, set32 } from './bytes.js';

export const PACKET_BYTES = 28;

export const REQUEST = 1;
export const REPLY = 2;

export const OPERATION_OFF = 6;
export const SENDER_MAC_OFF = 8;
export const SENDER_IP_OFF = 14;
export const TARGET_MAC_OFF = 18;
export const TARGET_IP_OFF = 24;

const ETHERNET_IPV4_TYPES = 0x0001_0800;
const ETHERNET_IPV4_LENGTHS = 0x0604;
const MAC_BYTES = 6;

/** The packet fits and is for IPv4 over Ethernet. */
export function check(bytes: Uint8Array, at: number, end: number): boolean {
  return (
    end - at >= PACKET_BYTES &&
    get32(bytes, at) === ETHERNET_IPV4_TYPES &&
    get16(bytes, at + 4) === ETHERNET_IPV4_LENGTHS
  );
}

// Getters. The MAC addresses are read where they lie, at SENDER_MAC_OFF and TARGET_MAC_OFF.

export function operation(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + OPERATION_OFF);
}

/** Signed, as every IPv4 address word. */
export function senderIp(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + SENDER_IP_OFF);
}

/** Signed, as every IPv4 address word. */
export function targetIp(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + TARGET_IP_OFF);
}

// Setters

export function setOperation(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at + OPERATION_OFF, value);
}

export function setSender(bytes: Uint8Array, at: number, mac: Uint8Array, macAt: number, ip: number): void {
  copy(bytes, at + SENDER_MAC_OFF, mac, macAt, MAC_BYTES);
  set32(bytes, at + SENDER_IP_OFF, ip);
}

export function setTarget(bytes: Uint8Array, at: number, mac: Uint8Array, macAt: number, ip: number): void {
  copy(bytes, at + TARGET_MAC_OFF, mac, macAt, MAC_BYTES);
  set32(bytes, at + TARGET_IP_OFF, ip);
}

/** Writes everything but the two stations: `setSender` and `setTarget` complete the packet. */
export function write(bytes: Uint8Array, at: number, operation: number): void {
  set32(bytes, at, ETHERNET_IPV4_TYPES);
  set16(bytes, at + 4, ETHERNET_IPV4_LENGTHS);
  setOperation(bytes, at, operation);
}
