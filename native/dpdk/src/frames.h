// Where frames lie: DPDK's mempools over slots of weft's arena, and a pool of DPDK's own for heads.
//
//   arena                                                            DPDK's memory
//   ... | small slots of all workers | large slots of all workers |  heads: indirect mbufs, copied headers, copied
//   frames
//
//   slot:  | object header 64 | mbuf 128 | private area 128 | DPDK's headroom 128 | data ... |
//                                        ^ weft's headroom of 256                  ^ frame start
//
// `holders` has one word a slot: 0 while the mempool or a device has it, otherwise 1 + the place of the worker that has
// received it and has neither sent nor freed it. When a worker's thread has ended, the main thread frees what the
// column says that it held.
#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <stdint.h>

#include <memory>
#include <vector>

namespace weft {

constexpr uint32_t kPreamble = 192;
constexpr uint32_t kPrivate = 128;
constexpr uint32_t kMbufAt = 64;
/// From the slot's begin to the mbuf's buffer.
constexpr uint32_t kBufferAt = kPreamble + kPrivate;

/// Slots of one size in a row.
struct SlotClass {
  rte_mempool* pool = nullptr;
  uint8_t* base = nullptr;
  uint32_t stride = 0;
  uint32_t count = 0;
  /// Id of the first slot, an index into `holders`.
  uint32_t firstSlot = 0;
  /// Inverse of stride / 64 modulo 2^32: exact division of offsets of slots.
  uint32_t inverse = 0;
  /// ceil(2^40 / (stride / 64)): division of offsets inside of slots.
  uint64_t reciprocal = 0;

  uint32_t bytes() const { return stride * count; }
  uint32_t indexOf(const rte_mbuf* mbuf) const {
    const auto offset = static_cast<uint32_t>(reinterpret_cast<const uint8_t*>(mbuf) - kMbufAt - base);
    return (offset >> 6) * inverse;
  }
  /// Index of the slot that has byte `offset` from the first slot's begin.
  uint32_t indexAt(uint32_t offset) const { return static_cast<uint32_t>(((offset >> 6) * reciprocal) >> 40); }
  rte_mbuf* mbufAt(uint32_t index) const {
    return reinterpret_cast<rte_mbuf*>(base + static_cast<size_t>(index) * stride + kMbufAt);
  }
};

struct SlotShape {
  uint32_t at = 0;
  uint32_t count = 0;
  uint32_t stride = 0;
};

struct FramesShape {
  SlotShape small;
  SlotShape large;
  uint32_t firstSlot = 0;
  uint32_t heads = 0;
  /// Large slots of the workers, by place; `firstSlots` are their ids.
  std::vector<SlotShape> workers;
  std::vector<uint32_t> firstSlots;
};

class Frames {
 public:
  /// Lays the pools. `arena` and `holders` must outlive this object.
  Frames(uint8_t* arena, uint32_t arenaBytes, int32_t* holders, uint32_t holderCount, const FramesShape& shape);
  /// Frees the pools that are complete. One that still lacks slots stays: a device may write to them.
  ~Frames();
  Frames(const Frames&) = delete;
  Frames& operator=(const Frames&) = delete;

  uint8_t* const arena;
  const uint32_t arenaBytes;
  int32_t* const holders;
  SlotClass small;
  SlotClass large;
  rte_mempool* heads = nullptr;
  /// Slots of the workers themselves, by place: no pool, and shared info of DPDK at their begin (external.h).
  std::vector<SlotClass> workers;

  const SlotClass* classOfSlot(uint32_t slot) const {
    if (slot - small.firstSlot < small.count) return &small;
    if (slot - large.firstSlot < large.count) return &large;
    return nullptr;
  }
  /// Frees what the worker of `place` held; only after its thread has ended.
  uint32_t sweep(int32_t place);
  /// Empties the calling thread's caches.
  void flushCaches() const;
  std::vector<rte_mempool*> pools() const;

 private:
  Frames(uint8_t* arena, uint32_t arenaBytes, int32_t* holders);
};

/// Numbers for JavaScript; 0 is none. The registry keeps an object until it is dropped, bindings keep it longer.
uint32_t keepFrames(std::shared_ptr<Frames> frames);
std::shared_ptr<Frames> framesOf(uint32_t id);
void dropFrames(uint32_t id);

}  // namespace weft
