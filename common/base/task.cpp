#include "common/base/task.h"

namespace consilium {

std::string_view Name(Task task) {
  switch (task) {
    case Task::kBinary:
      return "binary";
    case Task::kMulticlass:
      return "multiclass";
    case Task::kMultilabel:
      return "multilabel";
    case Task::kSegmentation:
      return "segmentation";
    case Task::kSurvival:
      return "survival";
    case Task::kDetection:
      return "detection";
  }
  return "unknown";
}

std::string_view HeadlineName(Task task) {
  switch (task) {
    case Task::kSegmentation:
      return "dice";
    case Task::kSurvival:
      return "concordance";
    case Task::kDetection:
      return "average_precision";
    default:
      return "auroc";
  }
}

std::string_view HeadlineTitle(Task task) {
  switch (task) {
    case Task::kSegmentation:
      return "Dice";
    case Task::kSurvival:
      return "concordance";
    case Task::kDetection:
      return "average precision";
    default:
      return "AUROC";
  }
}

}  // namespace consilium
