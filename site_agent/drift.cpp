#include "site_agent/drift.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "datasets/transform.h"
#include "site_agent/learning/predictor.h"

namespace consilium::site_agent {
namespace {

using nlohmann::json;

constexpr std::size_t kImagesAPatient = 5, kPixels = 1 << 14;
constexpr std::uint64_t kLargestBaseline = 256 << 20;

fs::path FileOf(const fs::path& state, const ModelId& model) {
  return state / "drift" / (model.Hex() + ".json");
}

bool IsFlatImages(const plan::Plan& plan) {
  return plan.data.source == plan::Source::kDicom && plan.preprocessing.slices == 0 &&
         plan.table.columns.empty();
}

// ---- figures of one example

std::vector<std::string> InputNames(const plan::Plan& plan) {
  std::vector<std::string> names;
  if (plan.data.source != plan::Source::kTable) {
    names = {"brightness, 5th percentile", "median brightness", "brightness, 95th percentile"};
  }
  for (const plan::Column& column : plan.table.columns) {
    if (column.kind == plan::ColumnKind::kNumber) names.push_back(column.name);
  }
  return names;
}

std::vector<double> InputFigures(const plan::Plan& plan, std::span<const float> input) {
  std::vector<double> figures;
  const std::size_t columns = plan.table.Inputs(), pixels = input.size() - columns;
  if (pixels > 0) {
    std::vector<double> values;  // enough of them for a percentile
    const std::size_t step = std::max<std::size_t>(1, pixels / kPixels);
    for (std::size_t i = 0; i < pixels; i += step) values.push_back(input[i]);
    for (const double share : {0.05, 0.5, 0.95}) {
      figures.push_back(metrics::Quantile(values, share));
    }
  }
  for (std::size_t i = 0; i < plan.table.Numbers(); ++i) figures.push_back(input[pixels + i]);
  return figures;
}

std::vector<std::string> AnswerNames(const plan::Plan& plan) {
  std::vector<std::string> names;
  const auto of_each = [&](std::string_view what) {
    for (const std::string& name : plan.target.classes) names.push_back(StrCat(what, " ", name));
  };
  switch (plan.target.task) {
    case Task::kBinary:
      names = {"score"};
      break;
    case Task::kMulticlass:
    case Task::kMultilabel:
      of_each("probability of");
      break;
    case Task::kSegmentation:
      of_each("share of the image outlined as");
      break;
    case Task::kDetection:
      names = {"highest score of a box"};
      break;
    case Task::kSurvival:
      names = {"risk"};
      break;
  }
  return names;
}

std::vector<double> AnswerFigures(const plan::Plan& plan, const learning::Prediction& prediction) {
  switch (plan.target.task) {
    case Task::kBinary:
      return {prediction.score};
    case Task::kMulticlass:
    case Task::kMultilabel:
      return {prediction.probabilities.begin(), prediction.probabilities.end()};
    case Task::kSegmentation: {
      std::vector<double> shares(plan.target.classes.size());
      for (const std::uint8_t structure : prediction.mask) {
        if (structure > 0)
          shares[structure - 1u] += 1.0 / static_cast<double>(prediction.mask.size());
      }
      return shares;
    }
    case Task::kDetection:
      return {prediction.boxes.empty() ? 0.0 : double{prediction.boxes.front().score}};
    case Task::kSurvival:
      return {prediction.log_hazard};
  }
  CONSILIUM_CHECK(false);
}

// ---- figures of patients

struct Patient {
  std::vector<double> sums, counts;  // a feature; NaN (a missing number) is not counted
  std::int64_t first = 0;            // when the first of his examples came
  bool dated = false, held_out = true;
};
using Patients = std::map<std::uint64_t, Patient>;

class Gatherer {
 public:
  static absl::StatusOr<Gatherer> Create(const PublishedModel& model) {
    ASSIGN_OR_RETURN(auto predictor, learning::Predictor::Create(model.state, model.plan));
    return Gatherer(model.plan, std::move(predictor));
  }

  absl::Status Gather(LocalData& data, Progress& progress) {
    return IsFlatImages(plan_) ? GatherImages(data, progress) : GatherExamples(data, progress);
  }
  const Patients& patients() const { return patients_; }

 private:
  Gatherer(plan::Plan plan, std::unique_ptr<learning::Predictor> predictor)
      : plan_(std::move(plan)), predictor_(std::move(predictor)) {}

