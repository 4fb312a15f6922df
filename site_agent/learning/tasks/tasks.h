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
std::unique_ptr<LearningTask> MakeDetectionTask(const plan::Plan& plan);

std::unique_ptr<LearningTask> MakeOrdinalTask(const plan::Plan& plan);  // of ordered classes
std::unique_ptr<LearningTask> MakeHazardsTask(const plan::Plan& plan);  // survival in intervals

// What tasks of one kind share: `answer` is what is evaluated of the network's output, of classes a
// probability each, of survivors the log relative hazard.
using Answer = at::Tensor (*)(const at::Tensor& output);
absl::StatusOr<Population> SurveyClasses(const datasets::Dataset& data, const plan::Plan& plan);
std::unique_ptr<TaskEvaluation> EvaluateClasses(const datasets::Dataset& data,
                                                std::uint32_t classes, Answer answer);
absl::StatusOr<Population> SurveySurvivors(const datasets::Dataset& data, const plan::Plan& plan);
std::unique_ptr<TaskEvaluation> EvaluateSurvivors(const datasets::Dataset& data, Answer answer);

// Examples and patients; kInvalidArgument when there are none.
absl::StatusOr<Population> CountExamples(const datasets::Dataset& data, const plan::Plan& plan);

// Population::class_weights of so many examples of each class; empty when the plan wants none.
std::vector<float> ClassWeights(std::span<const std::uint64_t> examples,
                                const plan::Training& training);

// The weight of each example of a batch by its class; `classes` are whole numbers, N.
at::Tensor WeightsOf(const at::Tensor& classes, const Population& population);

// kInvalidArgument unless a mask holds nothing but 0 (background) and the numbers of the plan's
// structures.
absl::Status CheckMask(std::span<const float> mask, std::uint32_t structures);

// The network's answers as an array; kInvalidArgument when one is NaN or infinite.
absl::StatusOr<std::vector<float>> Numbers(const at::Tensor& output);

// What to do about a site that has one class only, for the end of a refusal.
inline constexpr char kOneClassAdvice[] =
    ": check the labels, leave this site out of the cohort, or set [training] class_weighting = "
    "false";

}  // namespace consilium::learning
