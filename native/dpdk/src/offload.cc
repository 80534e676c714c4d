#include "offload.h"

#include <rte_ether.h>
#include <rte_net.h>
#include <rte_tcp.h>

#include "device.h"

namespace weft {
namespace {

constexpr uint16_t kTcpChecksumAt = 16;
constexpr uint16_t kUdpChecksumAt = 6;

/// Bytes in front of the network header, and its version by its first four bits.
uint32_t linkLength(const uint8_t* frame, uint32_t length) {
  uint32_t at = 12;
  while (at + 2 <= length) {
    const uint16_t type = static_cast<uint16_t>(frame[at] << 8 | frame[at + 1]);
    if (type != RTE_ETHER_TYPE_VLAN && type != RTE_ETHER_TYPE_QINQ) return at + 2;
    at += 4;
  }
  return length;
}

}  // namespace

bool readOffload(const rte_mbuf* mbuf, VnetHeader* to) {
  const bool isSuper = (mbuf->ol_flags & RTE_MBUF_F_RX_LRO) != 0 && mbuf->tso_segsz != 0;
  if (!isSuper && (mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_NONE) return false;
  rte_net_hdr_lens lens{};
  const uint32_t type = rte_net_get_ptype(mbuf, &lens, RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK);
  const uint32_t transport = type & RTE_PTYPE_L4_MASK;
  if (transport != RTE_PTYPE_L4_TCP && transport != RTE_PTYPE_L4_UDP) return false;
  const bool isTcp = transport == RTE_PTYPE_L4_TCP;
  *to = {};
  to->flags = kNeedsChecksum;
  to->csumStart = static_cast<uint16_t>(lens.l2_len + lens.l3_len);
  to->csumOffset = isTcp ? kTcpChecksumAt : kUdpChecksumAt;
  if (isSuper && isTcp) {
    to->gsoType = RTE_ETH_IS_IPV4_HDR(type) ? kGsoTcp4 : kGsoTcp6;
    to->gsoSize = mbuf->tso_segsz;
    to->headerLen = static_cast<uint16_t>(to->csumStart + lens.l4_len);
  }
  return true;
}

uint32_t offloadsNeeded(const VnetHeader& vnet) {
  const uint32_t checksum = (vnet.flags & kNeedsChecksum) != 0 ? kOffloadChecksum : 0;
  const uint8_t type = vnet.gsoType & static_cast<uint8_t>(~kGsoEcn);
  return checksum | (type == kGsoTcp4 ? kOffloadTso4 : 0) | (type == kGsoTcp6 ? kOffloadTso6 : 0);
}

uint32_t splitAt(const VnetHeader& vnet) {
  if ((vnet.flags & kNeedsChecksum) == 0) return 0;
  // IPv4 and IPv6 without more, with a VLAN tag and without.
  const uint32_t link = vnet.csumStart == 38 || vnet.csumStart == 58 ? 18 : 14;
  const bool isPlain = vnet.csumStart == link + 20u || vnet.csumStart == link + 40u;
  return vnet.gsoType != 0 || !isPlain ? vnet.csumStart : 0;
}

bool writeOffload(const VnetHeader& from, rte_mbuf* mbuf) {
  if ((from.flags & kNeedsChecksum) == 0) return from.gsoType == 0;
  // The transport header may lie in the next piece.
  const auto* frame = rte_pktmbuf_mtod(mbuf, const uint8_t*);
  const uint32_t link = linkLength(frame, mbuf->data_len);
  if (link >= from.csumStart || link >= mbuf->data_len || from.csumStart >= mbuf->pkt_len) return false;
  if (link >= 1u << RTE_MBUF_L2_LEN_BITS || from.csumStart - link >= 1u << RTE_MBUF_L3_LEN_BITS) return false;
  const bool isTcp = from.csumOffset == kTcpChecksumAt;
  if (!isTcp && from.csumOffset != kUdpChecksumAt) return false;
  const bool isV4 = frame[link] >> 4 == 4;
  uint64_t flags = isV4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
  flags |= isTcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
  mbuf->l2_len = link;
  mbuf->l3_len = from.csumStart - link;
  mbuf->l4_len = isTcp ? 20 : 8;
  const uint8_t type = from.gsoType & static_cast<uint8_t>(~kGsoEcn);
  if (type != 0) {
    if ((type != kGsoTcp4 && type != kGsoTcp6) || !isTcp) return false;
    uint8_t word = 0;
    const void* offset = rte_pktmbuf_read(mbuf, from.csumStart + 12, 1, &word);
    if (offset == nullptr) return false;
    mbuf->l4_len = (*static_cast<const uint8_t*>(offset) >> 2) & 0x3c;
    mbuf->tso_segsz = from.gsoSize;
    flags |= RTE_MBUF_F_TX_TCP_SEG;
  }
  mbuf->ol_flags |= flags;
  return true;
}

}  // namespace weft
