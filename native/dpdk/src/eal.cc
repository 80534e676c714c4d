#include "eal.h"

#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <string.h>

#include <mutex>

#include "failure.h"
#include "guard.h"

namespace weft {
namespace {

// The EAL is the process's own: what stands here is true for every thread that loads the addon.
std::mutex ealLock;
bool isStarted = false;
std::vector<std::string> startedWith;

}  // namespace

void startEal(const std::vector<std::string>& arguments) {
  std::lock_guard<std::mutex> guard(ealLock);
  if (isStarted) {
    if (arguments == startedWith) return;
    throw DpdkFailure("rte_eal_init", EBUSY, "DPDK was started with other options, which stand until the process ends");
  }
  startedWith = arguments;
  // The EAL keeps pointers to its arguments.
  auto* argv = new std::vector<char*>;
  argv->push_back(strdup("weft"));
  for (const std::string& argument : arguments) argv->push_back(strdup(argument.c_str()));
  captureLog();
  const int argc = static_cast<int>(argv->size());
  argv->push_back(nullptr);
  if (rte_eal_init(argc, argv->data()) < 0) throw DpdkFailure("rte_eal_init", rte_errno);
  guardSharedMemory();
  isStarted = true;
}

bool isEalStarted() {
  std::lock_guard<std::mutex> guard(ealLock);
  return isStarted;
}

void registerThread() {
  if (rte_lcore_id() != LCORE_ID_ANY) return;
  if (rte_thread_register() < 0) throw DpdkFailure("rte_thread_register", rte_errno);
}

void unregisterThread() { rte_thread_unregister(); }

}  // namespace weft
