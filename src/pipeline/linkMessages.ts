import type { Arena } from '../packet/arena.js';
import { bswap16, type ChecksumKernel, fold } from '../packet/checksum.js';
import { MADE, ROW_WIDTH, UNDERLAY_ROW } from '../packet/counters.js';
import { NEXT_EXTENT, NEXT_HEADER, type Outbox } from '../packet/outbox.js';
import { writeMac } from '../underlay/nextHops.js';
import type { FrameUnderlay } from '../underlay/underlay.js';
import * as Arp from '../wire/arp.js';
import { get32 } from '../wire/bytes.js';
import * as Ethernet from '../wire/ethernet.js';
import * as Icmp from '../wire/icmp.js';
import * as Icmpv6 from '../wire/icmpv6.js';
import * as Ipv4 from '../wire/ipv4.js';
import * as Ipv6 from '../wire/ipv6.js';
import type { Messages } from './messages.js';

/**
 * What a node says on the link of a frame underlay in its own name: ARP (RFC 826), neighbour discovery (RFC 4861 sections 4.3 and 4.4) and
 * echo replies.
 *
 *   [ Ethernet | ARP ]      [ Ethernet | IPv6 | ICMPv6 | target | option, own MAC ]      [ Ethernet | IP | ICMP ] [ data, where it lies ]
 */
export interface LinkMessages {
  /** Who says what follows; nothing else may be in the outbox. `mac` of six bytes, `address` of 4 or 16. */
  begin(underlay: FrameUnderlay, mac: Uint8Array, address: Uint8Array): void;
  /** An ARP packet about the own address, to `toMac` (0: everybody); the target as in the arena or elsewhere. */
  arp(operation: number, toMac: number, target: Uint8Array, macAt: number, ip: number): void;
  /** Solicits the address of 16 bytes at `targetAt`: directly, or by its group (toMac 0). */
  solicit(toMac: number, target: Uint8Array, targetAt: number): void;
  /** Advertises the own address to the one of 16 bytes at `dstAt`. */
  advertise(toMac: number, dst: Uint8Array, dstAt: number, flags: number): void;
  /** Answers the echo request of `bytes` bytes whose IP header is at `ip` and ICMP header at `icmp`, in the arena. */
  echo(ip: number, icmp: number, bytes: number): void;
  flush(): void;
}

const DISCOVERY_BYTES = 32;
const BROADCAST = 0xffff_ffff_ffff;
/** 33:33, and the last four bytes of a group (RFC 2464 section 7). */
const GROUP_MAC = 0x3333 * 0x1_0000_0000;
/** ff02::1:ff00:0/104, and 24 bits of the address that is asked for (RFC 4291 section 2.7.1). */
const SOLICITED = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0);
const HOP_LIMIT = 255;
const ECHO_HOPS = 64;

