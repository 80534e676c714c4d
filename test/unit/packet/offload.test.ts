import { expect, it } from 'vitest';
import {
  GSO_ECN,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP,
  GSO_UDP_L4,
  VNET_LEN,
  writeVnet,
} from '../../../src/packet/offload.js';

it('writes struct virtio_net_hdr little-endian, all twelve bytes and no other', () => {
  const bytes = new Uint8Array(20).fill(0xa5);
  writeVnet(new DataView(bytes.buffer), 4, 1, 1 | 0x80, 66, 1398, 34, 16);
  expect(Buffer.from(bytes).toString('hex')).toBe(
    `a5a5a5a5${'01'}${'81'}${'4200'}${'7605'}${'2200'}${'1000'}${'0000'}a5a5a5a5`,
  );
  expect(VNET_LEN).toBe(12);
});

it('names GSO types as linux/virtio_net.h numbers them', () => {
  expect({ GSO_TCPV4, GSO_UDP, GSO_TCPV6, GSO_UDP_L4, GSO_ECN }).toEqual({
    GSO_TCPV4: 1,
    GSO_UDP: 3,
    GSO_TCPV6: 4,
    GSO_UDP_L4: 5,
    GSO_ECN: 0x80,
  });
});
