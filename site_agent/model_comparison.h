#pragma once

// Two models on the same patients of a site: how much better is the one, and may that be luck?

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/metrics/mcnemar.h"
#include "site_agent/evaluated_model.h"

namespace consilium::site_agent {

struct ModelComparison {
  std::uint64_t units = 0, patients = 0;  // that both have answered
  double headline = 0, other = 0;
  double difference = 0;  // headline - other: above 0, the model is better
  metrics::Interval difference_95;
  double p = 1;  // two-sided, of no difference
  // The paired test of DeLong et al. 1988 where each patient has one example of a binary task; else
  // patients are resampled.
  bool delong = false;
  // Of binary tasks: right and wrong answers, each model at its own threshold.
  struct AtThreshold {
    double threshold = 0, other_threshold = 0;
    metrics::McNemar test;  // first: the model
  };
  std::optional<AtThreshold> at_threshold;
};

struct ComparedModel {
  const EvaluatedModel& model;
  const EvaluationData& data;
  // Of binary tasks; nothing: the lowest score that reaches the plan's specificity on these
  // examples.
  std::optional<double> threshold;
};

// kInvalidArgument: models of different questions. kFailedPrecondition: no example that both plans
// take, or too few for the test.
absl::StatusOr<ModelComparison> CompareModels(const ComparedModel& model,
                                              const ComparedModel& other, std::uint64_t seed);

}  // namespace consilium::site_agent
