/**
 * Edits of an IP packet and of what it carries. The packet may be cut off anywhere, and is a stranger's: nothing behind `end` is touched.
 */
import { get16, set16 } from '../wire/bytes.js';
import * as Checksum from '../wire/checksum.js';
import * as Geneve from '../wire/geneve.js';
import * as Gre from '../wire/gre.js';
import * as Icmpv6 from '../wire/icmpv6.js';
import * as Ipv4 from '../wire/ipv4.js';
import * as Ipv6 from '../wire/ipv6.js';
import * as Tcp from '../wire/tcp.js';
import * as Udp from '../wire/udp.js';
import * as Vxlan from '../wire/vxlan.js';

/** -1 and null: stays as it is. */
export interface PacketValues {
  src4: Uint8Array | null;
  dst4: Uint8Array | null;
  src6: Uint8Array | null;
  dst6: Uint8Array | null;
  ttl: number;
  dscp: number;
  srcPort: number;
  dstPort: number;
  vni: number;
}

const PROTOCOL_GRE = 47;
/** Of VXLAN's and Geneve's header: three bytes of network, one reserved. */
const VNI_OFF = 4;
const TUNNEL_BYTES = 8;
/** Routing, and versions other than 0: what follows is something else. */
const GRE_OTHER = 0x4007;
const NO_CHECKSUM = -1;

export function compilePacketEdit(values: PacketValues): (bytes: Uint8Array, at: number, end: number) => void {
  const { src4, dst4, src6, dst6, ttl, dscp, srcPort, dstPort, vni } = values;
  const wantsUpper = srcPort >= 0 || dstPort >= 0 || vni >= 0;

  function editIpv4(bytes: Uint8Array, at: number, end: number): void {
    const header = Ipv4.headerBytes(bytes, at);
    if (end - at < Ipv4.HEADER_BYTES || header < Ipv4.HEADER_BYTES) return;
    if (ttl >= 0) Ipv4.changeTtl(bytes, at, ttl);
    if (dscp >= 0) Ipv4.changeTos(bytes, at, (dscp << 2) | Ipv4.ecn(bytes, at));
    const upperAt = Ipv4.isLaterFragment(bytes, at) ? end : at + header;
    const protocol = Ipv4.protocol(bytes, at);
    const sumAt = protocol === Ipv6.NEXT_ICMPV6 ? NO_CHECKSUM : checksumAt(bytes, protocol, upperAt, end);
    const zero = zeroOf(protocol);
    if (src4 !== null) changeAddress(bytes, at + Ipv4.SRC_OFF, src4, at + Ipv4.CHECKSUM_OFF, sumAt, zero);
    if (dst4 !== null) changeAddress(bytes, at + Ipv4.DST_OFF, dst4, at + Ipv4.CHECKSUM_OFF, sumAt, zero);
    if (wantsUpper) editUpper(bytes, protocol, upperAt, end);
  }

  function editIpv6(bytes: Uint8Array, at: number, end: number): void {
    if (end - at < Ipv6.HEADER_BYTES) return;
    if (ttl >= 0) Ipv6.setHopLimit(bytes, at, ttl);
    if (dscp >= 0) Ipv6.setTrafficClass(bytes, at, (dscp << 2) | Ipv6.ecn(bytes, at));
    const upper = Ipv6.upper(bytes, at, end);
    const isThere = upper >= 0 && !Ipv6.isLaterFragment(upper);
    const upperAt = isThere ? at + Ipv6.upperOff(upper) : end;
    const protocol = isThere ? Ipv6.upperProtocol(upper) : Ipv6.NEXT_NONE;
    const sumAt = checksumAt(bytes, protocol, upperAt, end);
    const zero = zeroOf(protocol);
    if (src6 !== null) changeAddress(bytes, at + Ipv6.SRC_OFF, src6, NO_CHECKSUM, sumAt, zero);
    if (dst6 !== null) changeAddress(bytes, at + Ipv6.DST_OFF, dst6, NO_CHECKSUM, sumAt, zero);
    if (wantsUpper) editUpper(bytes, protocol, upperAt, end);
  }

  function editUpper(bytes: Uint8Array, protocol: number, at: number, end: number): void {
    if (protocol === PROTOCOL_GRE && vni >= 0) changeGreKey(bytes, at, end, vni);
    if ((protocol !== Ipv4.PROTOCOL_TCP && protocol !== Ipv4.PROTOCOL_UDP) || end - at < 4) return;
    const sumAt = checksumAt(bytes, protocol, at, end);
    const zero = zeroOf(protocol);
    // The tunnel is told by the port that the packet came with.
    const tunnelAt = protocol === Ipv4.PROTOCOL_UDP && isTunnelPort(Udp.dstPort(bytes, at)) ? Udp.payloadAt(at) : end;
    if (srcPort >= 0) change16(bytes, at + Udp.SRC_PORT_OFF, srcPort, sumAt, zero);
    if (dstPort >= 0) change16(bytes, at + Udp.DST_PORT_OFF, dstPort, sumAt, zero);
    if (vni < 0 || end - tunnelAt < TUNNEL_BYTES) return;
    change16(bytes, tunnelAt + VNI_OFF, vni >>> 8, sumAt, zero);
    change16(bytes, tunnelAt + VNI_OFF + 2, ((vni & 0xff) << 8) | bytes[tunnelAt + VNI_OFF + 3], sumAt, zero);
  }

  return (bytes, at, end) => {
    if (end <= at) return;
    const version = bytes[at] >>> 4;
    if (version === 4) editIpv4(bytes, at, end);
    else if (version === 6) editIpv6(bytes, at, end);
  };
}

