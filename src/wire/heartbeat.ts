/*
 * Heartbeat between weft nodes, inside of the tunnel, so that it proves the way that traffic takes.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                         "weft"                                |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |   Version     |     Type      |     Length, with padding      |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                  Node: hash of its name (8)                   |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |             Instance: random, at the node's start (8)         |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |     Home: address of the sender's underlay as it knows it     |
 *   |                  (16, IPv4 as ::ffff:a.b.c.d)                 |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                    Sequence (a pong: the ping's)              |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |      Held: microseconds between ping and pong (pong)          |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |            To: instance that sent the ping (pong) (8)         |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                 Code: HMAC-SHA256, 16 of 32 bytes             |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                       Padding, zeros ...
 *
 * The code (RFC 2104, truncated as in its section 5) covers all in front of it and the id of the network, so that a heartbeat of one network is
 * none of another. The padding is not covered: its length is.
 *
 * A tunnel that carries frames has it behind an Ethernet header of type 0x88b5 (IEEE 802, local experiments), to a MAC that nobody else has. One
 * that carries packets has it in IPv4 with protocol 253 (RFC 3692): from the dummy address (RFC 7600) to all hosts on this link with TTL
 * 1, so that no other implementation routes it or answers it with an ICMP error (RFC 1122 section 3.2.2).
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { get16, get32, getU32, set16, set32 } from './bytes.js';
import * as Ethernet from './ethernet.js';
import * as Ipv4 from './ipv4.js';

/** Without padding. */
export const HEADER_BYTES = 72;
/** The length field has 16 bits. */
export const LENGTH_MAX = 65535;

/** "weft". */
export const MAGIC = 0x77656674;
export const VERSION = 1;
export const TYPE_PING = 1;
export const TYPE_PONG = 2;

export const MAGIC_OFF = 0;
export const VERSION_OFF = 4;
export const TYPE_OFF = 5;
export const LENGTH_OFF = 6;
export const NODE_OFF = 8;
export const INSTANCE_OFF = 16;
export const HOME_OFF = 24;
export const SEQUENCE_OFF = 40;
export const HELD_OFF = 44;
export const TO_OFF = 48;
export const CODE_OFF = 56;

export const IDENTITY_BYTES = 8;
export const CODE_BYTES = 16;

/** Destination of a heartbeat in a frame, 02:77:65:66:74:00, as two little-endian words. */
export const MAC = Uint8Array.of(0x02, 0x77, 0x65, 0x66, 0x74, 0x00);
export const MAC_LO = 0x66657702;
export const MAC_HI = 0x0074;
export const ETHER_TYPE = 0x88b5;

export const PROTOCOL = 253;
/** 192.0.0.8 and 224.0.0.1. */
export const IPV4_SRC = 0xc0000008 | 0;
export const IPV4_DST = 0xe0000001 | 0;
const TTL = 1;

/** What a heartbeat says beside its length. */
export interface Heartbeat {
  type: typeof TYPE_PING | typeof TYPE_PONG;
  node: Uint8Array;
  instance: Uint8Array;
  home: Uint8Array;
  sequence: number;
  heldUs: number;
  to: Uint8Array;
}

/** A header of this version whose length field is `length`, the bytes that really came; only the header need be there. */
export function check(bytes: Uint8Array, at: number, end: number, length: number): boolean {
  if (end - at < HEADER_BYTES) return false;
  if (get32(bytes, at + MAGIC_OFF) !== MAGIC || bytes[at + VERSION_OFF] !== VERSION) return false;
  const kind = type(bytes, at);
  return (kind === TYPE_PING || kind === TYPE_PONG) && get16(bytes, at + LENGTH_OFF) === length;
}

// Getters

export function type(bytes: Uint8Array, at: number): number {
  return bytes[at + TYPE_OFF];
}

export function length(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + LENGTH_OFF);
}

export function sequence(bytes: Uint8Array, at: number): number {
  return getU32(bytes, at + SEQUENCE_OFF);
}

export function heldUs(bytes: Uint8Array, at: number): number {
  return getU32(bytes, at + HELD_OFF);
}

/** Everything at once, in memory of its own. */
export function read(bytes: Uint8Array, at: number): Heartbeat {
  const part = (off: number, count: number) => bytes.slice(at + off, at + off + count);
  return {
    type: type(bytes, at) as Heartbeat['type'],
    node: part(NODE_OFF, IDENTITY_BYTES),
    instance: part(INSTANCE_OFF, IDENTITY_BYTES),
    home: part(HOME_OFF, 16),
    sequence: sequence(bytes, at),
    heldUs: heldUs(bytes, at),
    to: part(TO_OFF, IDENTITY_BYTES),
  };
}

// Writers

/** The header without its code; `length` counts the padding behind it, which is the caller's to write. */
export function write(bytes: Uint8Array, at: number, heartbeat: Heartbeat, length: number): void {
  set32(bytes, at + MAGIC_OFF, MAGIC);
  bytes[at + VERSION_OFF] = VERSION;
  bytes[at + TYPE_OFF] = heartbeat.type;
  set16(bytes, at + LENGTH_OFF, length);
  bytes.set(heartbeat.node, at + NODE_OFF);
  bytes.set(heartbeat.instance, at + INSTANCE_OFF);
  bytes.set(heartbeat.home, at + HOME_OFF);
  set32(bytes, at + SEQUENCE_OFF, heartbeat.sequence);
  set32(bytes, at + HELD_OFF, heartbeat.heldUs);
  bytes.set(heartbeat.to, at + TO_OFF);
}

function code(bytes: Uint8Array, at: number, key: string, network: number): Uint8Array {
  const id = new Uint8Array(4);
  set32(id, 0, network);
  const hash = createHmac('sha256', key)
    .update(bytes.subarray(at, at + CODE_OFF))
    .update(id)
    .digest();
  return hash.subarray(0, CODE_BYTES);
}

/** Writes the code. `network` is the VNI or key of the tunnel, 0 without. */
export function sign(bytes: Uint8Array, at: number, key: string, network: number): void {
  bytes.set(code(bytes, at, key, network), at + CODE_OFF);
}

/** Whether one who has the key wrote it. In constant time. */
export function isSigned(bytes: Uint8Array, at: number, key: string, network: number): boolean {
  const given = bytes.subarray(at + CODE_OFF, at + HEADER_BYTES);
  return timingSafeEqual(given, code(bytes, at, key, network));
}

/** The Ethernet header in front of a heartbeat. */
export function writeFrameHeader(bytes: Uint8Array, at: number, src: Uint8Array): void {
  Ethernet.write(bytes, at, MAC, 0, src, 0, ETHER_TYPE);
}

/** The IPv4 header in front of a heartbeat of `length` bytes. */
export function writePacketHeader(bytes: Uint8Array, at: number, length: number): void {
  const total = Ipv4.HEADER_BYTES + length;
  Ipv4.write(bytes, at, 0, total, 0, Ipv4.DONT_FRAGMENT, TTL, PROTOCOL, IPV4_SRC, IPV4_DST);
}
