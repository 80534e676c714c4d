// Messages of several pieces: headers in front of a shared payload, segments, superframes, frames of kernel devices.
#include <errno.h>
#include <rte_memcpy.h>

#include "external.h"
#include "queue.h"

namespace weft {

void Chain::link(rte_mbuf* next) {
  if (head == nullptr) {
    head = next;
  } else {
    tail->next = next;
    head->nb_segs++;
    head->pkt_len += next->data_len;
  }
  tail = next;
}

const SlotClass* Queue::slotsOf(uint32_t at) const {
  const uint8_t* byte = frames_->arena + at;
  for (const SlotClass* slots : {&frames_->small, &frames_->large})
    if (byte >= slots->base && byte < slots->base + slots->bytes()) return slots;
  return nullptr;
}

/// Where `length` bytes at `at` lie in an mbuf's buffer: their data_off, or -1 when they are not inside of it.
int32_t Queue::dataOffset(const rte_mbuf* mbuf, uint32_t at, uint32_t length) const {
  const auto* byte = frames_->arena + at;
  const auto* buffer = static_cast<const uint8_t*>(mbuf->buf_addr);
  if (byte < buffer || byte + length > buffer + mbuf->buf_len) return -1;
  return static_cast<int32_t>(byte - buffer);
}

/// Another mbuf over bytes of a received one, which stays as long as the last of them.
rte_mbuf* Queue::attached(const SlotClass& slots, uint32_t at, uint32_t length, int32_t* result) {
  const uint32_t index = slots.indexAt(static_cast<uint32_t>(frames_->arena + at - slots.base));
  rte_mbuf* mbuf = slots.mbufAt(index);
  const int32_t offset = dataOffset(mbuf, at, length);
  if (frames_->holders[slots.firstSlot + index] != request_.place + 1 || offset < 0) return nullptr;
  rte_mbuf* window = rte_pktmbuf_alloc(frames_->heads);
  if (window == nullptr) {
    *result = -ENOBUFS;
    return nullptr;
  }
  rte_pktmbuf_attach(window, mbuf);
  window->data_off = static_cast<uint16_t>(offset);
  window->data_len = static_cast<uint16_t>(length);
  window->pkt_len = length;
  window->ol_flags = RTE_MBUF_F_INDIRECT;
  return window;
}

/// An mbuf over bytes of a slot of this worker's own, or null where they have to be copied.
rte_mbuf* Queue::external(uint32_t at, uint32_t length, int32_t* result) {
  if (static_cast<size_t>(request_.place) >= frames_->workers.size()) return nullptr;
  const SlotClass& slots = frames_->workers[request_.place];
  uint8_t* data = frames_->arena + at;
  if (data < slots.base || data >= slots.base + slots.bytes()) return nullptr;
  const auto offset = static_cast<uint32_t>(data - slots.base);
  const uint32_t index = slots.indexAt(offset);
  const uint32_t inSlot = offset - index * slots.stride;
  if (inSlot < kPreamble || length > slots.stride - inSlot) return nullptr;
  if (frames_->holders[slots.firstSlot + index] != request_.place + 1) return nullptr;
  if (isHome(slots, index)) {
    if (pending_.size() == kPendingMax) lookAtSlots();
    const SlotAccount& account = slotAccount();
    if (!request_.isSynchronous && account.away + pending_.size() >= account.spares) {
      state_[kAway] = 1;
      return nullptr;
    }
    pending_.push_back(index);
  }
  rte_mbuf* mbuf = rte_pktmbuf_alloc(frames_->heads);
  if (mbuf == nullptr) {
    *result = -ENOBUFS;
    return nullptr;
  }
  attachExternal(mbuf, slots, index, data, length);
  return mbuf;
}

/// Which slots the device has kept: somebody has to take their place in the rx window.
void Queue::lookAtSlots() {
  const SlotClass& slots = frames_->workers[request_.place];
  SlotAccount& account = slotAccount();
  for (const uint32_t index : pending_) account.away += isHome(slots, index) ? 0 : 1;
  pending_.clear();
  if (account.away > 0) state_[kAway] = 1;
}

bool Queue::copy(Chain* chain, uint32_t at, uint32_t length, int32_t* result) {
  state_[kCopied]++;
  state_[kCopiedBytes] += static_cast<int32_t>(length);
  while (length > 0) {
    uint32_t room = chain->isTailFull ? 0 : rte_pktmbuf_tailroom(chain->tail);
    if (room == 0) {
      if (chain->head != nullptr && !request_.takesChains) {
        *result = -EMSGSIZE;
        return false;
      }
      rte_mbuf* next = rte_pktmbuf_alloc(frames_->heads);
      if (next == nullptr) {
        *result = -ENOBUFS;
        state_[kNoHeads]++;
        return false;
      }
      chain->link(next);
      chain->isTailFull = false;
      room = rte_pktmbuf_tailroom(next);
    }
    const uint32_t piece = RTE_MIN(room, length);
    rte_memcpy(rte_pktmbuf_mtod_offset(chain->tail, uint8_t*, chain->tail->data_len), frames_->arena + at, piece);
    chain->tail->data_len = static_cast<uint16_t>(chain->tail->data_len + piece);
    chain->head->pkt_len += piece;
    at += piece;
    length -= piece;
  }
  return true;
}

/// Adds bytes to a chain from where they lie, or copies them. False with *result when it cannot be.
bool Queue::append(Chain* chain, uint32_t at, uint32_t length, int32_t* result) {
  if (length > 0 && (request_.takesChains || chain->isOnly)) {
    const SlotClass* slots = slotsOf(at);
    rte_mbuf* window = nullptr;
    if (slots != nullptr)
      window = attached(*slots, at, length, result);
    else if (length >= (chain->isTailFull ? kExternalMin : kExternalMinBehind))
      window = external(at, length, result);
    if (window != nullptr) {
      chain->link(window);
      chain->isTailFull = true;
      state_[slots != nullptr ? kChained : kExternal]++;
      return true;
    }
    if (*result < 0) return false;
  }
  return copy(chain, at, length, result);
}

/// Extents `extent` to `extent + count` as one frame. `split`: the first so many bytes in an mbuf of their own, copied.
rte_mbuf* Queue::buildChain(uint32_t extent, uint32_t count, uint32_t split, int32_t* result) {
  Chain chain;
  chain.isOnly = count == 1 && split == 0;
  const int32_t* extAt = io_ + columns_.extAt;
  const int32_t* extLen = io_ + columns_.extLen;
  for (uint32_t e = extent; e < extent + count; e++) {
    auto at = static_cast<uint32_t>(extAt[e]);
    auto length = static_cast<uint32_t>(extLen[e]);
    bool isAdded = at <= frames_->arenaBytes && length <= frames_->arenaBytes - at && length <= UINT16_MAX;
    if (!isAdded) *result = -EFAULT;
    if (isAdded && e == extent && split > 0 && split < length) {
      isAdded = copy(&chain, at, split, result);
      chain.isTailFull = true;
      at += split;
      length -= split;
    }
    if (isAdded && append(&chain, at, length, result)) continue;
    rte_pktmbuf_free(chain.head);
    return nullptr;
  }
  if (chain.head == nullptr) *result = -EINVAL;
  return chain.head;
}

/// A copy of somebody else's mbuf in a slot, or null: no slot, or too long for one. The other is freed.
rte_mbuf* Queue::adopt(rte_mbuf* foreign) {
  const bool isLong = foreign->pkt_len > frames_->small.stride - kBufferAt - RTE_PKTMBUF_HEADROOM;
  rte_mempool* pool = isLong || frames_->small.pool == nullptr ? frames_->large.pool : frames_->small.pool;
  const bool isTooLong = foreign->pkt_len > UINT16_MAX;
  rte_mbuf* own = pool == nullptr || isTooLong ? nullptr : rte_pktmbuf_alloc(pool);
  char* to = own == nullptr ? nullptr : rte_pktmbuf_append(own, static_cast<uint16_t>(foreign->pkt_len));
  if (to == nullptr) {
    rte_pktmbuf_free(own);
    own = nullptr;
  } else {
    const void* bytes = rte_pktmbuf_read(foreign, 0, foreign->pkt_len, to);
    if (bytes != to) rte_memcpy(to, bytes, foreign->pkt_len);
  }
  rte_pktmbuf_free(foreign);
  return own;
}

uint32_t Queue::adoptForeign(rte_mbuf** burst, uint32_t n) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < n; i++) {
    const bool isOurs = burst[i]->pool == frames_->small.pool || burst[i]->pool == frames_->large.pool;
    rte_mbuf* mbuf = isOurs && RTE_MBUF_DIRECT(burst[i]) ? burst[i] : adopt(burst[i]);
    if (mbuf != nullptr) burst[kept++] = mbuf;
  }
  return kept;
}

}  // namespace weft
