/**
 * Offload metadata as struct virtio_net_hdr carries it (virtio 1.2 section 5.1.6, linux/virtio_net.h), little-endian
 * (TUNSETVNETLE):
 *
 *    0 flags u8   1 gso_type u8   2 hdr_len u16   4 gso_size u16   6 csum_start u16   8 csum_offset u16   10 num_buffers u16
 *
 * csum_start counts from the first byte of the frame. hdr_len is a hint that devices get wrong on forwarded frames: never trusted.
 */
export const VNET_NEEDS_CSUM = 1;

export const GSO_TCPV4 = 1;
export const GSO_UDP = 3;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
/** Modifier of the TCP types: the first segment alone carries CWR (RFC 3168). */
export const GSO_ECN = 0x80;

/** What TUNSETOFFLOAD takes: which frames the device may hand over, and takes, uncut or unfinished. */
export const TUN_F_CSUM = 1;
export const TUN_F_TSO4 = 2;
export const TUN_F_TSO6 = 4;
/** UDP superframes: the kernel takes both bits or none. */
export const TUN_F_USO4 = 0x20;
export const TUN_F_USO6 = 0x40;

/** Bytes of the header that weft writes; devices with a 10-byte header get the first 10. */
export const VNET_LEN = 12;

/** Writes a virtio-net header. */
export function writeVnet(
  view: DataView,
  at: number,
  flags: number,
  gsoType: number,
  headerLen: number,
  gsoSize: number,
  csumStart: number,
  csumOffset: number,
): void {
  view.setUint8(at, flags);
  view.setUint8(at + 1, gsoType);
  view.setUint16(at + 2, headerLen, true);
  view.setUint16(at + 4, gsoSize, true);
  view.setUint16(at + 6, csumStart, true);
  view.setUint16(at + 8, csumOffset, true);
  view.setUint16(at + 10, 0, true);
}
