import type { Arena } from '../packet/arena.js';
import { type Burst, ID_MASK, IS_SYN, IS_V4, NEEDS_CSUM, TO_PEER } from '../packet/burst.js';
import { bswap16, fold } from '../packet/checksum.js';
import type { Tables } from './tables.js';

/**
 * TCP's maximum segment size (RFC 9293 section 3.7.1) in SYNs that go to a peer or come from one: lowered to what fits the path (RFC 4459
 * section 3.2), so that connections need no ICMP answer to find their size. Both directions, since each side's SYN limits what the other sends.
 *
 * Never raised, and not added where it is missing. The checksum follows incrementally (RFC 1624); one that is still to be finished does not
 * cover the option yet.
 */
export type ClampMss = (n: number) => void;

/** IP and TCP header without options: those are the sender's to take into account (RFC 6691). */
const HEADERS_V4 = 40;
const HEADERS_V6 = 60;
const END_OF_OPTIONS = 0;
const NO_OPERATION = 1;
const MSS = 2;
const MSS_BYTES = 4;
const UNLIMITED = 0xffff;

export function bindMssClamp(arena: Arena, burst: Burst, tables: Tables): ClampMss {
  const { view: v } = arena;
  const { flags, drop, origin, dst, network, l4 } = burst;
  const { peerMtu, peerNetwork, networkMtu, networkClampsMss } = tables;

  const peerLimit = (value: number) => {
    const peer = value & ID_MASK;
    return (value & TO_PEER) !== 0 && networkClampsMss[peerNetwork[peer]] !== 0 ? peerMtu[peer] : UNLIMITED;
  };

  /** Largest packet that goes the whole way of a lane. One that is flooded goes to every peer. */
  function limitOf(i: number): number {
    const net = network[i];
    const flooded = dst[i] === 0 && networkClampsMss[net] !== 0 ? networkMtu[net] : UNLIMITED;
    return Math.min(flooded, peerLimit(dst[i]), peerLimit(origin[i]));
  }

  /** Position of the value of the MSS option, 0 without one. Nothing of the options was checked before. */
  function findOption(tcp: number): number {
    const end = tcp + ((v.getUint8(tcp + 12) >>> 4) << 2);
    for (let o = tcp + 20; o < end; ) {
      const kind = v.getUint8(o);
      if (kind === END_OF_OPTIONS) return 0;
      if (kind === NO_OPERATION) {
        o++;
        continue;
      }
      const len = o + 1 < end ? v.getUint8(o + 1) : 0;
      if (len < 2 || o + len > end) return 0;
      if (kind === MSS) return len === MSS_BYTES ? o + 2 : 0;
      o += len;
    }
    return 0;
  }

  function clamp(i: number): void {
    const most = limitOf(i) - ((flags[i] & IS_V4) !== 0 ? HEADERS_V4 : HEADERS_V6);
    const tcp = l4[i];
    const o = findOption(tcp);
    if (o === 0) return;
    const mss = v.getUint16(o);
    if (mss <= most) return;
    v.setUint16(o, most);
    if ((flags[i] & NEEDS_CSUM) !== 0) return;
    // HC' = ~(~HC + ~m + m'); at an odd offset the value's halves lie in two words.
    const isOdd = ((o - tcp) & 1) !== 0;
    const was = isOdd ? mss : bswap16(mss);
    const is = isOdd ? most : bswap16(most);
    const sum = (~v.getUint16(tcp + 16, true) & 0xffff) + (~was & 0xffff) + is;
    v.setUint16(tcp + 16, ~fold(sum), true);
  }

  return function clampMss(n) {
    for (let i = 0; i < n; i++) if ((flags[i] & IS_SYN) !== 0 && drop[i] === 0) clamp(i);
  };
}
