import type { Arena } from '../packet/arena.js';
import { type Burst, IS_V4, NEEDS_CSUM, TO_PEER, TO_PORT } from '../packet/burst.js';
import { DROP } from '../packet/drop.js';
import { CARRIES_IP } from '../tunnel/admit.js';
import type { Tables } from './tables.js';

/**
 * The forward step of cross-connected networks: everything of the one port goes to the one peer, and back, or to the other
 * port where there is no peer. Nothing is learned. Where the tunnel carries bare packets, frames leave their Ethernet header behind.
 */
export function bindConnect(arena: Arena, burst: Burst, tables: Tables): (n: number) => void {
  const { view } = arena;
  const { at, len, drop, flags, network, origin, dst, l3, csumStart } = burst;
  const { networkCarries, networkPort, networkOtherPort, networkPeer } = tables;

  function takeEthernetOff(i: number): void {
    const ip = l3[i];
    if (ip === 0) {
      drop[i] = DROP['tunnel-protocol'];
      return;
    }
    const bytes = (flags[i] & IS_V4) !== 0 ? view.getUint16(ip + 2) : 40 + view.getUint16(ip + 4);
    if ((flags[i] & NEEDS_CSUM) !== 0) csumStart[i] -= ip - at[i];
    at[i] = ip;
    len[i] = bytes;
  }

  return function connect(n) {
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0) continue;
      const net = network[i];
      const isLocal = (origin[i] & TO_PORT) !== 0;
      const toPeer = isLocal && networkPeer[net] !== 0;
      const port = origin[i] === (TO_PORT | networkPort[net]) ? networkOtherPort[net] : networkPort[net];
      const id = toPeer ? networkPeer[net] : port;
      if (id === 0) {
        drop[i] = DROP['no-destination'];
        continue;
      }
      dst[i] = (toPeer ? TO_PEER : TO_PORT) | id;
      if (toPeer && (networkCarries[net] & CARRIES_IP) !== 0 && l3[i] !== at[i]) takeEthernetOff(i);
    }
  };
}
