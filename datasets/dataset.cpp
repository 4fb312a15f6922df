#include "datasets/dataset.h"

#include <unordered_set>

namespace consilium::datasets {

SplitCounts Count(const Dataset& dataset) {
  SplitCounts counts;
  std::unordered_set<std::uint64_t> patients;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    const Dataset::Label label = dataset.GetLabel(i);
    patients.insert(label.patient);
    counts.positives += dataset.IsPositive(i);
  }
  counts.patients = patients.size();
  counts.examples = dataset.size();
  return counts;
}

}  // namespace consilium::datasets
