import type { Arena } from '../packet/arena.js';
import { type Burst, IS_UDP, IS_V4 } from '../packet/burst.js';
import { bswap16, type ChecksumKernel, fold } from '../packet/checksum.js';
import { NEXT_EXTENT, NEXT_HEADER, type Outbox } from '../packet/outbox.js';
import type { Transport } from './transport.js';

/**
 * Cuts a TCP or UDP superframe into segments without moving its payload (RFC 9293, RFC 768; the rules are those of the kernel's
 * tcp_gso_segment and __udp_gso_segment): each segment is a header block of its own and a slice of the superframe's payload.
 *
 *   superframe in its slot:  | prefix | Ethernet IP TCP |  payload 0  |  payload 1  | ... |
 *   segment k:               [ header block: prefix, Ethernet, IP, TCP patched ] [ payload k ]
 *
 * The prefix is a tunnel header that already stands in the headroom. IPv4: total length, id + k, header checksum. IPv6: payload length.
 * TCP: sequence number + k * mss, FIN and PSH only on the last, CWR only on the first (RFC 3168), checksum. UDP: length, checksum.
 *
 * Checksums: the parts that are equal in all segments are summed once; per segment the payload goes through the WASM kernel.
 */
export interface Segmenter {
  /** Prepares lane i with `prefix` bytes of tunnel header in front; returns the number of segments. */
  begin(i: number, prefix: number): number;
  /** Adds two extents for segment k to the outbox; returns its bytes. The segments of a lane must be asked for in order. */
  add(k: number): number;
  /** Position of the last added header block, where the prefix starts. */
  blockAt(): number;
}

const FIN_PSH = 0x09;
const CWR = 0x80;

/** Header block bytes at most: prefix, what is written in front of it, and the superframe's own headers, rounded up to lines. */
export const BLOCK_BYTES_MAX = 512;

/**
 * Ethernet, IP and transport headers of a frame that is cut: 22 + 60 + 60 at most over IPv4. Only IPv6 extensions can be longer, and nobody sends
 * superframes with so many of them.
 */
export const CUT_HEADERS_MAX = 200;

