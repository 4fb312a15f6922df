#include "common/metrics/evaluation_sums.h"

#include "common/base/fixed_point.h"
#include "common/base/status.h"
#include "common/metrics/ring_order.h"

namespace consilium::metrics {

std::uint32_t EvaluationRingSize(const TaskShape& shape) {
  return static_cast<std::uint32_t>(RingSize(shape) + 2);
}

std::vector<std::uint64_t> ToRing(const EvaluationSums& sums) {
  std::vector<std::uint64_t> numbers;
  numbers.reserve(EvaluationRingSize(sums.sums.shape()));
  ring::Wholes(sums.sums, [&](std::uint64_t count) { numbers.push_back(count); });
  numbers.push_back(sums.compared);
  numbers.push_back(sums.worse);
  ring::Reals(sums.sums,
              [&](double value, double unit) { numbers.push_back(ToFixedPoint(value / unit)); });
  return numbers;
}

absl::StatusOr<EvaluationSums> FromRing(std::span<const std::uint64_t> numbers,
                                        const TaskShape& shape, std::size_t sites) {
  RETURN_IF_ERROR(Check(shape));
  if (numbers.size() != EvaluationRingSize(shape)) {
    return absl::InvalidArgumentError(StrCat("an evaluation of a ", Name(shape.task), " task has ",
                                             EvaluationRingSize(shape), " sums, not ",
                                             numbers.size()));
  }
  EvaluationSums sums{TaskSums(shape)};
  std::size_t i = 0;
  ring::Wholes(sums.sums, [&](std::uint64_t& count) { count = numbers[i++]; });
  sums.compared = numbers[i++];
  sums.worse = numbers[i++];
  ring::Reals(sums.sums,
              [&](double& value, double unit) { value = FromFixedPoint(numbers[i++]) * unit; });
  if (sums.compared > sites || sums.worse > sums.compared) {
    return absl::InvalidArgumentError(
        StrCat("the sites' comparisons with the last published model do not add up: ", sums.worse,
               " of ", sums.compared, " are worse, ", sites, " sites took part"));
  }
  RETURN_IF_ERROR(Check(sums.sums, shape));
  return sums;
}

}  // namespace consilium::metrics