export function bindLinkMessages(
  arena: Arena,
  outbox: Outbox,
  kernel: ChecksumKernel,
  messages: Messages,
  counters: Float64Array,
): LinkMessages {
  const { bytes, view } = arena;
  const { cursor } = outbox;
  const group = new Uint8Array(Ipv6.ADDRESS_BYTES);
  let row = 0;
  let ownMac: Uint8Array;
  let own: Uint8Array;

  /** Returns where the next header begins. */
  function writeLink(toMac: number, type: number): number {
    messages.reserve(1, 2);
    const head = cursor[NEXT_HEADER];
    writeMac(bytes, head, toMac);
    bytes.set(ownMac, head + 6);
    Ethernet.setType(bytes, head, type);
    return head + Ethernet.HEADER_BYTES;
  }

  /** Headers up to `end`, and `dataBytes` from where they lie. */
  function close(end: number, dataAt: number, dataBytes: number): void {
    const head = cursor[NEXT_HEADER];
    const first = cursor[NEXT_EXTENT];
    messages.extent(head, end - head);
    if (dataBytes > 0) messages.extent(dataAt, dataBytes);
    cursor[NEXT_HEADER] = (end + 63) & ~63;
    messages.close(first, 1, end - head + dataBytes, 0);
    counters[row * ROW_WIDTH + MADE]++;
  }

  function writeIpv6(toMac: number, dst: Uint8Array, dstAt: number, bytesBehind: number, hops: number): number {
    const ip = writeLink(toMac, Ethernet.TYPE_IPV6);
    Ipv6.write(bytes, ip, 0, 0, bytesBehind, Ipv6.NEXT_ICMPV6, hops);
    Ipv6.setSrc(bytes, ip, own, 0);
    Ipv6.setDst(bytes, ip, dst, dstAt);
    return ip + Ipv6.HEADER_BYTES;
  }

  /** Of the ICMPv6 message behind the IPv6 header at `ip`: its first `headBytes` bytes, and data that lies elsewhere. */
  function writeIcmpv6Checksum(icmp: number, headBytes: number, dataAt: number, dataBytes: number): void {
    const addresses = kernel.sum(icmp - Ipv6.HEADER_BYTES + Ipv6.SRC_OFF, 32);
    const pseudo = addresses + bswap16(headBytes + dataBytes) + bswap16(Ipv6.NEXT_ICMPV6);
    const sum = pseudo + kernel.sum(icmp, headBytes) + (dataBytes > 0 ? kernel.sum(dataAt, dataBytes) : 0);
    view.setUint16(icmp + Icmpv6.CHECKSUM_OFF, ~fold(sum), true);
  }

  /** A solicitation or advertisement with the own MAC as its option. */
  function discovery(icmp: number, type: number, body: number, target: Uint8Array, at: number, option: number): void {
    Icmpv6.write(bytes, icmp, type, 0, body);
    bytes.set(target.subarray(at, at + Ipv6.ADDRESS_BYTES), icmp + Icmpv6.TARGET_OFF);
    const o = icmp + Icmpv6.NEIGHBOUR_OPTIONS_OFF;
    bytes[o] = option;
    bytes[o + 1] = 1;
    bytes.set(ownMac, o + 2);
    writeIcmpv6Checksum(icmp, DISCOVERY_BYTES, 0, 0);
    close(icmp + DISCOVERY_BYTES, 0, 0);
  }

  return {
    begin(underlay, mac, address) {
      row = UNDERLAY_ROW + underlay.id;
      ownMac = mac;
      own = address;
      messages.begin(underlay, row, 0, false);
    },
    arp(operation, toMac, target, macAt, ip) {
      const p = writeLink(toMac === 0 ? BROADCAST : toMac, Ethernet.TYPE_ARP);
      Arp.write(bytes, p, operation);
      Arp.setSender(bytes, p, ownMac, 0, get32(own, 0));
      Arp.setTarget(bytes, p, target, macAt, ip);
      close(p + Arp.PACKET_BYTES, 0, 0);
    },
    solicit(toMac, target, targetAt) {
      group.set(SOLICITED);
      group.set(target.subarray(targetAt + 13, targetAt + 16), 13);
      const groupMac = GROUP_MAC + 0xff00_0000 + (group[13] << 16) + (group[14] << 8) + group[15];
      const icmp =
        toMac === 0
          ? writeIpv6(groupMac, group, 0, DISCOVERY_BYTES, HOP_LIMIT)
          : writeIpv6(toMac, target, targetAt, DISCOVERY_BYTES, HOP_LIMIT);
      discovery(icmp, Icmpv6.NEIGHBOUR_SOLICITATION, 0, target, targetAt, Icmpv6.OPTION_SOURCE_LINK_LAYER);
    },
    advertise(toMac, dst, dstAt, flags) {
      const icmp = writeIpv6(toMac, dst, dstAt, DISCOVERY_BYTES, HOP_LIMIT);
      discovery(icmp, Icmpv6.NEIGHBOUR_ADVERTISEMENT, flags, own, 0, Icmpv6.OPTION_TARGET_LINK_LAYER);
    },
    echo(ip, icmp, length) {
      const isV4 = own.length === 4;
      const toMac = view.getUint16(ip - 8) * 0x1_0000_0000 + view.getUint32(ip - 6);
      const dataAt = icmp + Icmp.HEADER_BYTES;
      const dataBytes = length - Icmp.HEADER_BYTES;
      let to: number;
      if (isV4) {
        const p = writeLink(toMac, Ethernet.TYPE_IPV4);
        const dst = view.getInt32(ip + 12);
        const total = Ipv4.HEADER_BYTES + length;
        Ipv4.write(bytes, p, bytes[ip + 1], total, 0, Ipv4.DONT_FRAGMENT, ECHO_HOPS, 1, get32(own, 0), dst);
        to = p + Ipv4.HEADER_BYTES;
      } else to = writeIpv6(toMac, bytes, ip + Ipv6.SRC_OFF, length, ECHO_HOPS);
      view.setInt32(to, (isV4 ? Icmp.ECHO_REPLY : Icmpv6.ECHO_REPLY) << 24);
      view.setInt32(to + 4, view.getInt32(icmp + 4));
      if (!isV4) writeIcmpv6Checksum(to, Icmpv6.HEADER_BYTES, dataAt, dataBytes);
      else {
        const sum = kernel.sum(to, Icmp.HEADER_BYTES) + (dataBytes > 0 ? kernel.sum(dataAt, dataBytes) : 0);
        view.setUint16(to + Icmp.CHECKSUM_OFF, ~fold(sum), true);
      }
      close(to + Icmp.HEADER_BYTES, dataAt, dataBytes);
    },
    flush() {
      messages.flush();
    },
  };
}
