import { type Burst, HAS_GSO, IS_TCP, IS_UDP, IS_V4, IS_V6, NEEDS_CSUM } from '../packet/burst.js';
import { DROP } from '../packet/drop.js';
import { GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 } from '../packet/offload.js';
import { CUT_HEADERS_MAX } from './segment.js';
import type { Transport } from './transport.js';

/** A superframe cut into more pieces than this is not one that a TCP sender makes (65,535 bytes at an MSS of 36). */
export const SEGMENTS_MAX = 1800;

const TCP_V4 = IS_V4 | IS_TCP;
const TCP_V6 = IS_V6 | IS_TCP;
const isUdpKind = (kind: number) => kind === (IS_V4 | IS_UDP) || kind === (IS_V6 | IS_UDP);

/**
 * Checks the offload metadata that a device handed over against the parsed frame, and counts each superframe's wire packets.
 * What does not fit is `bad-offload`: metadata is input like any other, and later steps trust it.
 */
export function bindOffloads(burst: Burst, transport: Transport): (n: number) => void {
  const { at, len, flags, drop, packets, gsoType, gsoSize, csumStart, csumOffset, l4 } = burst;

  function checkSuperframe(i: number): void {
    const isUdp = gsoType[i] === GSO_UDP_L4;
    const kind = flags[i] & (IS_V4 | IS_V6 | IS_TCP | IS_UDP);
    const type = gsoType[i] & ~GSO_ECN;
    const known =
      type === GSO_TCPV4 ? kind === TCP_V4 : type === GSO_TCPV6 ? kind === TCP_V6 : isUdp && isUdpKind(kind);
    const fits =
      known &&
      (flags[i] & NEEDS_CSUM) !== 0 &&
      l4[i] === at[i] + csumStart[i] &&
      csumOffset[i] === (isUdp ? 6 : 16) &&
      gsoSize[i] > 0 &&
      // Bytes behind the IP packet would end up in a segment's payload.
      l4[i] + transport.transportLen(i) === at[i] + len[i];
    if (!fits) {
      drop[i] = DROP['bad-offload'];
      return;
    }
    const headerLen = transport.headersLen(i);
    const count = Math.ceil((len[i] - headerLen) / gsoSize[i]);
    if (count > SEGMENTS_MAX || headerLen > CUT_HEADERS_MAX) drop[i] = DROP['bad-offload'];
    else if (count > 1) packets[i] = count;
    else {
      gsoType[i] = 0;
      flags[i] &= ~HAS_GSO;
    }
  }

  return function checkOffloads(n: number): void {
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0 || (flags[i] & (HAS_GSO | NEEDS_CSUM)) === 0) continue;
      if ((flags[i] & HAS_GSO) !== 0) checkSuperframe(i);
      else if (csumStart[i] < 14 || csumStart[i] + csumOffset[i] + 2 > len[i]) drop[i] = DROP['bad-offload'];
    }
  };
}
