import type { Arena } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import { DROP } from '../packet/drop.js';
import * as Ipv4 from '../wire/ipv4.js';
import * as Ipv6 from '../wire/ipv6.js';
import { KIND, type TunnelPlan } from './tunnel.js';

/**
 * Tunnels without a header of their own: the inner IP packet follows the outer headers, and says by its first four bits which version it is.
 *
 *   ipip    behind an outer IP header: IPv4 in IPv4 (RFC 2003), either in IPv6 (RFC 2473), IPv6 in IPv4 (RFC 4213)
 *   fou     behind UDP, as Linux' fou with ipproto 4 or 41 and flannel's udp backend send it
 */

/** Bytes in front of a sent packet. */
export function headerLen(_tunnel: TunnelPlan): number {
  return 0;
}

/** There is nothing to write. */
export function writeHeader(_bytes: Uint8Array, _at: number, _tunnel: TunnelPlan, _innerProtocol: number): void {}

const MALFORMED = -DROP['malformed-tunnel'];
const NOT_IP = -DROP['tunnel-protocol'];

/**
 * EtherType of an IP packet that says itself which version it is; a negative drop reason for what is none, or shorter than the header of its
 * version. The rest of the header is for the step that parses packets.
 */
export function bareIpType(view: DataView, at: number, len: number): number {
  if (len < 1) return MALFORMED;
  const version = view.getUint8(at) >>> 4;
  if (version === 4) return len < Ipv4.HEADER_BYTES ? MALFORMED : 0x0800;
  if (version === 6) return len < Ipv6.HEADER_BYTES ? MALFORMED : 0x86dd;
  return NOT_IP;
}

/**
 * Decap burst: lanes of both kinds stand at the inner packet and stay there; only what it is gets known.
 */
export function bindDecap(arena: Arena, burst: Burst): (count: number) => void {
  const { view } = arena;
  const { at, len, drop, careful, tunnel, key, payload, metaLen } = burst;
  const { ipip, fou } = KIND;

  return function decap(count) {
    for (let k = 0; k < count; k++) {
      const i = careful[k];
      if (drop[i] !== 0 || (tunnel[i] !== ipip && tunnel[i] !== fou)) continue;
      const type = bareIpType(view, at[i], len[i]);
      if (type < 0) {
        drop[i] = -type;
        continue;
      }
      payload[i] = type;
      key[i] = 0;
      metaLen[i] = 0;
    }
  };
}
