#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

namespace consilium::bench {

struct SessionSeconds {
  double site = 0;         // all steps of one site
  double coordinator = 0;  // all steps of the coordinator, opening among them
};

// One whole session of n sites in memory, of which `dropped` are lost before their upload: keys,
// shares, signatures, reconstruction; no vectors. Fails when the opened masks are not those of the
// survivors.
absl::StatusOr<SessionSeconds> RunSession(std::uint32_t n, std::uint32_t dropped);

// Splitting one 32-byte secret among n and combining it again, in seconds.
struct ShamirSeconds {
  double split = 0, combine = 0;
};
absl::StatusOr<ShamirSeconds> RunShamir(std::uint32_t n);

}  // namespace consilium::bench
