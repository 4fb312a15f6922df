#include "tests/results/result_sources.h"

#include "datasets/dicom/writer.h"
#include "tests/catch.h"

namespace consilium::datasets::results {

void WriteSource(const fs::path& path, const std::string& modality) {
  dicom::NewInstance instance;
  instance.modality = modality;
  instance.patient_id = "PATIENT-7";
  instance.study_instance_uid = dicom::MakeUid("study " + modality);
  instance.series_instance_uid = dicom::MakeUid("series " + modality);
  instance.sop_instance_uid = dicom::MakeUid("instance " + modality);
  instance.instance_number = 5;
  instance.view_position = modality == "MG" ? "CC" : "PA";
  instance.laterality = modality == "MG" ? "L" : "";
  instance.rows = kSourceRows;
  instance.columns = kSourceColumns;
  instance.bits_stored = modality == "US" || modality == "OP" ? 8 : 12;
  instance.row_spacing_mm = 0.5;
  instance.column_spacing_mm = 0.25;
  for (std::uint32_t row = 0; row < instance.rows; ++row) {
    for (std::uint32_t column = 0; column < instance.columns; ++column) {
      instance.values.push_back(row < 10 && column < 20 ? 200 : static_cast<int>(row + column));
    }
  }
  const absl::Status written = dicom::WriteFile(path, instance);
  INFO(written.message());
  REQUIRE(written.ok());
}

SourceImage SourceOf(const fs::path& path) {
  auto source = ReadSourceImage(path);
  INFO((source.ok() ? std::string() : source.refused().detail));
  REQUIRE(source.ok());
  return *source;
}

ModelDescription TestModel() {
  ModelDescription model;
  model.id.bytes.fill(0x3f);
  model.name = "chest-opacity";
  model.run = "chest-opacity-0003";
  model.target = "opacity";
  model.federation = "five-hospitals";
  return model;
}

Time TestTime() { return Time(std::chrono::seconds(1'790'000'000)); }

}  // namespace consilium::datasets::results
