import type { Arena } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import { bareIpType } from './bareIp.js';
import { KIND, type TunnelPlan } from './tunnel.js';

/**
 * IP packets as UDP payloads, as Linux' fou with ipproto 4 or 41 and flannel's udp backend send them. Nothing but the packet's first four bits
 * says which version it is.
 */

/** Bytes in front of a sent packet. */
export function headerLen(_tunnel: TunnelPlan): number {
  return 0;
}

/** There is nothing to write. */
export function writeHeader(_bytes: Uint8Array, _at: number, _tunnel: TunnelPlan, _innerProtocol: number): void {}

/** Decap burst: lanes of this kind stand at the inner packet and stay there; only what it is gets known. */
export function bindDecap(arena: Arena, burst: Burst): (n: number) => void {
  const { view } = arena;
  const { at, len, drop, tunnel, key, payload, metaLen } = burst;
  const kind = KIND.fou;

  return function decap(n) {
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0 || tunnel[i] !== kind) continue;
      const type = bareIpType(view, at[i], len[i]);
      if (type < 0) {
        drop[i] = -type;
        continue;
      }
      key[i] = 0;
      payload[i] = type;
      metaLen[i] = 0;
    }
  };
}
