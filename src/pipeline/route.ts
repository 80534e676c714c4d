import type { Arena } from '../packet/arena.js';
import { type Burst, ID_MASK, IS_V4, TO_PEER, TO_PORT } from '../packet/burst.js';
import { DROP } from '../packet/drop.js';
import * as Ipv4 from '../wire/ipv4.js';
import type { Answers } from './answers.js';
import type { Tables } from './tables.js';

/**
 * The forward step of L3 networks: the longest prefix of the packet's domain says where it goes. Split horizon and the way back to the same port are
 * dropped as in an L2 network.
 *
 * The tunnel is one hop of the hosts that route into it: TTL stays as it is between port and peer (RFC 2003 section 3.1 leaves the decrement to
 * whoever forwards). Between two ports, or two peers of a bridge, the node itself is the router and takes one off.
 */
export function bindRoute(
  arena: Arena,
  burst: Burst,
  tables: Tables,
  lookup: (n: number, tableAt: number) => void,
  answers: Answers,
): (n: number) => void {
  const { bytes, view } = arena;
  const { drop, dst, origin, flags, l3 } = burst;
  const { whole, peerNetwork } = tables;
  const noRoute = DROP['no-route'];

  /** Takes one off the TTL or hop limit; false when none is left. */
  function decrement(i: number): boolean {
    const ip = l3[i];
    if ((flags[i] & IS_V4) !== 0) {
      const ttl = view.getUint8(ip + 8);
      if (ttl <= 1) return false;
      Ipv4.changeTtl(bytes, ip, ttl - 1);
      return true;
    }
    const hops = view.getUint8(ip + 7);
    if (hops <= 1) return false;
    view.setUint8(ip + 7, hops - 1);
    return true;
  }

  /** Lanes that stay on their side: from port to port, or from peer to peer. */
  function forward(i: number, value: number, from: number): number {
    if (value === from) return DROP['same-port'];
    const isRelay =
      (value & TO_PEER) !== 0 && (from & TO_PEER) !== 0 && peerNetwork[value & ID_MASK] !== peerNetwork[from & ID_MASK];
    if ((value & TO_PEER) !== 0 && !isRelay) return DROP['split-horizon'];
    return decrement(i) ? 0 : DROP['ttl-exceeded'];
  }

  /** Multicast (RFC 5771, RFC 4291) and link-local destinations (RFC 3927), such as a host's router solicitations. */
  function isNeverRouted(i: number): boolean {
    const ip = l3[i];
    if ((flags[i] & IS_V4) !== 0) return view.getUint8(ip + 16) >= 224 || view.getUint16(ip + 16) === 0xa9fe;
    const first = view.getUint16(ip + 24);
    return first >= 0xff00 || (first & 0xffc0) === 0xfe80;
  }

  return function route(n) {
    if (whole.routesAt !== 0) lookup(n, whole.routesAt);
    else for (let i = 0; i < n; i++) dst[i] = 0;
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0) continue;
      const value = dst[i];
      const from = origin[i];
      const staysOnSide = ((value ^ from) & (TO_PORT | TO_PEER)) === 0 || (from === 0 && (value & TO_PEER) !== 0);
      if (value !== 0 && !staysOnSide) continue;
      if (isNeverRouted(i)) drop[i] = DROP['not-routed'];
      else if (value !== 0) drop[i] = forward(i, value, from);
      else {
        drop[i] = noRoute;
        answers.noRoute(i);
      }
    }
  };
}
