#pragma once

// The weighted mean of updates, added as segments arrive.
//
// Each value is put on a fixed grid before it is added: p = round(delta * weight / weight_unit to a multiple of 2^-36), and the sums
// are doubles. Sums of grid values below 2^17 are exact in a double (53 bits), so the result does not depend on the order of
// arrival, and a contribution that is lost half way is taken out again without a trace. The error against the exact
// weighted mean is at most 2^-37 * weight_unit * n / total weight, before the final rounding to float32.
//
// Memory: 8 bytes a parameter (2 x the model) whatever the number of sites. A contribution's sealed segments are also spooled to
// disk, which is what DropContribution reads to take it out again; nothing readable lies there.

#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/model/model_state.h"

namespace consilium::coordinator {

// |delta * weight / weight_unit| above this is refused: an update this large has diverged.
inline constexpr double kLargestContribution = 512.0;   // 255 sites stay below 2^17

// The exact grid sum, without I/O. Add and Subtract may run at once on pieces that do not overlap; the caller
// sees to that (the Aggregator locks by segment).
class ExactSum {
 public:
  explicit ExactSum(std::uint64_t parameters);
  std::uint64_t size() const;
  // kInvalidArgument with the index of the first value that is NaN, infinite or too large; then nothing was added.
  absl::Status Add(std::uint64_t offset, std::span<const float> delta, double scaled_weight);
  void Subtract(std::uint64_t offset, std::span<const float> delta, double scaled_weight);
  // mean[i] = sum[i] / total_scaled_weight, as float.
  void Mean(std::uint64_t offset, double total_scaled_weight, std::span<float> mean) const;

 private:
  std::unique_ptr<double[]> sum_;
  std::uint64_t size_;
};

}  // namespace consilium::coordinator
