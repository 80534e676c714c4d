/*
 * The loops of the way out, in AssemblyScript over the arena (why: walk.as.ts): outer headers and messages of plain lanes to peers behind
 * frame underlays, messages of plain lanes to ports, and the account of messages that all went the same way.
 *
 * Columns of lanes are 256 bytes apart in the order of packet/burst.ts, messages and extents in that of packet/outbox.ts; egressKernel.ts
 * checks both before it hands the addresses over.
 */

import { sum } from '../packet/checksum.as';
import { AT, DST, FLAGS, FLOW, ID_MASK, IS_V4, L3, LEN, TOS, bindLanes, lanes, swap16 } from './walk.as';

const IS_V6: i32 = 2;
const NEEDS_CSUM: i32 = 64;
const HAS_GSO: i32 = 1024;

// Byte offsets of message and extent columns from msgFirst and extAt.
const MSG_COUNT: usize = 1 * 8192;
const MSG_PACKETS: usize = 2 * 8192;
export const MSG_BYTES: usize = 3 * 8192;
export const MSG_PEER_ROW: usize = 4 * 8192;
const MSG_RESULT: usize = 9 * 8192;
export const EXT_LEN: usize = 1 * 32768;

export let templates: usize = 0;
export let frameMax: usize = 0;
export let messages: usize = 0;
export let extents: usize = 0;
export let peerRowBase: i32 = 0;

export function bind(
  first: usize,
  templatesAt: usize,
  frameMaxAt: usize,
  msgFirstAt: usize,
  extAt: usize,
  peerRow: i32,
): void {
  bindLanes(first);
  templates = templatesAt;
  frameMax = frameMaxAt;
  messages = msgFirstAt;
  extents = extAt;
  peerRowBase = peerRow;
}

@inline
export function fold(sum: i32): i32 {
  const s = (sum & 0xffff) + (sum >>> 16);
  return (s & 0xffff) + (s >>> 16);
}

/**
 * Writes the plain outer headers (Ethernet, IPv4, UDP, 8 bytes of tunnel: underlay/template.ts) in front of a frame at `o`. `t` is byte 152 of
 * the row, where their padding begins; `mark` is what the inner header adds to the outer TOS.
 */
@inline
export function writePlain(o: usize, t: usize, bytes: i32, hash: i32, mark: i32): void {
  const h = o - 56;
  const total = swap16(bytes + 36);
  const changed = (mark << 8) | (total << 16);
  const ipSum = ~fold(load<i32>(t, IP_SUM - 152) + total + (mark << 8));
  const port = swap16((hash >>> 18) | 0xc000);
  v128.store(h, v128.load(t));
  store<i64>(h, load<i64>(t, 16) | (<i64>changed << 32), 16);
  store<i64>(h, load<i64>(t, 24) | (<i64>ipSum << 48), 24);
  store<i64>(h, load<i64>(t, 32), 32);
  store<i64>(h, <i64>load<u32>(t, 40) | <i64>port | (<i64>swap16(bytes + 16) << 32), 40);
  store<i64>(h, load<i64>(t, 48), 48);
}

// What is known of a row's headers, as byte offsets.
const HEADERS_LEN: usize = 208;
const IP_BACK: usize = 212;
const UDP_BACK: usize = 216;
export const ROW_FLAGS: usize = 232;
const IP_SUM: usize = 236;
const UDP_SUM: usize = 240;
const ROW_V6: i32 = 1;
export const ROW_UDP_CHECKSUM: i32 = 2;
const ROW_TTL: i32 = 4;
export const ROW_PLAIN: i32 = 8;

/** RFC 768 over the outer UDP packet, which ends with the frame at `o`. */
@inline
export function writeUdpChecksum(o: usize, t: usize, bytes: i32): void {
  const udp = o - load<i32>(t, UDP_BACK);
  // The template's sum holds pseudo header and destination port; length counts twice: in the pseudo header and in the UDP header.
  const head = load<i32>(t, UDP_SUM) + load<u16>(udp) + 2 * <i32>load<u16>(udp, 4);
  const checksum = ~fold(head + sum(<i32>udp + 8, <i32>(o - udp) - 8 + bytes)) & 0xffff;
  store<u16>(udp, <u16>(checksum == 0 ? 0xffff : checksum), 6);
}

