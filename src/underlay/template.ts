import * as Ethernet from '../wire/ethernet.js';
import * as Ipv4 from '../wire/ipv4.js';
import * as Udp from '../wire/udp.js';
import * as Vxlan from '../wire/vxlan.js';

/**
 * Outer header templates of a frame underlay: what stands in front of every inner frame to one peer, built once per plan by the byte-shaped
 * writers of wire/, and copied by the walk's kernel.
 *
 *   byte   0      6          12        18     20              40        48            56
 *          | pad  | dst MAC  | src MAC | type | IPv4 header   | UDP     | VXLAN       |  inner frame (0 mod 8)
 *   word   0          2          4       5        ...           10        12
 *
 * Six bytes of padding put every IP, UDP and VXLAN field on a 32-bit word. Words 14 and 15 carry the sums that do not change: the IP header
 * without length, TOS and checksum, and the UDP pseudo header and ports without length and source port.
 */
export const TEMPLATE_WORDS = 16;
export const TEMPLATE_PAD = 6;
/** Ethernet, IPv4, UDP, VXLAN. */
export const OUTER_LEN = 50;
export const WORD_IP_SUM = 14;
export const WORD_UDP_SUM = 15;

export interface TemplateFields {
  dstMac: Uint8Array;
  srcMac: Uint8Array;
  /** IPv4 addresses as big-endian numbers. */
  src: number;
  dst: number;
  dstPort: number;
  vni: number;
  tos: number;
  ttl: number;
}

function sumHalves(view: DataView, from: number, to: number): number {
  let sum = 0;
  for (let p = from; p < to; p += 2) sum += view.getUint16(p, true);
  return sum;
}

/** Writes the row of one peer. */
export function writeTemplate(rows: Int32Array, peer: number, f: TemplateFields): void {
  const bytes = new Uint8Array(TEMPLATE_WORDS * 4);
  const view = new DataView(bytes.buffer);
  const ip = TEMPLATE_PAD + Ethernet.HEADER_BYTES;
  const udp = ip + Ipv4.HEADER_BYTES;
  Ethernet.write(bytes, TEMPLATE_PAD, f.dstMac, 0, f.srcMac, 0, Ethernet.TYPE_IPV4);
  Ipv4.write(bytes, ip, f.tos, 0, 0, Ipv4.DONT_FRAGMENT, f.ttl, Ipv4.PROTOCOL_UDP, f.src, f.dst);
  // Length and checksum are the packet's own.
  view.setUint16(ip + 2, 0);
  view.setUint16(ip + 10, 0);
  Udp.write(bytes, udp, 0, f.dstPort, 0, 0);
  Vxlan.write(bytes, udp + Udp.HEADER_BYTES, f.vni);
  view.setInt32(WORD_IP_SUM * 4, sumHalves(view, ip, ip + 20), true);
  const addresses = sumHalves(view, ip + 12, ip + 20);
  view.setInt32(WORD_UDP_SUM * 4, addresses + (Ipv4.PROTOCOL_UDP << 8) + view.getUint16(udp + 2, true), true);
  rows.set(new Int32Array(bytes.buffer), peer * TEMPLATE_WORDS);
}

/** Next hop of a peer: its MAC in the template. */
export function setNextHop(rows: Int32Array, peer: number, mac: Uint8Array): void {
  const bytes = new Uint8Array(rows.buffer, rows.byteOffset + peer * TEMPLATE_WORDS * 4, TEMPLATE_WORDS * 4);
  bytes.set(mac, TEMPLATE_PAD);
}
