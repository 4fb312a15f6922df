#include "datasets/deidentification/instance_cleaner.h"

#include "common/base/status.h"
#include "datasets/deidentification/head_series.h"
#include "datasets/deidentification/instance_file.h"
#include "datasets/dicom/data_set.h"

namespace consilium::datasets::deidentification {
namespace {

class ThisProcess final : public InstanceCleaner {
 public:
  explicit ThisProcess(const Deidentifier& deidentifier) : deidentifier_(deidentifier) {}

  OrRefused<ExaminedInstance> Examine(const fs::path& path) override {
    auto file = File::OpenForReading(path);
    if (!file.ok()) return dicom::Unreadable(file.status());
    return deidentification::Examine(deidentifier_, *std::move(file));
  }
  OrRefused<Bytes> Clean(const fs::path& path, std::span<const std::uint8_t> face) override {
    const auto file = File::OpenForReading(path);
    if (!file.ok()) return dicom::Unreadable(file.status());
    return deidentification::Clean(deidentifier_, *file, face);
  }
  OrRefused<std::vector<Bytes>> FindFaces(const std::vector<fs::path>& paths) override {
    std::vector<File> files;
    for (const fs::path& path : paths) {
      auto file = File::OpenForReading(path);
      if (!file.ok()) return dicom::Unreadable(file.status());
      files.push_back(*std::move(file));
    }
    return FaceMasks(files);
  }

 private:
  const Deidentifier& deidentifier_;
};

}  // namespace

std::unique_ptr<InstanceCleaner> CleanInThisProcess(const Deidentifier& deidentifier) {
  return std::make_unique<ThisProcess>(deidentifier);
}

OrRefused<ExaminedInstance> Examine(const Deidentifier& deidentifier, File file) {
  bool head = false;
  if (deidentifier.options().pixels.faces == OnRisk::kClean) {
    auto bytes = ContentOf(file);
    if (!bytes.ok()) return bytes.refused();
    head = IsHeadImage(*bytes);
  }
  const auto names = deidentifier.NamesOf(dicom::DataSet::Open(std::move(file)));
  if (!names.ok()) return names.refused();
  return ExaminedInstance{*names, head};
}

OrRefused<Bytes> Clean(const Deidentifier& deidentifier, const File& file,
                       std::span<const std::uint8_t> face) {
  auto bytes = ContentOf(file);
  if (!bytes.ok()) return bytes.refused();
  auto instance = deidentifier.ApplyToSlice(std::move(*bytes), face);
  if (!instance.ok()) return instance.refused();
  auto cleaned = instance->ToBytes();
  if (!cleaned.ok()) {
    return Refused{Refusal::kDamaged, std::string(ToStd(cleaned.status().message()))};
  }
  return *std::move(cleaned);
}

}  // namespace consilium::datasets::deidentification
