#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

namespace consilium::experiments {

// Seconds to move what a round moves, over plain TCP on loopback: `bytes` from one process's
// threads to each of `sites` others at once, and the same back. No TLS, no gRPC, no disk, nothing
// added up: no federation can be faster on sockets.
absl::StatusOr<double> LoopbackFloor(std::uint64_t bytes, int sites);

}  // namespace consilium::experiments
