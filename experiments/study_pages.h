#pragma once

#include <string>

#include "common/report/document.h"
#include "experiments/study_results.h"

namespace consilium::experiments {

// Sites, splits, tables, what they mean, data, plan and command.
report::Document StudyPage(const StudyResults& results, const Study& study);
// The tables and the verdict, for a terminal.
std::string StudySummary(const StudyResults& results, const Study& study);

}  // namespace consilium::experiments
