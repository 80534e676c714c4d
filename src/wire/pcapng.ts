/*
 * The pcapng capture file format (draft-ietf-opsawg-pcapng): blocks, each with its length at both ends.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                          Block type                           |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                Length of the whole block, 4 n                 |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |  section    byte-order magic, version, section length         |
 *   |  interface  link type, reserved, snap length                  |
 *   |  packet     interface, time (64 bits), captured, original,    |
 *   |             data, padded to 4 bytes                           |
 *   |  simple     original, data, padded to 4 bytes                 |
 *   |  statistics interface, time (64 bits)                         |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |          Option code          |         Option length         |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |  Option value, padded to 4 bytes; more options; code 0 ends   |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                Length of the whole block, again               |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *
 * Reading a file, in pieces and of either format: capture.ts. What is written here is little-endian, with times in nanoseconds.
 */
import { copy, fill, getOrdered16, getOrderedU32, setLe16, setLe32 } from './bytes.js';
import { ticks, toTicks } from './captureTime.js';

export const BLOCK_BYTES_MIN = 12;
const OPTION_BYTES = 4;
export const SECTION_BYTES = 28;
export const INTERFACE_BYTES = 20;
export const PACKET_BYTES = 32;
export const SIMPLE_BYTES = 16;
const STATISTICS_BYTES = 24;

/** The same in both byte orders. */
export const BLOCK_SECTION = 0x0a0d0d0a;
export const BLOCK_INTERFACE = 1;
/** Obsolete, still met: as BLOCK_PACKET, with 16 bits of interface and 16 of drop count. */
export const BLOCK_OLD_PACKET = 2;
export const BLOCK_SIMPLE = 3;
export const BLOCK_STATISTICS = 5;
export const BLOCK_PACKET = 6;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

export const OPTION_END = 0;
export const OPTION_COMMENT = 1;
export const OPTION_APPLICATION = 4;
export const OPTION_IF_NAME = 2;
export const OPTION_IF_TIME_RESOLUTION = 9;
export const OPTION_IF_TIME_OFFSET = 14;
export const OPTION_PACKET_FLAGS = 2;
export const OPTION_PACKET_DROPS = 4;
export const OPTION_STATISTICS_RECEIVED = 4;
export const OPTION_STATISTICS_DROPPED = 5;

/** Directions, the lowest two bits of OPTION_PACKET_FLAGS. */
export const DIRECTION_UNKNOWN = 0;
export const DIRECTION_IN = 1;
export const DIRECTION_OUT = 2;

export const LENGTH_OFF = 4;
export const SECTION_MAGIC_OFF = 8;
export const SECTION_MAJOR_OFF = 12;
export const INTERFACE_LINK_TYPE_OFF = 8;
export const INTERFACE_SNAP_LENGTH_OFF = 12;
export const INTERFACE_OPTIONS_OFF = 16;
export const PACKET_INTERFACE_OFF = 8;
export const PACKET_TIME_HIGH_OFF = 12;
export const PACKET_TIME_LOW_OFF = 16;
export const PACKET_CAPTURED_OFF = 20;
export const PACKET_ORIGINAL_OFF = 24;
export const PACKET_DATA_OFF = 28;
export const SIMPLE_ORIGINAL_OFF = 8;
export const SIMPLE_DATA_OFF = 12;

/** The whole block fits, and both of its lengths say so. */
export function check(bytes: Uint8Array, at: number, end: number, little: boolean): boolean {
  if (end - at < BLOCK_BYTES_MIN) return false;
  const len = blockBytes(bytes, at, little);
  if (len < BLOCK_BYTES_MIN || len % 4 !== 0 || len > end - at) return false;
  return getOrderedU32(bytes, at + len - 4, little) === len;
}

// Getters

export function blockType(bytes: Uint8Array, at: number, little: boolean): number {
  return getOrderedU32(bytes, at, little);
}

export function blockBytes(bytes: Uint8Array, at: number, little: boolean): number {
  return getOrderedU32(bytes, at + LENGTH_OFF, little);
}

/** A section block's byte-order magic reads right in this byte order. */
export function isByteOrder(bytes: Uint8Array, at: number, little: boolean): boolean {
  return getOrderedU32(bytes, at + SECTION_MAGIC_OFF, little) === BYTE_ORDER_MAGIC;
}

/** Length with the padding that follows data and option values. */
export function padded(len: number): number {
  return (len + 3) & ~3;
}

