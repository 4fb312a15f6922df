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

inline constexpr int kClassScoreBins = 512;         // as ScoreBin's, but eight times as wide
inline constexpr std::uint32_t kMostClasses = 100;  // or labels

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

  // `probabilities`: one a class, from 0 to 1; they add up to about 1. The first of the largest is
  // what the model predicts. NaN, or a class that is not there, is a bug of the caller's.
  void Add(std::span<const float> probabilities, std::uint32_t truth);
  MulticlassSums& operator+=(const MulticlassSums& other);
  std::uint64_t Count() const;
  std::uint64_t CountOf(std::uint32_t truth) const;  // examples of that class
  bool operator==(const MulticlassSums&) const = default;
};
// kInvalidArgument: wrong lengths, histograms and confusion that count different examples, more
// than 2^48, moments that so many examples cannot have. So it is of the other kinds of sums, too.
absl::Status Check(const MulticlassSums& sums);

struct ClassMetrics {
  std::uint64_t positives = 0;
  double auroc = 0, auroc_error_bound = 0;
  Interval auroc_95;  // as BinaryMetrics'
  double sensitivity = 0;
  double precision = 0;  // 0 of a class that was never predicted
};
struct MulticlassMetrics {
  std::uint64_t examples = 0, patients = 0;
  double auroc = 0;   // mean over the classes that have an example and a counter-example
  Interval auroc_95;  // from the classes' variances, as if independent
  double accuracy = 0;
  double balanced_accuracy = 0;  // mean sensitivity of the classes that are there
  Interval accuracy_95;          // Wilson
  // Cohen's kappa, and with quadratic weights, which means something where classes are ordered. 0
  // where chance alone would always agree (truth and prediction are all of one class).
  double kappa = 0, quadratic_kappa = 0;
  double log_loss = 0;  // mean, natural logarithm
  double brier = 0;     // mean over examples of the sum over classes: from 0 to 2
  std::vector<std::optional<ClassMetrics>> classes;  // nothing: no example, or no other
  std::vector<std::uint64_t> confusion;
};
// kFailedPrecondition: no example, or all of one class.
absl::StatusOr<MulticlassMetrics> Compute(const MulticlassSums& sums);

// Several labels, each there or not, each of which may be unknown of an example.
struct MultilabelSums {
  explicit MultilabelSums(std::uint32_t label_count = 1);
  std::vector<BinarySums> labels;  // of the examples of which it is known
  std::uint64_t patients = 0;      // of whom some label is known
  MultilabelSums& operator+=(const MultilabelSums& other);
  std::uint64_t Count() const;  // the largest of the labels'
  bool operator==(const MultilabelSums&) const = default;
};
absl::Status Check(const MultilabelSums& sums);
struct MultilabelMetrics {
  std::uint64_t examples = 0, patients = 0;
  double auroc = 0;   // mean over `labels` that are there
  Interval auroc_95;  // from the labels' variances, as if independent
  // Nothing: a label with fewer than kSmallCount positives or negatives, which would add mere noise
  // to the mean and say something of single patients. When no label has as many: of those with at
  // least one of each (LargeEnoughToShow is then false).
  std::vector<std::optional<BinaryMetrics>> labels;
};
// kFailedPrecondition: no label with positives and negatives.
absl::StatusOr<MultilabelMetrics> Compute(const MultilabelSums& sums, double at_specificity);

}  // namespace consilium::metrics
