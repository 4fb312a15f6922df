#include "common/metrics/json.h"

#include <nlohmann/json.hpp>

#include "common/base/status.h"

namespace consilium::metrics {
namespace {

using nlohmann::json;

json MetricsJson(const BinaryMetrics& m, bool with_counts) {
  json out = {{"auroc", m.auroc},
              {"auroc_error_bound", m.auroc_error_bound},
              {"auroc_low", m.auroc_95.low},
              {"auroc_high", m.auroc_95.high},
              {"auprc", m.auprc},
              {"accuracy", m.accuracy},
              {"sensitivity", m.sensitivity},
              {"at_specificity", m.at_specificity},
              {"brier", m.brier},
              {"log_loss", m.log_loss},
              {"calibration", json::array()},
              {"roc", json::array()}};
  if (with_counts) {
    out["positives"] = m.positives;
    out["negatives"] = m.negatives;
    out["patients"] = m.patients;
  }
  for (const auto& point : m.calibration) {
    json entry = {point.mean_score, point.observed};
    if (with_counts) entry.push_back(point.count);
    out["calibration"].push_back(std::move(entry));
  }
  for (const auto& point : m.roc) {
    out["roc"].push_back({point.false_positive_rate, point.true_positive_rate});
  }
  return out;
}

json HistogramJson(const std::vector<std::uint64_t>& histogram) {
  json out = json::array();
  for (std::size_t bin = 0; bin < histogram.size(); ++bin) {
    if (histogram[bin] > 0) out.push_back({bin, histogram[bin]});
  }
  return out;
}

std::vector<std::uint64_t> HistogramFromJson(const json& pairs) {
  std::vector<std::uint64_t> histogram(kScoreBins);
  for (const json& pair : pairs) histogram.at(pair.at(0).get<std::size_t>()) = pair.at(1);
  return histogram;
}

std::string ShownJson(const BinarySums& sums, double at_specificity, bool with_counts) {
  const auto metrics = Compute(sums, at_specificity);
  if (!metrics.ok() || !LargeEnoughToShow(sums)) return R"({"suppressed":true})";
  return ToJson(*metrics, with_counts);
}

}  // namespace

std::string ToJson(const BinaryMetrics& metrics, bool with_counts) {
  return MetricsJson(metrics, with_counts).dump();
}

std::string SiteJson(const BinarySums& sums, double at_specificity) {
  return ShownJson(sums, at_specificity, true);
}

std::string PooledJson(const std::map<SiteId, BinarySums>& sites, double at_specificity) {
  BinarySums pooled;
  for (const auto& [site, sums] : sites) pooled += sums;
  return ShownJson(pooled, at_specificity, PooledCountsCanBeShown(sites));
}

bool PooledCountsCanBeShown(const std::map<SiteId, BinarySums>& sites) {
  int suppressed = 0;
  std::uint64_t positives = 0, negatives = 0;
  for (const auto& [site, sums] : sites) {
    if (LargeEnoughToShow(sums)) continue;
    ++suppressed;
    positives += sums.PositiveCount();
    negatives += sums.NegativeCount();
  }
  return suppressed == 0 ||
         (suppressed > 1 && positives >= kSmallCount && negatives >= kSmallCount);
}

std::string ToJson(const BinarySums& sums) {
  return json{{"positives", HistogramJson(sums.positives)},
              {"negatives", HistogramJson(sums.negatives)},
              {"squared_error", sums.squared_error},
              {"log_loss", sums.log_loss},
              {"calibration_count", sums.calibration_count},
              {"calibration_positives", sums.calibration_positives},
              {"calibration_score", sums.calibration_score},
              {"patients", sums.patients}}
      .dump();
}

absl::StatusOr<BinarySums> SumsFromJson(std::string_view text) {
  BinarySums sums;
  try {
    const json in = json::parse(text);
    sums.positives = HistogramFromJson(in.at("positives"));
    sums.negatives = HistogramFromJson(in.at("negatives"));
    sums.squared_error = in.at("squared_error");
    sums.log_loss = in.at("log_loss");
    sums.calibration_count = in.at("calibration_count");
    sums.calibration_positives = in.at("calibration_positives");
    sums.calibration_score = in.at("calibration_score");
    sums.patients = in.at("patients");
  } catch (const std::exception&) {  // nlohmann's, and a bin out of range
    return absl::InvalidArgumentError(
        "these are not metric sums as JSON: they were not written by this program, or were "
        "changed");
  }
  RETURN_IF_ERROR(Check(sums));
  return sums;
}

}  // namespace consilium::metrics
