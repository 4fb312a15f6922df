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

// A relative hazard is no probability, so that it is a measurement; the chance of the event within
// each of the plan's intervals is one.
void Foresee(const Prediction& prediction, const plan::Target& target, PredictionResults* out) {
  out->scores.emplace_back("risk", prediction.log_hazard);
  out->caption.push_back(
      absl::StrFormat("%s: risk %.3f (log of a relative hazard, larger is worse)", target.event,
                      prediction.log_hazard));
  out->findings.push_back(
      {.code = results::FindingNamed(target.event),
       .tracking = "risk",
       .measurements = {{{"log-relative-hazard", results::kOurScheme, "Log of a relative hazard"},
                         prediction.log_hazard,
                         {"1", "UCUM", "no units"}}}});
  for (std::size_t i = 0; i < target.intervals.size(); ++i) {
    const double survival = prediction.survival[i];
    const std::string day = absl::StrFormat("%g", target.intervals[i]);
    out->scores.emplace_back(StrCat("survival_", day), survival);
    out->caption.push_back(
        absl::StrFormat("%s by day %s: chance %.3f", target.event, day, 1 - survival));
    out->findings.push_back(
        {.code = results::FindingNamed(target.event),
         .tracking = StrCat("by day ", day),
         .classification = results::Classification{1 - survival, std::nullopt}});
  }
}

void Outline(const Prediction& prediction, const Subject& subject, const plan::Target& target,
             PredictionResults* out) {
  const std::vector<std::uint8_t> mask = results::OnImage(prediction.mask, subject.placement);
  const auto pixels = static_cast<double>(mask.size());
  results::NewSegmentation segmentation{
      .planes = results::PlanesOf(subject.source, subject.placement.frame),
      .segments = SegmentsOf(mask, target)};
  for (std::size_t i = 0; i < segmentation.segments.size(); ++i) {
    const results::NewSegment& segment = segmentation.segments[i];
    const std::string& name = segment.label;
    const auto inside = std::count(segment.voxels.begin(), segment.voxels.end(), 1);
    results::NewFinding finding{
        .code = segment.type, .tracking = name, .segment = static_cast<std::uint32_t>(i + 1)};
    std::string line = absl::StrFormat("%s %d pixels", name, inside);
    if (subject.source.plane) {
      const auto& spacing = subject.source.plane->spacing_mm;
      const double area = static_cast<double>(inside) * spacing[0] * spacing[1];
      finding.measurements.push_back(results::Area(area));
      line = absl::StrFormat("%s %.0f mm2", name, area);
    }
    out->scores.emplace_back(name, static_cast<double>(inside) / pixels);
    out->caption.push_back(std::move(line));
    out->findings.push_back(std::move(finding));
  }
  out->overlay.assign(mask.begin(), mask.end());
  for (float& value : out->overlay) value = value > 0 ? 1.0f : 0.0f;
  out->segmentation = std::move(segmentation);
}

// A box of the input on the image, as much of it as is there.
results::Box OnImage(const metrics::Box& box, const datasets::pipeline::Placement& placement) {
  const double x[] = {placement.ImageColumn(box.left), placement.ImageColumn(box.right)};
  const double y[] = {placement.ImageRow(box.top), placement.ImageRow(box.bottom)};
  const auto within = [](double value, std::uint32_t most) {
    return static_cast<float>(std::clamp(value, 0.0, static_cast<double>(most)));
  };
  return {.left = within(std::min(x[0], x[1]), placement.columns),
          .top = within(y[0], placement.rows),
          .right = within(std::max(x[0], x[1]), placement.columns),
          .bottom = within(y[1], placement.rows)};
}

void DrawEdges(const results::Box& box, std::uint32_t rows, std::uint32_t columns,
               std::vector<float>* overlay) {
  const auto pixel = [](float position, std::uint32_t count) {
    return std::min(static_cast<std::uint32_t>(position), count - 1);
  };
  const std::uint32_t left = pixel(box.left, columns), right = pixel(box.right, columns);
  const std::uint32_t top = pixel(box.top, rows), bottom = pixel(box.bottom, rows);
  for (std::uint32_t y = top; y <= bottom; ++y) {
    for (std::uint32_t x = left; x <= right; ++x) {
      if (y != top && y != bottom && x != left && x != right) continue;
      (*overlay)[std::size_t{y} * columns + x] = 1;
    }
  }
}

// Boxes of the operating score or more are findings, each with its box; a kind without one is a
// finding with the best score that it has and no box.
void Point(const Prediction& prediction, const Subject& subject, const plan::Target& target,
           PredictionResults* out) {
  const datasets::pipeline::Placement& placement = subject.placement;
  out->overlay.assign(std::size_t{placement.rows} * placement.columns, 0.0f);
  for (std::uint32_t kind = 0; kind < target.classes.size(); ++kind) {
    const std::string& name = target.classes[kind];
    double best = 0;
    int found = 0;
    for (const metrics::ScoredBox& box : prediction.boxes) {  // from the highest score down
      if (box.kind != kind) continue;
      best = std::max(best, double{box.score});
      if (box.score < metrics::kOperatingScore) break;
      const results::Box edges = OnImage(box.box, placement);
      if (!(edges.left < edges.right && edges.top < edges.bottom)) continue;
      DrawEdges(edges, placement.rows, placement.columns, &out->overlay);
      out->findings.push_back({.code = results::FindingNamed(name),
                               .tracking = StrCat(name, " ", ++found),
                               .classification = results::Classification{box.score, std::nullopt},
                               .box = edges});
    }
    if (found == 0) {
      out->findings.push_back({.code = results::FindingNamed(name),
                               .tracking = name,
                               .classification = results::Classification{best, std::nullopt}});
    }
    out->scores.emplace_back(name, best);
    out->caption.push_back(absl::StrFormat("%s: %d of score %.1f or more, best %.3f", name, found,
                                           metrics::kOperatingScore, best));
  }
}

}  // namespace

std::vector<results::NewSegment> SegmentsOf(const std::vector<std::uint8_t>& mask,
                                            const plan::Target& target) {
  std::vector<results::NewSegment> segments;
  for (std::size_t i = 0; i < target.classes.size(); ++i) {
    const std::string& name = target.classes[i];
    results::NewSegment& segment =
        segments.emplace_back(results::NewSegment{.label = name,
                                                  .description = "",
                                                  .category = kMorphology,
                                                  .type = results::FindingNamed(name)});
    segment.voxels.reserve(mask.size());
    for (const std::uint8_t value : mask) segment.voxels.push_back(value == i + 1);
  }
  return segments;
}

std::string CaptionBegin() {
  return StrCat(std::string_view(results::kResearchUse), ", not verified by a person");
}

std::string CaptionOf(const results::ModelDescription& model) {
  return StrCat("model ", results::AlgorithmName(model), " ", model.id.Short(),
                model.personal.empty() ? "" : ", this site's own by ", model.personal);
}

PredictionResults ResultsOf(const Prediction& prediction, const Subject& subject,
                            const PublishedModel& model, bool activation) {
  PredictionResults out;
  out.caption = {CaptionBegin()};
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
      Point(prediction, subject, model.plan.target, &out);
      colour = "colour: boxes about what the model takes for it";
      break;
    case Task::kSurvival:
      Foresee(prediction, model.plan.target, &out);
      break;
  }
  out.caption.push_back(CaptionOf(model.description));
  if (!colour.empty()) out.caption.emplace_back(colour);
  return out;
}

}  // namespace consilium::site_agent
