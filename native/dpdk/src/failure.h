// Failures of control functions: what JavaScript gets is an Error with `code`, `errno` and `syscall`, as from
// native/tun.
#pragma once

#include <stdexcept>
#include <string>

namespace weft {

/// A call of DPDK that failed. `error` is a positive errno.
struct DpdkFailure : std::runtime_error {
  DpdkFailure(std::string call, int error, const std::string& detail = "");
  std::string call;
  int error;
};

/// What DPDK has logged since the last call, its lines joined: DPDK says why in its log alone.
std::string takeLog();

/// The same, a line each.
std::string takeLines();

/// Adds a line of weft's own.
void addLine(const std::string& line);

/// Directs DPDK's log to `takeLog`. Once a process.
void captureLog();

}  // namespace weft
