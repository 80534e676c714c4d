#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <rte_atomic.h>
#include <rte_eth_vhost.h>
#include <rte_ethdev.h>
#include <rte_vhost.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>

#include "failure.h"

namespace weft {
namespace {

struct Watched {
  /// Held while DPDK is asked for interrupts. A link that goes down takes it before vhost frees what they are in. Never
  /// taken by an event of queues: vhost's own locks are held then.
  std::mutex interrupts;
  /// Held by those who ring.
  std::mutex ringing;
  std::vector<int> bells;
  /// Bit q: queue q brings frames, takes frames.
  std::atomic<uint64_t> receiving{0}, sending{0};
  /// What the machine has enabled, sound or not.
  std::atomic<uint64_t> machineSends{0}, machineReceives{0};
  uint16_t queues = 0;
  bool isVhost = false;
  /// Not started yet; a machine waits until it is.
  bool isStarting = false;
  std::mutex starting;
  std::condition_variable started;
};

// By port, as DPDK's own tables are.
Watched watchedPorts[RTE_MAX_ETHPORTS];

// Feature bits of virtio 1.2 sections 5.1.3 and 6. <linux/virtio_net.h> is no C++.
constexpr unsigned kMergeableBuffers = 15;
constexpr unsigned kPackedRings = 34;

void ring(Watched& one) {
  std::lock_guard<std::mutex> guard(one.ringing);
  for (const int bell : one.bells) eventfd_write(bell, 1);
}

void putBit(std::atomic<uint64_t>& bits, unsigned at, bool isSet) {
  if (at >= kQueuesMax) return;
  if (isSet)
    bits.fetch_or(uint64_t{1} << at);
  else
    bits.fetch_and(~(uint64_t{1} << at));
}

/// DPDK notes what it gives back in an array as long as the ring, up to this many in one go, and believes the machine's
/// index: over a shorter ring a machine can write behind that array.
constexpr uint16_t kRingMin = 32;

/// Looks at a vring of the machine that is connected, before anything goes through it.
bool isSound(int vid, unsigned vring) {
  rte_vhost_vring found{};
  if (rte_vhost_get_vhost_vring(vid, static_cast<uint16_t>(vring), &found) != 0) return false;
  // Whoever writes to it to wake the machine must not wait for the machine.
  if (found.callfd >= 0) fcntl(found.callfd, F_SETFL, fcntl(found.callfd, F_GETFL) | O_NONBLOCK);
  if (found.size >= kRingMin) return true;
  char path[PATH_MAX];
  if (rte_vhost_get_ifname(vid, path, sizeof path) == 0)
    addLine(std::string("VHOST_CONFIG: (") + path + ") a ring of " + std::to_string(found.size) +
            " descriptors is not used: " + std::to_string(kRingMin) + " are needed");
  return false;
}

/// Opens and closes queues to the workers. Without a machine, or before it is complete, all are closed.
void vet(uint16_t port, Watched& one) {
  const int vid = rte_eth_vhost_get_vid_from_port_id(port);
  for (unsigned queue = 0; queue < one.queues && queue < kQueuesMax; queue++) {
    // Vring 2q is what the machine receives on, 2q + 1 what it sends on.
    putBit(one.sending, queue, vid >= 0 && (one.machineReceives >> queue & 1) != 0 && isSound(vid, 2 * queue));
    putBit(one.receiving, queue, vid >= 0 && (one.machineSends >> queue & 1) != 0 && isSound(vid, 2 * queue + 1));
  }
}

/// A machine that listens already, or comes at once, is complete before net_vhost has its queues: it would be given to
/// none of them, and never again. Its first queue is told of before the machine is.
void awaitStart(Watched& one) {
  std::unique_lock<std::mutex> guard(one.starting);
  one.started.wait(guard, [&one] { return !one.isStarting; });
}

int onQueues(uint16_t port, rte_eth_event_type /*type*/, void* /*context*/, void* /*returned*/) {
  Watched& one = watchedPorts[port];
  awaitStart(one);
  rte_eth_vhost_queue_event event;
  while (one.isVhost && rte_eth_vhost_get_queue_event(port, &event) == 0)
    putBit(event.rx ? one.machineSends : one.machineReceives, event.queue_id, event.enable);
  if (one.isVhost) vet(port, one);
  ring(one);
  return 0;
}

int onLink(uint16_t port, rte_eth_event_type /*type*/, void* /*context*/, void* /*returned*/) {
  Watched& one = watchedPorts[port];
  rte_eth_link link{};
  if (rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_DOWN)
    one.receiving = one.sending = one.machineSends = one.machineReceives = 0;
  else if (one.isVhost)
    vet(port, one);
  { std::lock_guard<std::mutex> guard(one.interrupts); }
  ring(one);
  return 0;
}

}  // namespace

void watchPort(uint16_t port, uint16_t queues, bool isVhost) {
  Watched& one = watchedPorts[port];
  {
    std::lock_guard<std::mutex> guard(one.ringing);
    one.queues = queues;
    one.isVhost = isVhost;
    one.isStarting = isVhost;
    one.receiving = one.sending = one.machineSends = one.machineReceives = 0;
    for (uint16_t queue = 0; queue < queues; queue++) {
      const int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
      if (bell < 0) throw DpdkFailure("eventfd", errno);
      one.bells.push_back(bell);
    }
  }
  rte_eth_dev_callback_register(port, RTE_ETH_EVENT_INTR_LSC, onLink, nullptr);
  rte_eth_dev_callback_register(port, RTE_ETH_EVENT_QUEUE_STATE, onQueues, nullptr);
}

void letMachineIn(uint16_t port) {
  Watched& one = watchedPorts[port];
  {
    std::lock_guard<std::mutex> guard(one.starting);
    one.isStarting = false;
  }
  one.started.notify_all();
}

void unwatchPort(uint16_t port) {
  letMachineIn(port);
  // -EAGAIN: it is being called.
  while (rte_eth_dev_callback_unregister(port, RTE_ETH_EVENT_INTR_LSC, onLink, nullptr) == -EAGAIN) rte_pause();
  while (rte_eth_dev_callback_unregister(port, RTE_ETH_EVENT_QUEUE_STATE, onQueues, nullptr) == -EAGAIN) rte_pause();
  Watched& one = watchedPorts[port];
  std::lock_guard<std::mutex> guard(one.ringing);
  for (const int bell : one.bells) close(bell);
  one.bells.clear();
  one.isVhost = false;
}

void ringBells(uint16_t port) { ring(watchedPorts[port]); }

std::vector<Wake> wakesOf(uint16_t port, uint16_t queues) {
  std::vector<Wake> wakes;
  Watched& one = watchedPorts[port];
  for (uint16_t queue = 0; queue < queues && queue < one.bells.size(); queue++) {
    if (setInterrupt(port, queue, true) != 0) break;
    setInterrupt(port, queue, false);
    const int interrupt = rte_eth_dev_rx_intr_ctl_q_get_fd(port, queue);
    if (interrupt < 0) break;
    wakes.push_back({interrupt, one.bells[queue]});
  }
  if (wakes.size() < queues) wakes.clear();
  return wakes;
}

int setInterrupt(uint16_t port, uint16_t queue, bool isWanted) {
  if (port >= RTE_MAX_ETHPORTS) return -ENODEV;
  std::lock_guard<std::mutex> guard(watchedPorts[port].interrupts);
  const int error = isWanted ? rte_eth_dev_rx_intr_enable(port, queue) : rte_eth_dev_rx_intr_disable(port, queue);
  // Asked for before the queue is looked at: the other side looks in the opposite order.
  rte_mb();
  return error;
}

bool mayReceive(uint16_t port, uint16_t queue) {
  const Watched& one = watchedPorts[port];
  return !one.isVhost || (one.receiving.load(std::memory_order_acquire) >> queue & 1) != 0;
}

bool maySend(uint16_t port, uint16_t queue) {
  const Watched& one = watchedPorts[port];
  return !one.isVhost || (one.sending.load(std::memory_order_acquire) >> queue & 1) != 0;
}

bool hasBuffersForOne(uint16_t port, uint16_t queue) {
  Watched& one = watchedPorts[port];
  std::lock_guard<std::mutex> guard(one.interrupts);
  // Open: what vhost has of the machine stays while the lock is held.
  if (!maySend(port, queue)) return false;
  const int vid = rte_eth_vhost_get_vid_from_port_id(port);
  uint64_t features = 0;
  if (vid < 0 || rte_vhost_get_negotiated_features(vid, &features) != 0) return false;
  if ((features >> kMergeableBuffers & 1) != 0 || (features >> kPackedRings & 1) != 0) return false;
  return rte_vhost_avail_entries(vid, static_cast<uint16_t>(2 * queue)) > 0;
}

uint16_t enabledQueues(uint16_t port, uint16_t queues) {
  const Watched& one = watchedPorts[port];
  if (!one.isVhost) return queues;
  return static_cast<uint16_t>(__builtin_popcountll(one.receiving & one.sending));
}

uint16_t sendingQueue(uint16_t port, uint16_t queue) {
  const Watched& one = watchedPorts[port];
  if (!one.isVhost) return queue;
  const uint64_t enabled = one.sending.load(std::memory_order_relaxed);
  if ((enabled >> queue & 1) != 0 || enabled == 0) return queue;
  // The one that stands at the same place among those that there are.
  unsigned skip = queue % static_cast<unsigned>(__builtin_popcountll(enabled));
  uint64_t left = enabled;
  while (skip-- > 0) left &= left - 1;
  return static_cast<uint16_t>(__builtin_ctzll(left));
}

}  // namespace weft
