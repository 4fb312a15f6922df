#pragma once

// Private to the model card: metrics in words and rows.

#include <string>
#include <string_view>
#include <vector>

#include "common/report/document.h"
#include "coordinator/researcher/card_values.h"

namespace consilium::researcher {

// "AUROC" of "auroc"; "result" of what is no measure.
std::string_view WordsOf(std::string_view key);
// Measure and value, those that matter most first.
std::vector<std::vector<std::string>> MeasureRows(const Numbers& numbers);
// Of classes, labels, structures or kinds: a table with a row each.
void AddParts(const CardMetrics& metrics, const std::vector<std::string>& names,
              report::Document* card);

}  // namespace consilium::researcher
