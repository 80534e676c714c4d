#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

namespace weft {
namespace {

constexpr size_t kLineMax = 512;

// Written by a handler of signals, which may interrupt anything: no lock, no memory that is asked for.
struct sigaction previous;
char cutOffFile[kLineMax];
std::atomic<bool> isCutOff{false};
std::atomic_flag isReplacing = ATOMIC_FLAG_INIT;

struct Mapping {
  uintptr_t begin = 0, end = 0;
  bool isSharedAndWritable = false;
  const char* file = "";
};

uintptr_t hexadecimal(const char** at) {
  uintptr_t value = 0;
  for (;; ++*at) {
    const char c = **at;
    if (c >= '0' && c <= '9')
      value = value * 16 + static_cast<uintptr_t>(c - '0');
    else if (c >= 'a' && c <= 'f')
      value = value * 16 + static_cast<uintptr_t>(c - 'a' + 10);
    else
      return value;
  }
}

/// A line of /proc/PID/maps: `begin-end rwxs offset device inode   file`.
Mapping mappingOf(const char* line) {
  Mapping mapping;
  mapping.begin = hexadecimal(&line);
  line++;
  mapping.end = hexadecimal(&line);
  if (strlen(line) < 5) return {};
  mapping.isSharedAndWritable = line[2] == 'w' && line[4] == 's';
  const char* file = strchr(line, '/');
  if (file != nullptr) mapping.file = file;
  return mapping;
}

/// The next line of a file, without its end; false behind the last. A longer one is cut off.
bool nextLine(int fd, char* line) {
  size_t length = 0;
  char c = 0;
  bool isAny = false;
  while (read(fd, &c, 1) == 1) {
    isAny = true;
    if (c == '\n') break;
    if (length < kLineMax - 1) line[length++] = c;
  }
  line[length] = 0;
  return isAny;
}

/// Whether it was a shared mapping of a file; if so, zeros are there now. System calls alone, as a handler must.
bool replaceMappingOf(uintptr_t address) {
  const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (maps < 0) return false;
  char line[kLineMax];
  Mapping mapping;
  bool isFound = false;
  while (!isFound && nextLine(maps, line)) {
    mapping = mappingOf(line);
    isFound = address >= mapping.begin && address < mapping.end;
  }
  close(maps);
  if (!isFound || !mapping.isSharedAndWritable || mapping.file[0] == 0) return false;
  const int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  auto* begin = reinterpret_cast<void*>(mapping.begin);
  if (mmap(begin, mapping.end - mapping.begin, PROT_READ | PROT_WRITE, kind, -1, 0) == MAP_FAILED) return false;
  strncpy(cutOffFile, mapping.file, kLineMax - 1);
  isCutOff = true;
  return true;
}

/// Another thread may have replaced the mapping meanwhile. The kernel is asked, which answers EFAULT in place of a
/// signal.
bool isReadable(uintptr_t address) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return false;
  const bool isThere = write(ends[1], reinterpret_cast<const void*>(address), 1) == 1;
  close(ends[0]);
  close(ends[1]);
  return isThere;
}

void onBusError(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  while (isReplacing.test_and_set(std::memory_order_acquire)) {
  }
  const bool goesOn = info->si_code == BUS_ADRERR && (isReadable(address) || replaceMappingOf(address));
  isReplacing.clear(std::memory_order_release);
  errno = error;
  if (goesOn) return;
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) {
    previous.sa_sigaction(signal, info, context);
    return;
  }
  // What faulted is tried again, and ends the process as it would have without this.
  sigaction(SIGBUS, &previous, nullptr);
}

}  // namespace

void guardSharedMemory() {
  static const bool isGuarded = [] {
    struct sigaction action {};
    action.sa_sigaction = onBusError;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, &previous) == 0;
  }();
  (void)isGuarded;
}

std::string takeCutOff() { return isCutOff.exchange(false) ? std::string(cutOffFile) : std::string(); }

}  // namespace weft
