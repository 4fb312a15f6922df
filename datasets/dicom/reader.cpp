#include "datasets/dicom/reader.h"

#include <new>

#include "common/base/text.h"
#include "datasets/dicom/image_file.h"
#include "datasets/dicom/tags.h"

namespace consilium::datasets::dicom {
namespace {

std::optional<Refused> CheckIdentity(const Header& header) {
  if (header.sop_instance_uid.empty()) return Refused{Refusal::kMissingSopInstanceUid, ""};
  if (header.patient_id.empty()) return Refused{Refusal::kMissingPatientId, ""};
  if (header.modality.empty()) return Refused{Refusal::kMissingModality, ""};
  return std::nullopt;
}

OrRefused<ImageFile> ForTraining(OrRefused<ImageFile> file) {
  if (!file.ok()) return file.refused();
  const Header& header = file->header();
  if (auto refused = CheckIdentity(header)) return *std::move(refused);
  if (file->data_set().Text(tags::kBurnedInAnnotation) == "YES") {
    return Refused{Refusal::kBurnedInAnnotation, ""};
  }
  if (header.frames > 1) {
    return Refused{Refusal::kSeveralFrames, StrCat(header.frames, " frames")};
  }
  return file;
}

}  // namespace

OrRefused<Header> ReadHeader(const fs::path& path) {
  const auto file = ForTraining(ImageFile::Open(path));
  if (!file.ok()) return file.refused();
  return file->header();
}

OrRefused<Header> ReadHeader(File file) {
  const auto image = ForTraining(ImageFile::Open(std::move(file)));
  if (!image.ok()) return image.refused();
  return image->header();
}

OrRefused<Image> ReadImage(const fs::path& path) {
  auto file = ForTraining(ImageFile::Open(path));
  if (!file.ok()) return file.refused();
  return file->ReadModality(0);
}

OrRefused<StoredPixels> ReadStoredPixels(const fs::path& path) {
  auto file = ForTraining(ImageFile::Open(path));
  if (!file.ok()) return file.refused();
  auto stored = file->ReadStored(0);
  if (!stored.ok()) return stored.refused();
  return StoredPixels{file->header(), stored->As<std::int32_t>()};
}

}  // namespace consilium::datasets::dicom
