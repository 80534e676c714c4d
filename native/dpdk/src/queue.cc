#include "queue.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <rte_memcpy.h>
#include <rte_prefetch.h>
#include <string.h>

#include <algorithm>

#include "share.h"
#include "watch.h"

namespace weft {
namespace {

constexpr uint32_t kBatch = 64;

/// Slots that this thread has received and neither sent nor freed, through whichever of its queues they go.
thread_local uint32_t inHand = 0;

}  // namespace

Queue::Queue(std::shared_ptr<Frames> frames, const QueueRequest& request, const LaneColumns& lanes,
             const MessageColumns& columns, int32_t* io, int32_t* state)
    : frames_(std::move(frames)), request_(request), lanes_(lanes), columns_(columns), io_(io), state_(state) {
  pending_.reserve(kPendingMax);
}

/// A lane is one piece: what came in several is put together if the first slot has room.
static bool isOnePiece(rte_mbuf* mbuf) { return mbuf->nb_segs == 1 || rte_pktmbuf_linearize(mbuf) == 0; }

/// What a lane has beside its place, when it came in several pieces or with work left to offloads.
void Queue::fillOddLane(uint32_t lane, rte_mbuf* mbuf) {
  const bool fits = isOnePiece(mbuf);
  column(lanes_.len)[lane] = mbuf->data_len;
  column(lanes_.drop)[lane] = fits ? 0 : lanes_.truncated;
  VnetHeader vnet;
  if (!readOffload(mbuf, &vnet)) return;
  column(lanes_.flags)[lane] = lanes_.needsChecksum | (vnet.gsoType != 0 ? lanes_.hasGso : 0);
  column(lanes_.gsoType)[lane] = vnet.gsoType;
  column(lanes_.gsoSize)[lane] = vnet.gsoSize;
  column(lanes_.csumStart)[lane] = vnet.csumStart;
  column(lanes_.csumOffset)[lane] = vnet.csumOffset;
}

/// A burst of the next of its queues that has frames.
uint32_t Queue::read(rte_mbuf** burst) {
  const auto queues = static_cast<uint32_t>(request_.rxQueues.size());
  for (uint32_t tried = 0; tried < queues; tried++) {
    const uint16_t queue = request_.rxQueues[nextRead_];
    if (++nextRead_ == queues) nextRead_ = 0;
    if (!mayRead(request_.port, queue, request_.place) || !mayReceive(request_.port, queue)) continue;
    const uint16_t n = rte_eth_rx_burst(request_.port, queue, burst, static_cast<uint16_t>(lanes_.lanes));
    if (n > 0) return n;
  }
  return 0;
}

void Queue::close() {
  for (const uint16_t queue : request_.rxQueues) giveUp(request_.port, queue, request_.place);
  request_.rxQueues.clear();
  nextRead_ = 0;
}

int32_t Queue::receive() {
  lookAtOffloads();
  rte_mbuf* burst[kBatch];
  uint32_t n = read(burst);
  if (request_.bringsForeign) n = adoptForeign(burst, n);
  std::fill_n(column(lanes_.packets), n, 1);
  for (const uint32_t zeros : {lanes_.drop, lanes_.flags, lanes_.gsoType}) std::fill_n(column(zeros), n, 0);
  // Copies: to the compiler a store to a column may change any member.
  const SlotClass small = frames_->small;
  const SlotClass large = frames_->large;
  const uint8_t* const arena = frames_->arena;
  int32_t* const holders = frames_->holders;
  int32_t* const slot = column(lanes_.slot);
  int32_t* const at = column(lanes_.at);
  int32_t* const len = column(lanes_.len);
  const int32_t ours = request_.place + 1;
  for (uint32_t i = 0; i < n; i++) {
    rte_mbuf* mbuf = burst[i];
    const SlotClass& slots = likely(mbuf->pool == small.pool) ? small : large;
    const uint32_t id = slots.firstSlot + slots.indexOf(mbuf);
    holders[id] = ours;
    slot[i] = static_cast<int32_t>(id);
    at[i] = static_cast<int32_t>(rte_pktmbuf_mtod(mbuf, uint8_t*) - arena);
    len[i] = mbuf->data_len;
    if (unlikely(mbuf->nb_segs != 1 || (mbuf->ol_flags & (RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_MASK)) != 0))
      fillOddLane(i, mbuf);
  }
  inHand = n;
  return static_cast<int32_t>(n);
}

void Queue::release(uint32_t n) {
  if (inHand == 0) return;
  inHand = 0;
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
  const int32_t offset = dataOffset(mbuf, at, length);
  if (offset < 0 || rte_mbuf_refcnt_read(mbuf) != 1 || mbuf->nb_segs != 1) return nullptr;
  *holder = 0;
  inHand--;
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
  const uint32_t split = request_.hasGuest ? splitAt(vnet) : 0;
  if (count == 1 && split == 0) {
    const auto at = static_cast<uint32_t>(io_[columns_.extAt + first]);
    const auto length = static_cast<uint32_t>(io_[columns_.extLen + first]);
    if (at > frames_->arenaBytes || length > frames_->arenaBytes - at || length > UINT16_MAX) {
      *result = -EFAULT;
      return nullptr;
    }
    mbuf = buildSingle(at, length, isShared, result);
    if (*result < 0) return nullptr;
  }
  if (mbuf == nullptr) mbuf = buildChain(first, count, split, result);
  if (mbuf == nullptr) return nullptr;
  if (vnet.flags != 0 && !(mayLeave(vnet) && writeOffload(vnet, mbuf))) {
    *result = mayLeave(vnet) ? -EINVAL : -EAGAIN;
    rte_pktmbuf_free(mbuf);
    return nullptr;
  }
  *result = static_cast<int32_t>(mbuf->pkt_len);
  return mbuf;
}

/// Hands mbufs to the device; what it does not take is freed. Returns how many it took.
uint32_t Queue::flush(rte_mbuf** batch, const uint32_t* messages, uint32_t count) {
  const uint16_t queue = sendingQueue(request_.port, request_.txQueue);
  rte_spinlock_t* const sending = &queueUse(request_.port, queue).sending;
  rte_spinlock_lock(sending);
  const bool isOpen = maySend(request_.port, queue);
  const auto transmit = [&](uint32_t from, uint32_t end) {
    return isOpen ? rte_eth_tx_burst(request_.port, queue, batch + from, static_cast<uint16_t>(end - from)) : 0u;
  };
  uint32_t sent = transmit(0, count);
  // A device stops at a frame that it has no room for. A machine may have some for shorter ones behind it.
  uint32_t room = UINT32_MAX;
  for (uint32_t k = sent; unlikely(k < count);) {
    const int32_t why = refusal(queue);
    room = RTE_MIN(room, batch[k]->pkt_len);
    for (; k < count && !(request_.hasGuest && batch[k]->pkt_len < room); k++) {
      rte_pktmbuf_free(batch[k]);
      io_[columns_.msgResult + messages[k]] = why;
    }
    uint32_t end = k;
    while (end < count && batch[end]->pkt_len < room) end++;
    const uint32_t more = k < end ? transmit(k, end) : 0;
    sent += more;
    k += more;
  }
  rte_spinlock_unlock(sending);
  return sent;
}

/// Why a device has not taken a frame: a machine that is not there takes nothing, one that is there what its ring has
/// room for.
int32_t Queue::refusal(uint16_t queue) const {
  rte_eth_link link{};
  const bool isDown = rte_eth_link_get_nowait(request_.port, &link) == 0 && link.link_status == RTE_ETH_LINK_DOWN;
  if (isDown) return -ENETDOWN;
  return request_.hasGuest && hasBuffersForOne(request_.port, queue) ? -EMSGSIZE : -EAGAIN;
}

/// Whether a message's virtio-net header, at `at`, leaves nothing to the device.
bool Queue::isZeroVnet(uint32_t at, uint32_t length) const {
  return length == kVnetBytes && at <= frames_->arenaBytes - kVnetBytes && frames_->arena[at] == 0;
}

/// Slots that the frame of a message lies in, small ones where it lies in none. Devices that bring superframes fill
/// large slots.
const SlotClass& Queue::slotsOfMessage(uint32_t message) const {
  const uint32_t e = static_cast<uint32_t>(io_[columns_.msgFirst + message]) + (request_.hasVnet ? 1 : 0);
  const SlotClass* slots = e < columns_.extents ? slotsOf(static_cast<uint32_t>(io_[columns_.extAt + e])) : nullptr;
  return slots == nullptr ? frames_->small : *slots;
}

/// Takes messages from `from` on whose frame is all of a slot's that nobody else sends, and of one class: most are, and
/// the loop is for them. Returns the first that is not for it; their mbufs are in the batch.
uint32_t Queue::takeWhole(uint32_t from, uint32_t end, rte_mbuf** batch) {
  const SlotClass slots = slotsOfMessage(from);
  const auto base = static_cast<uint32_t>(slots.base - frames_->arena);
  const uint32_t bytes = slots.bytes();
  // What a mbuf has words for.
  const uint32_t bufferBytes = RTE_MIN(slots.stride - kBufferAt, uint32_t{UINT16_MAX});
  int32_t* const holders = frames_->holders + slots.firstSlot;
  const int32_t* const msgFirst = io_ + columns_.msgFirst;
  const int32_t* const msgCount = io_ + columns_.msgCount;
  const int32_t* const extAt = io_ + columns_.extAt;
  const int32_t* const extLen = io_ + columns_.extLen;
  int32_t* const msgResult = io_ + columns_.msgResult;
  const uint32_t extents = columns_.extents;
  const uint32_t headers = request_.hasVnet ? 1 : 0;
  const int32_t ours = request_.place + 1;
  uint32_t m = from;
  for (; m < end; m++) {
    const auto e = static_cast<uint32_t>(msgFirst[m]) + headers;
    if (static_cast<uint32_t>(msgCount[m]) != headers + 1 || e >= extents) break;
    if (headers != 0 && !isZeroVnet(static_cast<uint32_t>(extAt[e - 1]), static_cast<uint32_t>(extLen[e - 1]))) break;
    const uint32_t offset = static_cast<uint32_t>(extAt[e]) - base;
    const auto length = static_cast<uint32_t>(extLen[e]);
    if (offset >= bytes) break;
    const uint32_t index = slots.indexAt(offset);
    const uint32_t inBuffer = offset - index * slots.stride - kBufferAt;
    rte_mbuf* mbuf = slots.mbufAt(index);
    const bool isInside = inBuffer < bufferBytes && length - 1 < bufferBytes - inBuffer;
    if (!isInside || holders[index] != ours || rte_mbuf_refcnt_read(mbuf) != 1 || mbuf->nb_segs != 1) break;
    holders[index] = 0;
    mbuf->data_off = static_cast<uint16_t>(inBuffer);
    mbuf->data_len = static_cast<uint16_t>(length);
    mbuf->pkt_len = length;
    mbuf->ol_flags = 0;
    msgResult[m] = static_cast<int32_t>(length);
    batch[m - from] = mbuf;
  }
  inHand -= m - from;
  return m;
}

int32_t Queue::send(uint32_t n, bool isShared) {
  lookAtOffloads();
  if (n > columns_.messages) n = columns_.messages;
  rte_mbuf* batch[kBatch];
  uint32_t messages[kBatch];
  uint32_t count = 0;
  uint32_t sent = 0;
  for (uint32_t m = 0; m < n;) {
    uint32_t next = m;
    if (request_.sends && !isShared) next = takeWhole(m, RTE_MIN(n, m + kBatch - count), batch + count);
    while (m < next) messages[count++] = m++;
    if (count < kBatch && m < n) {
      int32_t result = request_.sends ? 0 : -ENODEV;
      rte_mbuf* mbuf = request_.sends ? build(m, isShared, &result) : nullptr;
      io_[columns_.msgResult + m] = result;
      if (mbuf != nullptr) {
        batch[count] = mbuf;
        messages[count++] = m;
      }
      m++;
    }
    if (count < kBatch && m < n) continue;
    if (count > 0) sent += flush(batch, messages, count);
    count = 0;
  }
  if (!pending_.empty()) lookAtSlots();
  return static_cast<int32_t>(sent);
}

}  // namespace weft
