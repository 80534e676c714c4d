import type { Arena } from '../packet/arena.js';
import { type Burst, CSUM_VALID, HAS_GSO, HAS_VLAN, IS_TCP, IS_UDP, IS_V4, NEEDS_CSUM } from '../packet/burst.js';
import { bswap16, type ChecksumKernel, fold } from '../packet/checksum.js';

/**
 * Transport checksums of lanes (RFC 1071, RFC 9293 section 3.1, RFC 768, RFC 8200 section 8.1).
 *
 * Sums are kept in memory byte order (little-endian 16-bit words): a ones' complement sum does not care, and nothing is swapped but the lengths
 * that are added as numbers.
 */
const ETHERNET = 14;
const VLAN_TAG = 4;
const UDP_HEADER = 8;

/** What verification found. */
export const CSUM_NONE = 0;
export const CSUM_GOOD = 1;
export const CSUM_BAD = 2;
/** The field holds the pseudo header's sum: the sender left the rest to an offload. */
export const CSUM_UNFINISHED = 3;

export interface Transport {
  /** Pseudo header without the length, unfolded. */
  pseudoSum(i: number): number;
  /** Bytes from the transport header to the end of the IP packet (not of the frame: padding is not summed). */
  transportLen(i: number): number;
  /** Bytes from the frame's first to the end of the TCP or UDP header. */
  headersLen(i: number): number;
  /** The packet that goes on the wire, in bytes behind the Ethernet header: the lane's, or one segment's of a superframe. */
  packetLen(i: number): number;
  /** Verifies a lane's TCP or UDP checksum; sets CSUM_VALID. CSUM_NONE: nothing to verify. */
  verify(i: number): number;
  /** Finishes a NEEDS_CSUM lane in place and clears the flag. */
  complete(i: number): void;
}

export function bindTransport(arena: Arena, burst: Burst, kernel: ChecksumKernel): Transport {
  const { view: v } = arena;
  const { at, len, flags, gsoSize, l3, l4, csumStart, csumOffset } = burst;

  function halves(from: number, to: number): number {
    let sum = 0;
    for (let p = from; p < to; p += 2) sum += v.getUint16(p, true);
    return sum;
  }

  function pseudoSum(i: number): number {
    const ip = l3[i];
    const proto = (flags[i] & IS_TCP) !== 0 ? 6 : 17;
    return (flags[i] & IS_V4) !== 0 ? halves(ip + 12, ip + 20) + (proto << 8) : halves(ip + 8, ip + 40) + (proto << 8);
  }

  function transportLen(i: number): number {
    const ip = l3[i];
    return (flags[i] & IS_V4) !== 0 ? ip + v.getUint16(ip + 2) - l4[i] : ip + 40 + v.getUint16(ip + 4) - l4[i];
  }

  function headersLen(i: number): number {
    const own = (flags[i] & IS_UDP) !== 0 ? UDP_HEADER : (v.getUint8(l4[i] + 12) >>> 4) << 2;
    return l4[i] - at[i] + own;
  }

  function packetLen(i: number): number {
    if ((flags[i] & HAS_GSO) !== 0) return headersLen(i) - (l3[i] - at[i]) + gsoSize[i];
    if (l3[i] !== 0) return len[i] - (l3[i] - at[i]);
    return len[i] - ETHERNET - ((flags[i] & HAS_VLAN) !== 0 ? VLAN_TAG : 0);
  }

  function verify(i: number): number {
    const f = flags[i];
    if (l4[i] === 0 || (f & (IS_TCP | IS_UDP)) === 0) return CSUM_NONE;
    const fieldAt = l4[i] + ((f & IS_TCP) !== 0 ? 16 : 6);
    const field = v.getUint16(fieldAt, true);
    if (field === 0 && (f & IS_UDP) !== 0) return CSUM_NONE;
    const bytes = transportLen(i);
    const pseudo = fold(pseudoSum(i) + bswap16(bytes));
    if (fold(pseudo + kernel.sum(l4[i], bytes)) === 0xffff) {
      flags[i] = f | CSUM_VALID;
      return CSUM_GOOD;
    }
    return field === pseudo ? CSUM_UNFINISHED : CSUM_BAD;
  }

  function complete(i: number): void {
    const start = at[i] + csumStart[i];
    const end = l3[i] !== 0 && l4[i] === start ? start + transportLen(i) : at[i] + len[i];
    let sum = ~kernel.sum(start, end - start) & 0xffff;
    if (sum === 0 && csumOffset[i] === 6) sum = 0xffff; // UDP: 0 would say "no checksum"
    v.setUint16(start + csumOffset[i], sum, true);
    flags[i] &= ~NEEDS_CSUM;
  }

  return { pseudoSum, transportLen, headersLen, packetLen, verify, complete };
}
