#pragma once

// What a network is asked, as the word that plans, data, metrics and learning share.

#include <cstdint>
#include <string_view>

namespace consilium {

enum class Task {
  kBinary,        // "binary": is it there? One logit
  kMulticlass,    // "multiclass": which one of several? A logit a class
  kMultilabel,    // "multilabel": which of several are there? A logit a label
  kSegmentation,  // "segmentation": where is each structure? Logits of the background and of each
                  // structure at every pixel
  kSurvival,      // "survival": who is at greater risk? One log relative hazard (Cox 1972)
  kDetection,     // "detection": where are findings of each kind? Boxes with scores
};
std::string_view Name(Task task);
// Whether a site's answers are masks drawn on its images: segmentation and detection.
constexpr bool TaughtByMasks(Task task) {
  return task == Task::kSegmentation || task == Task::kDetection;
}

// What sums of an evaluation look like: the task and how many classes, labels, structures or kinds
// of finding it has (the background is none); 1 for binary and survival.
struct TaskShape {
  Task task = Task::kBinary;
  std::uint32_t classes = 1;
  bool operator==(const TaskShape&) const = default;
};

// The one number that decides which candidate is the best, when to stop, and what the gate asks for
// (larger is better): "auroc" (binary; of multiclass and multilabel the mean over the classes, one
// against the rest), "dice" (mean over patients and structures), "concordance" (within sites),
// "average_precision" (of boxes that overlap by half or more, the mean over the kinds of finding).
std::string_view HeadlineName(Task task);   // for machines: a key
std::string_view HeadlineTitle(Task task);  // for people: "AUROC", "Dice", "concordance" ...

}  // namespace consilium
