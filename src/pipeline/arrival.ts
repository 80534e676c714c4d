import type { Arena } from '../packet/arena.js';
import { type Burst, FROM_PEER, HAS_GSO, ID_MASK, IS_TCP, IS_V4, NEEDS_CSUM, TO_PEER } from '../packet/burst.js';
import { PEER_ROW, ROW_WIDTH, RX_PACKETS } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { GSO_TCPV4, GSO_TCPV6 } from '../packet/offload.js';
import * as Ecn from '../wire/ecn.js';
import * as Ipv4 from '../wire/ipv4.js';
import * as Ipv6 from '../wire/ipv6.js';
import { CUT_HEADERS_MAX } from './segment.js';
import { CSUM_UNFINISHED, type Transport } from './transport.js';

/**
 * What only frames out of a tunnel need, after parse: congestion marks of the outer header (RFC 6040 section 4.2), and the detection of offload
 * leaks.
 *
 * An offload leak is a packet that its sender left to hardware which was never there: over veth with transmit offloads on, the kernel's VXLAN
 * hands a socket uncut frames of up to 64 KB without a segment size, and even small ones with nothing but the pseudo header's sum as
 * checksum. On one machine such a frame may be delivered as it is; coming from a wire it is damage. So it is counted, and
 * delivered only when the underlay says so. Over raw sockets it may have been the receiving kernel, whose GRO knows nothing of them, that joined
 * the packets: there it is delivered unless the underlay says otherwise.
 */
export interface Arrival {
  markCongestion(n: number): void;
  findLeaks(n: number, deliver: boolean, networkMtu: Int32Array): void;
}

const ETHERNET_WITH_TAGS = 22;

export function bindArrival(arena: Arena, burst: Burst, transport: Transport, counters: Float64Array): Arrival {
  const { bytes } = arena;
  const { at, len, drop, flags, network, origin, packets, tos, outerTos, l3, l4 } = burst;
  const { gsoType, gsoSize, csumStart, csumOffset } = burst;

  function mark(i: number): void {
    const inner = tos[i];
    if (l3[i] === 0) return;
    const codepoint = Ecn.decapsulate(inner, outerTos[i]);
    if (codepoint === Ecn.DROP) drop[i] = DROP.ecn;
    else if (codepoint !== (inner & Ecn.MASK)) {
      const value = (inner & ~Ecn.MASK) | codepoint;
      tos[i] = value;
      if ((flags[i] & IS_V4) !== 0) Ipv4.changeTos(bytes, l3[i], value);
      else Ipv6.setTrafficClass(bytes, l3[i], value);
    }
  }

  /** Turns a leaked frame into what it would be from a device: metadata that says what is unfinished. False: nothing that could be cut. */
  function adopt(i: number, mtu: number): boolean {
    const isTcp = (flags[i] & IS_TCP) !== 0;
    if (transport.packetLen(i) > mtu) {
      // Where datagrams were joined, nothing says how long each was.
      if (!isTcp) return false;
      const headers = transport.headersLen(i);
      const size = mtu - headers + (l3[i] - at[i]);
      // A hostile sender chooses its headers: they must fit a header block, leave room for payload, and end with their packet.
      if (headers > CUT_HEADERS_MAX || size <= 0 || l4[i] + transport.transportLen(i) !== at[i] + len[i]) return false;
      flags[i] |= HAS_GSO;
      gsoType[i] = (flags[i] & IS_V4) !== 0 ? GSO_TCPV4 : GSO_TCPV6;
      gsoSize[i] = size;
      packets[i] = Math.ceil((len[i] - headers) / size);
      // Admission has counted it as one packet of its peer.
      if ((origin[i] & TO_PEER) !== 0)
        counters[(PEER_ROW + (origin[i] & ID_MASK)) * ROW_WIDTH + RX_PACKETS] += packets[i] - 1;
    }
    flags[i] |= NEEDS_CSUM;
    csumStart[i] = l4[i] - at[i];
    csumOffset[i] = isTcp ? 16 : 6;
    return true;
  }

  return {
    markCongestion(n) {
      for (let i = 0; i < n; i++) if (drop[i] === 0 && outerTos[i] > 0 && (outerTos[i] & 3) !== 0) mark(i);
    },
    findLeaks(n, deliver, networkMtu) {
      for (let i = 0; i < n; i++) {
        if (drop[i] !== 0 || (flags[i] & FROM_PEER) === 0) continue;
        const mtu = networkMtu[network[i]];
        const isUncut = len[i] > mtu + ETHERNET_WITH_TAGS;
        const verdict = transport.verify(i);
        if (!isUncut && verdict !== CSUM_UNFINISHED) continue;
        if (verdict !== CSUM_UNFINISHED) drop[i] = DROP['too-big'];
        else if (!deliver || !adopt(i, mtu)) drop[i] = DROP['offload-leak'];
      }
    },
  };
}
