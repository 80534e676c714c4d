#include "share.h"

#include <rte_ethdev.h>

namespace weft {
namespace {

// By port, as DPDK's own tables are.
QueueUse uses[RTE_MAX_ETHPORTS][kQueuesMax];

}  // namespace

QueueUse& queueUse(uint16_t port, uint16_t queue) { return uses[port % RTE_MAX_ETHPORTS][queue % kQueuesMax]; }

void forgetReaders(uint16_t port) {
  for (uint16_t queue = 0; queue < kQueuesMax; queue++)
    queueUse(port, queue).reader.store(0, std::memory_order_release);
}

void giveUp(uint16_t port, uint16_t queue, int32_t place) {
  int32_t ours = place + 1;
  if (queueUse(port, queue).reader.compare_exchange_strong(ours, 0, std::memory_order_release)) ringBells(port);
}

void giveUpAll(int32_t place) {
  for (uint16_t port = 0; port < RTE_MAX_ETHPORTS; port++)
    for (uint16_t queue = 0; queue < kQueuesMax; queue++) giveUp(port, queue, place);
}

}  // namespace weft
