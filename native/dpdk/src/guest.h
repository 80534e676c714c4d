// What may be sent unfinished or uncut: for a vhost-user device what the machine behind it has agreed to, anew at every
// connection; for any other what its driver takes.
#pragma once

#include <stdint.h>

namespace weft {

/// From before the device is configured: a machine may connect from then on.
void watchGuest(uint16_t port);

/// Once the device is started: a machine that was quicker is looked at here.
void lookAtGuest(uint16_t port);

void forgetGuest(uint16_t port);

/// Queues of the machine behind a vhost-user device, for each direction, enabled or not; 0 while none is connected.
uint16_t machineQueues(uint16_t port);

/// Feature bits of virtio that it has agreed to; 0 while none is connected.
uint64_t machineFeatures(uint16_t port);

/// For devices without a machine behind them.
void grantOffloads(uint16_t port, uint32_t offloads);

/// kOffload* in force. Any thread, in any turn; 0 while no machine is connected.
uint32_t grantedOffloads(uint16_t port);

}  // namespace weft
