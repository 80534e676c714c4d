import type { Arena } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import { DROP } from '../packet/drop.js';
import * as Gue from '../wire/gue.js';
import { bareIpType } from './bareIp.js';
import { KIND, type TunnelPlan } from './tunnel.js';

/**
 * GUE (draft-ietf-intarea-gue), only its own header, whatever underlay carries it.
 *
 *   | variant 2, C, words of fields 5 | protocol 8 | flags 16 |   extension fields   then the inner IP packet
 *
 * Sent without extension fields. Received with variant 1 as well, which is the inner packet alone, as Linux takes it.
 */

/** Bytes in front of a sent packet. */
export function headerLen(_tunnel: TunnelPlan): number {
  return Gue.HEADER_BYTES;
}

/** Writes the header as a template; `innerProtocol` is an EtherType. */
export function writeHeader(bytes: Uint8Array, at: number, _tunnel: TunnelPlan, innerProtocol: number): void {
  Gue.write(bytes, at, innerProtocol === 0x86dd ? Gue.PROTOCOL_IPV6 : Gue.PROTOCOL_IPV4);
}

/** Decap burst: lanes of this kind stand at the GUE header; afterwards at the inner packet. */
export function bindDecap(arena: Arena, burst: Burst): (count: number) => void {
  const { view } = arena;
  const { at, len, drop, careful, tunnel, key, payload, metaLen } = burst;
  // Imported constants are cells that V8 loads and checks at every use; local ones are folded into the code.
  const headerBytes = Gue.HEADER_BYTES;
  const protocolIpv4 = Gue.PROTOCOL_IPV4;
  const protocolIpv6 = Gue.PROTOCOL_IPV6;
  const kind = KIND.gue;
  const malformed = DROP['malformed-tunnel'];
  const badFlags = DROP['tunnel-flags'];
  const control = DROP['tunnel-control'];
  const badProtocol = DROP['tunnel-protocol'];

  /**
   * Drop reason of a packet with a header, or 0. Extension fields follow from flags, and a flag that is not known drops the packet; fields
   * without a flag are private to the sender and skipped, as Linux does.
   */
  function headerFault(first: number, inner: number, length: number): number {
    if (first >>> 31 !== 0) return badFlags;
    if ((first & 0x20000000) !== 0) return control;
    if ((first & 0xffff) !== 0) return badFlags;
    if (length <= inner) return malformed;
    const protocol = (first >>> 16) & 0xff;
    return protocol === protocolIpv4 || protocol === protocolIpv6 ? 0 : badProtocol;
  }

  return function decap(count) {
    for (let k = 0; k < count; k++) {
      const i = careful[k];
      if (drop[i] !== 0 || tunnel[i] !== kind) continue;
      const o = at[i];
      const length = len[i];
      if (length <= headerBytes) {
        drop[i] = malformed;
        continue;
      }
      const first = view.getInt32(o);
      // Variant 1 has no header.
      const inner = first >>> 30 === 1 ? 0 : headerBytes + ((first >>> 22) & 0x7c);
      const fault = inner === 0 ? 0 : headerFault(first, inner, length);
      if (fault !== 0) {
        drop[i] = fault;
        continue;
      }
      const type = bareIpType(view, o + inner, length - inner);
      if (type < 0) {
        drop[i] = -type;
        continue;
      }
      if (inner !== 0 && (type === 0x0800) !== (((first >>> 16) & 0xff) === protocolIpv4)) {
        drop[i] = badProtocol;
        continue;
      }
      key[i] = 0;
      payload[i] = type;
      metaLen[i] = 0;
      at[i] = o + inner;
      len[i] = length - inner;
    }
  };
}
