#include "site_agent/learning/tasks/shape.h"

#include "common/base/status.h"
#include "site_agent/learning/checks.h"

namespace consilium::learning {

std::size_t TargetElementsOf(const plan::Plan& plan) {
  switch (plan.target.task) {
    case Task::kBinary:
    case Task::kMulticlass:
      return 1;
    case Task::kMultilabel:
      return plan.target.Shape().classes;
    case Task::kSurvival:
      return 2;
    case Task::kSegmentation:
    case Task::kDetection: {
      const datasets::InputShape shape = InputOf(plan);
      return std::size_t{shape.depth} * shape.height * shape.width;
    }
  }
  CONSILIUM_CHECK(false);
}

absl::Status CheckShape(const datasets::Dataset& data, const plan::Plan& plan) {
  RETURN_IF_ERROR(CheckInput(data, plan));
  const std::size_t given = data.target_elements(), asked = TargetElementsOf(plan);
  if (given == asked) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("an example has ", given, " target values, but a ",
                                           Name(plan.target.task), " plan needs ", asked,
                                           ": prepare the data again for this plan"));
}

}  // namespace consilium::learning
