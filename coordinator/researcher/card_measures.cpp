#include "coordinator/researcher/card_measures.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_replace.h"
#include "common/base/text.h"

namespace consilium::researcher {
namespace {

struct Measure {
  std::string_view key, words;
};
// In the order in which they are shown; what a metric's JSON holds beside these comes after, under
// its own key.
constexpr Measure kMeasures[] = {
    {"auroc", "AUROC"},
    {"dice", "Dice"},
    {"average_precision", "average precision of boxes"},
    {"concordance", "concordance"},
    {"pooled_concordance", "concordance across sites"},
    {"auprc", "average precision"},
    {"sensitivity", "sensitivity"},
    {"at_specificity", "at specificity"},
    {"accuracy", "accuracy"},
    {"balanced_accuracy", "balanced accuracy"},
    {"kappa", "kappa"},
    {"quadratic_kappa", "quadratic kappa"},
    {"hd95_mm", "surface distance HD95, mm"},
    {"brier", "Brier score"},
    {"log_loss", "log loss"},
    {"integrated_brier", "integrated Brier score"},
    {"positives", "positives"},
    {"negatives", "negatives"},
    {"events", "events"},
    {"examples", "examples"},
    {"patients", "patients"},
    {"sites", "sites"},
};

std::string Spaced(const std::string& key) { return absl::StrReplaceAll(key, {{"_", " "}}); }

// The keys of any of the parts, each once, in the order of the first that has it.
std::vector<std::string> KeysOf(const CardMetrics::Parts& parts) {
  std::vector<std::string> keys;
  for (const auto& numbers : parts.numbers) {
    if (!numbers) continue;
    for (const auto& [key, unused] : *numbers) {
      const bool known = std::find(keys.begin(), keys.end(), key) != keys.end();
      if (!known && !IsInterval(*numbers, key)) keys.push_back(key);
    }
  }
  return keys;
}

}  // namespace

std::string_view WordsOf(std::string_view key) {
  for (const Measure& measure : kMeasures) {
    if (measure.key == key) return measure.words;
  }
  return "result";
}

std::vector<std::vector<std::string>> MeasureRows(const Numbers& numbers) {
  std::vector<std::vector<std::string>> rows;
  std::set<std::string> shown;
  for (const Measure& measure : kMeasures) {
    const std::string key(measure.key);
    if (!numbers.contains(key)) continue;
    rows.push_back({std::string(measure.words), WithInterval(numbers, key)});
    shown.insert(key);
  }
  for (const auto& [key, value] : numbers) {
    if (shown.contains(key) || IsInterval(numbers, key)) continue;
    if (key.ends_with("_error_bound")) continue;  // far below what is shown
    rows.push_back({Spaced(key), WithInterval(numbers, key)});
  }
  return rows;
}

void AddParts(const CardMetrics& metrics, const std::vector<std::string>& names,
              report::Document* card) {
  for (const CardMetrics::Parts& parts : metrics.parts) {
    const std::string one =
        parts.name == "classes" ? "class" : parts.name.substr(0, parts.name.size() - 1);
    const std::vector<std::string> keys = KeysOf(parts);
    std::vector<std::string> header = {one};
    for (const std::string& key : keys) header.push_back(Spaced(key));
    std::vector<std::vector<std::string>> rows;
    for (std::size_t i = 0; i < parts.numbers.size(); ++i) {
      const auto& numbers = parts.numbers[i];
      std::vector<std::string> row = {i < names.size() ? names[i] : StrCat(i + 1)};
      for (const std::string& key : keys) {
        row.push_back(numbers && numbers->contains(key) ? WithInterval(*numbers, key) : "-");
      }
      rows.push_back(std::move(row));
    }
    card->Table(header, rows);
  }
}

}  // namespace consilium::researcher
