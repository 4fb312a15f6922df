#pragma once

// Metrics of classifiers into several classes, and of several labels at once, from sums that add up
// across sites.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/binary_metrics.h"

namespace consilium::metrics {

inline constexpr int kClassScoreBins = 512;  // as ScoreBin's, but eight times as wide
inline constexpr std::uint32_t kMostClasses = 100;

// One class against the rest.
struct ClassScores {
  std::vector<std::uint64_t> positives = std::vector<std::uint64_t>(kClassScoreBins);
  std::vector<std::uint64_t> negatives = std::vector<std::uint64_t>(kClassScoreBins);
  bool operator==(const ClassScores&) const = default;
};

struct MulticlassSums {
  explicit MulticlassSums(std::uint32_t class_count = 2);
  std::uint32_t classes;
  std::vector<ClassScores> scores;       // a class
  std::vector<std::uint64_t> confusion;  // classes x classes: true class, then predicted class
  double log_loss = 0;       // sum of -log(probability of the true class), clipped at 1e-7
  double squared_error = 0;  // sum over examples and classes of (probability - truth)^2
  std::uint64_t patients = 0;

  // `probabilities`: one a class, from 0 to 1; they add up to about 1.
  void Add(std::span<const float> probabilities, std::uint32_t truth);
  MulticlassSums& operator+=(const MulticlassSums& other);
  std::uint64_t Count() const;
  bool operator==(const MulticlassSums&) const = default;
};
absl::Status Check(const MulticlassSums& sums);

struct ClassMetrics {
  std::uint64_t positives = 0;
  double auroc = 0, auroc_error_bound = 0;
  Interval auroc_95;  // as BinaryMetrics'
  double sensitivity = 0, precision = 0;
};
struct MulticlassMetrics {
  std::uint64_t examples = 0, patients = 0;
  double auroc = 0;   // mean over the classes that have an example and a counter-example
  Interval auroc_95;  // from the classes' variances, as if independent
  double accuracy = 0, balanced_accuracy = 0;
  Interval accuracy_95;  // Wilson
  // Cohen's kappa, and with quadratic weights, which means something where classes are ordered.
  double kappa = 0, quadratic_kappa = 0;
  double log_loss = 0, brier = 0;
  std::vector<std::optional<ClassMetrics>> classes;  // nothing: no example, or no other
  std::vector<std::uint64_t> confusion;
};
absl::StatusOr<MulticlassMetrics> Compute(const MulticlassSums& sums);

// Several labels, each there or not, each of which may be unknown of an example.
struct MultilabelSums {
  explicit MultilabelSums(std::uint32_t label_count = 1);
  std::vector<BinarySums> labels;
  std::uint64_t patients = 0;
  MultilabelSums& operator+=(const MultilabelSums& other);
  std::uint64_t Count() const;  // the largest of the labels'
  bool operator==(const MultilabelSums&) const = default;
};
absl::Status Check(const MultilabelSums& sums);
struct MultilabelMetrics {
  std::uint64_t patients = 0;
  double auroc = 0;  // mean over the labels that have positives and negatives
  Interval auroc_95;
  std::vector<std::optional<BinaryMetrics>> labels;
};
absl::StatusOr<MultilabelMetrics> Compute(const MultilabelSums& sums, double at_specificity);

}  // namespace consilium::metrics
