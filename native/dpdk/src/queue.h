// One worker's queue pair of a device, bound to its lane columns and its io block. The functions of a turn: they
// allocate nothing of JavaScript's and throw nothing.
#pragma once

#include <rte_mbuf.h>
#include <stdint.h>

#include <memory>
#include <vector>

#include "frames.h"
#include "guest.h"
#include "offload.h"

namespace weft {

/// Byte offsets in the arena of the burst's columns (packet/burst.ts), one word a lane.
struct LaneColumns {
  uint32_t slot, at, len, packets, gsoType, gsoSize, csumStart, csumOffset, flags, drop;
  /// Values of the flags column.
  int32_t needsChecksum, hasGso;
  /// Drop reason of a frame that does not fit a slot in one piece.
  int32_t truncated;
  uint32_t lanes;
};

/// Columns of the io block (packet/outbox.ts), in words.
struct MessageColumns {
  uint32_t messages, extents;
  uint32_t msgFirst, msgCount, msgResult, extAt, extLen;
};

/// Words of `state`, shared with JavaScript.
enum QueueState { kCopied = 1, kCopiedBytes, kNoHeads, kChained, kOffloads, kExternal, kAway, kQueueStateWords };

struct QueueRequest {
  uint16_t port = 0, txQueue = 0;
  /// None: other workers read.
  std::vector<uint16_t> rxQueues;
  bool sends = true;
  /// Messages begin with a virtio-net header.
  bool hasVnet = false;
  /// The device sends a frame of several mbufs.
  bool takesChains = false;
  /// A machine is behind it: what it takes may change at any time (guest.h).
  bool hasGuest = false;
  /// It has let go of every mbuf when a send returns.
  bool isSynchronous = false;
  /// What it brings may be mbufs of others: net_ring hands on what it was given.
  bool bringsForeign = false;
  int32_t place = 0;
};

/// Slots of a worker that one call may hand to a device before it looks which of them have come back.
constexpr size_t kPendingMax = 128;

/// A message that is put together out of several mbufs.
struct Chain {
  rte_mbuf* head = nullptr;
  rte_mbuf* tail = nullptr;
  /// What is copied goes into another mbuf.
  bool isTailFull = true;
  /// The message is one piece.
  bool isOnly = false;

  void link(rte_mbuf* next);
};

class Queue {
 public:
  Queue(std::shared_ptr<Frames> frames, const QueueRequest& request, const LaneColumns& lanes,
        const MessageColumns& columns, int32_t* io, int32_t* state);

  /// Fills lanes 0..n; returns n.
  int32_t receive();
  /// Sends messages 0..n. `isShared`: others send the same slots as well. Returns how many went.
  int32_t send(uint32_t n, bool isShared);
  /// Frees what is still held of lanes 0..n.
  void release(uint32_t n);
  /// Leaves its rx queues to others. It receives nothing from then on.
  void close();

 private:
  uint32_t read(rte_mbuf** burst);
  void fillOddLane(uint32_t lane, rte_mbuf* mbuf);
  bool isZeroVnet(uint32_t at, uint32_t length) const;
  const SlotClass& slotsOfMessage(uint32_t message) const;
  uint32_t takeWhole(uint32_t from, uint32_t end, rte_mbuf** batch);
  rte_mbuf* build(uint32_t message, bool isShared, int32_t* result);
  rte_mbuf* buildSingle(uint32_t at, uint32_t length, bool isShared, int32_t* result);
  // chain.cc
  rte_mbuf* buildChain(uint32_t extent, uint32_t count, uint32_t split, int32_t* result);
  bool append(Chain* chain, uint32_t at, uint32_t length, int32_t* result);
  bool copy(Chain* chain, uint32_t at, uint32_t length, int32_t* result);
  rte_mbuf* attached(const SlotClass& slots, uint32_t at, uint32_t length, int32_t* result);
  rte_mbuf* external(uint32_t at, uint32_t length, int32_t* result);
  void lookAtSlots();
  rte_mbuf* adopt(rte_mbuf* foreign);
  uint32_t adoptForeign(rte_mbuf** burst, uint32_t n);
  int32_t dataOffset(const rte_mbuf* mbuf, uint32_t at, uint32_t length) const;
  uint32_t flush(rte_mbuf** batch, const uint32_t* messages, uint32_t count);
  int32_t refusal(uint16_t queue) const;
  const SlotClass* slotsOf(uint32_t at) const;
  void lookAtOffloads() { state_[kOffloads] = static_cast<int32_t>(grantedOffloads(request_.port)); }
  /// JavaScript goes by the offloads of its last call; the machine may have been exchanged since.
  bool mayLeave(const VnetHeader& vnet) const {
    return (offloadsNeeded(vnet) & ~static_cast<uint32_t>(state_[kOffloads])) == 0;
  }
  int32_t* column(uint32_t offset) const { return reinterpret_cast<int32_t*>(frames_->arena + offset); }

  std::shared_ptr<Frames> frames_;
  QueueRequest request_;
  LaneColumns lanes_;
  MessageColumns columns_;
  int32_t* io_;
  int32_t* state_;
  uint32_t nextRead_ = 0;
  /// Slots of this worker that went to the device in this call, by index: kPendingMax at most.
  std::vector<uint32_t> pending_;
};

}  // namespace weft
