import type { Arena } from '../packet/arena.js';
import {
  type Burst,
  CSUM_VALID,
  HAS_GSO,
  HAS_OPTIONS,
  IS_FRAGMENT,
  IS_TCP,
  IS_UDP,
  IS_V4,
  LANES,
  NEEDS_CSUM,
  sharedInts,
} from '../packet/burst.js';
import { bswap16, fold } from '../packet/checksum.js';
import { CSUM_GOOD, type Transport } from './transport.js';

/**
 * Joins received TCP segments or UDP datagrams of one flow into superframes, without moving payload: the head lane keeps its headers, the
 * other lanes contribute their payload as extents. The rules are those of the kernel's GRO (net/ipv4/tcp_offload.c and udp_offload.c,
 * selftest gro.c):
 *
 *  - TCP over IPv4 without options or IPv6 without extensions, no fragment, flags exactly ACK or ACK|PSH, payload, checksum verified
 *    (the result claims NEEDS_CSUM: a corrupt segment must not be blessed);
 *  - same MACs and tags, addresses, ports, ack number, window, TOS, TTL, DF, TCP options byte for byte; sequence numbers adjacent;
 *  - UDP likewise, with a checksum (zero says that there is none, and a superframe has one) and the length that the IP header says; over
 *    IPv4 ids that count up, or stay with DF (RFC 6864);
 *  - all segments of the head's size but the last, which may be shorter and ends the chain; PSH ends it too;
 *  - 65,535 bytes of IP packet at most.
 *
 * A frame of a flow that cannot join closes the flow's chain, so that nothing overtakes; a fragment, which does not say its flow,
 * closes all of datagrams.
 */
export interface Coalescer {
  /**
   * Groups list[0..count) into chains; returns their number, in the order of their first lanes. `kinds`: IS_TCP, IS_UDP or both, what the
   * receiver takes superframes of.
   */
  group(list: Int32Array, count: number, kinds: number): number;
  /** First lane of chain c. */
  readonly head: Int32Array;
  /** Lane after lane i in its chain, -1 at its end. */
  readonly next: Int32Array;
  readonly chainLanes: Int32Array;
  /** Payload bytes of each segment but the last. */
  readonly chainSize: Int32Array;
  /** Bytes of Ethernet, IP and transport headers of a lane that is in a chain of two or more. */
  readonly headerLen: Int32Array;
  /** Patches the head's headers for the whole chain c; returns its frame length. */
  finish(c: number): number;
}

const ACK = 0x10;
const PSH = 0x08;
const IP_BYTES_MAX = 65535;
/** Chains looked back at: flows that are interleaved in one burst. */
const LOOK_BACK = 8;

