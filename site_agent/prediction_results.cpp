#include "site_agent/prediction_results.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/status.h"

namespace consilium::site_agent {
namespace {

namespace results = datasets::results;
using learning::Prediction;
using results::Subject;

// SNOMED CT: what is segmented is of no kind that is known here.
const datasets::targets::Code kMorphology = {"49755003", "SCT",
                                             "Morphologically Altered Structure"};

std::string Score(std::string_view what, double score) {
  return absl::StrFormat("%s score %.3f", ForAbsl(what), score);
}

results::NewSegmentation ActivationSegmentation(const Subject& subject,
                                                const std::vector<float>& activation) {
  results::NewSegment segment;
  segment.label = "class activation (not an outline)";
  segment.description =
      "Where the image spoke for the finding, relative to the map's own maximum (255). It says "
      "nothing of how sure the model is.";
  segment.category = {"309825002", "SCT", "Spatial and Relational Concept"};
  segment.type = {"class-activation", results::kOurScheme, "Class activation"};
  for (const float value : activation) {
    segment.voxels.push_back(static_cast<std::uint8_t>(std::lround(255 * value)));
  }
  return {.kind = results::SegmentationKind::kFractionalProbability,
          .planes = results::PlanesOf(subject.source, subject.placement.frame),
          .segments = {std::move(segment)}};
}

void Classify(const Prediction& prediction, const Subject& subject, const PublishedModel& model,
              bool activation, PredictionResults* out) {
  const std::string& target = model.description.target;
  out->scores = {{target, prediction.score}};
  std::string answer = Score(target, prediction.score);
  if (model.operating_point) {
    out->present = prediction.score >= model.operating_point->threshold;
    absl::StrAppendFormat(&answer, " (%s at threshold %.3f)", *out->present ? "present" : "absent",
                          model.operating_point->threshold);
  } else {
    StrAppend(&answer, " (no threshold established)");
  }
  out->caption.push_back(std::move(answer));
  results::NewFinding finding{
      .code = results::FindingNamed(target),
      .classification = results::Classification{prediction.score, model.operating_point}};
  if (prediction.activation.size > 0) {
    out->overlay = results::OnImage(prediction.activation, subject.placement);
    if (activation) {
      out->segmentation = ActivationSegmentation(subject, out->overlay);
      finding.segment = 1;
    }
  }
  out->findings.push_back(std::move(finding));
}

// Of several classes or labels: a finding each, the likeliest first in the caption.
void ClassifySeveral(const Prediction& prediction, const plan::Target& target,
                     PredictionResults* out) {
  for (std::size_t i = 0; i < target.classes.size(); ++i) {
    const std::string& name = target.classes[i];
    const double score = prediction.probabilities[i];
    out->scores.emplace_back(name, score);
    out->findings.push_back({.code = results::FindingNamed(name),
                             .tracking = name,
                             .classification = results::Classification{score, std::nullopt}});
  }
  auto ranked = out->scores;
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  constexpr std::size_t kMostLines = 5;
  for (std::size_t i = 0; i < std::min(kMostLines, ranked.size()); ++i) {
    out->caption.push_back(Score(ranked[i].first, ranked[i].second));
  }
}

void Outline(const Prediction& prediction, const Subject& subject, const plan::Target& target,
             PredictionResults* out) {
  const std::vector<std::uint8_t> mask = results::OnImage(prediction.mask, subject.placement);
  const auto pixels = static_cast<double>(mask.size());
  results::NewSegmentation segmentation{
      .planes = results::PlanesOf(subject.source, subject.placement.frame)};
  for (std::size_t i = 0; i < target.classes.size(); ++i) {
    const std::string& name = target.classes[i];
    results::NewSegment segment{.label = name,
                                .description = "",
                                .category = kMorphology,
                                .type = results::FindingNamed(name)};
    segment.voxels.reserve(mask.size());
    for (const std::uint8_t value : mask) segment.voxels.push_back(value == i + 1);
    const auto inside = std::count(segment.voxels.begin(), segment.voxels.end(), 1);
    results::NewFinding finding{
        .code = segment.type, .tracking = name, .segment = static_cast<std::uint32_t>(i + 1)};
    std::string line = absl::StrFormat("%s %d pixels", name, inside);
    if (subject.source.plane) {
      const auto& spacing = subject.source.plane->spacing_mm;
      const double area = static_cast<double>(inside) * spacing[0] * spacing[1];
      finding.measurements.push_back(
          {{"42798000", "SCT", "Area"}, area, {"mm2", "UCUM", "square millimeter"}});
      line = absl::StrFormat("%s %.0f mm2", name, area);
    }
    out->scores.emplace_back(name, static_cast<double>(inside) / pixels);
    out->caption.push_back(std::move(line));
    out->findings.push_back(std::move(finding));
    segmentation.segments.push_back(std::move(segment));
  }
  out->overlay.assign(mask.begin(), mask.end());
  for (float& value : out->overlay) value = value > 0 ? 1.0f : 0.0f;
  out->segmentation = std::move(segmentation);
}

}  // namespace

absl::Status CheckPredictable(const plan::Plan& plan) {
  if (plan.data.source != plan::Source::kDicom || plan.table.Inputs() > 0) {
    return absl::UnimplementedError(
        "predict reads DICOM images, and this model's plan has other inputs too: use "
        "`consilium-site "
        "evaluate` for what it reaches on this site's data");
  }
  if (plan.preprocessing.slices > 0 || plan.target.task == Task::kSurvival) {
    return absl::UnimplementedError(
        StrCat("predict makes no results of ", Name(plan.target.task),
               plan.preprocessing.slices > 0 ? " of volumes" : "",
               ": use `consilium-site evaluate` for what the model reaches on this site's data"));
  }
  return absl::OkStatus();
}

PredictionResults ResultsOf(const Prediction& prediction, const Subject& subject,
                            const PublishedModel& model, bool activation) {
  const results::ModelDescription& about = model.description;
  PredictionResults out;
  out.caption = {StrCat(std::string_view(results::kResearchUse), ", not verified by a person")};
  std::string_view colour;
  switch (model.plan.target.task) {
    case Task::kBinary:
      Classify(prediction, subject, model, activation, &out);
      if (!out.overlay.empty()) colour = "colour: class activation, not an outline";
      break;
    case Task::kMulticlass:
    case Task::kMultilabel:
      ClassifySeveral(prediction, model.plan.target, &out);
      break;
    case Task::kSegmentation:
      Outline(prediction, subject, model.plan.target, &out);
      colour = "colour: what the model takes for it";
      break;
    case Task::kDetection:
    case Task::kSurvival:
      CONSILIUM_CHECK(false);  // CheckPredictable
  }
  out.caption.push_back(StrCat("model ", about.name, " ", about.id.Short()));
  if (!colour.empty()) out.caption.emplace_back(colour);
  return out;
}

}  // namespace consilium::site_agent
