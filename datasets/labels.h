#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "datasets/deidentification/pseudonymiser.h"

namespace consilium::datasets {

// What the first column of labels.csv identifies.
enum class LabelKey { kPatient, kStudy, kSeries, kSopInstance };
// "patient_id", "study_instance_uid", "series_instance_uid", "sop_instance_uid"
std::string_view ColumnName(LabelKey key);

// A site's labels:
//   patient_id,opacity,effusion
//   P0001,1,0
//   P0002,0,            an empty cell: no label for this target
// One of the columns is a key (by its name, wherever it stands), each of the others is a target,
// whose values are 0 and 1, or words, for the classes of a multiclass plan. Which of them a plan
// can read shows when it asks (Catalog::Images).
struct Labels {
  using Values = std::map<std::string, std::string>;  // target -> value, never empty

  LabelKey key = LabelKey::kPatient;
  std::vector<std::string> targets;
  std::map<std::string, Values> values;  // by key
  std::set<std::string> conflicting;     // keys that come with two different values for one target
};

// The longest word, in bytes.
inline constexpr std::size_t kLongestLabel = 64;

// kInvalidArgument with the line, all faults of the cells at once, one a line (at most ten): an
// empty key, a value longer than kLongestLabel.
absl::StatusOr<Labels> ParseLabels(std::string_view csv);
absl::StatusOr<Labels> ReadLabels(const fs::path& path);

// The same labels by the pseudonyms that a catalog has for their keys. Keys that differ in padding
// alone become one, conflicting where they contradict each other.
Labels WithPseudonyms(Labels labels, const deidentification::Pseudonymiser& pseudonyms);

}  // namespace consilium::datasets
