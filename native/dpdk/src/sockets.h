// The UNIX sockets of vhost-user and memif devices, which DPDK opens and says nothing of. What is found here does not
// depend on the network namespace of anybody, as /proc/net/unix does.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace weft {

/// Whether a process has its socket at a path: false only for what a process that ended has left. Nobody is connected
/// to.
bool isHeld(const std::string& path);

/// Connected UNIX sockets of this process: at the path that they were accepted from, or connected to.
struct Connections {
  std::vector<std::string> accepted;
  std::vector<std::string> connected;
};
Connections connections();

/// While it lives, who is still connected by the socket of a vhost-user device after a moment is cut off. DPDK gives a
/// device up only when its thread has read the message that it is reading, and the peer may never send the rest.
class HangUp {
 public:
  /// Of a vhost-user device; empty: nothing is done.
  explicit HangUp(std::string path);
  ~HangUp();
  HangUp(const HangUp&) = delete;
  HangUp& operator=(const HangUp&) = delete;

 private:
  void run();

  std::string path_;
  std::mutex lock_;
  std::condition_variable over_;
  bool isOver_ = false;
  std::thread thread_;
};

}  // namespace weft