/** Where the checksum stands that covers the pseudo header; NO_CHECKSUM where there is none, or none was computed. */
function checksumAt(bytes: Uint8Array, protocol: number, at: number, end: number): number {
  let sumAt = NO_CHECKSUM;
  if (protocol === Ipv4.PROTOCOL_TCP) sumAt = at + Tcp.CHECKSUM_OFF;
  else if (protocol === Ipv4.PROTOCOL_UDP) sumAt = at + Udp.CHECKSUM_OFF;
  else if (protocol === Ipv6.NEXT_ICMPV6) sumAt = at + Icmpv6.CHECKSUM_OFF;
  if (sumAt < 0 || end - sumAt < 2) return NO_CHECKSUM;
  return protocol === Ipv4.PROTOCOL_UDP && get16(bytes, sumAt) === Udp.NO_CHECKSUM ? NO_CHECKSUM : sumAt;
}

/** Writes a word and keeps the checksum at `sumAt` right. `zero` is how the protocol writes a sum that comes to 0. */
function change16(bytes: Uint8Array, at: number, is: number, sumAt: number, zero: number): void {
  const was = get16(bytes, at);
  if (was === is) return;
  set16(bytes, at, is);
  if (sumAt !== NO_CHECKSUM) set16(bytes, sumAt, Checksum.update(get16(bytes, sumAt), was, is) || zero);
}

/** In UDP a 0 means that there is no checksum (RFC 768). */
function zeroOf(protocol: number): number {
  return protocol === Ipv4.PROTOCOL_UDP ? 0xffff : 0;
}

function changeAddress(
  bytes: Uint8Array,
  at: number,
  address: Uint8Array,
  headerSumAt: number,
  sumAt: number,
  zero: number,
): void {
  for (let i = 0; i < address.length; i += 2) {
    const is = get16(address, i);
    if (headerSumAt !== NO_CHECKSUM)
      set16(bytes, headerSumAt, Checksum.update(get16(bytes, headerSumAt), get16(bytes, at + i), is));
    change16(bytes, at + i, is, sumAt, zero);
  }
}

function isTunnelPort(port: number): boolean {
  return port === Vxlan.PORT || port === Vxlan.PORT_LINUX || port === Vxlan.PORT_GPE || port === Geneve.PORT;
}

function changeGreKey(bytes: Uint8Array, at: number, end: number, key: number): void {
  if (end - at < Gre.HEADER_BYTES) return;
  const flags = Gre.flags(bytes, at);
  if ((flags & GRE_OTHER) !== 0 || (flags & Gre.FLAG_KEY) === 0 || end - at < Gre.headerBytes(flags)) return;
  const keyAt = at + Gre.keyOff(flags);
  const sumAt = (flags & Gre.FLAG_CHECKSUM) !== 0 ? at + Gre.CHECKSUM_OFF : NO_CHECKSUM;
  change16(bytes, keyAt, key >>> 16, sumAt, 0);
  change16(bytes, keyAt + 2, key & 0xffff, sumAt, 0);
}
