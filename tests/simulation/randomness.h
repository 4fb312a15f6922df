#pragma once

// In the simulation nothing is drawn from the operating system: SystemRandom and OpenSSL's own
// generator give numbers of a seed, so that the same seed gives the same keys, nonces and trace.
// randomness.cpp stands in for common/base/system_random.cpp at link time. Not for programs.

#include <cstdint>

#include "common/base/random.h"

namespace consilium::simulation {

// For as long as it lives; then the one before. One thread.
class UseRandomness {
 public:
  explicit UseRandomness(std::uint64_t seed);
  UseRandomness(const UseRandomness&) = delete;
  UseRandomness& operator=(const UseRandomness&) = delete;
  ~UseRandomness();

 private:
  SeededRandom random_;
  SeededRandom* before_;
};

}  // namespace consilium::simulation
