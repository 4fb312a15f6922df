#include "datasets/dicom/reader.h"

#include <new>

#include "common/base/text.h"
#include "datasets/dicom/image_file.h"
#include "datasets/dicom/tags.h"
#include "datasets/dicom/training_header.h"

namespace consilium::datasets::dicom {
namespace {

std::optional<Refused> CheckIdentity(const Header& header) {
  if (header.sop_instance_uid.empty()) return Refused{Refusal::kMissingSopInstanceUid, ""};
  if (header.patient_id.empty()) return Refused{Refusal::kMissingPatientId, ""};
  if (header.modality.empty()) return Refused{Refusal::kMissingModality, ""};
  return std::nullopt;
}

OrRefused<ImageFile> ForTraining(OrRefused<DataSet> data_set) {
  if (!data_set.ok()) return data_set.refused();
  if (auto other = NotForTraining(data_set->Text(tags::kSopClassUid))) return *std::move(other);
  auto file = ImageFile::Open(*std::move(data_set));
  if (!file.ok()) return file.refused();
  if (auto refused = CheckIdentity(file->header())) return *std::move(refused);
  return file;
}

OrRefused<Header> HeaderOf(const OrRefused<ImageFile>& file) {
  if (!file.ok()) return file.refused();
  Header header = file->header();
  header.burned_in = file->data_set().Text(tags::kBurnedInAnnotation) == "YES";
  header.head = ShowsHead(file->data_set());
  ForgetIdentifiers(file->data_set(), &header);
  if (header.modality.empty()) return Refused{Refusal::kMissingModality, ""};
  return header;
}

OrRefused<ImageFile> OpenSingleFrame(const fs::path& path) {
  auto file = ForTraining(DataSet::Open(path));
  if (file.ok() && file->frame_count() > 1) {
    return Refused{Refusal::kSeveralFrames, StrCat(file->frame_count(), " frames")};
  }
  return file;
}

}  // namespace

OrRefused<Header> ReadHeader(const fs::path& path) {
  return HeaderOf(ForTraining(DataSet::Open(path)));
}

OrRefused<Header> ReadHeader(File file) {
  return HeaderOf(ForTraining(DataSet::Open(std::move(file))));
}

OrRefused<Image> ReadImage(const fs::path& path) {
  auto file = OpenSingleFrame(path);
  if (!file.ok()) return file.refused();
  return file->ReadModality(0);
}

OrRefused<StoredPixels> ReadStoredPixels(const fs::path& path) {
  auto file = OpenSingleFrame(path);
  if (!file.ok()) return file.refused();
  auto stored = file->ReadStored(0);
  if (!stored.ok()) return stored.refused();
  return StoredPixels{file->header(), stored->As<std::int32_t>()};
}

}  // namespace consilium::datasets::dicom
