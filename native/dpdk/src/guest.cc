#include "guest.h"

#include <rte_eth_vhost.h>
#include <rte_ethdev.h>

#include <atomic>

#include "device.h"

namespace weft {
namespace {

// Feature bits of virtio 1.2 section 5.1.3. <linux/virtio_net.h> is no C++.
constexpr unsigned kGuestChecksum = 1;
constexpr unsigned kGuestTso4 = 7;
constexpr unsigned kGuestTso6 = 8;

// By DPDK's number of the device. Devices belong to the process, and so do these.
std::atomic<uint32_t> granted[RTE_MAX_ETHPORTS];

/// Segmentation needs checksums (section 5.1.3.1).
uint32_t offloadsOfFeatures(uint64_t features) {
  const auto has = [features](unsigned bit) { return (features >> bit & 1) != 0; };
  if (!has(kGuestChecksum)) return 0;
  return kOffloadChecksum | (has(kGuestTso4) ? kOffloadTso4 : 0) | (has(kGuestTso6) ? kOffloadTso6 : 0);
}

/// On a thread of DPDK, for both events: connected, and gone.
int linkChanged(uint16_t port, rte_eth_event_type /*type*/, void* /*context*/, void* /*returned*/) {
  lookAtGuest(port);
  return 0;
}

}  // namespace

void watchGuest(uint16_t port) {
  granted[port] = 0;
  rte_eth_dev_callback_register(port, RTE_ETH_EVENT_INTR_LSC, linkChanged, nullptr);
}

void lookAtGuest(uint16_t port) {
  rte_eth_link link{};
  const bool isUp = rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  granted[port].store(isUp ? offloadsOfFeatures(machineFeatures(port)) : 0, std::memory_order_relaxed);
}

uint16_t machineQueues(uint16_t port) {
  const int guest = rte_eth_vhost_get_vid_from_port_id(port);
  return guest < 0 ? 0 : static_cast<uint16_t>(rte_vhost_get_vring_num(guest) / 2);
}

uint64_t machineFeatures(uint16_t port) {
  const int guest = rte_eth_vhost_get_vid_from_port_id(port);
  uint64_t features = 0;
  return guest >= 0 && rte_vhost_get_negotiated_features(guest, &features) == 0 ? features : 0;
}

void forgetGuest(uint16_t port) {
  rte_eth_dev_callback_unregister(port, RTE_ETH_EVENT_INTR_LSC, linkChanged, nullptr);
  granted[port] = 0;
}

void grantOffloads(uint16_t port, uint32_t offloads) { granted[port] = offloads; }

uint32_t grantedOffloads(uint16_t port) { return granted[port].load(std::memory_order_relaxed); }

}  // namespace weft
