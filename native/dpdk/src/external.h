// Slots of the workers in the hands of devices: external buffers, sent from where they lie.
//
//   slot:  | shared info 24 | rest of the preamble | headroom | data ... |
//
// DPDK counts in the shared info the mbufs that point into a slot. One reference is the owner's and is never given up:
// a slot is home when the count is 1, and whoever frees the last mbuf, on whichever thread, brings it home by that
// alone. So nothing has to be put on a ring, and the callback of the shared info never runs.
#pragma once

#include "frames.h"

namespace weft {

/// Shorter pieces are copied. net_null, thread ns a frame, copy and external buffer in turns on a busy machine: 32
/// bytes 53 and 48, 128: 40 and 48, 256: 49 and 50, 512: 59 and 48, 1024: 62 and 46, 2000: 86 and 53.
constexpr uint32_t kExternalMin = 256;
/// The same behind copied headers, whose mbuf has room: 256 bytes 49 and 69, 768: 70 and 73, 1024: 69 and 76, 1400: 71
/// and 71, 2000: 115 and 72, 60000: 5526 and 82.
constexpr uint32_t kExternalMinBehind = 1400;

void laySharedInfo(const SlotClass& slots);

bool isHome(const SlotClass& slots, uint32_t index);

/// Makes an mbuf without a buffer of use point to `length` bytes of slot `index`, at `data`.
void attachExternal(rte_mbuf* mbuf, const SlotClass& slots, uint32_t index, uint8_t* data, uint32_t length);

/// What the calling thread knows of its slots, for all of its queues together.
struct SlotAccount {
  /// How many may stay with devices until `spare` is called again: their places in the rx window are needed.
  uint32_t spares = 0;
  uint32_t away = 0;
};
SlotAccount& slotAccount();

}  // namespace weft
