#include <sys/random.h>

#include <cerrno>

#include "common/base/random.h"
#include "common/base/status.h"

// Apart from random.cpp so that the simulation can put another in its place.

namespace consilium {

void SystemRandom::Fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const ssize_t n = getrandom(out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    CONSILIUM_CHECK(n > 0);
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

}  // namespace consilium
