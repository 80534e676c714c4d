#include "queue.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <rte_memcpy.h>
#include <rte_prefetch.h>
#include <string.h>

namespace weft {
namespace {

constexpr uint32_t kBatch = 64;

}  // namespace

Queue::Queue(std::shared_ptr<Frames> frames, const QueueRequest& request, const LaneColumns& lanes,
             const MessageColumns& columns, int32_t* io, int32_t* state)
    : frames_(std::move(frames)), request_(request), lanes_(lanes), columns_(columns), io_(io), state_(state) {}

/// A lane is one piece: what came in several is put together if the first slot has room.
static bool isOnePiece(rte_mbuf* mbuf) { return mbuf->nb_segs == 1 || rte_pktmbuf_linearize(mbuf) == 0; }

void Queue::fillLane(uint32_t lane, rte_mbuf* mbuf) {
  const Frames& frames = *frames_;
  const SlotClass& slots = mbuf->pool == frames.small.pool ? frames.small : frames.large;
  const bool fits = isOnePiece(mbuf);
  const uint32_t slot = slots.firstSlot + slots.indexOf(mbuf);
  frames.holders[slot] = request_.place + 1;
  column(lanes_.slot)[lane] = static_cast<int32_t>(slot);
  column(lanes_.at)[lane] = static_cast<int32_t>(rte_pktmbuf_mtod(mbuf, uint8_t*) - frames.arena);
  column(lanes_.len)[lane] = mbuf->data_len;
  column(lanes_.packets)[lane] = 1;
  column(lanes_.drop)[lane] = fits ? 0 : lanes_.truncated;
  column(lanes_.flags)[lane] = 0;
  column(lanes_.gsoType)[lane] = 0;
  if (likely((mbuf->ol_flags & (RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_MASK)) == 0)) return;
  VnetHeader vnet;
  if (!readOffload(mbuf, &vnet)) return;
  column(lanes_.flags)[lane] = lanes_.needsChecksum | (vnet.gsoType != 0 ? lanes_.hasGso : 0);
  column(lanes_.gsoType)[lane] = vnet.gsoType;
  column(lanes_.gsoSize)[lane] = vnet.gsoSize;
  column(lanes_.csumStart)[lane] = vnet.csumStart;
  column(lanes_.csumOffset)[lane] = vnet.csumOffset;
}

int32_t Queue::receive() {
  if (!request_.receives) return 0;
  rte_mbuf* burst[kBatch];
  const uint16_t n = rte_eth_rx_burst(request_.port, request_.rxQueue, burst, static_cast<uint16_t>(lanes_.lanes));
  for (uint16_t i = 0; i < n; i++) rte_prefetch0(burst[i]);
  for (uint16_t i = 0; i < n; i++) {
    rte_prefetch0(rte_pktmbuf_mtod(burst[i], void*));
    fillLane(i, burst[i]);
  }
  state_[kHeld] = n;
  return n;
}

void Queue::release(uint32_t n) {
  if (n > lanes_.lanes) n = lanes_.lanes;
  const int32_t* slot = column(lanes_.slot);
  for (uint32_t i = 0; i < n; i++) {
    const auto id = static_cast<uint32_t>(slot[i]);
    const SlotClass* slots = frames_->classOfSlot(id);
    // The column is shared memory: only what the holder column says is ours is freed.
    if (slots == nullptr || frames_->holders[id] != request_.place + 1) continue;
    frames_->holders[id] = 0;
    rte_pktmbuf_free(slots->mbufAt(id - slots->firstSlot));
  }
  state_[kHeld] = 0;
}

const SlotClass* Queue::slotsOf(uint32_t at) const {
  const uint8_t* byte = frames_->arena + at;
  for (const SlotClass* slots : {&frames_->small, &frames_->large})
    if (byte >= slots->base && byte < slots->base + slots->bytes()) return slots;
  return nullptr;
}

/// Where `length` bytes at `at` lie in an mbuf's buffer: their data_off, or -1 when they are not inside of it.
static int32_t dataOffset(const Frames& frames, const SlotClass& slots, const rte_mbuf* mbuf, uint32_t at,
                          uint32_t length) {
  (void)slots;
  const auto* byte = frames.arena + at;
  const auto* buffer = static_cast<const uint8_t*>(mbuf->buf_addr);
  if (byte < buffer || byte + length > buffer + mbuf->buf_len) return -1;
  return static_cast<int32_t>(byte - buffer);
}

/// Another mbuf over bytes of a received one, which stays as long as the last of them.
rte_mbuf* Queue::attached(const SlotClass& slots, uint32_t at, uint32_t length, int32_t* result) {
  const uint32_t index = slots.indexAt(static_cast<uint32_t>(frames_->arena + at - slots.base));
  rte_mbuf* mbuf = slots.mbufAt(index);
  const int32_t offset = dataOffset(*frames_, slots, mbuf, at, length);
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

/// Adds an extent to a chain: a window into a received slot, or a copy. False with *result when it cannot be.
bool Queue::append(rte_mbuf** head, rte_mbuf** tail, uint32_t at, uint32_t length, int32_t* result) {
  auto link = [head, tail](rte_mbuf* next) {
    if (*head == nullptr) {
      *head = next;
    } else {
      (*tail)->next = next;
      (*head)->nb_segs++;
      (*head)->pkt_len += next->data_len;
    }
    *tail = next;
  };
  const SlotClass* slots = slotsOf(at);
  if (slots != nullptr && request_.takesChains && length > 0) {
    rte_mbuf* window = attached(*slots, at, length, result);
    if (window != nullptr) {
      link(window);
      state_[kChained]++;
      return true;
    }
    if (*result < 0) return false;
  }
  state_[kCopied]++;
  state_[kCopiedBytes] += static_cast<int32_t>(length);
  while (length > 0) {
    const bool isOurs = *tail != nullptr && RTE_MBUF_DIRECT(*tail) && (*tail)->pool == frames_->heads;
    uint32_t room = isOurs ? rte_pktmbuf_tailroom(*tail) : 0;
    if (room == 0) {
      if (*head != nullptr && !request_.takesChains) {
        *result = -EMSGSIZE;
        return false;
      }
      rte_mbuf* next = rte_pktmbuf_alloc(frames_->heads);
      if (next == nullptr) {
        *result = -ENOBUFS;
        state_[kNoHeads]++;
        return false;
      }
      link(next);
      room = rte_pktmbuf_tailroom(next);
    }
    const uint32_t piece = RTE_MIN(room, length);
    rte_memcpy(rte_pktmbuf_mtod_offset(*tail, uint8_t*, (*tail)->data_len), frames_->arena + at, piece);
    (*tail)->data_len = static_cast<uint16_t>((*tail)->data_len + piece);
    (*head)->pkt_len += piece;
    at += piece;
    length -= piece;
  }
  return true;
}

rte_mbuf* Queue::buildChain(uint32_t extent, uint32_t count, int32_t* result) {
  rte_mbuf* head = nullptr;
  rte_mbuf* tail = nullptr;
  const int32_t* extAt = io_ + columns_.extAt;
  const int32_t* extLen = io_ + columns_.extLen;
  for (uint32_t e = extent; e < extent + count; e++) {
    const auto at = static_cast<uint32_t>(extAt[e]);
    const auto length = static_cast<uint32_t>(extLen[e]);
    if (at > frames_->arenaBytes || length > frames_->arenaBytes - at || length > UINT16_MAX) {
      *result = -EFAULT;
    } else if (append(&head, &tail, at, length, result)) {
      continue;
    }
    if (head != nullptr) rte_pktmbuf_free(head);
    return nullptr;
  }
  if (head == nullptr) *result = -EINVAL;
  return head;
}

/// The received mbuf itself, where nobody else sends it.
rte_mbuf* Queue::buildSingle(uint32_t at, uint32_t length, bool isShared, int32_t* result) {
  if (isShared) return nullptr;
  const SlotClass* slots = slotsOf(at);
  if (slots == nullptr || length == 0) return nullptr;
  const uint32_t index = slots->indexAt(static_cast<uint32_t>(frames_->arena + at - slots->base));
  int32_t* holder = &frames_->holders[slots->firstSlot + index];
  rte_mbuf* mbuf = slots->mbufAt(index);
  if (*holder != request_.place + 1) {
    // Sent before in this burst, or nobody's: DPDK may write there by now.
    *result = -EFAULT;
    return nullptr;
  }
  const int32_t offset = dataOffset(*frames_, *slots, mbuf, at, length);
  if (offset < 0 || rte_mbuf_refcnt_read(mbuf) != 1 || mbuf->nb_segs != 1) return nullptr;
  *holder = 0;
  state_[kHeld]--;
  mbuf->data_off = static_cast<uint16_t>(offset);
  mbuf->data_len = static_cast<uint16_t>(length);
  mbuf->pkt_len = length;
  mbuf->ol_flags = 0;
  return mbuf;
}

rte_mbuf* Queue::build(uint32_t message, bool isShared, int32_t* result) {
  auto first = static_cast<uint32_t>(io_[columns_.msgFirst + message]);
  auto count = static_cast<uint32_t>(io_[columns_.msgCount + message]);
  *result = -EINVAL;
  if (count == 0 || first > columns_.extents || count > columns_.extents - first) return nullptr;
  VnetHeader vnet{};
  if (request_.hasVnet) {
    const auto at = static_cast<uint32_t>(io_[columns_.extAt + first]);
    if (at > frames_->arenaBytes - kVnetBytes || io_[columns_.extLen + first] != static_cast<int32_t>(kVnetBytes))
      return nullptr;
    memcpy(&vnet, frames_->arena + at, sizeof vnet);
    first++;
    count--;
  }
  *result = 0;
  rte_mbuf* mbuf = nullptr;
  if (count == 1) {
    const auto at = static_cast<uint32_t>(io_[columns_.extAt + first]);
    const auto length = static_cast<uint32_t>(io_[columns_.extLen + first]);
    if (at > frames_->arenaBytes || length > frames_->arenaBytes - at || length > UINT16_MAX) {
      *result = -EFAULT;
      return nullptr;
    }
    mbuf = buildSingle(at, length, isShared, result);
    if (*result < 0) return nullptr;
  }
  if (mbuf == nullptr) mbuf = buildChain(first, count, result);
  if (mbuf == nullptr) return nullptr;
  if (vnet.flags != 0 && !writeOffload(vnet, mbuf)) {
    *result = -EINVAL;
    rte_pktmbuf_free(mbuf);
    return nullptr;
  }
  *result = static_cast<int32_t>(mbuf->pkt_len);
  return mbuf;
}

/// Hands mbufs to the device; what it does not take is freed. Returns how many it took.
uint32_t Queue::flush(rte_mbuf** batch, const uint32_t* messages, uint32_t count) {
  const uint32_t sent = rte_eth_tx_burst(request_.port, request_.txQueue, batch, static_cast<uint16_t>(count));
  for (uint32_t k = sent; k < count; k++) {
    rte_pktmbuf_free(batch[k]);
    io_[columns_.msgResult + messages[k]] = -EAGAIN;
  }
  return sent;
}

int32_t Queue::send(uint32_t n, bool isShared) {
  if (n > columns_.messages) n = columns_.messages;
  rte_mbuf* batch[kBatch];
  uint32_t messages[kBatch];
  uint32_t count = 0;
  uint32_t sent = 0;
  for (uint32_t m = 0; m < n; m++) {
    int32_t result = request_.sends ? 0 : -ENODEV;
    rte_mbuf* mbuf = request_.sends ? build(m, isShared, &result) : nullptr;
    io_[columns_.msgResult + m] = result;
    if (mbuf == nullptr) continue;
    batch[count] = mbuf;
    messages[count++] = m;
    if (count < kBatch) continue;
    sent += flush(batch, messages, count);
    count = 0;
  }
  if (count > 0) sent += flush(batch, messages, count);
  return static_cast<int32_t>(sent);
}

}  // namespace weft
