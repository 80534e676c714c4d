import * as Ethernet from '../wire/ethernet.js';
import * as Ipv4 from '../wire/ipv4.js';
import * as Ipv6 from '../wire/ipv6.js';
import * as Udp from '../wire/udp.js';

/**
 * Header templates: what stands in front of every inner frame or packet to one peer, built once per plan by the byte-shaped writers of wire/,
 * and copied by the walk's kernel. Over sockets it is the tunnel's header alone; on a frame underlay all outer headers are in front of it.
 *
 *   byte   0                                                       208                    256
 *          |  ...  | Ethernet | IPv4 or IPv6 | UDP | tunnel header |  what is known of it  |
 *   word                                                           52
 *
 * Headers end at byte 208, so that every one is copied in pieces of 16 bytes from the end. With IPv4, UDP and a tunnel header of 8 bytes
 * (the plain form: VXLAN, Geneve without options) all fields from the IP header on lie on words, and six bytes of padding are in front.
 *
 * A peer has two rows, one for inner IPv4 and one for inner IPv6: a tunnel that carries bare packets names their protocol.
 */
export const TEMPLATE_WORDS = 64;
/** Rows of a peer: inner IPv4 (and what is not IP), inner IPv6. */
export const TEMPLATE_ROWS = 2;
export const TEMPLATE_END = 208;

/** Bytes of all headers. */
export const WORD_LEN = 52;
/** From the frame's first byte back to a header; 0 where there is none. */
export const WORD_IP = 53;
export const WORD_UDP = 54;
/** From the frame's first byte back to the tunnel's checksum and sequence number fields (GRE), 0 where there is none. */
export const WORD_CHECKSUM = 55;
export const WORD_SEQUENCE = 56;
/** From the frame's first byte back to the tunnel's header. */
export const WORD_TUNNEL = 57;
/** TEMPLATE_* flags. */
export const WORD_FLAGS = 58;
/** Sums that do not change: the IP header without length, TOS and checksum; the UDP pseudo header and ports without length and source port. */
export const WORD_IP_SUM = 59;
export const WORD_UDP_SUM = 60;

export const TEMPLATE_V6 = 1;
export const TEMPLATE_UDP_CHECKSUM = 2;
/** TTL or hop limit of the inner packet. */
export const TEMPLATE_TTL = 4;
/** The plain form, with or without a UDP checksum, for which the kernel has stores of its own. */
export const TEMPLATE_PLAIN = 8;

/** Longest header: what is left of the headroom after rounding to pieces of 16 bytes. */
export const HEADERS_MAX = TEMPLATE_END;
/** Ethernet, IPv4, UDP and a tunnel header of 8 bytes. */
export const PLAIN_HEADERS = 50;

export interface TemplateFields {
  /** Frame underlays: the link header. `type` is the EtherType of what follows. */
  link: { dstMac: Uint8Array; srcMac: Uint8Array; type: number } | null;
  /** Frame underlays: the outer IP header; addresses of 4 or 16 bytes. A ttl of 0 is that of the inner packet. */
  ip: { src: Uint8Array; dst: Uint8Array; tos: number; ttl: number; protocol: number } | null;
  /** Destination port; 0 without UDP. */
  udpPort: number;
  udpChecksum: boolean;
  /** The tunnel's own header, with the inner Ethernet header of routed packets. */
  tunnel: Uint8Array;
  /** Offsets in `tunnel`, -1 for none. */
  checksumOff: number;
  sequenceOff: number;
}

function sumHalves(view: DataView, from: number, to: number): number {
  let sum = 0;
  for (let p = from; p < to; p += 2) sum += view.getUint16(p, true);
  return sum;
}

const wordOf = (address: Uint8Array) => new DataView(address.buffer, address.byteOffset).getInt32(0);

