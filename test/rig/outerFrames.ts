// Outer frames written out field by field, the slow and obvious way (RFC 791, 768, 7348, 1071): what weft's own are compared with.

export interface OuterFields {
  destinationMac: string;
  sourceMac: string;
  tos: number;
  identification: number;
  /** Flags and fragment offset, 16 bits. */
  fragment: number;
  ttl: number;
  source: string;
  destination: string;
  sourcePort: number;
  destinationPort: number;
  /** False: 0, which says that there is none. */
  checksum: boolean;
  /** First byte of the VXLAN header. */
  flags: number;
  vni: number;
}

export const DONT_FRAGMENT = 0x4000;

const macBytes = (text: string) => Buffer.from(text.replaceAll(':', ''), 'hex');
const addressBytes = (text: string) => Buffer.from(text.split('.').map(Number));

/** RFC 1071, one 16-bit word after the other. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += bytes[at] * 256 + (at + 1 < bytes.length ? bytes[at + 1] : 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return 0xffff - sum;
}

function ipv4Header(fields: OuterFields, payloadBytes: number): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header[1] = fields.tos;
  header.writeUInt16BE(20 + payloadBytes, 2);
  header.writeUInt16BE(fields.identification, 4);
  header.writeUInt16BE(fields.fragment, 6);
  header[8] = fields.ttl;
  header[9] = 17;
  addressBytes(fields.source).copy(header, 12);
  addressBytes(fields.destination).copy(header, 16);
  header.writeUInt16BE(internetChecksum(header), 10);
  return header;
}

function udpPacket(fields: OuterFields, payload: Uint8Array): Buffer {
  const packet = Buffer.concat([Buffer.alloc(8), payload]);
  packet.writeUInt16BE(fields.sourcePort, 0);
  packet.writeUInt16BE(fields.destinationPort, 2);
  packet.writeUInt16BE(packet.length, 4);
  if (!fields.checksum) return packet;
  const length = Buffer.alloc(4);
  length[1] = 17;
  length.writeUInt16BE(packet.length, 2);
  const pseudo = Buffer.concat([addressBytes(fields.source), addressBytes(fields.destination), length]);
  packet.writeUInt16BE(internetChecksum(Buffer.concat([pseudo, packet])) || 0xffff, 6);
  return packet;
}

/** Ethernet, IPv4, UDP and VXLAN around an inner frame. */
export function outerFrame(fields: OuterFields, inner: Uint8Array): Buffer {
  const vxlan = Buffer.alloc(8);
  vxlan[0] = fields.flags;
  vxlan.writeUIntBE(fields.vni, 4, 3);
  const udp = udpPacket(fields, Buffer.concat([vxlan, inner]));
  const ethernet = [macBytes(fields.destinationMac), macBytes(fields.sourceMac), Buffer.from([0x08, 0x00])];
  return Buffer.concat([...ethernet, ipv4Header(fields, udp.length), udp]);
}
