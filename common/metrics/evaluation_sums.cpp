#include "common/metrics/evaluation_sums.h"

#include "common/base/fixed_point.h"
#include "common/base/status.h"

namespace consilium::metrics {
namespace {

// Calls `whole` with each count and `real` with each real number, in the order of the ring.
template <class Sums, class Whole, class Real>
void ForEach(Sums& s, const Whole& whole, const Real& real) {
  for (auto& count : s.sums.positives) whole(count);
  for (auto& count : s.sums.negatives) whole(count);
  for (auto& count : s.sums.calibration_count) whole(count);
  for (auto& count : s.sums.calibration_positives) whole(count);
  whole(s.sums.patients);
  whole(s.compared);
  whole(s.worse);
  real(s.sums.squared_error);
  real(s.sums.log_loss);
  for (auto& score : s.sums.calibration_score) real(score);
}

}  // namespace

std::vector<std::uint64_t> ToRing(const EvaluationSums& sums) {
  std::vector<std::uint64_t> ring;
  ring.reserve(kEvaluationSums);
  ForEach(
      sums, [&](std::uint64_t count) { ring.push_back(count); },
      [&](double value) { ring.push_back(ToFixedPoint(value)); });
  return ring;
}

absl::StatusOr<EvaluationSums> FromRing(std::span<const std::uint64_t> ring, std::size_t sites) {
  if (ring.size() != kEvaluationSums) {
    return absl::InvalidArgumentError(
        StrCat("an evaluation has ", kEvaluationSums, " sums, not ", ring.size()));
  }
  EvaluationSums sums;
  std::size_t i = 0;
  ForEach(
      sums, [&](std::uint64_t& count) { count = ring[i++]; },
      [&](double& value) { value = FromFixedPoint(ring[i++]); });
  if (sums.compared > sites || sums.worse > sums.compared) {
    return absl::InvalidArgumentError(
        StrCat("the sites' comparisons with the last published model do not add up: ", sums.worse,
               " of ", sums.compared, " are worse, ", sites, " sites took part"));
  }
  RETURN_IF_ERROR(Check(sums.sums));
  return sums;
}

}  // namespace consilium::metrics
