#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"

namespace consilium::coordinator {

// |delta * weight / weight_unit| above this is refused: an update this large has diverged.
inline constexpr double kLargestContribution = 512.0;  // 255 sites stay below 2^17

// A weighted sum of float vectors that does not depend on the order in which they are added.
//
// Each value is put on a fixed grid before it is added: p = round(delta * scaled_weight) to a
// multiple of 2^-36, ties to even, and the sums are doubles. Sums of grid values below 2^17 are
// exact in a double (53 bits), so that adding is associative and Subtract takes a contribution out
// without a trace. The error of Mean against the exact weighted mean is at most
// 2^-37 * n / total_scaled_weight for n contributions, before the final rounding to float32.
//
// Add, Subtract and Mean may run at once on pieces that do not overlap; the caller sees to that.
// 8 bytes a parameter; the memory is taken from the system page by page as values arrive.
class ExactSum {
 public:
  explicit ExactSum(std::uint64_t parameters);
  std::uint64_t size() const { return size_; }

  // scaled_weight: in (0, 1e30]. kInvalidArgument with the index of the first value (counted over
  // the whole model) that is NaN, infinite or too large; then nothing was added.
  absl::Status Add(std::uint64_t offset, std::span<const float> delta, double scaled_weight);
  // What Add took, in another order or not.
  void Subtract(std::uint64_t offset, std::span<const float> delta, double scaled_weight);
  // mean[i] = sum[offset + i] / total_scaled_weight.
  void Mean(std::uint64_t offset, double total_scaled_weight, std::span<double> mean) const;

  // The first index of `delta` that Add would refuse, delta.size() when it would take all.
  static std::size_t FirstRefused(std::span<const float> delta, double scaled_weight);

 private:
  struct Unmap {
    std::uint64_t size;
    void operator()(double* values) const;
  };
  std::uint64_t size_;
  std::unique_ptr<double[], Unmap> sum_;
};

}  // namespace consilium::coordinator
