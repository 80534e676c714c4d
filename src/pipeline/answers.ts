import type { Arena } from '../packet/arena.js';
import { type Burst, HAS_GSO, ID_MASK, IS_V4, IS_V6, LANES, sharedInts, TO_PORT } from '../packet/burst.js';
import { type ChecksumKernel, fold } from '../packet/checksum.js';
import type { Clock } from '../packet/clock.js';
import { MADE, PORT_ROW, ROW_WIDTH } from '../packet/counters.js';
import { NEXT_EXTENT, NEXT_HEADER, type Outbox } from '../packet/outbox.js';
import type { Port } from '../port/port.js';
import type { Messages } from './messages.js';

/**
 * What the node says to local senders of packets that it cannot forward: ICMP destination unreachable, fragmentation needed (RFC 792, RFC 1191),
 * ICMPv6 packet too big (RFC 4443 section 3.2), and no route to destination.
 *
 *   [ Ethernet reversed, tags kept | IP | ICMP ] [ the packet itself, as much as fits ]        the quote is sent from where it lies
 *
 * The answer comes from the original destination's address to the sender. Never to multicast, for later fragments or about ICMP errors
 * (RFC 1122 section 3.2.2), and not more than ANSWERS_A_SECOND for each worker.
 */
export interface Answers {
  /** Lane i is larger than `mtu`: counted already, answered by `send`. */
  tooBig(i: number, mtu: number): void;
  noRoute(i: number): void;
  /** Sends what was asked for during the walk of this burst. Slots of the burst are still held. */
  send(ports: readonly (Port | undefined)[]): void;
}

const ANSWERS_A_SECOND = 1000;
/** RFC 1812 section 4.3.2.3: 576 bytes with headers. */
const QUOTE_V4 = 548;
/** RFC 4443 section 3.2: the minimum IPv6 MTU with headers. */
const QUOTE_V6 = 1232;
const UNREACHABLE = 3;
const NET_UNREACHABLE = 0;
const FRAGMENTATION_NEEDED = 4;
const V6_UNREACHABLE = 1;
const V6_TOO_BIG = 2;
const PROTOCOL_ICMP = 1;
const PROTOCOL_ICMPV6 = 58;
const V6_INFORMATIONAL = 128;
const V6_REDIRECT = 137;
/** Next header of IPv6 fragments. */
const FRAGMENT = 44;
const EXTENSIONS_MAX = 8;

/** Hop-by-hop, routing, fragment, destination options. */
const isExtension = (protocol: number) => protocol === 0 || protocol === 43 || protocol === FRAGMENT || protocol === 60;

