// What JavaScript sees, by what it is about. Control functions throw; functions of a turn are bound to a queue and
// return numbers.
#pragma once

#include <napi.h>

#include <memory>
#include <set>

#include "eal.h"
#include "frames.h"

namespace weft {

/// What one thread (an environment of Node) has of DPDK: the instance data of the addon.
struct Thread {
  bool isRegistered = false;
  std::set<std::shared_ptr<Frames>> frames;

  Thread() = default;
  // Runs on the thread itself when its environment ends, by whatever cause. What it has received and not sent is not
  // known here: the holder column says so, and the main thread sweeps it.
  ~Thread() {
    for (const auto& one : frames) one->flushCaches();
    frames.clear();
    if (isRegistered) unregisterThread();
  }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
};

void exportFrames(Napi::Env env, Napi::Object exports);
void exportDevices(Napi::Env env, Napi::Object exports);
void exportQueues(Napi::Env env, Napi::Object exports);

}  // namespace weft
