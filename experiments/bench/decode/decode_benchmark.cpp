// Makes seeded 512x512 16-bit files, reads their headers, indexes and decodes them, and says how
// many files a second that were. The other side of the comparison is pydicom_decode.py;
// experiments/bench/decode/run starts both.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/catalog.h"
#include "datasets/dicom/reader.h"
#include "datasets/dicom/writer.h"
#include "datasets/parallel.h"
#include "datasets/worker/sandboxed_reader.h"

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
    // The JPEG-LS encoder here takes no signed values.
    instance.is_signed = syntax != dicom::TransferSyntax::kJpegLsLossless;
    instance.slope = 1;
    instance.intercept = -1024;
    instance.transfer_syntax = syntax;
    const auto middle = static_cast<std::int64_t>(random.Below(kSide));
    const std::int64_t lowest = instance.is_signed ? -2000 : 0;
    for (std::int64_t i = 0; i < kSide * kSide; ++i) {
      const std::int64_t x = i % kSide - middle, y = i / kSide - middle;
      const auto value = 3000 - (x * x + y * y) / 100 + static_cast<std::int64_t>(random.Below(16));
      instance.values.push_back(static_cast<std::int32_t>(std::max<std::int64_t>(lowest, value)));
    }
    RETURN_IF_ERROR(dicom::WriteFile(folder / StrCat(file, ".dcm"), instance));
  }
  return absl::OkStatus();
}

// Files a second of `read`, which says whether it worked.
template <class Function>
absl::StatusOr<double> Rate(const std::vector<fs::path>& files, unsigned threads, Function read) {
  std::atomic<std::uint64_t> good = 0;
  const auto start = std::chrono::steady_clock::now();
  ParallelFor(files.size(), threads, [&](std::size_t i) {
    good += read(files[i]) ? 1 : 0;
    return true;
  });
  const auto end = std::chrono::steady_clock::now();
  if (good != files.size()) return absl::InternalError("not every file was read");
  return static_cast<double>(files.size()) / Seconds(end - start);
}

// As ImageReader gives them: of so many files together.
absl::StatusOr<double> RateOfHeaders(const std::vector<fs::path>& files, unsigned threads,
                                     ImageReader& reader) {
  constexpr std::size_t kTogether = 128;
  const std::size_t parts = (files.size() + kTogether - 1) / kTogether;
  std::atomic<std::uint64_t> good = 0;
  const auto start = std::chrono::steady_clock::now();
  ParallelFor(parts, threads, [&](std::size_t part) {
    const auto some = std::span(files).subspan(
        part * kTogether, std::min(kTogether, files.size() - part * kTogether));
    for (const auto& header : reader.ReadHeaders(some)) good += header.ok() ? 1 : 0;
    return true;
  });
  const auto end = std::chrono::steady_clock::now();
  if (good != files.size()) return absl::InternalError("not every file was read");
  return static_cast<double>(files.size()) / Seconds(end - start);
}

// Headers alone; the catalog of the folder; every image decoded to modality values; the network's
// input made of every image.
absl::Status Measure(const fs::path& folder, const fs::path& catalog_file, unsigned threads,
                     bool sandbox) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::unique_ptr<ImageReader> reader = ReadInThisProcess();
  if (sandbox) {
    ASSIGN_OR_RETURN(reader, SandboxedReader::Create({.workers = threads}));
    // All workers are started, as they are after the first files of many.
    ASSIGN_OR_RETURN(double warm, RateOfHeaders(files, threads, *reader));
    (void)warm;
  }
  ASSIGN_OR_RETURN(const double headers, RateOfHeaders(files, threads, *reader));
  // Whole images do not leave a worker.
  double images = 0;
  if (!sandbox) {
    ASSIGN_OR_RETURN(images, Rate(files, threads, [](const fs::path& file) {
                       const auto image = dicom::ReadImage(file);
                       return image.ok() && image->pixels.size() == std::size_t{kSide} * kSide;
                     }));
  }
  const plan::Preprocessing preprocessing = plan::DefaultsOf(plan::Preset::kCt, 64);
  ASSIGN_OR_RETURN(const double inputs, Rate(files, threads, [&](const fs::path& file) {
                     return reader->ReadInput(file, preprocessing).ok();
                   }));
  NoProgress progress;
  const auto start = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(Catalog catalog, Catalog::Open(catalog_file));
  ASSIGN_OR_RETURN(const IndexReport report,
                   catalog.Index(folder, {.threads = threads}, *reader, progress));
  const auto indexed = std::chrono::steady_clock::now();
  if (report.accepted != files.size()) return absl::InternalError("not every file was indexed");
  std::printf("%.1f %.1f %.1f %.1f\n", headers,
              static_cast<double>(files.size()) / Seconds(indexed - start), images, inputs);
  return absl::OkStatus();
}

std::optional<dicom::TransferSyntax> SyntaxNamed(std::string_view name) {
  using dicom::TransferSyntax;
  if (name == "explicit") return TransferSyntax::kExplicitLittleEndian;
  if (name == "rle") return TransferSyntax::kRle;
  if (name == "jpeg-lossless") return TransferSyntax::kJpegLosslessSv1;
  if (name == "jpeg-ls") return TransferSyntax::kJpegLsLossless;
  if (name == "jpeg2000") return TransferSyntax::kJpeg2000Lossless;
  return std::nullopt;
}

absl::Status Run(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  const auto syntax = argc == 5 ? SyntaxNamed(argv[4]) : std::nullopt;
  if (command == "make" && syntax) return MakeFiles(argv[2], std::atoi(argv[3]), *syntax);
  if ((command == "measure" || command == "sandbox") && argc == 5) {
    return Measure(argv[2], argv[3], static_cast<unsigned>(std::atoi(argv[4])),
                   command == "sandbox");
  }
  return absl::InvalidArgumentError(
      "use: consilium-bench-decode make FOLDER COUNT explicit|rle|jpeg-lossless|jpeg-ls|jpeg2000, "
      "or measure|sandbox FOLDER CATALOG THREADS");
}

}  // namespace
}  // namespace consilium::datasets

int main(int argc, char** argv) {
  consilium::datasets::KeepFreedMemory();  // as consilium-dataset does
  return consilium::ReportAndExitCode(consilium::datasets::Run(argc, argv));
}
