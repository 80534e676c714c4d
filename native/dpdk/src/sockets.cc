#include "sockets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <utility>

#include "failure.h"

namespace weft {
namespace {

/// How long DPDK may take by itself, and how often who comes back is cut off again.
constexpr std::chrono::milliseconds kPatience{200};

std::string pathOf(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
  sockaddr_un name{};
  socklen_t length = sizeof name;
  if (ask(fd, reinterpret_cast<sockaddr*>(&name), &length) != 0 || name.sun_family != AF_UNIX) return "";
  // An abstract name begins with a zero, and is no path.
  return length > offsetof(sockaddr_un, sun_path)
             ? std::string(name.sun_path, strnlen(name.sun_path, sizeof name.sun_path))
             : "";
}

int getName(int fd, sockaddr* name, socklen_t* length) { return getsockname(fd, name, length); }
int getPeer(int fd, sockaddr* name, socklen_t* length) { return getpeername(fd, name, length); }

/// Every descriptor of the process, except that of the search. Other threads open and close them meanwhile.
void eachDescriptor(const std::function<void(int)>& look) {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return;
  while (const dirent* entry = readdir(folder)) {
    const int fd = static_cast<int>(strtol(entry->d_name, nullptr, 10));
    if (entry->d_name[0] != '.' && fd != dirfd(folder)) look(fd);
  }
  closedir(folder);
}

bool isConnected(int fd) {
  sockaddr_un peer{};
  socklen_t length = sizeof peer;
  return getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) == 0 && peer.sun_family == AF_UNIX;
}

bool hasPath(int fd, const std::string& path) {
  return isConnected(fd) && (pathOf(fd, getName) == path || pathOf(fd, getPeer) == path);
}

bool cutOff(const std::string& path) {
  bool hasCut = false;
  eachDescriptor([&](int fd) {
    if (!hasPath(fd, path)) return;
    // One of its own: the number may be another file's by now.
    const int held = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (held < 0) return;
    if (hasPath(held, path) && shutdown(held, SHUT_RDWR) == 0) hasCut = true;
    close(held);
  });
  return hasCut;
}

}  // namespace

bool isHeld(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) return true;
  memcpy(name.sun_path, path.data(), path.size());
  // Of a type that neither vhost-user nor memif has: the kernel looks for the socket (ECONNREFUSED) before it looks at
  // the type (EPROTOTYPE), so that who listens there does not hear of it.
  const int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return true;
  const int error = connect(probe, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0 ? 0 : errno;
  close(probe);
  return error != ECONNREFUSED;
}

Connections connections() {
  Connections found;
  eachDescriptor([&](int fd) {
    if (!isConnected(fd)) return;
    std::string own = pathOf(fd, getName);
    if (!own.empty()) {
      found.accepted.push_back(std::move(own));
      return;
    }
    std::string peer = pathOf(fd, getPeer);
    if (!peer.empty()) found.connected.push_back(std::move(peer));
  });
  return found;
}

HangUp::HangUp(std::string path) : path_(std::move(path)) {
  if (!path_.empty()) thread_ = std::thread(&HangUp::run, this);
}

HangUp::~HangUp() {
  {
    std::lock_guard<std::mutex> guard(lock_);
    isOver_ = true;
  }
  over_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void HangUp::run() {
  std::unique_lock<std::mutex> guard(lock_);
  while (!over_.wait_for(guard, kPatience, [this] { return isOver_; }))
    if (cutOff(path_))
      addLine("the port at " + path_ + " is removed, and a machine in the middle of a message is cut off");
}

}  // namespace weft
