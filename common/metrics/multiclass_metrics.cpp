#include "common/metrics/multiclass_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "common/metrics/histogram_auroc.h"
#include "common/metrics/sum_checks.h"

namespace consilium::metrics {
namespace {

int ClassScoreBin(double probability) {
  return ScoreBin(probability) / (kScoreBins / kClassScoreBins);
}

void AddTo(std::vector<std::uint64_t>& counts, const std::vector<std::uint64_t>& more) {
  CONSILIUM_CHECK(counts.size() == more.size());
  std::transform(counts.begin(), counts.end(), more.begin(), counts.begin(), std::plus<>());
}

// What was predicted how often of what, as numbers.
struct Confusion {
  explicit Confusion(const MulticlassSums& sums)
      : classes(sums.classes), truths(sums.classes), predictions(sums.classes), sums_(sums) {
    for (std::size_t t = 0; t < classes; ++t) {
      for (std::size_t p = 0; p < classes; ++p) {
        truths[t] += At(t, p);
        predictions[p] += At(t, p);
        count += At(t, p);
      }
    }
  }
  double At(std::size_t truth, std::size_t prediction) const {
    return static_cast<double>(sums_.confusion[truth * classes + prediction]);
  }

  std::size_t classes;
  std::vector<double> truths, predictions;
  double count = 0;

