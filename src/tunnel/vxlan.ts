import type { Arena } from '../packet/arena.js';
import { type Burst, PAYLOAD_ETHERNET } from '../packet/burst.js';
import { DROP } from '../packet/drop.js';
import * as Vxlan from '../wire/vxlan.js';
import { KIND, type TunnelPlan } from './tunnel.js';

/**
 * VXLAN (RFC 7348), only its own header, whatever underlay carries it.
 *
 *   | flags 0x08 | reserved 24 | VNI 24 | reserved 8 |   then the inner Ethernet frame
 *
 * GPE (draft-ietf-nvo3-vxlan-gpe) says with flag P what follows: IPv4, IPv6 or Ethernet. GBP (draft-smith-vxlan-group-policy) uses reserved
 * bits for a group id.
 */
export const HEADER_LEN = 8;

/** Bytes in front of a sent packet. */
export function headerLen(_tunnel: TunnelPlan): number {
  return HEADER_LEN;
}

const NEXT_PROTOCOL: Record<number, number> = {
  2048: Vxlan.NEXT_IPV4,
  34525: Vxlan.NEXT_IPV6,
  [PAYLOAD_ETHERNET]: Vxlan.NEXT_ETHERNET,
};

/** Writes the header as a template; `innerProtocol` is an EtherType. */
export function writeHeader(bytes: Uint8Array, at: number, tunnel: TunnelPlan, innerProtocol: number): void {
  Vxlan.write(bytes, at, tunnel.id);
  if (tunnel.gpe) {
    bytes[at] |= Vxlan.FLAG_NEXT_PROTOCOL;
    bytes[at + Vxlan.NEXT_PROTOCOL_OFF] = NEXT_PROTOCOL[innerProtocol];
  } else if (tunnel.group >= 0) {
    bytes[at] |= Vxlan.FLAG_GROUP;
    bytes[at + Vxlan.GROUP_OFF] = tunnel.group >>> 8;
    bytes[at + Vxlan.GROUP_OFF + 1] = tunnel.group & 0xff;
  }
}

/**
 * Decap burst: lanes of this kind stand at the VXLAN header; afterwards at what it carries. Reserved bits are ignored on receipt, the I flag
 * must be set (RFC 7348 section 5). What flag P says is believed only in networks with GPE (tunnel/admit.ts).
 */
export function bindDecap(arena: Arena, burst: Burst): (count: number) => void {
  const { view } = arena;
  const { at, len, drop, careful, tunnel, key, payload, metaLen } = burst;
  // Imported constants are cells that V8 loads and checks at every use; local ones are folded into the code.
  const headerBytes = HEADER_LEN;
  const kind = KIND.vxlan;
  const ethernet = PAYLOAD_ETHERNET;
  const malformed = DROP['malformed-tunnel'];
  const badFlags = DROP['tunnel-flags'];

  /** EtherType by the GPE header, 0 for what no network carries. */
  function nextProtocol(next: number): number {
    if (next === Vxlan.NEXT_ETHERNET) return ethernet;
    return next === Vxlan.NEXT_IPV4 ? 0x0800 : next === Vxlan.NEXT_IPV6 ? 0x86dd : 0;
  }

  return function decap(count) {
    for (let k = 0; k < count; k++) {
      const i = careful[k];
      if (drop[i] !== 0 || tunnel[i] !== kind) continue;
      const o = at[i];
      if (len[i] <= headerBytes) {
        drop[i] = malformed;
        continue;
      }
      const first = view.getInt32(o);
      if ((first & 0x08000000) === 0) {
        drop[i] = badFlags;
        continue;
      }
      key[i] = view.getInt32(o + 4) >>> 8;
      payload[i] = (first & 0x04000000) === 0 ? ethernet : nextProtocol(first & 0xff);
      metaLen[i] = 0;
      at[i] = o + headerBytes;
      len[i] -= headerBytes;
    }
  };
}
