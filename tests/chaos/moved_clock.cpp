// A preloaded library that moves the clock of one process: system_clock::now(), from which every
// part of Consilium takes its time, is off by the seconds that the file named by
// CONSILIUM_MOVED_CLOCK holds at that moment. gRPC's own timers keep the machine's clock, as the
// kernel does, on whose clock abseil's waits end: were they moved apart (as libfaketime does), all
// would be off by an hour for good, which a clock that is really set does not do.

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

namespace {

std::chrono::seconds Offset() {
  const char* path = std::getenv("CONSILIUM_MOVED_CLOCK");
  const int file = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  char text[32] = {};
  const ssize_t count = read(file, text, sizeof text - 1);
  close(file);
  return std::chrono::seconds(count > 0 ? std::strtol(text, nullptr, 10) : 0);
}

}  // namespace

std::chrono::system_clock::time_point std::chrono::system_clock::now() noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return time_point(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec) +
                    Offset());
}
