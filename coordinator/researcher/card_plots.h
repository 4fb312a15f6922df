#pragma once

// Private to the model card: its plots. Nothing where the metrics do not hold what is to be drawn.

#include <optional>
#include <string>

#include "common/report/plot.h"
#include "coordinator/researcher/card_values.h"

namespace consilium::researcher {

std::optional<report::LinePlot> Calibration(const CardMetrics& metrics, const std::string& where);
std::optional<report::LinePlot> Roc(const CardMetrics& metrics, const std::string& where);
std::optional<report::LinePlot> DecisionCurve(const PlaceResult::Curve& curve,
                                              const std::string& where);

}  // namespace consilium::researcher