export function bindCoalesce(arena: Arena, burst: Burst, transport: Transport): Coalescer {
  const { view: v } = arena;
  const { at, len, flags, flow, network, l3, l4, dstLo, dstHi, srcLo, srcHi } = burst;
  const head = sharedInts(LANES);
  const tail = sharedInts(LANES);
  const next = sharedInts(LANES);
  const open = sharedInts(LANES);
  const nextSeq = sharedInts(LANES);
  const chainLanes = sharedInts(LANES);
  const chainSize = sharedInts(LANES);
  const chainBytes = sharedInts(LANES);
  /** UDP over IPv4: by what the ids of the chain grow, 0 or 1; -1 before the second lane. */
  const idStep = sharedInts(LANES);
  let kinds = 0;
  const headerLen = sharedInts(LANES);

  /** Payload bytes when lane i may be in a chain, else 0. Fills headerLen. */
  function joinable(i: number): number {
    const f = flags[i];
    if ((f & (HAS_OPTIONS | NEEDS_CSUM | HAS_GSO)) !== 0 || (f & kinds) === 0 || l4[i] === 0) return 0;
    const bytes = transport.transportLen(i);
    if ((f & IS_TCP) !== 0 ? (v.getUint8(l4[i] + 13) & ~PSH) !== ACK : v.getUint16(l4[i] + 4) !== bytes) return 0;
    const ipEnd = l4[i] + bytes;
    headerLen[i] = transport.headersLen(i);
    const payload = ipEnd - at[i] - headerLen[i];
    // Bytes behind the IP packet are padding of a short frame; they must not end up inside a superframe.
    if (payload <= 0 || ipEnd !== at[i] + len[i]) return 0;
    return (f & CSUM_VALID) !== 0 || transport.verify(i) === CSUM_GOOD ? payload : 0;
  }

  function sameBytes(a: number, b: number, count: number): boolean {
    let o = 0;
    for (; o + 4 <= count; o += 4) if (v.getInt32(a + o, true) !== v.getInt32(b + o, true)) return false;
    for (; o < count; o++) if (v.getUint8(a + o) !== v.getUint8(b + o)) return false;
    return true;
  }

  function sameFlow(a: number, b: number): boolean {
    if (flow[a] !== flow[b] || network[a] !== network[b]) return false;
    if (dstLo[a] !== dstLo[b] || dstHi[a] !== dstHi[b] || srcLo[a] !== srcLo[b] || srcHi[a] !== srcHi[b]) return false;
    const ipA = l3[a];
    const ipB = l3[b];
    if (ipA === 0 || ipB === 0 || ((flags[a] ^ flags[b]) & IS_V4) !== 0) return false;
    if (l4[a] === 0 || l4[b] === 0) return true; // a fragment of the pair of hosts: be careful, keep order
    if (v.getInt32(l4[a], true) !== v.getInt32(l4[b], true)) return false;
    return (flags[a] & IS_V4) !== 0 ? sameBytes(ipA + 12, ipB + 12, 8) : sameBytes(ipA + 8, ipB + 8, 32);
  }

  /** Headers of a lane equal those of the chain's head in all that GRO compares; the flow is known to be the same. */
  function sameHeaders(h: number, i: number): boolean {
    if (headerLen[h] !== headerLen[i] || l3[h] - at[h] !== l3[i] - at[i]) return false;
    if (!sameBytes(at[h] + 12, at[i] + 12, l3[h] - at[h] - 12)) return false;
    const a = l3[h];
    const b = l3[i];
    if ((flags[h] & IS_V4) !== 0) {
      if (v.getUint8(a + 1) !== v.getUint8(b + 1) || v.getUint8(a + 8) !== v.getUint8(b + 8)) return false;
      if (v.getUint16(a + 6) !== v.getUint16(b + 6)) return false;
    } else if (v.getInt32(a, true) !== v.getInt32(b, true) || v.getUint8(a + 7) !== v.getUint8(b + 7)) return false;
    return (flags[h] & IS_UDP) !== 0 || sameTcp(h, i);
  }

  function sameTcp(h: number, i: number): boolean {
    const tcpA = l4[h];
    const tcpB = l4[i];
    if (v.getInt32(tcpA + 8, true) !== v.getInt32(tcpB + 8, true)) return false;
    // Reserved bits and window: a window update must not get lost behind the head's.
    if (v.getUint8(tcpA + 12) !== v.getUint8(tcpB + 12) || v.getUint16(tcpA + 14) !== v.getUint16(tcpB + 14))
      return false;
    return sameBytes(tcpA + 20, tcpB + 20, headerLen[h] - (tcpA + 20 - at[h]));
  }

  function start(c: number, i: number, payload: number): void {
    head[c] = i;
    tail[c] = i;
    next[i] = -1;
    chainLanes[c] = 1;
    chainSize[c] = payload;
    chainBytes[c] = at[i] + len[i] - l3[i];
    idStep[c] = -1;
    const isUdp = (flags[i] & IS_UDP) !== 0;
    open[c] = payload > 0 && (isUdp || (v.getUint8(l4[i] + 13) & PSH) === 0) ? 1 : 0;
    nextSeq[c] = payload > 0 && !isUdp ? (v.getInt32(l4[i] + 4) + payload) | 0 : 0;
  }

  /** IPv4 ids of datagrams: those of a chain count up, or are all the same where nothing may be fragmented. */
  function followsById(c: number, i: number): boolean {
    if ((flags[i] & IS_V4) === 0) return true;
    const step = (v.getUint16(l3[i] + 4) - v.getUint16(l3[tail[c]] + 4)) & 0xffff;
    const isAtomic = (v.getUint8(l3[i] + 6) & 0x40) !== 0;
    if (step !== 1 && !(step === 0 && isAtomic)) return false;
    if (idStep[c] >= 0 && idStep[c] !== step) return false;
    idStep[c] = step;
    return true;
  }

  function join(c: number, i: number, payload: number): boolean {
    const h = head[c];
    if (open[c] === 0 || payload > chainSize[c] || chainBytes[c] + payload > IP_BYTES_MAX) return false;
    const isUdp = (flags[h] & IS_UDP) !== 0;
    // Both are of one flow but for the protocol: TCP and UDP have their ports at the same place.
    if (((flags[h] ^ flags[i]) & (IS_TCP | IS_UDP)) !== 0 || !sameHeaders(h, i)) return false;
    if (isUdp ? !followsById(c, i) : v.getInt32(l4[i] + 4) !== nextSeq[c]) return false;
    next[tail[c]] = i;
    next[i] = -1;
    tail[c] = i;
    chainLanes[c]++;
    chainBytes[c] += payload;
    nextSeq[c] = (nextSeq[c] + payload) | 0;
    if (payload < chainSize[c] || (!isUdp && (v.getUint8(l4[i] + 13) & PSH) !== 0)) open[c] = 0;
    return true;
  }

  function closeDatagrams(chains: number): void {
    for (let c = 0; c < chains; c++) if ((flags[head[c]] & IS_UDP) !== 0) open[c] = 0;
  }

  function group(list: Int32Array, count: number, wanted: number): number {
    let chains = 0;
    kinds = wanted;
    for (let k = 0; k < count; k++) {
      const i = list[k];
      const payload = joinable(i);
      let joined = false;
      if ((flags[i] & IS_FRAGMENT) !== 0) closeDatagrams(chains);
      const oldest = chains > LOOK_BACK ? chains - LOOK_BACK : 0;
      for (let c = chains - 1; c >= oldest; c--) {
        if (!sameFlow(head[c], i)) continue;
        joined = payload > 0 && join(c, i, payload);
        if (!joined) open[c] = 0;
        break;
      }
      if (!joined) start(chains++, i, payload);
    }
    return chains;
  }

  function finish(c: number): number {
    const h = head[c];
    const ip = l3[h];
    const l4At = l4[h];
    const ipBytes = chainBytes[c];
    if ((flags[h] & IS_V4) !== 0) {
      v.setUint16(ip + 2, ipBytes);
      v.setUint16(ip + 10, 0);
      let sum = 0;
      for (let o = 0; o < 20; o += 2) sum += v.getUint16(ip + o, true);
      v.setUint16(ip + 10, ~fold(sum), true);
    } else v.setUint16(ip + 4, ipBytes - 40);
    const l4Bytes = ip + ipBytes - l4At;
    const pseudo = fold(transport.pseudoSum(h) + bswap16(l4Bytes));
    if ((flags[h] & IS_UDP) !== 0) {
      v.setUint16(l4At + 4, l4Bytes);
      v.setUint16(l4At + 6, pseudo, true);
    } else {
      const last = v.getUint8(l4[tail[c]] + 13);
      v.setUint8(l4At + 13, v.getUint8(l4At + 13) | (last & PSH));
      v.setUint16(l4At + 16, pseudo, true);
    }
    return ip - at[h] + ipBytes;
  }

  return { group, head, next, chainLanes, chainSize, headerLen, finish };
}
