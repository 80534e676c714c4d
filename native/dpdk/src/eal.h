// DPDK's environment abstraction layer: one a process, whichever thread starts it.
#pragma once

#include <string>
#include <vector>

namespace weft {

/// Starts the EAL with these arguments (without a program name). The same again is no error, others are EBUSY: the EAL
/// cannot be started twice in a process. The calling thread must outlive all use of DPDK.
void startEal(const std::vector<std::string>& arguments);

bool isEalStarted();

/// Gives the calling thread an lcore, and with it mempool caches. Every thread that polls queues has one.
void registerThread();

/// Gives the lcore back. Registered lcores are not released when a thread ends.
void unregisterThread();

}  // namespace weft
