// Offload metadata: struct virtio_net_hdr on weft's side, flags and lengths of an mbuf on DPDK's.
#pragma once

#include <rte_mbuf.h>
#include <stdint.h>

namespace weft {

constexpr uint32_t kVnetBytes = 12;

/// virtio 1.2 section 5.1.6, little-endian.
struct VnetHeader {
  uint8_t flags;
  uint8_t gsoType;
  uint16_t headerLen;
  uint16_t gsoSize;
  uint16_t csumStart;
  uint16_t csumOffset;
  uint16_t buffers;
};
static_assert(sizeof(VnetHeader) == kVnetBytes);

constexpr uint8_t kNeedsChecksum = 1;
constexpr uint8_t kGsoTcp4 = 1;
constexpr uint8_t kGsoTcp6 = 4;
constexpr uint8_t kGsoEcn = 0x80;

/// Metadata of a received mbuf; false when there is none, or none that can be told.
bool readOffload(const rte_mbuf* mbuf, VnetHeader* to);

/// kOffload* that a frame with this header needs of its receiver.
uint32_t offloadsNeeded(const VnetHeader& vnet);

/// Bytes in front of the transport header, when they have to be an mbuf of their own on the way to a machine; else 0.
///
/// DPDK's vhost library puts a pseudo header's sum in place of the one that is there: for superframes without their
/// length, as Intel's network cards like it and virtio 1.2 section 5.1.6.2 does not, and for IPv6 without a look at
/// extension headers. It leaves the sum alone where the headers are not in one piece.
uint32_t splitAt(const VnetHeader& vnet);

/// Puts metadata on an mbuf that is about to be sent. False: nothing that DPDK has words for.
bool writeOffload(const VnetHeader& from, rte_mbuf* mbuf);

}  // namespace weft