function writeIp(bytes: Uint8Array, at: number, ip: NonNullable<TemplateFields['ip']>): void {
  if (ip.src.length === 4) {
    Ipv4.write(bytes, at, ip.tos, 0, 0, Ipv4.DONT_FRAGMENT, ip.ttl, ip.protocol, wordOf(ip.src), wordOf(ip.dst));
    // Length and checksum are the packet's own.
    bytes.fill(0, at + 2, at + 4);
    bytes.fill(0, at + 10, at + 12);
  } else {
    Ipv6.write(bytes, at, ip.tos, 0, 0, ip.protocol, ip.ttl);
    Ipv6.setSrc(bytes, at, ip.src, 0);
    Ipv6.setDst(bytes, at, ip.dst, 0);
  }
}

/** Bytes of all headers of a template. */
export function templateLen(f: TemplateFields): number {
  const ipLen = f.ip === null ? 0 : f.ip.src.length === 4 ? Ipv4.HEADER_BYTES : Ipv6.HEADER_BYTES;
  return (
    (f.link ? Ethernet.HEADER_BYTES : 0) + ipLen + (f.udpPort > 0 && f.ip ? Udp.HEADER_BYTES : 0) + f.tunnel.length
  );
}

/** Writes one row. Throws a RangeError when the headers do not fit. */
export function writeTemplate(rows: Int32Array, row: number, f: TemplateFields): void {
  const len = templateLen(f);
  if (len > HEADERS_MAX) throw new RangeError(`headers of ${len} bytes do not fit a template of ${HEADERS_MAX}`);
  const bytes = new Uint8Array(TEMPLATE_WORDS * 4);
  const view = new DataView(bytes.buffer);
  const words = new Int32Array(bytes.buffer);
  const tunnelAt = TEMPLATE_END - f.tunnel.length;
  let at = TEMPLATE_END - len;
  if (f.link) {
    Ethernet.write(bytes, at, f.link.dstMac, 0, f.link.srcMac, 0, f.link.type);
    at += Ethernet.HEADER_BYTES;
  }
  bytes.set(f.tunnel, tunnelAt);
  words[WORD_LEN] = len;
  words[WORD_TUNNEL] = f.tunnel.length;
  words[WORD_CHECKSUM] = f.checksumOff < 0 ? 0 : f.tunnel.length - f.checksumOff;
  words[WORD_SEQUENCE] = f.sequenceOff < 0 ? 0 : f.tunnel.length - f.sequenceOff;
  if (f.ip) {
    writeIp(bytes, at, f.ip);
    const isV6 = f.ip.src.length === 16;
    const hasUdp = f.udpPort > 0;
    words[WORD_IP] = TEMPLATE_END - at;
    words[WORD_FLAGS] = (isV6 ? TEMPLATE_V6 : 0) | (f.ip.ttl === 0 ? TEMPLATE_TTL : 0);
    words[WORD_IP_SUM] = isV6 ? 0 : sumHalves(view, at, at + Ipv4.HEADER_BYTES);
    if (hasUdp) {
      const udp = tunnelAt - Udp.HEADER_BYTES;
      Udp.write(bytes, udp, 0, f.udpPort, 0, 0);
      words[WORD_UDP] = TEMPLATE_END - udp;
      const addresses = isV6 ? sumHalves(view, at + 8, at + 40) : sumHalves(view, at + 12, at + 20);
      words[WORD_UDP_SUM] = addresses + (Ipv4.PROTOCOL_UDP << 8) + view.getUint16(udp + 2, true);
      if (f.udpChecksum) words[WORD_FLAGS] |= TEMPLATE_UDP_CHECKSUM;
      if ((words[WORD_FLAGS] & ~TEMPLATE_UDP_CHECKSUM) === 0 && len === PLAIN_HEADERS)
        words[WORD_FLAGS] |= TEMPLATE_PLAIN;
    }
  }
  rows.set(words, row * TEMPLATE_WORDS);
}

/** Whether the kernel's burst encap writes all of a row's headers: it knows neither checksums nor sequence numbers of the tunnel's own. */
export function isKernelTemplate(rows: Int32Array, row: number): boolean {
  const w = row * TEMPLATE_WORDS;
  return rows[w + WORD_CHECKSUM] === 0 && rows[w + WORD_SEQUENCE] === 0;
}
