#pragma once

#include <cstdint>
#include <vector>

namespace consilium::learning {

// What an optimizer remembers from step to step, of all trained values in the network's order: SGD's
// momentum, or AdamW's first and second moments.
struct OptimizerMoments {
  std::uint64_t steps = 0;    // that made them
  std::vector<float> first;   // momentum; first moments
  std::vector<float> second;  // second moments; empty of SGD
};

}  // namespace consilium::learning