export function bindAnswers(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  kernel: ChecksumKernel,
  messages: Messages,
  clock: Clock,
  counters: Float64Array,
  zeroVnetAt: number,
): Answers {
  const { view } = arena;
  const { at, len, flags, origin, l3 } = burst;
  const { cursor } = outbox;
  const lanes = sharedInts(LANES);
  const mtus = sharedInts(LANES);
  let waiting = 0;
  let second = 0;
  let left = 0;

  function queue(i: number, mtu: number): void {
    if (waiting === LANES || (origin[i] & TO_PORT) === 0 || l3[i] === 0) return;
    // A flooded lane may be too big for several peers.
    for (let k = 0; k < waiting; k++) if (lanes[k] === i) return;
    lanes[waiting] = i;
    mtus[waiting++] = mtu;
  }

  /** RFC 1122 section 3.2.2: what must not be answered. */
  function mayAnswerV4(i: number, mtu: number): boolean {
    const ip = l3[i];
    const fragment = view.getUint16(ip + 6);
    if ((fragment & 0x1fff) !== 0) return false;
    // Without DF it would have to be fragmented; it is dropped and counted, and the sender's own timer finds out.
    if (mtu > 0 && (fragment & 0x4000) === 0 && (flags[i] & HAS_GSO) === 0) return false;
    const src = view.getUint8(ip + 12);
    if (view.getUint8(ip + 16) >= 224 || src >= 224 || view.getInt32(ip + 12) === 0) return false;
    if (view.getUint8(ip + 9) !== PROTOCOL_ICMP) return true;
    const icmp = ip + ((view.getUint8(ip) & 15) << 2);
    const type = icmp < at[i] + len[i] ? view.getUint8(icmp) : UNREACHABLE;
    return type === 0 || type === 8 || type >= 13;
  }

  /** RFC 4443 section 2.4: neither errors and redirects, nor later fragments, nor what has no single sender or receiver. */
  function mayAnswerV6(i: number): boolean {
    const ip = l3[i];
    const end = at[i] + len[i];
    if (view.getUint8(ip + 24) === 0xff || view.getUint8(ip + 8) === 0xff) return false;
    if ((view.getInt32(ip + 8) | view.getInt32(ip + 12) | view.getInt32(ip + 16) | view.getInt32(ip + 20)) === 0)
      return false;
    let protocol = view.getUint8(ip + 6);
    let next = ip + 40;
    for (let n = 0; n < EXTENSIONS_MAX && isExtension(protocol) && end - next >= 8; n++) {
      if (protocol === FRAGMENT && (view.getUint16(next + 2) & 0xfff8) !== 0) return false;
      const bytes = protocol === FRAGMENT ? 8 : (view.getUint8(next + 1) + 1) << 3;
      protocol = view.getUint8(next);
      next += bytes;
    }
    if (protocol !== PROTOCOL_ICMPV6) return true;
    const type = next < end ? view.getUint8(next) : 0;
    return type >= V6_INFORMATIONAL && type !== V6_REDIRECT;
  }

  function mayAnswer(i: number, mtu: number): boolean {
    // A group address as the link-layer destination.
    if (l3[i] > at[i] && (view.getUint8(at[i]) & 1) !== 0) return false;
    if (second !== clock.seconds) {
      second = clock.seconds;
      left = ANSWERS_A_SECOND;
    }
    if (left === 0) return false;
    return (flags[i] & IS_V4) !== 0 ? mayAnswerV4(i, mtu) : (flags[i] & IS_V6) !== 0 && mayAnswerV6(i);
  }

  /** The link header of lane i with its addresses changed over; returns where the IP header begins. */
  function writeLink(i: number, to: number): number {
    const linkLen = l3[i] - at[i];
    if (linkLen === 0) return to;
    kernel.copy(to, at[i] + 6, 6);
    kernel.copy(to + 6, at[i], 6);
    kernel.copy(to + 12, at[i] + 12, linkLen - 12);
    return to + linkLen;
  }

  function writeV4(i: number, ip: number, quote: number, mtu: number): number {
    const o = l3[i];
    view.setInt32(ip, 0x45000000 | (28 + quote));
    view.setInt32(ip + 4, 0);
    view.setInt32(ip + 8, 0x40010000);
    view.setInt32(ip + 12, view.getInt32(o + 16));
    view.setInt32(ip + 16, view.getInt32(o + 12));
    view.setUint16(ip + 10, ~kernel.sum(ip, 20), true);
    const icmp = ip + 20;
    view.setInt32(icmp, (UNREACHABLE << 24) | ((mtu > 0 ? FRAGMENTATION_NEEDED : NET_UNREACHABLE) << 16));
    view.setInt32(icmp + 4, Math.min(mtu, 0xffff));
    view.setUint16(icmp + 2, ~fold(kernel.sum(icmp, 8) + kernel.sum(o, quote)), true);
    return icmp + 8;
  }

  function writeV6(i: number, ip: number, quote: number, mtu: number): number {
    const o = l3[i];
    view.setInt32(ip, 0x60000000);
    view.setInt32(ip + 4, ((8 + quote) << 16) | (PROTOCOL_ICMPV6 << 8) | 64);
    kernel.copy(ip + 8, o + 24, 16);
    kernel.copy(ip + 24, o + 8, 16);
    const icmp = ip + 40;
    view.setInt32(icmp, (mtu > 0 ? V6_TOO_BIG : V6_UNREACHABLE) << 24);
    view.setInt32(icmp + 4, mtu);
    // Pseudo header: addresses, length and next header.
    const pseudo = kernel.sum(ip + 8, 32) + (view.getUint16(ip + 4, true) + (PROTOCOL_ICMPV6 << 8));
    view.setUint16(icmp + 2, ~fold(pseudo + kernel.sum(icmp, 8) + kernel.sum(o, quote)), true);
    return icmp + 8;
  }

  function answer(i: number, mtu: number, port: Port): void {
    messages.begin(port, PORT_ROW + port.id, port.id, port.vnetHdrLen > 0);
    messages.reserve(1, 3);
    const isV4 = (flags[i] & IS_V4) !== 0;
    const rest = at[i] + len[i] - l3[i];
    const quote = Math.min(rest, isV4 ? QUOTE_V4 : QUOTE_V6) & ~1;
    const head = cursor[NEXT_HEADER];
    const ip = writeLink(i, head);
    const end = isV4 ? writeV4(i, ip, quote, mtu) : writeV6(i, ip, quote, mtu);
    cursor[NEXT_HEADER] = (end + 63) & ~63;
    const first = cursor[NEXT_EXTENT];
    if (port.vnetHdrLen > 0) messages.extent(zeroVnetAt, port.vnetHdrLen);
    messages.extent(head, end - head);
    messages.extent(l3[i], quote);
    messages.close(first, 1, end - head + quote, 0);
    counters[(PORT_ROW + port.id) * ROW_WIDTH + MADE]++;
    messages.flush();
    left--;
  }

  return {
    tooBig: queue,
    noRoute(i) {
      queue(i, 0);
    },
    send(ports) {
      for (let k = 0; k < waiting; k++) {
        const i = lanes[k];
        const port = ports[origin[i] & ID_MASK];
        if (port !== undefined && mayAnswer(i, mtus[k])) answer(i, mtus[k], port);
      }
      waiting = 0;
    },
  };
}
