// Queues of devices between workers: an rx queue has one reader at a time, a tx queue one sender. DPDK leaves both to
// its user. A queue passes from worker to worker when their number changes, and workers share tx queues where there are
// fewer of them, or where the machine has enabled fewer.
#pragma once

#include <rte_spinlock.h>
#include <stdint.h>

#include <atomic>

#include "watch.h"

namespace weft {

/// On a cache line of its own: neighbours are other workers'.
struct alignas(64) QueueUse {
  /// 1 + place of the worker that reads the rx queue; 0: nobody. Kept until it gives the queue up, so that no other
  /// worker overtakes frames that it has received.
  std::atomic<int32_t> reader{0};
  rte_spinlock_t sending = RTE_SPINLOCK_INITIALIZER;
};

QueueUse& queueUse(uint16_t port, uint16_t queue);

/// Whether worker `place` reads the queue: it does already, or nobody did.
inline bool mayRead(uint16_t port, uint16_t queue, int32_t place) {
  std::atomic<int32_t>& reader = queueUse(port, queue).reader;
  if (reader.load(std::memory_order_relaxed) == place + 1) return true;
  int32_t nobody = 0;
  return reader.compare_exchange_strong(nobody, place + 1, std::memory_order_acquire);
}

/// Of a device that is new: nobody reads it, whatever the threads of a node that has stopped have left at its number.
void forgetReaders(uint16_t port);

/// Worker `place` reads the queue no more; whoever sleeps over it looks.
void giveUp(uint16_t port, uint16_t queue, int32_t place);

/// The same for every queue of every device, after its thread has ended.
void giveUpAll(int32_t place);

}  // namespace weft
