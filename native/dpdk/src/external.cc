#include "external.h"

#include <stddef.h>

namespace weft {
namespace {

// packet/rxWindow.ts reads it there.
static_assert(offsetof(rte_mbuf_ext_shared_info, refcnt) == 16);
static_assert(sizeof(rte_mbuf_ext_shared_info) <= kPreamble);

rte_mbuf_ext_shared_info* sharedInfo(const SlotClass& slots, uint32_t index) {
  return reinterpret_cast<rte_mbuf_ext_shared_info*>(slots.base + static_cast<size_t>(index) * slots.stride);
}

void neverCalled(void* /*data*/, void* /*argument*/) {}

}  // namespace

void laySharedInfo(const SlotClass& slots) {
  for (uint32_t i = 0; i < slots.count; i++) {
    rte_mbuf_ext_shared_info* info = sharedInfo(slots, i);
    info->free_cb = neverCalled;
    info->fcb_opaque = nullptr;
    rte_mbuf_ext_refcnt_set(info, 1);
  }
}

bool isHome(const SlotClass& slots, uint32_t index) { return rte_mbuf_ext_refcnt_read(sharedInfo(slots, index)) == 1; }

void attachExternal(rte_mbuf* mbuf, const SlotClass& slots, uint32_t index, uint8_t* data, uint32_t length) {
  rte_mbuf_ext_shared_info* info = sharedInfo(slots, index);
  rte_mbuf_ext_refcnt_update(info, 1);
  rte_pktmbuf_attach_extbuf(mbuf, data, reinterpret_cast<uintptr_t>(data), static_cast<uint16_t>(length), info);
  mbuf->data_len = static_cast<uint16_t>(length);
  mbuf->pkt_len = length;
}

SlotAccount& slotAccount() {
  thread_local SlotAccount account;
  return account;
}

}  // namespace weft