/** Position of the first option with this code between `optionsAt` and `end`; -1 when there is none that fits. */
export function optionAt(bytes: Uint8Array, optionsAt: number, end: number, little: boolean, code: number): number {
  let position = optionsAt;
  while (end - position >= OPTION_BYTES) {
    const found = getOrdered16(bytes, position, little);
    const len = padded(optionBytes(bytes, position, little));
    if (found === OPTION_END || len > end - position - OPTION_BYTES) return -1;
    if (found === code) return position;
    position += OPTION_BYTES + len;
  }
  return -1;
}

export function optionBytes(bytes: Uint8Array, optionAt: number, little: boolean): number {
  return getOrdered16(bytes, optionAt + 2, little);
}

export function optionValueAt(optionAt: number): number {
  return optionAt + OPTION_BYTES;
}

// Writing; each returns the position behind what it wrote

/** Bytes that `writePacket` needs for a packet block. */
export function packetBytes(captured: number, direction: number, drops: number, comment: Uint8Array): number {
  let options = comment.length === 0 ? 0 : OPTION_BYTES + padded(comment.length);
  if (direction !== DIRECTION_UNKNOWN) options += OPTION_BYTES + 4;
  if (drops !== 0) options += OPTION_BYTES + 8;
  return PACKET_BYTES + padded(captured) + (options === 0 ? 0 : options + OPTION_BYTES);
}

/** The block that starts a section, which here is a whole file; `application` names the writer. */
export function write(bytes: Uint8Array, at: number, application: string): number {
  setLe32(bytes, at, BLOCK_SECTION);
  setLe32(bytes, at + SECTION_MAGIC_OFF, BYTE_ORDER_MAGIC);
  setLe16(bytes, at + SECTION_MAJOR_OFF, 1);
  setLe16(bytes, at + SECTION_MAJOR_OFF + 2, 0);
  fill(bytes, at + 16, 8, 0xff); // section length: not known
  const position = writeText(bytes, at + SECTION_BYTES - 4, OPTION_APPLICATION, application);
  return closeBlock(bytes, at, endOptions(bytes, position));
}

/**
 * Describes an interface; the first has id 0, and so on. Times of its packets are in nanoseconds unless told otherwise (if_tsresol).
 * `more` are further options, little-endian, without an end.
 */
export function writeInterface(
  bytes: Uint8Array,
  at: number,
  linkType: number,
  snapLength: number,
  name: string,
  resolution = 9,
  more: Uint8Array | null = null,
): number {
  setLe32(bytes, at, BLOCK_INTERFACE);
  setLe16(bytes, at + INTERFACE_LINK_TYPE_OFF, linkType);
  setLe16(bytes, at + INTERFACE_LINK_TYPE_OFF + 2, 0);
  setLe32(bytes, at + INTERFACE_SNAP_LENGTH_OFF, snapLength);
  let position = at + INTERFACE_BYTES - 4;
  if (name !== '') position = writeText(bytes, position, OPTION_IF_NAME, name);
  position = openOption(bytes, position, OPTION_IF_TIME_RESOLUTION, 1);
  setLe32(bytes, position, resolution); // and three bytes of padding
  position += 4;
  if (more !== null) {
    copy(bytes, position, more, 0, more.length);
    position += more.length;
  }
  return closeBlock(bytes, at, endOptions(bytes, position));
}

/**
 * A packet block around `captured` bytes of data, which belong at `at + PACKET_DATA_OFF` and may already be there.
 * `drops` are packets lost before this one; 0, DIRECTION_UNKNOWN and an empty comment leave their options out.
 */
export function writePacket(
  bytes: Uint8Array,
  at: number,
  interfaceId: number,
  seconds: number,
  nanoseconds: number,
  captured: number,
  original: number,
  direction: number,
  drops: number,
  comment: Uint8Array,
): number {
  setLe32(bytes, at, BLOCK_PACKET);
  setLe32(bytes, at + PACKET_INTERFACE_OFF, interfaceId);
  writeTime(bytes, at + PACKET_TIME_HIGH_OFF, seconds, nanoseconds);
  setLe32(bytes, at + PACKET_CAPTURED_OFF, captured);
  setLe32(bytes, at + PACKET_ORIGINAL_OFF, original);
  const dataEnd = at + PACKET_DATA_OFF + captured;
  const optionsAt = at + PACKET_DATA_OFF + padded(captured);
  fill(bytes, dataEnd, optionsAt - dataEnd, 0);
  let position = optionsAt;
  if (comment.length !== 0) position = writeOption(bytes, position, OPTION_COMMENT, comment);
  if (direction !== DIRECTION_UNKNOWN) {
    position = openOption(bytes, position, OPTION_PACKET_FLAGS, 4);
    setLe32(bytes, position, direction);
    position += 4;
  }
  if (drops !== 0) position = writeCount(bytes, position, OPTION_PACKET_DROPS, drops);
  return closeBlock(bytes, at, position === optionsAt ? position : endOptions(bytes, position));
}

