import type { Arena } from '../packet/arena.js';
import { type Burst, HAS_GSO, IS_V4 } from '../packet/burst.js';
import type { ChecksumKernel } from '../packet/checksum.js';
import { NEXT_EXTENT, NEXT_HEADER, type Outbox } from '../packet/outbox.js';
import type { Segmenter } from './segment.js';

/**
 * Cuts an IPv4 packet that does not fit into fragments, without moving its payload (RFC 791 section 3.2):
 *
 *   packet in its slot:   | Ethernet | IPv4, options |  payload 0  |  payload 1  | ... |
 *   fragment k:           [ header block: prefix, Ethernet, IPv4 patched ] [ payload k ]
 *
 * All but the last have a payload that is a multiple of 8. Options without the copied bit are in the first alone. A fragment is cut further:
 * offsets go on from its own, and the last keeps its more-fragments bit. A superframe is cut into its segments first; the transport header of
 * each goes along in the header block of its first fragment.
 */
export interface Fragmenter {
  /** Whether lane i is IPv4 without DF, and can be cut into packets of `room` bytes. */
  mayCut(i: number, room: number): boolean;
  /** Prepares lane i with `prefix` bytes in front of each fragment's frame, which are the caller's to write. */
  begin(i: number, prefix: number, room: number): void;
  /** Adds two extents for the next fragment to the outbox, with two header blocks at most; returns its bytes, 0 behind the last. */
  next(): number;
  /** Position of the last fragment's header block, where the prefix starts. */
  blockAt(): number;
}

const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;
const PACKET_BYTES_MAX = 0xffff;
/** The transport header of a segment stays in one piece: TCP has 60 bytes at most. */
const SEGMENT_ROOM_MIN = 64;
const OPTION_COPIED = 0x80;

export function bindFragment(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  kernel: ChecksumKernel,
  segmenter: Segmenter,
): Fragmenter {
  const { view: v } = arena;
  const { at, flags, l3 } = burst;
  const { cursor, extAt, extLen } = outbox;

  let frameAt = 0;
  let ipOff = 0;
  let prefix = 0;
  let room = 0;
  /** IPv4 header bytes of the first fragment, and of the others. */
  let firstLen = 0;
  let laterLen = 0;
  let segment = 0;
  let segments = 0;
  let isSuperframe = false;
  /** Of the packet that is being cut: id, offset and more-fragments as it has them, and its payload. */
  let id = 0;
  let fragment = 0;
  let tail = 0;
  let sliceAt = 0;
  let total = 0;
  let off = 0;
  let block = 0;

  function mayCut(i: number, bytes: number): boolean {
    if ((flags[i] & IS_V4) === 0) return false;
    const ip = l3[i];
    const word = v.getUint16(ip + 6);
    const headerLen = (v.getUint8(ip) & 15) << 2;
    const least = (flags[i] & HAS_GSO) !== 0 ? SEGMENT_ROOM_MIN : 8;
    if ((word & DONT_FRAGMENT) !== 0 || bytes - headerLen < least) return false;
    return ((word & OFFSET_MASK) << 3) + v.getUint16(ip + 2) - headerLen <= PACKET_BYTES_MAX;
  }

  /** Copies the options that every fragment has to `to`, or counts them when there is no such place; returns their bytes, padded to words. */
  function copyOptions(ip: number, to: number): number {
    const end = ip + firstLen;
    let bytes = 0;
    for (let o = ip + 20; o < end; ) {
      const type = v.getUint8(o);
      if (type === 0) break;
      const len = type === 1 ? 1 : o + 1 < end ? v.getUint8(o + 1) : 0;
      if (len === 0 || (type !== 1 && len < 2) || o + len > end) break;
      if ((type & OPTION_COPIED) !== 0) {
        if (to > 0) kernel.copy(to + bytes, o, len);
        bytes += len;
      }
      o += len;
    }
    const padded = (bytes + 3) & ~3;
    if (to > 0) for (; bytes < padded; bytes++) v.setUint8(to + bytes, 0);
    return padded;
  }

  function begin(i: number, prefixLen: number, bytes: number): void {
    frameAt = at[i];
    ipOff = l3[i] - frameAt;
    prefix = prefixLen;
    room = bytes;
    firstLen = (v.getUint8(l3[i]) & 15) << 2;
    laterLen = 20 + copyOptions(l3[i], 0);
    fragment = v.getUint16(l3[i] + 6);
    isSuperframe = (flags[i] & HAS_GSO) !== 0;
    segments = isSuperframe ? segmenter.begin(i, prefix) : 1;
    segment = -1;
    total = 0;
    off = 0;
  }

  /** A header block with the link header and `bytes` of the IP header; its place is that of segment.ts. */
  function openBlock(bytes: number): void {
    const frameTo = cursor[NEXT_HEADER] + ((prefix + 15 + 7) & ~7);
    kernel.copy(frameTo, frameAt, ipOff + bytes);
    block = frameTo - prefix;
  }

  function closeBlock(bytes: number): void {
    cursor[NEXT_HEADER] = (block + prefix + ipOff + bytes + 63) & ~63;
  }

  /** The next packet to cut: the lane itself, or its next segment. */
  function load(): void {
    off = 0;
    if (isSuperframe) {
      const first = cursor[NEXT_EXTENT];
      segmenter.add(segment);
      cursor[NEXT_EXTENT] = first;
      block = segmenter.blockAt();
      tail = extLen[first] - prefix - ipOff - firstLen;
      sliceAt = extAt[first + 1];
      total = tail + extLen[first + 1];
    } else {
      openBlock(firstLen);
      closeBlock(firstLen);
      tail = 0;
      sliceAt = frameAt + ipOff + firstLen;
      total = v.getUint16(frameAt + ipOff + 2) - firstLen;
    }
    id = v.getUint16(block + prefix + ipOff + 4);
  }

  function patch(ip: number, headerLen: number, bytes: number, isLast: boolean): void {
    const more = isLast ? fragment & MORE_FRAGMENTS : MORE_FRAGMENTS;
    v.setUint8(ip, 0x40 | (headerLen >> 2));
    v.setUint16(ip + 2, headerLen + bytes);
    v.setUint16(ip + 4, id);
    v.setUint16(ip + 6, ((fragment & OFFSET_MASK) + (off >> 3)) | more);
    v.setUint16(ip + 10, 0);
    v.setUint16(ip + 10, ~kernel.sum(ip, headerLen), true);
  }

  function next(): number {
    if (off === total) {
      if (++segment >= segments) return 0;
      load();
    }
    const isFirst = off === 0;
    const headerLen = isFirst ? firstLen : laterLen;
    const left = total - off;
    const isLast = left <= room - headerLen;
    const bytes = isLast ? left : (room - headerLen) & ~7;
    if (!isFirst) {
      openBlock(20);
      copyOptions(frameAt + ipOff, block + prefix + ipOff + 20);
      closeBlock(headerLen);
    }
    patch(block + prefix + ipOff, headerLen, bytes, isLast);
    const inBlock = isFirst ? tail : 0;
    const e = cursor[NEXT_EXTENT];
    extAt[e] = block;
    extLen[e] = prefix + ipOff + headerLen + inBlock;
    extAt[e + 1] = sliceAt + (isFirst ? 0 : off - tail);
    extLen[e + 1] = bytes - inBlock;
    cursor[NEXT_EXTENT] = e + 2;
    off += bytes;
    return prefix + ipOff + headerLen + bytes;
  }

  return { mayCut, begin, next, blockAt: () => block };
}
