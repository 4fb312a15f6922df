#pragma once

// Private to this folder: the tasks, one file each, and what their surveys and evaluations share.

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "site_agent/learning/tasks/task.h"

namespace consilium::learning {

std::unique_ptr<LearningTask> MakeBinaryTask(const plan::Plan& plan);
std::unique_ptr<LearningTask> MakeMulticlassTask(const plan::Plan& plan);
std::unique_ptr<LearningTask> MakeMultilabelTask(const plan::Plan& plan);
std::unique_ptr<LearningTask> MakeSegmentationTask(const plan::Plan& plan);
std::unique_ptr<LearningTask> MakeSurvivalTask(const plan::Plan& plan);

// Examples and patients; kInvalidArgument when there are none.
absl::StatusOr<Population> CountExamples(const datasets::Dataset& data, const plan::Plan& plan);

// Population::class_weights of so many examples of each class; empty when the plan wants none.
std::vector<float> ClassWeights(std::span<const std::uint64_t> examples,
                                const plan::Training& training);

// The weight of each example of a batch by its class; `classes` are whole numbers, N.
at::Tensor WeightsOf(const at::Tensor& classes, const Population& population);

// The network's answers as an array; kInvalidArgument when one is NaN or infinite.
absl::StatusOr<std::vector<float>> Numbers(const at::Tensor& output);

// What to do about a site that has one class only, for the end of a refusal.
inline constexpr char kOneClassAdvice[] =
    ": check the labels, leave this site out of the cohort, or set [training] class_weighting = "
    "false";

}  // namespace consilium::learning
