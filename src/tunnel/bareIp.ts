import { DROP } from '../packet/drop.js';
import * as Ipv4 from '../wire/ipv4.js';
import * as Ipv6 from '../wire/ipv6.js';

const MALFORMED = -DROP['malformed-tunnel'];
const NOT_IP = -DROP['tunnel-protocol'];

/**
 * EtherType of an IP packet that says itself which version it is, in its first four bits; a negative drop reason for what is none, or shorter
 * than the header of its version. The rest of the header is for the step that parses packets.
 */
export function bareIpType(view: DataView, at: number, len: number): number {
  if (len < 1) return MALFORMED;
  const version = view.getUint8(at) >>> 4;
  if (version === 4) return len < Ipv4.HEADER_BYTES ? MALFORMED : 0x0800;
  if (version === 6) return len < Ipv6.HEADER_BYTES ? MALFORMED : 0x86dd;
  return NOT_IP;
}
