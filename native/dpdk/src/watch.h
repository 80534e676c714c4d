// What happens to a device beside its frames: rx interrupts for a worker that sleeps, a bell that rings when the link
// or the queues change, and which queues the other side has enabled.
//
// An eventfd for each rx queue is the bell; the interrupt is a descriptor of the driver's. A worker watches both
// edge-triggered, so nobody reads them.
#pragma once

#include <rte_dev.h>
#include <stdint.h>

#include <vector>

namespace weft {

/// Queues of a device at most.
constexpr uint16_t kQueuesMax = 64;

/// What a worker sleeps on for one rx queue.
struct Wake {
  int interrupt = -1;
  int bell = -1;
};

/// Between probing a port and configuring it: an event before that is lost. A machine waits until it is let in.
void watchPort(uint16_t port, uint16_t queues, bool isVhost);
/// Once the port is started.
void letMachineIn(uint16_t port);
/// Before the port is closed. Nobody sleeps on it any more.
void unwatchPort(uint16_t port);

/// Wakes whoever sleeps over the port.
void ringBells(uint16_t port);

/// Of each rx queue of a port that is started; empty when the driver has no interrupts for all of them.
std::vector<Wake> wakesOf(uint16_t port, uint16_t queues);

/// Asks for interrupts of a queue, or for none; 0 or a negative errno. A frame that came before is seen by a receive
/// after it.
int setInterrupt(uint16_t port, uint16_t queue, bool isWanted);

/// Whether a queue is to be touched at all: those of a machine only while it has enabled them, and if its rings are
/// sound.
bool mayReceive(uint16_t port, uint16_t queue);
bool maySend(uint16_t port, uint16_t queue);

/// For a machine that has just refused a frame: whether it has buffers left, each of which would have to hold a whole
/// one. Then the frame was too long for it. Of packed rings DPDK does not say how many there are.
bool hasBuffersForOne(uint16_t port, uint16_t queue);

/// Queues that the machine behind a vhost-user port has enabled, in both directions; of other devices all of them.
uint16_t enabledQueues(uint16_t port, uint16_t queues);

/// Where to send what is for `queue`: there, or where another enabled queue is.
uint16_t sendingQueue(uint16_t port, uint16_t queue);

}  // namespace weft
