#include "failure.h"

#include <rte_log.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include <mutex>

namespace weft {
namespace {

std::mutex logLock;
std::string logText;
constexpr size_t kLogMax = 16384;

ssize_t writeLog(void* /*cookie*/, const char* text, size_t length) {
  std::lock_guard<std::mutex> guard(logLock);
  logText.append(text, length);
  // Whole lines: the beginning of one says whom it is about.
  if (logText.size() > kLogMax) logText.erase(0, logText.find('\n', logText.size() - kLogMax) + 1);
  return static_cast<ssize_t>(length);
}

std::string messageOf(const std::string& call, int error, const std::string& detail) {
  std::string text = call + ": " + strerror(error);
  if (!detail.empty()) text += " (" + detail + ")";
  std::string log = takeLog();
  if (!log.empty()) text += "; DPDK says: " + log;
  return text;
}

}  // namespace

DpdkFailure::DpdkFailure(std::string failedCall, int failedError, const std::string& detail)
    : std::runtime_error(messageOf(failedCall, failedError, detail)), call(std::move(failedCall)), error(failedError) {}

void addLine(const std::string& line) {
  const std::string text = line + "\n";
  writeLog(nullptr, text.data(), text.size());
}

std::string takeLines() {
  std::lock_guard<std::mutex> guard(logLock);
  std::string text;
  text.swap(logText);
  return text;
}

std::string takeLog() {
  std::string text = takeLines();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& c : text)
    if (c == '\n') c = '|';
  return text;
}

void captureLog() {
  cookie_io_functions_t functions{};
  functions.write = writeLog;
  FILE* stream = fopencookie(nullptr, "w", functions);
  if (stream == nullptr) return;
  setvbuf(stream, nullptr, _IOLBF, 0);
  rte_openlog_stream(stream);
}

}  // namespace weft
