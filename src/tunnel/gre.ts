import type { Arena } from '../packet/arena.js';
import { type Burst, PAYLOAD_ETHERNET } from '../packet/burst.js';
import type { ChecksumKernel } from '../packet/checksum.js';
import { DROP } from '../packet/drop.js';
import * as Gre from '../wire/gre.js';
import { KIND, type TunnelPlan } from './tunnel.js';

/**
 * GRE (RFC 2784, RFC 2890), only its own header, whatever underlay carries it. The order of received packets: greSequence.ts.
 *
 *   | C . K S, reserved, version 16 | protocol 16 |   checksum and reserved, key, sequence number: 4 bytes each where flagged
 */

function flagsOf(tunnel: TunnelPlan): number {
  let flags = tunnel.checksum ? Gre.FLAG_CHECKSUM : 0;
  if (tunnel.hasKey) flags |= Gre.FLAG_KEY;
  if (tunnel.sequence) flags |= Gre.FLAG_SEQUENCE;
  return flags;
}

/** Bytes in front of a sent packet. */
export function headerLen(tunnel: TunnelPlan): number {
  return Gre.headerBytes(flagsOf(tunnel));
}

/** Writes the header as a template, checksum and sequence number 0; `innerProtocol` is an EtherType. */
export function writeHeader(bytes: Uint8Array, at: number, tunnel: TunnelPlan, innerProtocol: number): void {
  Gre.write(bytes, at, flagsOf(tunnel), innerProtocol);
  if (tunnel.hasKey) Gre.setKey(bytes, at, tunnel.id);
}

/** Offset in the header of the checksum, over header and payload, that the sender fills in; -1 for none. */
export function checksumOff(tunnel: TunnelPlan): number {
  return tunnel.checksum ? Gre.CHECKSUM_OFF : -1;
}

/** Offset in the header of the sequence number that the sender fills in; -1 for none. */
export function sequenceOff(tunnel: TunnelPlan): number {
  return Gre.sequenceOff(flagsOf(tunnel));
}

/**
 * Decap burst: lanes of this kind stand at the GRE header; afterwards at what it carries. `key` is 0 for packets without, as for key 0;
 * `metaLen` is 4 with a sequence number, the header's last field. A lane ends where its outer packet does: the checksum covers all of it.
 */
export function bindDecap(arena: Arena, burst: Burst, kernel: ChecksumKernel): (count: number) => void {
  const { view } = arena;
  const { sum } = kernel;
  const { at, len, drop, careful, tunnel, key, payload, metaLen } = burst;
  // Imported constants are cells that V8 loads and checks at every use; local ones are folded into the code.
  const headerBytes = Gre.HEADER_BYTES;
  const kind = KIND.gre;
  const ethernet = PAYLOAD_ETHERNET;
  const refused = Gre.FLAGS_REFUSED << 16;
  const malformed = DROP['malformed-tunnel'];
  const badFlags = DROP['tunnel-flags'];
  const badChecksum = DROP['tunnel-checksum'];
  const badProtocol = DROP['tunnel-protocol'];

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
      if ((first & refused) !== 0) {
        drop[i] = badFlags;
        continue;
      }
      // Flags C, K and S, each moved to where it counts 4.
      const checksumLen = (first >>> 29) & 4;
      const keyLen = (first >>> 27) & 4;
      const sequenceLen = (first >>> 26) & 4;
      const inner = headerBytes + checksumLen + keyLen + sequenceLen;
      if (length <= inner) {
        drop[i] = malformed;
        continue;
      }
      if (checksumLen !== 0 && sum(o, length) !== 0xffff) {
        drop[i] = badChecksum;
        continue;
      }
      const protocol = first & 0xffff;
      if (protocol !== ethernet && protocol !== 0x0800 && protocol !== 0x86dd) {
        drop[i] = badProtocol;
        continue;
      }
      key[i] = keyLen === 0 ? 0 : view.getInt32(o + headerBytes + checksumLen);
      payload[i] = protocol;
      metaLen[i] = sequenceLen;
      at[i] = o + inner;
      len[i] = length - inner;
    }
  };
}
