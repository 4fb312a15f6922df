#include "coordinator/researcher/card_plots.h"

#include <algorithm>

#include "common/base/text.h"

namespace consilium::researcher {
namespace {

report::Series Reference(std::string name, std::vector<report::Point> points) {
  return {.name = std::move(name),
          .points = std::move(points),
          .colour = report::kReferenceColour,
          .dashed = true};
}

}  // namespace

std::optional<report::LinePlot> Calibration(const CardMetrics& metrics, const std::string& where) {
  if (metrics.calibration.empty()) return std::nullopt;
  report::Series series{.name = where, .points = metrics.calibration};
  series.emphasized = series.markers = true;
  return report::LinePlot{
      .title = StrCat("Calibration, ", where),
      .description =
          "Of the examples given about this probability, how many were positive. Groups "
          "that are too small are left out.",
      .x = {.label = "mean score", .low = 0, .high = 1},
      .y = {.label = "share positive", .low = 0, .high = 1},
      .series = {Reference("ideal", {{0, 0}, {1, 1}}), std::move(series)}};
}

std::optional<report::LinePlot> Roc(const CardMetrics& metrics, const std::string& where) {
  if (metrics.roc.empty()) return std::nullopt;
  report::Series series{.name = where, .points = metrics.roc};
  series.emphasized = true;
  return report::LinePlot{.title = StrCat("ROC, ", where),
                          .description = "Sensitivity at every rate of false positives.",
                          .x = {.label = "false positive rate", .low = 0, .high = 1},
                          .y = {.label = "sensitivity", .low = 0, .high = 1},
                          .series = {Reference("chance", {{0, 0}, {1, 1}}), std::move(series)}};
}

std::optional<report::LinePlot> DecisionCurve(const PlaceResult::Curve& curve,
                                              const std::string& where) {
  constexpr double kLowest = -0.05;  // to treat all falls without end
  const auto visible = [](std::vector<report::Point> points) {
    std::erase_if(points, [](const report::Point& point) { return point.y < kLowest; });
    return points;
  };
  report::Series model{.name = "by the model", .points = visible(curve.model), .emphasized = true};
  report::Series all{.name = "treat all", .points = visible(curve.treat_all), .colour = 1};
  if (model.points.empty()) return std::nullopt;
  return report::LinePlot{
      .title = StrCat("Decision curve of ", curve.of, ", ", where),
      .description =
          "Net benefit (Vickers and Elkin 2006) of treating whom the model gives this probability "
          "or more: it is of use where its line is the highest.",
      .x = {.label = "threshold probability", .low = 0, .high = 1},
      .y = {.label = "net benefit"},
      .series = {Reference("treat nobody", {{0, 0}, {1, 0}}), std::move(all), std::move(model)}};
}

}  // namespace consilium::researcher