/**
 * Writes the headers of a row of any form in front of `bytes` bytes at `o`: copied in pieces of 16 bytes from the end (up to 15 bytes in front
 * of them are written, too), then lengths, TOS, TTL, source port, flow label and the IPv4 header's checksum. UDP and tunnel checksums are
 * the caller's.
 */
export function writeHeaders(o: usize, row: i32, bytes: i32, hash: i32, mark: i32, ttl: i32): void {
  writeRow(o, templates + (<usize>row << 8), bytes, hash, mark, ttl);
}

function writeRow(o: usize, t: usize, bytes: i32, hash: i32, mark: i32, ttl: i32): void {
  const len = load<i32>(t, HEADERS_LEN);
  for (let k = 16; k < len + 16; k += 16) v128.store(o - k, v128.load(t + 208 - k));
  const back = load<i32>(t, IP_BACK);
  if (back == 0) return;
  const ip = o - back;
  const rowFlags = load<i32>(t, ROW_FLAGS);
  const own = (rowFlags & ROW_TTL) != 0 ? ttl : 0;
  if ((rowFlags & ROW_V6) != 0) {
    // RFC 6438: the flow label spreads tunnels of many flows.
    const first = bswap(load<i32>(ip)) | (mark << 20) | (hash >>> 12);
    store<i32>(ip, bswap(first));
    store<u16>(ip, <u16>swap16(bytes + back - 40), 4);
    if (own != 0) store<u8>(ip, <u8>own, 7);
  } else {
    const total = swap16(bytes + back);
    store<u8>(ip, <u8>(load<u8>(ip, 1) | mark), 1);
    store<u16>(ip, <u16>total, 2);
    if (own != 0) store<u8>(ip, <u8>own, 8);
    store<u16>(ip, <u16>~fold(load<i32>(t, IP_SUM) + total + (mark << 8) + own), 10);
  }
  const udpBack = load<i32>(t, UDP_BACK);
  if (udpBack == 0) return;
  const udp = o - udpBack;
  store<u16>(udp, <u16>swap16((hash >>> 18) | 0xc000));
  store<u16>(udp, <u16>swap16(bytes + udpBack), 4);
}

@inline
function innerTtl(p: usize, f: i32): i32 {
  const l3: usize = load<i32>(p, L3);
  if (l3 == 0) return 64;
  return (f & IS_V4) != 0 ? load<u8>(l3, 8) : load<u8>(l3, 7);
}

/** What messages of one packet and `pieces` extents each have in common, four at a time. */
export function fillMessages(message: i32, count: i32, extent: i32, pieces: i32): void {
  let m = messages + (<usize>message << 2);
  let left = count;
  let firsts = i32x4.add(i32x4.splat(extent), i32x4.mul(i32x4(0, 1, 2, 3), i32x4.splat(pieces)));
  const step = i32x4.splat(4 * pieces);
  const counts = i32x4.splat(pieces);
  const ones = i32x4.splat(1);
  for (; left >= 4; left -= 4, m += 16) {
    v128.store(m, firsts);
    v128.store(m, counts, MSG_COUNT);
    v128.store(m, ones, MSG_PACKETS);
    firsts = i32x4.add(firsts, step);
  }
  for (let e = i32x4.extract_lane(firsts, 0); left > 0; left--, m += 4, e += pieces) {
    store<i32>(m, e);
    store<i32>(m, pieces, MSG_COUNT);
    store<i32>(m, 1, MSG_PACKETS);
  }
}

/**
 * Lanes list[from..end) that need nothing but headers become messages of one extent, from `message` and `extent` on. Stops at the first lane
 * that needs more, and returns its place in the list.
 */
