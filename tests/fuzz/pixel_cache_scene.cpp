#include "tests/fuzz/pixel_cache_scene.h"

#include <bit>

#include "datasets/dicom/writer.h"

namespace consilium::fuzz {
namespace {

// As pixel_cache.cpp has it.
std::uint64_t Checksum(ByteView bytes) {
  std::uint64_t sum = 0x9e3779b97f4a7c15 ^ bytes.size();
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    sum = std::rotl((sum ^ LoadLe64(bytes.data() + at)) * 0xff51afd7ed558ccd, 29);
  }
  for (; at < bytes.size(); ++at) sum = std::rotl((sum ^ bytes[at]) * 0xff51afd7ed558ccd, 29);
  return sum ^ (sum >> 32);
}

}  // namespace

PixelCacheScene::PixelCacheScene() {
  image_ = {.id = 1,
            .path = "cached.dcm",
            .sop_instance_uid = datasets::dicom::MakeUid("image"),
            .patient = "P-1",
            .modality = "DX",
            .size = 1000,
            .modified_ns = 1};
  preprocessing_.image_size = 16;
  datasets::dicom::NewInstance instance{.modality = "DX", .patient_id = "P1"};
  instance.study_instance_uid = instance.series_instance_uid = datasets::dicom::MakeUid("study");
  instance.sop_instance_uid = image_.sop_instance_uid;
  instance.rows = instance.columns = 4;
  instance.values = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  FUZZ_EXPECT(datasets::dicom::WriteFile(ScratchFolder() / image_.path, instance).ok());
  fs::create_directory(ScratchFolder() / "cache");
  FUZZ_EXPECT(Prepare().ok());
  const auto files = ListFolder(ScratchFolder() / "cache");
  FUZZ_EXPECT(files.ok() && files->size() == 1);
  cache_file_ = "cache/" + files->front().path.filename().string();
}

absl::StatusOr<datasets::PixelCache> PixelCacheScene::Prepare() const {
  NoProgress progress;
  std::vector<datasets::UnusableImage> unusable;
  auto cache = datasets::PixelCache::Prepare(
      ScratchFolder() / "cache", ScratchFolder(), {&image_, 1}, preprocessing_,
      *datasets::ReadInThisProcess(), 1, progress, &unusable);
  for (const datasets::UnusableImage& image : unusable) {
    FUZZ_EXPECT(image.index == 0 && !datasets::Name(image.refused.reason).empty());
  }
  return cache;
}

Bytes PixelCacheScene::WithTableChecksum(ByteView file) {
  Bytes bytes(file.begin(), file.end());
  constexpr std::size_t kHeaderBytes = 40, kEntryBytes = 32;
  if (bytes.size() < kHeaderBytes) return bytes;
  const std::uint64_t slots = LoadLe64(&bytes[24]);
  if (slots > (bytes.size() - kHeaderBytes) / kEntryBytes) return bytes;
  StoreLe64(&bytes[32], Checksum(ByteView(bytes).subspan(kHeaderBytes, slots * kEntryBytes)));
  return bytes;
}

}  // namespace consilium::fuzz
