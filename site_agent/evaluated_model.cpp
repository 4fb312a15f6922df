#include "site_agent/evaluated_model.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <unordered_set>

#include "common/base/status.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/local_training.h"

namespace consilium::site_agent {
namespace {

class Part final : public datasets::Dataset {
 public:
  Part(const datasets::Dataset& data, std::vector<std::size_t> indices)
      : data_(data), indices_(std::move(indices)) {}
  std::size_t size() const override { return indices_.size(); }
  std::uint32_t image_size() const override { return data_.image_size(); }
  datasets::InputShape input_shape() const override { return data_.input_shape(); }
  Label Get(std::size_t index, std::span<float> out) const override {
    return data_.Get(indices_.at(index), out);
  }
  Label GetLabel(std::size_t index) const override { return data_.GetLabel(indices_.at(index)); }
  std::size_t target_elements() const override { return data_.target_elements(); }
  void GetTarget(std::size_t index, std::span<float> out) const override {
    data_.GetTarget(indices_.at(index), out);
  }
  bool IsPositive(std::size_t index) const override { return data_.IsPositive(indices_.at(index)); }
  float spacing_mm(std::size_t index) const override {
    return data_.spacing_mm(indices_.at(index));
  }
  float slice_spacing_mm(std::size_t index) const override {
    return data_.slice_spacing_mm(indices_.at(index));
  }

 private:
  const datasets::Dataset& data_;
  const std::vector<std::size_t> indices_;
};

// The progress of many small evaluations is that of the patients.
class Interruptible final : public Progress {
 public:
  explicit Interruptible(const Progress& all) : all_(all) {}
  void Report(std::string_view, std::uint64_t, std::uint64_t, std::string_view) override {}
  bool Cancelled() const override { return all_.Cancelled(); }

