#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "coordinator/unmasking.h"

namespace consilium::coordinator {

// The numbers whose bytes these are; they must be aligned for them.
template <class Number>
std::span<const Number> NumbersOf(ByteView bytes) {
  CONSILIUM_CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(Number) == 0);
  return {reinterpret_cast<const Number*>(bytes.data()), bytes.size() / sizeof(Number)};
}

// How the contributions of an attempt are added: vectors of 4-byte numbers, piece by piece, in any
// order with the same result, and taken out again without a trace. Add, Subtract and a Mean may run
// at once on pieces that do not overlap; the caller sees to that.
class Summation {
 public:
  virtual ~Summation() = default;

  // `values`: the bytes of the numbers `first` on, aligned for them. kInvalidArgument: one of them
  // is refused; then nothing was added.
  virtual absl::Status Add(std::uint64_t first, ByteView values, double scaled_weight) = 0;
  // What Add took.
  virtual void Subtract(std::uint64_t first, ByteView values, double scaled_weight) = 0;

  // Writes parameters `first` on of the mean. Not thread-safe: one a thread.
  using Mean = std::function<absl::Status(std::uint64_t first, std::span<double> mean)>;
  virtual absl::StatusOr<Mean> OpenMean(double total_weight, const Unmasking* unmasking) const = 0;
};

// Of updates in the clear, as floats: a weighted sum on a fixed grid (exact_sum.h). 8 bytes a
// parameter. Its Mean divides by the total weight.
std::unique_ptr<Summation> SumInTheClear(std::uint64_t parameters);

// Of masked updates: mod 2^32 (secagg/masking.h), weighted by the sites. 4 bytes a parameter. Its
// Mean takes the masks out of a copy of the piece.
std::unique_ptr<Summation> SumMasked(std::uint64_t parameters);

}  // namespace consilium::coordinator