export function encap(list: usize, from: i32, end: i32, message: i32, extent: i32, tosMask: i32): i32 {
  const first = lanes;
  const rows = templates;
  const max = frameMax;
  const base = peerRowBase;
  let m = messages + (<usize>message << 2);
  let x = extents + (<usize>extent << 2);
  let k = from;
  for (; k < end; k++) {
    const p = first + (<usize>load<i32>(list + (<usize>k << 2)) << 2);
    const bytes = load<i32>(p, LEN);
    const peer = load<i32>(p, DST) & ID_MASK;
    const f = load<i32>(p, FLAGS);
    if ((f & (HAS_GSO | NEEDS_CSUM)) != 0 || bytes > load<i32>(max + (<usize>peer << 2))) break;
    const o: usize = load<i32>(p, AT);
    // Two rows of 256 bytes a peer; IS_V6 is 2.
    const t = rows + (<usize>peer << 9) + (<usize>(f & IS_V6) << 7);
    const hash = load<i32>(p, FLOW);
    const mark = load<i32>(p, TOS) & tosMask;
    const headers = load<i32>(t, HEADERS_LEN);
    const rowFlags = load<i32>(t, ROW_FLAGS);
    if ((rowFlags & ROW_PLAIN) != 0) writePlain(o, t + 152, bytes, hash, mark);
    else writeRow(o, t, bytes, hash, mark, innerTtl(p, f));
    if ((rowFlags & ROW_UDP_CHECKSUM) != 0) writeUdpChecksum(o, t, bytes);
    store<i32>(x, <i32>o - headers);
    store<i32>(x, bytes + headers, EXT_LEN);
    store<i32>(m, bytes, MSG_BYTES);
    store<i32>(m, base + peer, MSG_PEER_ROW);
    m += 4;
    x += 4;
  }
  fillMessages(message, k - from, extent, 1);
  return k;
}

/**
 * The same to a port: lanes without offloads become messages as they are, behind `vnetLen` bytes of virtio-net header at `vnetAt` where the
 * port wants one.
 */
export function hand(
  list: usize,
  from: i32,
  end: i32,
  message: i32,
  extent: i32,
  vnetAt: i32,
  vnetLen: i32,
): i32 {
  const first = lanes;
  let m = messages + (<usize>message << 2);
  let x = extents + (<usize>extent << 2);
  let k = from;
  for (; k < end; k++) {
    const p = first + (<usize>load<i32>(list + (<usize>k << 2)) << 2);
    if ((load<i32>(p, FLAGS) & (HAS_GSO | NEEDS_CSUM)) != 0) break;
    const bytes = load<i32>(p, LEN);
    if (vnetLen != 0) {
      store<i32>(x, vnetAt);
      store<i32>(x, vnetLen, EXT_LEN);
      x += 4;
    }
    store<i32>(x, load<i32>(p, AT));
    store<i32>(x, bytes, EXT_LEN);
    store<i32>(m, bytes, MSG_BYTES);
    store<i32>(m, 0, MSG_PEER_ROW);
    m += 4;
    x += 4;
  }
  fillMessages(message, k - from, extent, vnetLen != 0 ? 2 : 1);
  return k;
}

/** Bytes of messages 0..n when all of them went, are one packet each and of one peer; else -1. */
export function sentAlike(n: i32): i32 {
  const first = messages;
  const end = first + (<usize>n << 2);
  const peerRow = load<i32>(first, MSG_PEER_ROW);
  let bytes = 0;
  let odd = 0;
  for (let m = first; m < end; m += 4) {
    bytes += load<i32>(m, MSG_BYTES);
    // A failure is negative: its highest bit stays.
    odd |= (load<i32>(m, MSG_RESULT) & 0x80000000) | (load<i32>(m, MSG_PACKETS) ^ 1) | (load<i32>(m, MSG_PEER_ROW) ^ peerRow);
  }
  return odd == 0 ? bytes : -1;
}
