// Makes seeded 512x512 16-bit files, indexes and decodes them, and says how many files a second
// that were. The other side of the comparison is pydicom_decode.py; experiments/bench/decode/run
// starts both.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/catalog.h"
#include "datasets/dicom/reader.h"
#include "datasets/dicom/writer.h"
#include "datasets/parallel.h"

namespace consilium::datasets {
namespace {

constexpr std::uint32_t kSide = 512;

double Seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

// Smooth shapes with noise: neither trivial nor hopeless for RLE.
absl::Status MakeFiles(const fs::path& folder, int count, dicom::TransferSyntax syntax) {
  RETURN_IF_ERROR(EnsureFolder(folder));
  for (int file = 0; file < count; ++file) {
    SeededRandom random(static_cast<std::uint64_t>(file), "decode benchmark");
    dicom::NewInstance instance;
    instance.modality = "CT";
    instance.patient_id = StrCat("bench-", file / 10);
    instance.study_instance_uid = dicom::MakeUid(StrCat("bench/study/", file / 10));
    instance.series_instance_uid = dicom::MakeUid(StrCat("bench/series/", file / 10));
    instance.sop_instance_uid = dicom::MakeUid(StrCat("bench/", dicom::Name(syntax), "/", file));
    instance.rows = instance.columns = kSide;
    instance.is_signed = true;
    instance.slope = 1;
    instance.intercept = -1024;
    instance.transfer_syntax = syntax;
    const auto middle = static_cast<std::int64_t>(random.Below(kSide));
    for (std::int64_t i = 0; i < kSide * kSide; ++i) {
      const std::int64_t x = i % kSide - middle, y = i / kSide - middle;
      const auto value = 3000 - (x * x + y * y) / 100 + static_cast<std::int64_t>(random.Below(16));
      instance.values.push_back(static_cast<std::int32_t>(std::max<std::int64_t>(-2000, value)));
    }
    RETURN_IF_ERROR(dicom::WriteFile(folder / StrCat(file, ".dcm"), instance));
  }
  return absl::OkStatus();
}

// The catalog of the folder, then every image decoded to modality values.
absl::Status Measure(const fs::path& folder, const fs::path& catalog_file, unsigned threads) {
  NoProgress progress;
  const auto start = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(Catalog catalog, Catalog::Open(catalog_file));
  ASSIGN_OR_RETURN(const IndexReport report, catalog.Index(folder, {.threads = threads}, progress));
  const auto indexed = std::chrono::steady_clock::now();
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::atomic<std::uint64_t> decoded = 0;
  ParallelFor(files.size(), threads, [&](std::size_t i) {
    const auto image = dicom::ReadImage(files[i]);
    if (image.ok()) decoded += image->pixels.size() == std::size_t{kSide} * kSide;
    return true;
  });
  const auto end = std::chrono::steady_clock::now();
  if (report.accepted != files.size() || decoded != files.size()) {
    return absl::InternalError("not every file was indexed and decoded");
  }
  const auto rate = [&](auto from, auto to) {
    return static_cast<double>(files.size()) / Seconds(to - from);
  };
  std::printf("%u %.1f %.1f %.1f\n", ThreadCount(threads), rate(start, indexed), rate(indexed, end),
              rate(start, end));
  return absl::OkStatus();
}

absl::Status Run(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "make" && argc == 5) {
    const bool rle = std::string(argv[4]) == "rle";
    return MakeFiles(
        argv[2], std::atoi(argv[3]),
        rle ? dicom::TransferSyntax::kRle : dicom::TransferSyntax::kExplicitLittleEndian);
  }
  if (command == "measure" && argc == 5) {
    return Measure(argv[2], argv[3], static_cast<unsigned>(std::atoi(argv[4])));
  }
  return absl::InvalidArgumentError(
      "use: consilium-bench-decode make FOLDER COUNT explicit|rle, or measure FOLDER CATALOG "
      "THREADS");
}

}  // namespace
}  // namespace consilium::datasets

int main(int argc, char** argv) {
  consilium::datasets::KeepFreedMemory();  // as consilium-dataset does
  return consilium::ReportAndExitCode(consilium::datasets::Run(argc, argv));
}
