#include "common/metrics/task_sums.h"

#include <algorithm>

#include "common/base/fixed_point.h"
#include "common/base/overloaded.h"
#include "common/metrics/ring_order.h"
#include "common/metrics/sum_checks.h"

namespace consilium::metrics {
namespace {

std::uint32_t Size32(const auto& values) { return static_cast<std::uint32_t>(values.size()); }

}  // namespace

absl::Status Check(const TaskShape& shape) {
  const std::uint32_t least = shape.task == Task::kMulticlass ? 2 : 1;
  std::uint32_t most = 1;
  if (shape.task == Task::kMulticlass || shape.task == Task::kMultilabel) most = kMostClasses;
  if (shape.task == Task::kSegmentation) most = kMostStructures;
  if (shape.task == Task::kDetection) most = kMostKinds;
  if (shape.classes >= least && shape.classes <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("sums of a ", Name(shape.task), " task cannot have ",
                                           shape.classes, " classes: ", least, " to ", most));
}

TaskSums::TaskSums(const TaskShape& shape) {
  CONSILIUM_CHECK(Check(shape).ok());
  switch (shape.task) {
    case Task::kBinary:
      break;
    case Task::kMulticlass:
      sums_ = MulticlassSums(shape.classes);
      break;
    case Task::kMultilabel:
      sums_ = MultilabelSums(shape.classes);
      break;
    case Task::kSegmentation:
      sums_ = SegmentationSums(shape.classes);
      break;
    case Task::kSurvival:
      sums_ = SurvivalSums();
      break;
    case Task::kDetection:
      sums_ = DetectionSums(shape.classes);
      break;
  }
}

TaskShape TaskSums::shape() const {
  return Visit(Overloaded{[](const BinarySums&) {
                            return TaskShape{Task::kBinary, 1};
                          },
                          [](const MulticlassSums& s) {
                            return TaskShape{Task::kMulticlass, s.classes};
                          },
                          [](const MultilabelSums& s) {
                            return TaskShape{Task::kMultilabel, Size32(s.labels)};
                          },
                          [](const SegmentationSums& s) {
                            return TaskShape{Task::kSegmentation, Size32(s.structures)};
                          },
                          [](const SurvivalSums&) {
                            return TaskShape{Task::kSurvival, 1};
                          },
                          [](const DetectionSums& s) {
                            return TaskShape{Task::kDetection, Size32(s.kinds)};
                          }});
}

TaskSums& TaskSums::operator+=(const TaskSums& other) {
  CONSILIUM_CHECK(shape() == other.shape());
  Visit([&]<class Sums>(Sums& sums) { sums += other.As<Sums>(); });
  return *this;
}

std::uint64_t TaskSums::Count() const {
  return Visit(Overloaded{[](const SegmentationSums& s) { return s.patients; },
                          [](const DetectionSums& s) { return s.images; },
                          [](const auto& s) { return s.Count(); }});
}

std::uint64_t TaskSums::patients() const {
  return Visit([](const auto& sums) { return sums.patients; });
}

absl::Status Check(const TaskSums& sums, const TaskShape& shape) {
  RETURN_IF_ERROR(Check(shape));
  if (sums.shape() != shape) {
    return Refused(StrCat("they are of a ", Name(sums.task()), " task of ", sums.shape().classes,
                          ", not of a ", Name(shape.task), " task of ", shape.classes));
  }
  return sums.Visit([](const auto& kind) { return Check(kind); });
}

std::size_t RingSize(const TaskShape& shape) {
  const std::size_t binary = 2 * kScoreBins + 3 * kCalibrationBins + 3, classes = shape.classes;
  switch (shape.task) {
    case Task::kBinary:
      break;
    case Task::kMulticlass:
      return classes * 2 * kClassScoreBins + classes * classes + 3;
    case Task::kMultilabel:
      return classes * binary + 1;
    case Task::kSegmentation:
      return classes * (kDiceBins + 7 + 9) + 2;
    case Task::kSurvival:
      return 2 * kTimeBins * kRiskBins + 6;
    case Task::kDetection:
      return classes * (kBoxScoreBins * (2 * kPatientGroups + 3) + kPatientGroups + 1) +
             kPatientGroups + 2;
  }
  return binary;
}

std::vector<std::uint64_t> ToRing(const TaskSums& sums) {
  std::vector<std::uint64_t> numbers;
  numbers.reserve(RingSize(sums.shape()));
  ring::Wholes(sums, [&](std::uint64_t count) { numbers.push_back(count); });
  ring::Reals(sums,
              [&](double value, double unit) { numbers.push_back(ToFixedPoint(value / unit)); });
  return numbers;
}

absl::StatusOr<TaskSums> TaskSumsFromRing(std::span<const std::uint64_t> numbers,
                                          const TaskShape& shape) {
  RETURN_IF_ERROR(Check(shape));
  if (numbers.size() != RingSize(shape)) {
    return absl::InvalidArgumentError(StrCat("an evaluation of a ", Name(shape.task), " task has ",
                                             RingSize(shape), " sums, not ", numbers.size()));
  }
  TaskSums sums(shape);
  std::size_t i = 0;
  ring::Wholes(sums, [&](std::uint64_t& count) { count = numbers[i++]; });
  ring::Reals(sums,
              [&](double& value, double unit) { value = FromFixedPoint(numbers[i++]) * unit; });
  RETURN_IF_ERROR(Check(sums, shape));
  return sums;
}

}  // namespace consilium::metrics
