#include "frames.h"

#include <errno.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <stdio.h>
#include <sys/mman.h>

#include <map>
#include <mutex>

#include "external.h"
#include "failure.h"
#include "share.h"

namespace weft {
namespace {

/// Frames that a thread may keep in its cache.
constexpr unsigned kCache = 128;
constexpr uint32_t kLine = 64;

std::mutex registryLock;
uint32_t lastId = 0;

// Never destroyed: threads may still hold frames while the process exits.
std::map<uint32_t, std::shared_ptr<Frames>>& registry() {
  static auto* all = new std::map<uint32_t, std::shared_ptr<Frames>>;
  return *all;
}

/// Thousands of small slots are more pages of 4 KiB than a TLB has entries. A kernel that refuses costs nothing but
/// time.
void askForHugePages(uint8_t* begin, size_t bytes) {
  constexpr uintptr_t kHugePage = uintptr_t{1} << 21;
  const uintptr_t from = (reinterpret_cast<uintptr_t>(begin) + kHugePage - 1) & ~(kHugePage - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(begin) + bytes) & ~(kHugePage - 1);
  if (from < end) madvise(reinterpret_cast<void*>(from), end - from, MADV_HUGEPAGE);
}

uint32_t inverseOf(uint32_t odd) {
  uint32_t inverse = odd;
  for (int round = 0; round < 5; round++) inverse *= 2 - odd * inverse;
  return inverse;
}

std::string nextName(const char* what) {
  static unsigned number = 0;
  char name[RTE_MEMPOOL_NAMESIZE];
  snprintf(name, sizeof name, "weft-%s-%u", what, number++);
  return name;
}

// The mbufs' IO address is the virtual one: software devices alone copy by the CPU, and --no-pci knows no others.
void initMbuf(rte_mempool* pool, void* argument, void* object, unsigned index) {
  rte_pktmbuf_init(pool, argument, object, index);
  auto* mbuf = static_cast<rte_mbuf*>(object);
  mbuf->buf_iova = reinterpret_cast<uintptr_t>(mbuf->buf_addr);
}

void placeSlots(SlotClass& slots, uint8_t* arena, const SlotShape& shape) {
  slots.base = arena + shape.at;
  slots.stride = shape.stride;
  slots.count = shape.count;
  const uint32_t lines = shape.stride / kLine;
  slots.inverse = inverseOf(lines);
  slots.reciprocal = ((uint64_t{1} << 40) + lines - 1) / lines;
}

void checkShape(const SlotShape& one, uint32_t arenaBytes) {
  const uint64_t end = one.at + static_cast<uint64_t>(one.stride) * one.count;
  if (one.count == 0) return;
  if (end > arenaBytes || one.at % kLine != 0 || one.stride % kLine != 0 || one.stride / kLine % 2 == 0 ||
      one.stride <= kBufferAt + RTE_PKTMBUF_HEADROOM)
    throw DpdkFailure("rte_mempool_populate_virt", EINVAL, "slots outside of the arena or of a wrong size");
}

void populate(SlotClass& slots, uint8_t* arena, const SlotShape& shape, const char* what) {
  placeSlots(slots, arena, shape);
  if (shape.count == 0) return;
  // Objects of exactly a slot: no spread over memory channels, and none moved to keep clear of a page's end.
  const unsigned flags = RTE_MEMPOOL_F_NO_SPREAD | RTE_MEMPOOL_F_NO_IOVA_CONTIG;
  const std::string name = nextName(what);
  rte_mempool* pool = rte_mempool_create_empty(name.c_str(), shape.count, shape.stride - kMbufAt,
                                               shape.count >= 4 * kCache ? kCache : 0, sizeof(rte_pktmbuf_pool_private),
                                               SOCKET_ID_ANY, flags);
  if (pool == nullptr) throw DpdkFailure("rte_mempool_create_empty", rte_errno, name);
  slots.pool = pool;
  // Last in, first out: the slot used last is the one whose lines are still in the cache.
  int error = rte_mempool_set_ops_byname(pool, "stack", nullptr);
  if (error < 0) throw DpdkFailure("rte_mempool_set_ops_byname", -error, name);
  rte_pktmbuf_pool_private room{};
  room.mbuf_priv_size = kPrivate;
  const uint32_t buffer = shape.stride - kBufferAt;
  room.mbuf_data_room_size = static_cast<uint16_t>(buffer > UINT16_MAX ? UINT16_MAX : buffer);
  rte_pktmbuf_pool_init(pool, &room);
  const size_t bytes = static_cast<size_t>(shape.stride) * shape.count;
  const int made = rte_mempool_populate_virt(pool, reinterpret_cast<char*>(slots.base), bytes, 4096, nullptr, nullptr);
  if (made < 0) throw DpdkFailure("rte_mempool_populate_virt", -made, name);
  if (static_cast<uint32_t>(made) != shape.count || rte_mempool_obj_iter(pool, initMbuf, nullptr) != shape.count)
    throw DpdkFailure("rte_mempool_populate_virt", ENOSPC, "fewer objects than slots");
}

}  // namespace

Frames::Frames(uint8_t* theArena, uint32_t bytes, int32_t* theHolders)
    : arena(theArena), arenaBytes(bytes), holders(theHolders) {}

// It delegates, so that the destructor frees what was made when a later pool fails.
Frames::Frames(uint8_t* theArena, uint32_t bytes, int32_t* theHolders, uint32_t holderCount, const FramesShape& shape)
    : Frames(theArena, bytes, theHolders) {
  for (const SlotShape& one : {shape.small, shape.large}) checkShape(one, bytes);
  for (const SlotShape& one : shape.workers) checkShape(one, bytes);
  if (shape.firstSlot + static_cast<uint64_t>(shape.small.count) + shape.large.count > holderCount)
    throw DpdkFailure("rte_mempool_populate_virt", EINVAL, "the holder column is too short");
  for (size_t place = 0; place < shape.workers.size(); place++) {
    if (shape.firstSlots[place] + static_cast<uint64_t>(shape.workers[place].count) > holderCount)
      throw DpdkFailure("rte_mempool_populate_virt", EINVAL, "the holder column is too short");
    workers.emplace_back();
    placeSlots(workers.back(), arena, shape.workers[place]);
    workers.back().firstSlot = shape.firstSlots[place];
    laySharedInfo(workers.back());
  }
  small.firstSlot = shape.firstSlot;
  large.firstSlot = shape.firstSlot + shape.small.count;
  // Not the large ones: most of a large slot is never touched.
  askForHugePages(arena + shape.small.at, static_cast<size_t>(shape.small.stride) * shape.small.count);
  populate(small, arena, shape.small, "small");
  populate(large, arena, shape.large, "large");
  heads = rte_pktmbuf_pool_create(nextName("heads").c_str(), shape.heads, shape.heads >= 4 * kCache ? kCache : 0, 0,
                                  RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  if (heads == nullptr) throw DpdkFailure("rte_pktmbuf_pool_create", rte_errno, "give node.dpdk more memory");
}

Frames::~Frames() {
  flushCaches();
  for (rte_mempool* pool : pools())
    if (rte_mempool_full(pool)) rte_mempool_free(pool);
}

std::vector<rte_mempool*> Frames::pools() const {
  std::vector<rte_mempool*> all;
  for (rte_mempool* pool : {small.pool, large.pool, heads})
    if (pool != nullptr) all.push_back(pool);
  return all;
}

void Frames::flushCaches() const {
  const unsigned lcore = rte_lcore_id();
  if (lcore == LCORE_ID_ANY) return;
  for (rte_mempool* pool : pools()) {
    rte_mempool_cache* cache = rte_mempool_default_cache(pool, lcore);
    if (cache != nullptr) rte_mempool_cache_flush(cache, pool);
  }
}

uint32_t Frames::sweep(int32_t place) {
  uint32_t freed = 0;
  for (const SlotClass* slots : {&small, &large}) {
    for (uint32_t i = 0; i < slots->count; i++) {
      int32_t* holder = &holders[slots->firstSlot + i];
      if (__atomic_load_n(holder, __ATOMIC_ACQUIRE) != place + 1) continue;
      __atomic_store_n(holder, 0, __ATOMIC_RELEASE);
      rte_pktmbuf_free(slots->mbufAt(i));
      freed++;
    }
  }
  flushCaches();
  giveUpAll(place);
  return freed;
}

uint32_t keepFrames(std::shared_ptr<Frames> frames) {
  std::lock_guard<std::mutex> guard(registryLock);
  registry()[++lastId] = std::move(frames);
  return lastId;
}

std::shared_ptr<Frames> framesOf(uint32_t id) {
  std::lock_guard<std::mutex> guard(registryLock);
  const auto found = registry().find(id);
  return found == registry().end() ? nullptr : found->second;
}

void dropFrames(uint32_t id) {
  std::shared_ptr<Frames> last;
  std::lock_guard<std::mutex> guard(registryLock);
  const auto found = registry().find(id);
  if (found == registry().end()) return;
  last = std::move(found->second);
  registry().erase(found);
}

}  // namespace weft