 private:
  const MulticlassSums& sums_;
};

// Cohen 1968: 1 - (observed disagreement) / (that of independent raters), a disagreement weighing
// as `weight` says.
double Kappa(const Confusion& confusion, const std::function<double(double)>& weight) {
  double observed = 0, expected = 0;
  for (std::size_t t = 0; t < confusion.classes; ++t) {
    for (std::size_t p = 0; p < confusion.classes; ++p) {
      const double w = weight(static_cast<double>(t) - static_cast<double>(p));
      observed += w * confusion.At(t, p);
      expected += w * confusion.truths[t] * confusion.predictions[p] / confusion.count;
    }
  }
  return expected > 0 ? 1 - observed / expected : 0;
}

double CorrectOf(const Confusion& confusion) {
  double correct = 0;
  for (std::size_t c = 0; c < confusion.classes; ++c) correct += confusion.At(c, c);
  return correct;
}

double BalancedAccuracy(const Confusion& confusion) {
  double sensitivities = 0, present = 0;
  for (std::size_t c = 0; c < confusion.classes; ++c) {
    if (confusion.truths[c] == 0) continue;
    sensitivities += confusion.At(c, c) / confusion.truths[c];
    ++present;
  }
  return sensitivities / present;
}

// Of the classes with an example and a counter-example, and their mean.
void AddClasses(const MulticlassSums& sums, const Confusion& confusion,
                MulticlassMetrics& metrics) {
  double variance = 0, trials = 0, defined = 0;
  metrics.classes.resize(sums.classes);
  for (std::size_t c = 0; c < sums.classes; ++c) {
    const double positives = confusion.truths[c], negatives = confusion.count - positives;
    if (positives == 0 || negatives == 0) continue;
    const Auroc auroc =
        HistogramAuroc(sums.scores[c].positives, sums.scores[c].negatives, positives, negatives);
    ClassMetrics& one = metrics.classes[c].emplace();
    one.positives = static_cast<std::uint64_t>(positives);
    one.auroc = auroc.value;
    one.auroc_error_bound = auroc.error_bound;
    one.auroc_95 = AurocInterval(auroc, positives, negatives);
    one.sensitivity = confusion.At(c, c) / positives;
    one.precision =
        confusion.predictions[c] > 0 ? confusion.At(c, c) / confusion.predictions[c] : 0;
    metrics.auroc += auroc.value;
    variance += auroc.variance;
    trials += std::min(positives, negatives);
    ++defined;
  }
  metrics.auroc /= defined;
  metrics.auroc_95 = LogitInterval(metrics.auroc, variance / (defined * defined), trials / defined);
}

absl::Status CheckShape(const MulticlassSums& sums) {
  if (sums.classes < 2 || sums.classes > kMostClasses) {
    return Refused(StrCat(sums.classes, " classes: 2 to ", kMostClasses, " can be"));
  }
  if (sums.scores.size() != sums.classes ||
      sums.confusion.size() != std::size_t{sums.classes} * sums.classes) {
    return Refused(
        StrCat("the histograms and the confusion are not of ", sums.classes, " classes"));
  }
  for (const ClassScores& scores : sums.scores) {
    if (scores.positives.size() != kClassScoreBins || scores.negatives.size() != kClassScoreBins) {
      return Refused(StrCat("the histograms have ", scores.positives.size(), " and ",
                            scores.negatives.size(), " bins, not ", kClassScoreBins));
    }
  }
  return absl::OkStatus();
}

}  // namespace

MulticlassSums::MulticlassSums(std::uint32_t class_count)
    : classes(class_count), scores(class_count), confusion(std::size_t{class_count} * class_count) {
  CONSILIUM_CHECK(class_count <= kMostClasses);
}

void MulticlassSums::Add(std::span<const float> probabilities, std::uint32_t truth) {
  CONSILIUM_CHECK(probabilities.size() == classes && truth < classes);
  for (std::uint32_t c = 0; c < classes; ++c) {
    const double probability = probabilities[c], target = c == truth ? 1 : 0;
    ++(c == truth ? scores[c].positives : scores[c].negatives)[ClassScoreBin(probability)];
    squared_error += (probability - target) * (probability - target);
  }
  log_loss -= std::log(std::max<double>(probabilities[truth], kSmallestLikelihood));
  const auto predicted = std::max_element(probabilities.begin(), probabilities.end());
  ++confusion[std::size_t{truth} * classes +
              static_cast<std::size_t>(predicted - probabilities.begin())];
}

MulticlassSums& MulticlassSums::operator+=(const MulticlassSums& other) {
  CONSILIUM_CHECK(classes == other.classes);
  for (std::size_t c = 0; c < classes; ++c) {
    AddTo(scores[c].positives, other.scores[c].positives);
    AddTo(scores[c].negatives, other.scores[c].negatives);
  }
  AddTo(confusion, other.confusion);
  log_loss += other.log_loss;
  squared_error += other.squared_error;
  patients += other.patients;
  return *this;
}

std::uint64_t MulticlassSums::Count() const { return Total(confusion); }

std::uint64_t MulticlassSums::CountOf(std::uint32_t truth) const {
  return Total(std::span(confusion).subspan(std::size_t{truth} * classes, classes));
}

absl::Status Check(const MulticlassSums& sums) {
  RETURN_IF_ERROR(CheckShape(sums));
  const std::uint64_t examples = BoundedTotal(sums.confusion);
  if (examples > kMostExamples) return Refused("the confusion counts more than 2^48 examples");
  for (std::uint32_t c = 0; c < sums.classes; ++c) {
    const std::uint64_t positives = sums.CountOf(c);
    if (BoundedTotal(sums.scores[c].positives) != positives ||
        BoundedTotal(sums.scores[c].negatives) != examples - positives) {
      return Refused(
          StrCat("the histograms of class ", c, " and the confusion count different examples"));
    }
  }
  const auto count = static_cast<double>(examples);
  // Probabilities that add up to one are at most 2 away from the truth.
  if (!Within(sums.squared_error, 0, 2.001 * count)) {
    return Refused(StrCat("the squared error ", sums.squared_error, " of ", count, " examples"));
  }
  if (!Within(sums.log_loss, 0, -std::log(kSmallestLikelihood) * count)) {
    return Refused(StrCat("the log loss ", sums.log_loss, " of ", count, " examples"));
  }
  if (sums.patients > examples) {
    return Refused(StrCat(sums.patients, " patients with ", examples, " examples"));
  }
  return absl::OkStatus();
}

absl::StatusOr<MulticlassMetrics> Compute(const MulticlassSums& sums) {
  RETURN_IF_ERROR(Check(sums));
  const Confusion confusion(sums);
  if (std::count(confusion.truths.begin(), confusion.truths.end(), 0.0) + 2 >
      static_cast<std::ptrdiff_t>(sums.classes)) {
    return absl::FailedPreconditionError(
        confusion.count == 0 ? "there is no example"
                             : "all examples are of one class, so classes cannot be compared");
  }
  MulticlassMetrics metrics;
  metrics.examples = sums.Count();
  metrics.patients = sums.patients;
  AddClasses(sums, confusion, metrics);
  metrics.accuracy = CorrectOf(confusion) / confusion.count;
  metrics.accuracy_95 = Wilson(metrics.accuracy, confusion.count);
  metrics.balanced_accuracy = BalancedAccuracy(confusion);
  metrics.kappa = Kappa(confusion, [](double distance) { return distance == 0 ? 0.0 : 1.0; });
  metrics.quadratic_kappa = Kappa(confusion, [](double distance) { return distance * distance; });
  metrics.log_loss = sums.log_loss / confusion.count;
  metrics.brier = sums.squared_error / confusion.count;
  metrics.confusion = sums.confusion;
  return metrics;
}

}  // namespace consilium::metrics