 private:
  const Progress& all_;
};

std::uint64_t Distinct(std::span<const std::size_t> units,
                       std::span<const std::uint64_t> patients) {
  std::unordered_set<std::uint64_t> seen;
  for (const std::size_t unit : units) seen.insert(patients[unit]);
  return seen.size();
}

bool IsTarget(const TaskShape& shape, std::span<const float> target) {
  const auto whole_below = [](float value, double end) {
    return value >= 0 && value < end && value == std::floor(value);
  };
  switch (shape.task) {
    case Task::kMulticlass:
      return whole_below(target[0], shape.classes);
    case Task::kMultilabel:
      return std::all_of(target.begin(), target.end(),
                         [&](float value) { return std::isnan(value) || whole_below(value, 2); });
    case Task::kSurvival:
      return std::isfinite(target[0]) && target[0] > 0 && whole_below(target[1], 2);
    default:
      return whole_below(target[0], 2);
  }
}

// What each unit has: predictions and targets, so many of each.
struct Rows {
  std::span<const float> predictions, targets;
  std::size_t width, target_width;
  std::span<const float> Prediction(std::size_t unit) const {
    return predictions.subspan(unit * width, width);
  }
  std::span<const float> Target(std::size_t unit) const {
    return targets.subspan(unit * target_width, target_width);
  }
};

metrics::MultilabelSums SumLabels(std::span<const std::size_t> units, const Rows& rows,
                                  std::span<const std::uint64_t> patients) {
  metrics::MultilabelSums sums(static_cast<std::uint32_t>(rows.width));
  std::vector<std::unordered_set<std::uint64_t>> known(rows.width);
  for (const std::size_t unit : units) {
    for (std::size_t label = 0; label < rows.width; ++label) {
      const float target = rows.Target(unit)[label];
      if (std::isnan(target)) continue;
      sums.labels[label].Add(rows.Prediction(unit)[label], target == 1);
      known[label].insert(patients[unit]);
    }
  }
  for (std::size_t label = 0; label < rows.width; ++label) {
    sums.labels[label].patients = known[label].size();
  }
  sums.patients = Distinct(units, patients);
  return sums;
}

metrics::SurvivalSums SumSurvivors(std::span<const std::size_t> units, const Rows& rows) {
  std::vector<metrics::Survivor> survivors;
  survivors.reserve(units.size());
  for (const std::size_t unit : units) {
    const auto outcome = rows.Target(unit);
    survivors.push_back(
        {.days = outcome[0], .event = outcome[1] == 1, .risk = rows.Prediction(unit)[0]});
  }
  return metrics::SurvivalSums::Of(survivors);
}

}  // namespace

std::unique_ptr<datasets::Dataset> PartOf(const datasets::Dataset& data,
                                          std::vector<std::size_t> indices) {
  return std::make_unique<Part>(data, std::move(indices));
}

absl::StatusOr<EvaluationData> OpenForEvaluation(
    const std::vector<std::unique_ptr<LocalData>>& sites, const plan::Plan& plan,
    std::span<const datasets::Split> splits, Progress& progress) {
  EvaluationData data;
  ASSIGN_OR_RETURN(data.examples, OpenPooled(sites, plan, splits, progress));
  for (const auto& site : sites) {
    for (const datasets::Split split : splits) {
      ASSIGN_OR_RETURN(const auto facts, site->Facts(plan, split, progress));
      data.facts.insert(data.facts.end(), facts.begin(), facts.end());
    }
  }
  CONSILIUM_CHECK(data.facts.size() == data.examples->size());
  return data;
}

absl::StatusOr<EvaluatedModel> EvaluatedModel::Evaluate(const ModelState& model,
                                                        const plan::Plan& plan,
                                                        const datasets::Dataset& data,
                                                        Progress& progress) {
  EvaluatedModel evaluated(plan);
  RETURN_IF_ERROR(TaughtByMasks(plan.target.task)
                      ? evaluated.KeepPatients(model, data, progress)
                      : evaluated.KeepPredictions(model, data, progress));
  return evaluated;
}

absl::Status EvaluatedModel::KeepPredictions(const ModelState& model, const datasets::Dataset& data,
                                             Progress& progress) {
  ASSIGN_OR_RETURN(predictions_, learning::Predict(model, plan_, data, progress));
  const std::size_t width = data.target_elements();
  targets_.resize(data.size() * width);
  for (std::size_t i = 0; i < data.size(); ++i) {
    const auto target = std::span(targets_).subspan(i * width, width);
    data.GetTarget(i, target);
    if (!IsTarget(plan_.target.Shape(), target)) {
      return absl::InvalidArgumentError(
          StrCat("an example has a target that no ", Name(plan_.target.task), " has"));
    }
    patients_.push_back(data.GetLabel(i).patient);
    examples_.push_back({i});
  }
  return absl::OkStatus();
}

absl::Status EvaluatedModel::KeepPatients(const ModelState& model, const datasets::Dataset& data,
                                          Progress& progress) {
  std::map<std::uint64_t, std::size_t> unit_of;
  for (std::size_t i = 0; i < data.size(); ++i) {
    const std::uint64_t patient = data.GetLabel(i).patient;
    const auto [found, is_new] = unit_of.try_emplace(patient, patients_.size());
    if (is_new) {
      patients_.push_back(patient);
      examples_.emplace_back();
    }
    examples_[found->second].push_back(i);
  }
  Interruptible inner(progress);
  for (const auto& examples : examples_) {
    ASSIGN_OR_RETURN(metrics::TaskSums sums,
                     learning::Evaluate(model, plan_, *PartOf(data, examples), inner));
    sums_.push_back(std::move(sums));
    progress.Report("evaluating patients", sums_.size(), examples_.size());
  }
  return absl::OkStatus();
}

bool EvaluatedModel::SeveralUnitsAPatient() const {
  const std::unordered_set<std::uint64_t> distinct(patients_.begin(), patients_.end());
  return distinct.size() < patients_.size();
}

metrics::TaskSums EvaluatedModel::Sum() const {
  std::vector<std::size_t> all(units());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return Sum(all);
}

metrics::TaskSums EvaluatedModel::Sum(std::span<const std::size_t> units) const {
  const TaskShape shape = plan_.target.Shape();
  if (TaughtByMasks(shape.task)) {
    metrics::TaskSums sums(shape);
    for (const std::size_t unit : units) sums += sums_[unit];
    return sums;
  }
  const std::size_t all = std::max<std::size_t>(1, patients_.size());
  const Rows rows{predictions_, targets_, predictions_.size() / all, targets_.size() / all};
  switch (shape.task) {
    case Task::kMulticlass: {
      metrics::MulticlassSums sums(shape.classes);
      for (const std::size_t unit : units) {
        sums.Add(rows.Prediction(unit), static_cast<std::uint32_t>(rows.Target(unit)[0]));
      }
      sums.patients = Distinct(units, patients_);
      return sums;
    }
    case Task::kMultilabel:
      return patients_.empty() ? metrics::TaskSums(shape)
                               : metrics::TaskSums(SumLabels(units, rows, patients_));
    case Task::kSurvival:
      return SumSurvivors(units, rows);
    default: {
      metrics::BinarySums sums;
      for (const std::size_t unit : units) {
        sums.Add(rows.Prediction(unit)[0], rows.Target(unit)[0] == 1);
      }
      sums.patients = Distinct(units, patients_);
      return sums;
    }
  }
}

std::optional<double> EvaluatedModel::Headline(std::span<const std::size_t> units) const {
  const auto metrics = metrics::Compute(Sum(units), plan_.evaluation.at_specificity);
  if (!metrics.ok()) return std::nullopt;
  return metrics->headline;
}

}  // namespace consilium::site_agent