export function bindSegment(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  kernel: ChecksumKernel,
  transport: Transport,
): Segmenter {
  const { view: v, words: m } = arena;
  const { at, len, flags, gsoSize, l3, l4 } = burst;
  const { cursor, extAt, extLen } = outbox;

  let isV4 = false;
  let isUdp = false;
  let prefix = 0;
  let frameAt = 0;
  let ipOff = 0;
  let l4Off = 0;
  let headerLen = 0;
  let payloadAt = 0;
  let payloadLen = 0;
  let mss = 0;
  let segments = 0;
  let seq = 0;
  let ipId = 0;
  let tcpFlags = 0;
  let ipSum = 0;
  let l4Sum = 0;
  let block = 0;

  function begin(i: number, prefixLen: number): number {
    isV4 = (flags[i] & IS_V4) !== 0;
    prefix = prefixLen;
    frameAt = at[i];
    ipOff = l3[i] - frameAt;
    l4Off = l4[i] - frameAt;
    isUdp = (flags[i] & IS_UDP) !== 0;
    headerLen = transport.headersLen(i);
    payloadAt = frameAt + headerLen;
    payloadLen = len[i] - headerLen;
    mss = gsoSize[i];
    segments = Math.ceil(payloadLen / mss);
    ipSum = 0;
    if (isV4) {
      ipId = v.getUint16(l3[i] + 4);
      // All but total length, id and the checksum itself.
      for (let p = l3[i]; p < l4[i]; p += 2) {
        const o = p - l3[i];
        if (o !== 2 && o !== 4 && o !== 10) ipSum += v.getUint16(p, true);
      }
    }
    l4Sum = transport.pseudoSum(i) + v.getUint16(l4[i], true) + v.getUint16(l4[i] + 2, true);
    if (!isUdp) beginTcp(l4[i]);
    return segments;
  }

  function beginTcp(tcp: number): void {
    seq = v.getInt32(tcp + 4);
    tcpFlags = v.getUint8(tcp + 13);
    // All but the ports, sequence number, the flags byte and the checksum itself. Byte 12 (data offset) stands alone in its half-word.
    l4Sum += v.getUint8(tcp + 12);
    const bytes = headerLen - l4Off;
    for (let o = 8; o < bytes; o += 2) if (o !== 12 && o !== 16) l4Sum += v.getUint16(tcp + o, true);
  }

  function copyHeaders(frameTo: number): void {
    if (((frameAt | frameTo) & 3) === 0) {
      const first = (frameAt - prefix) >> 2; // rounded down: a few bytes of headroom more do no harm
      const last = (frameAt + headerLen + 3) >> 2;
      for (let s = first, d = (frameTo - prefix) >> 2; s < last; s++, d++) m[d] = m[s];
    } else kernel.copy(frameTo - prefix, frameAt - prefix, prefix + headerLen);
  }

  function patch(frameTo: number, k: number, bytes: number, sliceAt: number): void {
    const ip = frameTo + ipOff;
    const l4To = frameTo + l4Off;
    const l4Bytes = headerLen - l4Off + bytes;
    if (isV4) {
      const total = l4To - ip + l4Bytes;
      const id = (ipId + k) & 0xffff;
      v.setUint16(ip + 2, total);
      v.setUint16(ip + 4, id);
      v.setUint16(ip + 10, ~fold(ipSum + bswap16(total) + bswap16(id)), true);
    } else v.setUint16(ip + 4, l4To - ip - 40 + l4Bytes);
    if (isUdp) patchUdp(l4To, l4Bytes, bytes, sliceAt);
    else patchTcp(l4To, l4Bytes, k, bytes, sliceAt);
  }

  function patchUdp(udp: number, udpBytes: number, bytes: number, sliceAt: number): void {
    v.setUint16(udp + 4, udpBytes);
    // The length counts twice: in the pseudo header and in the UDP header.
    const sum = ~fold(l4Sum + 2 * bswap16(udpBytes) + kernel.sum(sliceAt, bytes)) & 0xffff;
    v.setUint16(udp + 6, sum === 0 ? 0xffff : sum, true);
  }

  function patchTcp(tcp: number, tcpBytes: number, k: number, bytes: number, sliceAt: number): void {
    const isLast = k === segments - 1;
    const f = tcpFlags & ~(isLast ? 0 : FIN_PSH) & ~(k === 0 ? 0 : CWR);
    v.setInt32(tcp + 4, (seq + k * mss) | 0);
    v.setUint8(tcp + 13, f);
    const sum =
      l4Sum +
      (f << 8) +
      v.getUint16(tcp + 4, true) +
      v.getUint16(tcp + 6, true) +
      bswap16(tcpBytes) +
      kernel.sum(sliceAt, bytes);
    v.setUint16(tcp + 16, ~fold(sum), true);
  }

  function add(k: number): number {
    const offset = k * mss;
    const bytes = Math.min(mss, payloadLen - offset);
    const head = cursor[NEXT_HEADER];
    // The frame of a block lies at 0 mod 8 as in its slot, so that headers are copied as words. Header templates are written in pieces of 16 bytes.
    const frameTo = prefix === 0 ? head : head + ((prefix + 15 + 7) & ~7);
    block = frameTo - prefix;
    copyHeaders(frameTo);
    patch(frameTo, k, bytes, payloadAt + offset);
    cursor[NEXT_HEADER] = (frameTo + headerLen + 63) & ~63;
    const e = cursor[NEXT_EXTENT];
    extAt[e] = block;
    extLen[e] = prefix + headerLen;
    extAt[e + 1] = payloadAt + offset;
    extLen[e + 1] = bytes;
    cursor[NEXT_EXTENT] = e + 2;
    return prefix + headerLen + bytes;
  }

  return { begin, add, blockAt: () => block };
}
