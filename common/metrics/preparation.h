#pragma once

// Federated preparation: what all sites' tables are on average, found by one secure sum before the
// first round and frozen into the model, so that every site, and whoever uses the model later,
// brings a number to the same scale. On hospitals whose patients differ this alone moves a plain
// logistic model by several points: see docs.
//
// Only numbers need it; categories are listed in the plan. A number's sums are of u = (x - minimum)
// / (maximum - minimum) with the plan's plausible range of the column; values beyond it are
// missing.

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace consilium::metrics {

// A number column's plausible range, of the plan: minimum < maximum, both finite.
struct Range {
  double minimum = 0, maximum = 1;
};

struct ColumnSums {
  std::uint64_t present = 0, missing = 0;
  double sum = 0, squares = 0;  // of u and u^2
  bool operator==(const ColumnSums&) const = default;
};

struct PreparationSums {
  explicit PreparationSums(std::size_t numbers = 0) : columns(numbers) {}
  std::vector<ColumnSums> columns;           // one a number column of the plan, in its order
  std::uint64_t examples = 0, patients = 0;  // of the training split

  // One example's numbers; NaN, and what is beyond its range, is missing. The patients are the
  // caller's to count.
  void Add(std::span<const float> numbers, std::span<const Range> ranges);
  PreparationSums& operator+=(const PreparationSums& other);
  bool operator==(const PreparationSums&) const = default;
};
// kInvalidArgument: counts that disagree, moments that so many values in [0, 1] cannot have.
absl::Status Check(const PreparationSums& sums);

// As numbers of the 64-bit ring that add up (base/fixed_point.h for reals).
std::size_t PreparationRingSize(std::size_t numbers);
std::vector<std::uint64_t> ToRing(const PreparationSums& sums);
// kInvalidArgument: another length, or sums that Check refuses (some site sent nonsense).
absl::StatusOr<PreparationSums> PreparationFromRing(std::span<const std::uint64_t> ring,
                                                    std::size_t numbers);

// Of each column the mean and the standard deviation of x. A column with fewer than kSmallCount
// values anywhere, or without spread, gets mean = the middle of its range or its one value, and
// deviation = the range: it then says almost nothing, and never divides by zero. (Without spread:
// what the rounding of the ring could be, about 1/1000 of the range when kSmallCount are there.)
struct Scale {
  double mean = 0, deviation = 1;
};
std::vector<Scale> Scales(const PreparationSums& sums, std::span<const Range> ranges);

}  // namespace consilium::metrics
