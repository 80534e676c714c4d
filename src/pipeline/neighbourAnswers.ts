import type { Arena } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import { bswap16, type ChecksumKernel, fold } from '../packet/checksum.js';
import { CONSUMED, MADE, PORT_ROW, ROW_WIDTH } from '../packet/counters.js';
import { NEXT_EXTENT, NEXT_HEADER, type Outbox } from '../packet/outbox.js';
import type { Port } from '../port/port.js';
import * as Arp from '../wire/arp.js';
import * as Icmpv6 from '../wire/icmpv6.js';
import * as Ipv6 from '../wire/ipv6.js';
import type { Messages } from './messages.js';

/**
 * Answers for somebody else: an ARP reply (RFC 826), or a solicited neighbour advertisement (RFC 4861 section 4.4).
 *
 *   [ Ethernet to the asker from the MAC that is asked for, tags kept | ARP ]
 *   [ the same                                                        | IPv6 | ICMPv6 136 | target | option 2, the MAC ]
 *
 * The frame comes from the MAC itself, so that switches between the node and the asker learn where it is (RFC 9161).
 */
export interface NeighbourAnswers {
  /** Before the first answer to a port; nothing else may be in the outbox. */
  begin(port: Port): void;
  /** Answers the ARP request of lane i, whose ARP packet is at `arp`: its target has the MAC `lo`, `hi`. */
  reply(i: number, arp: number, lo: number, hi: number): void;
  /** Answers the solicitation of lane i: IPv6 header at `ip`, target at `targetAt`, the asker's MAC at `askerAt`. */
  advertise(i: number, ip: number, targetAt: number, askerAt: number, lo: number, hi: number, flags: number): void;
  /** Sends them. */
  flush(): void;
}

const ADVERTISEMENT_BYTES = 32;

export function bindNeighbourAnswers(
  arena: Arena,
  burst: Burst,
  outbox: Outbox,
  kernel: ChecksumKernel,
  messages: Messages,
  counters: Float64Array,
  zeroVnetAt: number,
): NeighbourAnswers {
  const { bytes, view } = arena;
  const { at, packets } = burst;
  const { cursor } = outbox;
  let to: Port;

  /** Returns where the network header begins. */
  function writeLink(i: number, l3: number, askerAt: number, lo: number, hi: number): number {
    messages.reserve(1, 2);
    const head = cursor[NEXT_HEADER];
    const tags = l3 - at[i] - 12;
    kernel.copy(head, askerAt, 6);
    view.setInt32(head + 6, lo, true);
    view.setUint16(head + 10, hi, true);
    kernel.copy(head + 12, at[i] + 12, tags);
    return head + 12 + tags;
  }

  function close(i: number, end: number): void {
    const head = cursor[NEXT_HEADER];
    const first = cursor[NEXT_EXTENT];
    if (to.vnetHdrLen > 0) messages.extent(zeroVnetAt, to.vnetHdrLen);
    messages.extent(head, end - head);
    cursor[NEXT_HEADER] = (end + 63) & ~63;
    messages.close(first, 1, end - head, 0);
    counters[(PORT_ROW + to.id) * ROW_WIDTH + MADE]++;
    counters[(PORT_ROW + to.id) * ROW_WIDTH + CONSUMED] += packets[i];
  }

  return {
    begin(port) {
      to = port;
      messages.begin(port, PORT_ROW + port.id, port.id, port.vnetHdrLen > 0);
    },
    reply(i, arp, lo, hi) {
      const p = writeLink(i, arp, arp + Arp.SENDER_MAC_OFF, lo, hi);
      Arp.write(bytes, p, Arp.REPLY);
      Arp.setSender(bytes, p, bytes, cursor[NEXT_HEADER] + 6, Arp.targetIp(bytes, arp));
      Arp.setTarget(bytes, p, bytes, arp + Arp.SENDER_MAC_OFF, Arp.senderIp(bytes, arp));
      close(i, p + Arp.PACKET_BYTES);
    },
    advertise(i, ip, targetAt, askerAt, lo, hi, flags) {
      const p = writeLink(i, ip, askerAt, lo, hi);
      Ipv6.write(bytes, p, 0, 0, ADVERTISEMENT_BYTES, Ipv6.NEXT_ICMPV6, 255);
      Ipv6.setSrc(bytes, p, bytes, targetAt);
      Ipv6.setDst(bytes, p, bytes, ip + Ipv6.SRC_OFF);
      const icmp = p + Ipv6.HEADER_BYTES;
      Icmpv6.write(bytes, icmp, Icmpv6.NEIGHBOUR_ADVERTISEMENT, 0, flags);
      kernel.copy(icmp + Icmpv6.TARGET_OFF, targetAt, Ipv6.ADDRESS_BYTES);
      const option = icmp + Icmpv6.NEIGHBOUR_OPTIONS_OFF;
      bytes[option] = Icmpv6.OPTION_TARGET_LINK_LAYER;
      bytes[option + 1] = 1;
      kernel.copy(option + 2, cursor[NEXT_HEADER] + 6, 6);
      const pseudo = kernel.sum(p + Ipv6.SRC_OFF, 32) + bswap16(ADVERTISEMENT_BYTES) + bswap16(Ipv6.NEXT_ICMPV6);
      view.setUint16(icmp + Icmpv6.CHECKSUM_OFF, ~fold(pseudo + kernel.sum(icmp, ADVERTISEMENT_BYTES)), true);
      close(i, icmp + ADVERTISEMENT_BYTES);
    },
    flush() {
      messages.flush();
    },
  };
}