  absl::Status GatherImages(LocalData& data, Progress& progress) {
    std::vector<float> input;
    return data.SeeImages(
        plan_, kImagesAPatient,
        [&](const SeenImage& image) -> absl::Status {
          input.assign(image.input.begin(), image.input.end());
          if (plan_.preprocessing.standardize) datasets::Standardize(input);
          return Add(image.patient, image.came, image.held_out, image.input, input);
        },
        progress);
  }

  // Of what is no flat image: the examples with a target. A standardised input tells nothing of how
  // bright it was, so that it is opened a second time as it is.
  absl::Status GatherExamples(LocalData& data, Progress& progress) {
    plan::Plan raw = plan_;
    raw.preprocessing.standardize = raw.audio.standardize = false;
    for (const auto split :
         {datasets::Split::kTrain, datasets::Split::kValidation, datasets::Split::kTest}) {
      ASSIGN_OR_RETURN(const auto as_it_is, data.Open(raw, split, progress));
      ASSIGN_OR_RETURN(const auto facts, data.Facts(raw, split, progress));
      ASSIGN_OR_RETURN(const auto examples, data.Open(plan_, split, progress));
      const bool same = examples->size() == as_it_is->size() && facts.size() == examples->size();
      CONSILIUM_CHECK(same);
      std::vector<float> before(as_it_is->input_shape().Elements());
      std::vector<float> input(examples->input_shape().Elements());
      for (std::size_t i = 0; i < examples->size(); ++i) {
        if (progress.Cancelled()) return absl::CancelledError("interrupted");
        progress.Report("looking at examples", i + 1, examples->size());
        as_it_is->Get(i, before);
        const auto label = examples->Get(i, input);
        RETURN_IF_ERROR(
            Add(label.patient, facts[i].came, split != datasets::Split::kTrain, before, input));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Add(std::uint64_t patient, std::optional<std::int64_t> came, bool held_out,
                   std::span<const float> before, std::span<const float> input) {
    std::vector<double> figures = InputFigures(plan_, before);
    ASSIGN_OR_RETURN(const learning::Prediction prediction, predictor_->Predict(input));
    for (const double figure : AnswerFigures(plan_, prediction)) figures.push_back(figure);
    Patient& of = patients_[patient];
    of.sums.resize(figures.size());
    of.counts.resize(figures.size());
    for (std::size_t i = 0; i < figures.size(); ++i) {
      if (std::isnan(figures[i])) continue;
      of.sums[i] += figures[i];
      ++of.counts[i];
    }
    if (came) of.first = of.dated ? std::min(of.first, *came) : *came;
    of.dated = of.dated || came.has_value();
    of.held_out = held_out;
    return absl::OkStatus();
  }

  plan::Plan plan_;
  std::unique_ptr<learning::Predictor> predictor_;
  Patients patients_;
};

using Chosen = std::function<bool(std::uint64_t number, const Patient& patient)>;

std::vector<Feature> FeaturesOf(const plan::Plan& plan, const Patients& patients,
                                const Chosen& chosen, bool answers_held_out) {
  std::vector<Feature> features;
  for (const std::string& name : InputNames(plan)) features.push_back({name, false, {}});
  for (const std::string& name : AnswerNames(plan)) features.push_back({name, true, {}});
  for (const auto& [number, patient] : patients) {
    if (!chosen(number, patient)) continue;
    for (std::size_t i = 0; i < features.size(); ++i) {
      if (patient.counts[i] == 0) continue;
      if (features[i].answer && answers_held_out && !patient.held_out) continue;
      features[i].values.push_back(patient.sums[i] / patient.counts[i]);
    }
  }
  return features;
}

// ---- the baseline's file

json ToJson(const DriftBaseline& baseline) {
  json features = json::array();
  for (const Feature& feature : baseline.features) {
    features.push_back(
        {{"name", feature.name}, {"answer", feature.answer}, {"values", feature.values}});
  }
  return {{"model", baseline.model.Hex()},
          {"until", baseline.until},
          {"patients", baseline.patients},
          {"features", std::move(features)}};
}

absl::StatusOr<DriftBaseline> Read(const fs::path& file, const ModelId& model) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, kLargestBaseline));
  try {
    const json in = json::parse(text);
    DriftBaseline baseline{model, in.at("until"), in.at("patients"), {}};
    for (const json& feature : in.at("features")) {
      baseline.features.push_back({feature.at("name"), feature.at("answer"), feature.at("values")});
    }
    if (in.at("model") == model.Hex()) return baseline;
  } catch (const json::exception&) {
  }
  return absl::DataLossError(
      StrCat(file.string(), " is no baseline of this model: remove it, and it is made anew"));
}

std::string NamesOf(const std::vector<DriftReport::Line>& lines, bool answer) {
  std::string names;
  for (const DriftReport::Line& line : lines) {
    if (!line.shifted || line.now.answer != answer) continue;
    StrAppend(&names, names.empty() ? "" : "; ", line.now.name);
  }
  return names;
}

void Decide(DriftReport* report) {
  const bool compared = std::any_of(report->lines.begin(), report->lines.end(),
                                    [](const auto& line) { return line.shift.has_value(); });
  if (!compared) {
    report->why = StrCat("too few patients to tell: ", report->new_patients, " new ones, ",
                         report->baseline_patients, " before; ", metrics::kLeastForShift,
                         " of each are needed");
    return;
  }
  const std::string inputs = NamesOf(report->lines, false), answers = NamesOf(report->lines, true);
  report->due = !inputs.empty() || !answers.empty();
  if (!*report->due) {
    report->why = "the new patients are like those before, and the model says the like of them";
    return;
  }
  if (!inputs.empty()) report->why = StrCat("what the model sees has changed (", inputs, ")");
  if (!answers.empty()) {
    StrAppend(&report->why, inputs.empty() ? "" : ", and ", "what it says has changed (", answers,
              ")");
  }
}

}  // namespace

bool HasBaseline(const fs::path& state, const ModelId& model) {
  return Exists(FileOf(state, model));
}

absl::StatusOr<DriftBaseline> EnsureBaseline(const fs::path& state, const PublishedModel& model,
                                             LocalData& data, std::int64_t until,
                                             Progress& progress) {
  const ModelId& id = model.description.id;
  if (HasBaseline(state, id)) return Read(FileOf(state, id), id);
  ASSIGN_OR_RETURN(Gatherer gatherer, Gatherer::Create(model));
  RETURN_IF_ERROR(gatherer.Gather(data, progress));
  const Chosen before = [&](std::uint64_t, const Patient& patient) {
    return !patient.dated || patient.first <= until;
  };
  DriftBaseline baseline{id, until, {}, FeaturesOf(model.plan, gatherer.patients(), before, true)};
  for (const auto& [number, patient] : gatherer.patients()) {
    if (before(number, patient)) baseline.patients.push_back(number);
  }
  RETURN_IF_ERROR(EnsureFolder(state / "drift"));
  RETURN_IF_ERROR(WriteFileDurably(FileOf(state, id), ToJson(baseline).dump()));
  return baseline;
}

absl::StatusOr<DriftReport> LookForDrift(const DriftBaseline& baseline, const PublishedModel& model,
                                         LocalData& data, std::optional<std::int64_t> since,
                                         Progress& progress) {
  ASSIGN_OR_RETURN(Gatherer gatherer, Gatherer::Create(model));
  RETURN_IF_ERROR(gatherer.Gather(data, progress));
  DriftReport report{.model = baseline.model,
                     .since = std::max(baseline.until, since.value_or(baseline.until)),
                     .baseline_patients = baseline.patients.size()};
  const Chosen is_new = [&](std::uint64_t number, const Patient& patient) {
    if (std::binary_search(baseline.patients.begin(), baseline.patients.end(), number)) {
      return false;
    }
    return !patient.dated || patient.first > report.since;
  };
  for (const auto& [number, patient] : gatherer.patients()) {
    report.new_patients += is_new(number, patient);
  }
  const auto now = FeaturesOf(model.plan, gatherer.patients(), is_new, false);
  if (now.size() != baseline.features.size()) {
    return absl::DataLossError("the baseline is of another version of this program: remove it");
  }
  for (std::size_t i = 0; i < now.size(); ++i) {
    DriftReport::Line line{baseline.features[i], now[i], std::nullopt, false};
    const auto shift = metrics::CompareDistributions(line.before.values, line.now.values);
    if (shift.ok()) {
      line.shift = *shift;
      line.shifted = metrics::IsShifted(*shift, now.size());
    }
    report.lines.push_back(std::move(line));
  }
  Decide(&report);
  return report;
}

}  // namespace consilium::site_agent
