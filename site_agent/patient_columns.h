#pragma once

// Each patient's row of a plan's table beside images, for a prediction.

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/plan/plan.h"
#include "datasets/deidentification/pseudonymiser.h"
#include "datasets/tables/table_data.h"

namespace consilium::site_agent {

// By a key that nobody keeps: what is of one patient is told within this process alone.
absl::StatusOr<datasets::deidentification::Pseudonymiser> EphemeralPseudonyms();

// Immutable.
class PatientColumns {
 public:
  // `data`: the folder that the table is in. Errors as tables::TableData::Read.
  static absl::StatusOr<PatientColumns> Read(const fs::path& data, const plan::Plan& plan);

  // Appends the columns to an image's input. False when the table has no row of the patient: then
  // all of them are missing, as in training. `patient_id` as the image has it.
  bool Append(std::string_view patient_id, std::vector<float>& input) const;

 private:
  PatientColumns(datasets::deidentification::Pseudonymiser pseudonyms,
                 const datasets::tables::TableData& table);
  datasets::deidentification::Pseudonymiser pseudonyms_;
  datasets::tables::PatientRows rows_;
  std::size_t columns_;
};

}  // namespace consilium::site_agent
