import type { Arena } from '../packet/arena.js';
import { type Burst, PAYLOAD_ETHERNET } from '../packet/burst.js';
import { DROP } from '../packet/drop.js';
import * as Geneve from '../wire/geneve.js';
import { type GeneveOption, KIND, type TunnelPlan } from './tunnel.js';

/**
 * Geneve (RFC 8926), only its own header, whatever underlay carries it. Which options a network wants and understands: geneveOptions.ts.
 *
 *   | version 2, option words 6 | O C, reserved 6 | protocol 16 | VNI 24 | reserved 8 |   options   then what it carries
 */

function optionLen(option: GeneveOption): number {
  return Geneve.OPTION_HEADER_BYTES + option.data.length;
}

/** Bytes in front of a sent packet. */
export function headerLen(tunnel: TunnelPlan): number {
  return tunnel.options.reduce((len, option) => len + optionLen(option), Geneve.HEADER_BYTES);
}

/** Writes the header as a template; `innerProtocol` is an EtherType. The C bit is set for critical options, as Open vSwitch does. */
export function writeHeader(bytes: Uint8Array, at: number, tunnel: TunnelPlan, innerProtocol: number): void {
  Geneve.write(bytes, at, headerLen(tunnel) - Geneve.HEADER_BYTES, innerProtocol, tunnel.id);
  let optionAt = Geneve.optionsAt(at);
  for (const option of tunnel.options) {
    if ((option.type & Geneve.TYPE_CRITICAL) !== 0) Geneve.setCriticalFlag(bytes, at);
    optionAt = Geneve.writeOption(bytes, optionAt, option.class, option.type, option.data);
  }
}

/**
 * Decap burst: lanes of this kind stand at the Geneve header; afterwards at what it carries, with `metaLen` bytes of options in front of it,
 * which fill their space exactly. Reserved bits are ignored on receipt (RFC 8926 section 3.4).
 */
export function bindDecap(arena: Arena, burst: Burst): (count: number) => void {
  const { view } = arena;
  const { at, len, drop, careful, tunnel, key, payload, metaLen } = burst;
  // Imported constants are cells that V8 loads and checks at every use; local ones are folded into the code.
  const headerBytes = Geneve.HEADER_BYTES;
  const kind = KIND.geneve;
  const ethernet = PAYLOAD_ETHERNET;
  /** First word of most packets: a frame, no options, no flags. */
  const plain = PAYLOAD_ETHERNET;
  const malformed = DROP['malformed-tunnel'];
  const badFlags = DROP['tunnel-flags'];
  const control = DROP['tunnel-control'];
  const badProtocol = DROP['tunnel-protocol'];

  /** Whether the options from `from` to `end` fill this space exactly; `end` lies inside of the lane. */
  function optionsFill(from: number, end: number): boolean {
    let o = from;
    // Both are at a multiple of four from the header, so an option that begins before the end has its own header before the end.
    while (o < end) o += 4 + ((view.getUint8(o + 3) & 0x1f) << 2);
    return o === end;
  }

  /** Drop reason of a header, or 0. */
  function headerFault(first: number, o: number, length: number): number {
    if (first >>> 30 !== 0) return badFlags;
    const inner = headerBytes + ((first >>> 22) & 0xfc);
    if (length <= inner || !optionsFill(o + headerBytes, o + inner)) return malformed;
    if ((first & 0x00800000) !== 0) return control;
    const protocol = first & 0xffff;
    return protocol === ethernet || protocol === 0x0800 || protocol === 0x86dd ? 0 : badProtocol;
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
      let protocol = ethernet;
      let optionsLen = 0;
      if (first !== plain) {
        const fault = headerFault(first, o, length);
        if (fault !== 0) {
          drop[i] = fault;
          continue;
        }
        protocol = first & 0xffff;
        optionsLen = (first >>> 22) & 0xfc;
      }
      key[i] = view.getInt32(o + 4) >>> 8;
      payload[i] = protocol;
      metaLen[i] = optionsLen;
      at[i] = o + headerBytes + optionsLen;
      len[i] = length - headerBytes - optionsLen;
    }
  };
}
