#include "site_agent/trained_update.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "common/base/field_writer.h"
#include "common/base/status.h"
#include "common/model/safetensors.h"
#include "site_agent/sealed_values.h"

namespace consilium::site_agent {
namespace {

constexpr std::string_view kPurpose = "consilium site trained update v1";

ValuesSeal SealOf(const TrainedRecord& record, const crypto::Secret& state_key) {
  return {state_key, kPurpose,
          FieldWriter(kPurpose)
              .Text(record.run.value)
              .Number(record.round)
              .Field(record.base.bytes)
              .Number(record.seed)
              .Text(record.layout_header)
              .bytes()};
}

bool AllFinite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

}  // namespace

absl::StatusOr<TrainedRecord> KeepTrained(TrainedRecord record, const Contribution& contribution,
                                          const crypto::Secret& state_key, RandomSource& random,
                                          const fs::path& outbox) {
  RETURN_IF_ERROR(CheckContribution(contribution));
  RETURN_IF_ERROR(EnsureFolder(outbox));
  record.layout_header = WriteSafetensorsHeader(contribution.model.layout());
  record.file = outbox / StrCat(record.run.value, "-", record.round, ".trained");
  const auto fill = [&](std::size_t first, std::span<float> piece) -> absl::Status {
    CopyValues(contribution, first, piece);
    if (AllFinite(piece)) return absl::OkStatus();
    return NotFinite(contribution.model.layout(), first, piece);
  };
  RETURN_IF_ERROR(WriteSealedValues(record.file, SealOf(record, state_key),
                                    contribution.model.values().size(), fill, random));
  return record;
}

absl::StatusOr<ModelState> ReadTrained(const TrainedRecord& record,
                                       const crypto::Secret& state_key) {
  ASSIGN_OR_RETURN(const std::size_t count, CountSealedValues(record.file));
  // Compared with the file before anything of that size is asked for.
  const auto header = ReadSafetensorsHeader(AsBytes(record.layout_header),
                                            record.layout_header.size() + count * sizeof(float));
  if (!header.ok()) {
    return absl::DataLossError("what was trained and kept on the disk is of another size");
  }
  ASSIGN_OR_RETURN(std::vector<float> update,
                   ReadSealedValues(record.file, SealOf(record, state_key), count));
  return ModelState::Create(header->layout, std::move(update));
}

}  // namespace consilium::site_agent