/**
 * A packet block around `captured` bytes of data, as `writePacket`, with a time as it stands there (`ticks` of captureTime.ts, in the resolution
 * of the interface) and options as they stand in a little-endian file, without an end.
 */
export function writeKept(
  bytes: Uint8Array,
  at: number,
  interfaceId: number,
  ticksHigh: number,
  ticksLow: number,
  captured: number,
  original: number,
  options: Uint8Array | null,
): number {
  setLe32(bytes, at, BLOCK_PACKET);
  setLe32(bytes, at + PACKET_INTERFACE_OFF, interfaceId);
  setLe32(bytes, at + PACKET_TIME_HIGH_OFF, ticksHigh);
  setLe32(bytes, at + PACKET_TIME_LOW_OFF, ticksLow);
  setLe32(bytes, at + PACKET_CAPTURED_OFF, captured);
  setLe32(bytes, at + PACKET_ORIGINAL_OFF, original);
  const dataEnd = at + PACKET_DATA_OFF + captured;
  const optionsAt = at + PACKET_DATA_OFF + padded(captured);
  fill(bytes, dataEnd, optionsAt - dataEnd, 0);
  if (options === null || options.length === 0) return closeBlock(bytes, at, optionsAt);
  copy(bytes, optionsAt, options, 0, options.length);
  return closeBlock(bytes, at, endOptions(bytes, optionsAt + options.length));
}

/** What an interface saw up to a time: packets received, and those of them that were lost. */
export function writeStatistics(
  bytes: Uint8Array,
  at: number,
  interfaceId: number,
  seconds: number,
  nanoseconds: number,
  received: number,
  dropped: number,
): number {
  setLe32(bytes, at, BLOCK_STATISTICS);
  setLe32(bytes, at + 8, interfaceId);
  writeTime(bytes, at + 12, seconds, nanoseconds);
  let position = writeCount(bytes, at + STATISTICS_BYTES - 4, OPTION_STATISTICS_RECEIVED, received);
  position = writeCount(bytes, position, OPTION_STATISTICS_DROPPED, dropped);
  return closeBlock(bytes, at, endOptions(bytes, position));
}

function writeTime(bytes: Uint8Array, at: number, seconds: number, nanoseconds: number): void {
  toTicks(seconds, nanoseconds);
  setLe32(bytes, at, ticks[0]);
  setLe32(bytes, at + 4, ticks[1]);
}

function openOption(bytes: Uint8Array, at: number, code: number, len: number): number {
  setLe16(bytes, at, code);
  setLe16(bytes, at + 2, len);
  return at + OPTION_BYTES;
}

function writeOption(bytes: Uint8Array, at: number, code: number, value: Uint8Array): number {
  const valueAt = openOption(bytes, at, code, value.length);
  copy(bytes, valueAt, value, 0, value.length);
  fill(bytes, valueAt + value.length, padded(value.length) - value.length, 0);
  return valueAt + padded(value.length);
}

function writeText(bytes: Uint8Array, at: number, code: number, text: string): number {
  return writeOption(bytes, at, code, new TextEncoder().encode(text));
}

function writeCount(bytes: Uint8Array, at: number, code: number, count: number): number {
  const valueAt = openOption(bytes, at, code, 8);
  setLe32(bytes, valueAt, count % 2 ** 32);
  setLe32(bytes, valueAt + 4, Math.floor(count / 2 ** 32));
  return valueAt + 8;
}

function endOptions(bytes: Uint8Array, at: number): number {
  return openOption(bytes, at, OPTION_END, 0);
}

/** Writes both lengths of the block that started at `at`, the second at `position`. */
function closeBlock(bytes: Uint8Array, at: number, position: number): number {
  const end = position + 4;
  setLe32(bytes, at + LENGTH_OFF, end - at);
  setLe32(bytes, position, end - at);
  return end;
}
