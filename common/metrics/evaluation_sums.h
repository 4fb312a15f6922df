#pragma once

// What a site adds to a secure evaluation, as numbers of the 64-bit ring that add up across sites.

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/task_sums.h"

namespace consilium::metrics {

struct EvaluationSums {
  TaskSums sums;
  // The site compared its headline with that of the last published model (1 or 0; both small enough
  // sites and those without that model do not), and found it worse by more than the gate allows. In
  // a sum: how many did.
  std::uint64_t compared = 0, worse = 0;
  bool operator==(const EvaluationSums&) const = default;
};

// The counts of the task's sums, compared, worse; then the reals of the task's sums in fixed point
// (base/fixed_point.h). RingSize(shape) + 2 of them.
std::uint32_t EvaluationRingSize(const TaskShape& shape);
std::vector<std::uint64_t> ToRing(const EvaluationSums& sums);
// kInvalidArgument: another length, or sums that Check refuses (some site sent nonsense; `sites`
// were added up).
absl::StatusOr<EvaluationSums> FromRing(std::span<const std::uint64_t> numbers,
                                        const TaskShape& shape, std::size_t sites);

}  // namespace consilium::metrics
