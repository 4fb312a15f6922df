#include "site_agent/patient_columns.h"

#include <span>
#include <utility>

#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/patient_split.h"

namespace consilium::site_agent {

using datasets::deidentification::Pseudonymiser;
using datasets::tables::TableData;

absl::StatusOr<Pseudonymiser> EphemeralPseudonyms() {
  constexpr std::size_t kKeyBytes = 32;
  crypto::Secret key(kKeyBytes);
  SystemRandom().Fill(key.RevealForWriting());
  return Pseudonymiser::Create(key);
}

absl::StatusOr<PatientColumns> PatientColumns::Read(const fs::path& data, const plan::Plan& plan) {
  ASSIGN_OR_RETURN(Pseudonymiser pseudonyms, EphemeralPseudonyms());
  ASSIGN_OR_RETURN(const TableData table,
                   TableData::Read(data, plan, pseudonyms, datasets::tables::Use::kPrediction));
  return PatientColumns(std::move(pseudonyms), table);
}

PatientColumns::PatientColumns(Pseudonymiser pseudonyms, const TableData& table)
    : pseudonyms_(std::move(pseudonyms)), rows_(table), columns_(table.table().Inputs()) {}

bool PatientColumns::Append(std::string_view patient_id, std::vector<float>& input) const {
  const std::size_t image = input.size();
  input.resize(image + columns_);
  const std::uint64_t patient = datasets::PatientNumber(pseudonyms_.PatientPseudonym(patient_id));
  return rows_.Fill(patient, std::span(input).subspan(image));
}

}  // namespace consilium::site_agent
