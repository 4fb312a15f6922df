#pragma once

// The report's figures, from an experiment's results.

#include <string>
#include <vector>

#include "common/report/plot.h"
#include "experiments/results.h"
#include "experiments/run_history.h"

namespace consilium::report {

// The sites' colours are the same in all figures; colour 0 stands for all sites together.
LinePlot ValidationCurve(const experiments::RunHistory& history,
                         const std::vector<experiments::SiteInfo>& sites, Task task);
LinePlot LossCurve(const experiments::RunHistory& history,
                   const std::vector<experiments::SiteInfo>& sites);
// Of a binary task.
LinePlot RocCurves(const experiments::TestedModel& model,
                   const std::vector<experiments::SiteInfo>& sites);
// Likewise.
LinePlot CalibrationCurve(const experiments::TestedModel& model,
                          const std::vector<experiments::SiteInfo>& sites);
HeatMap ValidationMatrix(const experiments::Results& results);
StackedBars RoundTimes(const experiments::RunHistory& history);
StackedBars PartTimes(const std::vector<experiments::Part>& parts);

}  // namespace consilium::report
